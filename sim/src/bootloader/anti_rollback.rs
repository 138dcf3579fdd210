//! Anti-rollback: the security version in eFuse, and the applications that are too old for it.
//!
//! Source: ESP-IDF `bootloader_utility.c` (`check_anti_rollback`, `update_anti_rollback`) and
//! `esp_efuse_utility.c`/`esp_efuse_fields.c` (`esp_efuse_update_secure_version`).

use super::event::{Choice, Event};
use super::run::Run;
use embedded_storage::nor_flash::ReadNorFlash;
use ota_core::image::{self, ChipId};

/// Anti-rollback, as built into the bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AntiRollback {
    /// Width of the version field in eFuse, in bits, which is also the greatest version: the field
    /// counts in unary. 32 on the ESP32, 16 on the ESP32-C3.
    pub field_bits: u32,
}

impl AntiRollback {
    /// As built for a chip, with a field as wide as it can be.
    ///
    /// Source: ESP-IDF `Kconfig.projbuild` of the bootloader
    /// (`CONFIG_BOOTLOADER_APP_SEC_VER_SIZE_EFUSE_FIELD`).
    pub fn for_chip(chip: ChipId) -> Self {
        let field_bits = match chip {
            ChipId::ESP32 => 32,
            ChipId::ESP32C2 => 4,
            ChipId::ESP32C5 => 9,
            _ => 16,
        };
        Self { field_bits }
    }
}

impl<F: ReadNorFlash, I, E: FnMut(Event)> Run<'_, F, I, E> {
    /// Whether anti-rollback lets the application run. Its description is believed as it stands: the
    /// image is verified later, or not at all.
    pub(super) fn is_new_enough(&mut self, choice: Choice) -> bool {
        let version = self.described_secure_version(choice);
        let required = self.secure_version;
        let new_enough = version.is_some_and(|version| version >= required);
        if !new_enough {
            self.event(Event::TooOld { choice, version, required });
        }
        new_enough
    }

    /// Burns the application's security version into eFuse if it is higher than what is there, and
    /// fits.
    pub(super) fn raise_secure_version(&mut self, choice: Choice) {
        let (Some(to), Some(config)) =
            (self.described_secure_version(choice), self.config.anti_rollback)
        else {
            return;
        };
        let from = self.secure_version;
        if to > from && to <= config.field_bits {
            self.secure_version = to;
            self.event(Event::RaisedSecureVersion { from, to });
        }
    }

    fn described_secure_version(&mut self, choice: Choice) -> Option<u32> {
        let region = self.region(choice);
        if region.offset == 0 {
            return None;
        }
        image::describe(self.flash, region).ok().map(|description| description.secure_version)
    }
}
