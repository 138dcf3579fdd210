//! What boot selection and fallback of one generation do differently from another.
//!
//! Each difference has a function here, which says where in ESP-IDF it stands; those in partition tables
//! and images are functions of [`Generation`]. Not a difference of flash: up to v3.0 a bootloader that
//! finds nothing to boot stops, and later ones reset for ever.

use super::Bootloader;
use ota_core::Generation;

impl Bootloader {
    /// Whether select entries have a state. Before v3.3 its bytes are part of a label that nobody reads,
    /// so an entry that an application rejected is as good as any, and nothing is ever on trial.
    ///
    /// Source: ESP-IDF `esp_flash_partitions.h` (`esp_ota_select_entry_t`), `bootloader_common.c`
    /// (`bootloader_common_ota_select_invalid`): in v3.3, not in v3.2.
    pub(super) fn knows_states(&self) -> bool {
        self.generation >= Generation::V3_3
    }

    /// Whether another application is tried when the chosen one does not load. v2.1 gives up.
    ///
    /// Source: ESP-IDF `bootloader_start.c` (v2.1 `bootloader_main`, which loads one partition; v3.0
    /// `load_boot_image`), `bootloader_utility.c` (`bootloader_utility_load_boot_image`) since v3.1.
    pub(super) fn falls_back(&self) -> bool {
        self.generation >= Generation::V3_0
    }

    /// Whether a device without factory application and without otadata contents gets its first entries
    /// *before* anything is loaded: sequence number 1 in sector 0 and 0 in sector 1, both sectors erased
    /// first. From v3.0 to v3.2 nothing is written, and since v3.3 one entry, after the image has loaded.
    ///
    /// Source: ESP-IDF v2.1 `bootloader_start.c` (`bootloader_main`), v3.3 `bootloader_utility.c`
    /// (`set_actual_ota_seq`).
    pub(super) fn writes_both_entries_first(&self) -> bool {
        self.generation < Generation::V3_0
    }

    /// Whether anti-rollback looks at the test application when nothing else loads. v3.3 starts it
    /// whatever its security version.
    ///
    /// Source: ESP-IDF `bootloader_utility.c` (`bootloader_utility_load_boot_image`) in v3.3 and v4.4.
    pub(super) fn anti_rollback_covers_test(&self) -> bool {
        self.generation >= Generation::V4_4
    }

    /// Whether such a bootloader can be built.
    ///
    /// # Errors
    /// Its generation lacks an option, or one option needs another.
    pub fn check(&self) -> Result<(), OptionError> {
        let options = [
            (self.rollback, "rollback", Generation::V3_3),
            (self.anti_rollback.is_some(), "anti-rollback", Generation::V3_3),
            // Since v3.1, which is otherwise like v3.0.
            (self.factory_reset.is_some(), "a factory-reset pin", Generation::V3_3),
            (self.test_pin, "a test pin", Generation::V3_3),
        ];
        let generation = self.generation;
        for (set, option, since) in options {
            if set && generation < since {
                return Err(OptionError::NotYet { generation, option, since });
            }
        }
        if self.anti_rollback.is_some() && !self.rollback {
            return Err(OptionError::NeedsRollback);
        }
        Ok(())
    }

    /// Whether its generation can be built with rollback.
    ///
    /// Source: ESP-IDF `Kconfig.projbuild` of the bootloader: `CONFIG_APP_ROLLBACK_ENABLE` in v3.3,
    /// `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE` since v4.0.
    pub fn has_rollback(generation: Generation) -> bool {
        Self { generation, rollback: true, ..Self::default() }.check().is_ok()
    }
}

/// Why a bootloader cannot be built as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The generation does not have the option.
    #[error(
        "the bootloader of ESP-IDF {generation} has no {option}: choose {since} or later, or go without"
    )]
    NotYet {
        /// The generation.
        generation: Generation,
        /// What it lacks.
        option: &'static str,
        /// The first one that has it.
        since: Generation,
    },
    /// Anti-rollback without rollback.
    #[error("anti-rollback needs a bootloader with rollback")]
    NeedsRollback,
}
