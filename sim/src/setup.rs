//! Everything that an exploration or a replay needs, put together by name.

use crate::bootloader::{AntiRollback, Bootloader, OptionError};
use crate::explore::{World, WorldError};
use crate::firmware::Firmware;
use crate::flash::Part;
use crate::layout::Layout;
use crate::subject::{EspHal, EspIdf, NamedSlots, OtaCore, Release, Ruuvi, Subject, UpdateAgent};
use ota_core::image::{ChipId, DESCRIPTOR_OFFSET, Requirements};
use ota_core::{Extent, Generation};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// An application image that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Fixture {
    /// Its file name.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// The images that come with the program, for the ESP32-C3; see `fixtures/README.md`.
pub const FIXTURES: [Fixture; 3] = [
    Fixture { name: "app-1.0.0.bin", bytes: include_bytes!("../fixtures/app-1.0.0.bin") },
    Fixture { name: "app-2.0.0.bin", bytes: include_bytes!("../fixtures/app-2.0.0.bin") },
    Fixture { name: "app-3.0.0.bin", bytes: include_bytes!("../fixtures/app-3.0.0.bin") },
];

impl Fixture {
    /// The image, verified.
    pub fn firmware(&self) -> Firmware {
        Firmware::new(self.name, self.bytes, &Requirements::for_chip(ChipId::ESP32C3))
            .expect("the fixtures are valid images")
    }

    /// The image as if it had been built with this security version; its name then ends with `@` and the
    /// version.
    pub fn with_secure_version(&self, version: u32) -> Firmware {
        const HASH: usize = 32;
        let at = DESCRIPTOR_OFFSET as usize + 4;
        let mut image = self.bytes[..self.bytes.len() - HASH].to_vec();
        let mut changed = 0;
        for (byte, new) in image[at..at + 4].iter_mut().zip(version.to_le_bytes()) {
            changed ^= std::mem::replace(byte, new) ^ new;
        }
        // The checksum, the last byte before the hash, is the XOR of all data.
        image.last_mut().into_iter().for_each(|checksum| *checksum ^= changed);
        let hash = Sha256::digest(&image);
        image.extend_from_slice(&hash);
        let requirements = Requirements::for_chip(ChipId::ESP32C3);
        Firmware::new(format!("{}@{version}", self.name), &image, &requirements)
            .expect("checksum and hash were worked out again")
    }
}

/// An image that comes with the program, by its name.
pub fn builtin(name: &str) -> Option<Firmware> {
    let (plain, version) = match name.split_once('@') {
        Some((plain, version)) => (plain, Some(version.parse().ok()?)),
        None => (name, None),
    };
    let fixture = FIXTURES.iter().find(|fixture| fixture.name == plain)?;
    Some(version.map_or_else(|| fixture.firmware(), |version| fixture.with_secure_version(version)))
}

/// How the bootloader and the application were built as to images on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// Without rollback: an image that is selected stays.
    Off,
    /// With rollback: a new image gets one trial.
    On,
    /// With rollback, and with anti-rollback: no image is older than eFuse says.
    Anti,
}

impl Rollback {
    /// Whether images get a trial.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// Without rollback, or with it.
impl From<bool> for Rollback {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "plain",
            Self::On => "rollback",
            Self::Anti => "anti-rollback",
        })
    }
}

/// The update code that comes with the program.
pub fn subjects() -> [&'static dyn Subject; 15] {
    const fn idf(release: Release, extent: Option<Extent>) -> EspIdf {
        EspIdf { release, extent }
    }
    const SEQUENTIAL: Option<Extent> = Some(Extent::Sequential);
    [
        &OtaCore { extent: SEQUENTIAL },
        &OtaCore { extent: None },
        &UpdateAgent,
        &const { idf(Release::V5_5, None) },
        &const { idf(Release::V5_5, SEQUENTIAL) },
        &const { idf(Release::V5_4, None) },
        &const { idf(Release::V5_4, SEQUENTIAL) },
        &const { idf(Release::V6_1, None) },
        &const { idf(Release::V6_1, SEQUENTIAL) },
        &NamedSlots,
        &EspHal::Example,
        &EspHal::WithoutReset,
        &EspHal::LastSlot,
        &Ruuvi { fixed: false },
        &Ruuvi { fixed: true },
    ]
}

/// A device with update code and images: what [`World`] needs, owned, so that each thread can have its
/// own world.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The partitions, in a table that the bootloader [accepts](Layout::for_bootloader).
    pub layout: Layout,
    /// Release that the bootloader comes from.
    pub generation: Generation,
    /// How the bootloader and the application were built.
    pub rollback: Rollback,
    /// The images: the installed one, then the updates.
    pub firmware: Arc<[Firmware]>,
    /// The update code.
    pub subject: &'static dyn Subject,
    /// The flash part.
    pub part: Part,
    /// The chip.
    pub chip: ChipId,
    /// Whether flash encryption is on.
    pub encrypted: bool,
}

/// Why there is no such device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// There is no such bootloader.
    #[error(transparent)]
    Bootloader(#[from] OptionError),
    /// Images, layout and bootloader do not go together.
    #[error(transparent)]
    World(#[from] WorldError),
}

impl Setup {
    /// The bootloader.
    ///
    /// # Errors
    /// [`OptionError`] when its release does not have an option.
    pub fn bootloader(&self) -> Result<Bootloader, OptionError> {
        let bootloader = Bootloader {
            generation: self.generation,
            rollback: self.rollback.is_on(),
            anti_rollback: (self.rollback == Rollback::Anti)
                .then(|| AntiRollback::for_chip(self.chip)),
            // The header knows 1 MiB as 0, 2 MiB as 1, and so on (`esp_image_flash_size_t`).
            spi_size: (self.part.capacity >> 20).max(1).ilog2() as u8,
            ..Bootloader::default()
        };
        bootloader.check()?;
        Ok(bootloader)
    }

    /// The device.
    ///
    /// # Errors
    /// [`SetupError`] when the images, the layout and the bootloader do not go together.
    pub fn world(&self) -> Result<World<'_>, SetupError> {
        let requirements = Requirements::for_chip(self.chip);
        let (layout, bootloader) = (&self.layout, self.bootloader()?);
        let world =
            World::new(layout, bootloader, requirements, &self.firmware, self.subject, self.part)?;
        Ok(if self.encrypted { world.encrypted()? } else { world })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_security_version_is_valid_and_differs_in_nothing_else() {
        let plain = builtin("app-2.0.0.bin").unwrap();
        let newer = builtin("app-2.0.0.bin@7").unwrap();
        assert_eq!((plain.info.secure_version, newer.info.secure_version), (Some(0), Some(7)));
        let differ = plain.bytes.iter().zip(&*newer.bytes).take(plain.bytes.len() - 33);
        assert_eq!(differ.filter(|(a, b)| a != b).count(), 1);
        assert!(builtin("app-2.0.0.bin@x").is_none() && builtin("app-9.bin").is_none());
    }
}
