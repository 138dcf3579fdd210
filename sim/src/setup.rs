//! Everything that an exploration or a replay needs, put together by name.

use crate::bootloader::{Bootloader, OptionError};
use crate::explore::{World, WorldError};
use crate::firmware::Firmware;
use crate::flash::Part;
use crate::layout::Layout;
use crate::subject::{EspHal, EspIdf, OtaCore, Release, Ruuvi, Subject, UpdateAgent};
use ota_core::image::{ChipId, Requirements};
use ota_core::{Extent, Generation};
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
}

/// The update code that comes with the program.
pub fn subjects() -> [&'static dyn Subject; 14] {
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
    /// Whether the bootloader was built with rollback.
    pub rollback: bool,
    /// The images: the installed one, then the updates.
    pub firmware: Arc<[Firmware]>,
    /// The update code.
    pub subject: &'static dyn Subject,
    /// The flash part.
    pub part: Part,
    /// The chip.
    pub chip: ChipId,
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
            rollback: self.rollback,
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
        Ok(World::new(layout, bootloader, requirements, &self.firmware, self.subject, self.part)?)
    }
}
