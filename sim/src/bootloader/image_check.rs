//! How the bootloader decides whether an image loads.

use embedded_storage::nor_flash::ReadNorFlash;
use ota_core::image::{self, ImageInfo, Requirements};
use ota_core::partition::Region;

/// Decides whether the image in a partition loads.
///
/// A trait, because the same contents are checked over and over while cuts are explored: an
/// implementation may remember its verdicts.
pub trait ImageCheck<F> {
    /// What the image in `region` is, or `None` if the bootloader refuses it.
    fn check(&mut self, flash: &mut F, region: Region) -> Option<ImageInfo>;
}

/// Reads and verifies the whole image every time, as the bootloader does.
///
/// Not modelled: that the RAM segments of an image must not overlap the bootloader's own memory and
/// must lie in RAM, and that bootloaders from ESP-IDF v5.1 on abort after they have loaded an image
/// that maps no code or no constants. An image breaks these rules from its build on, on every boot
/// alike, and no power cut makes it break or keep them.
#[derive(Clone, Debug)]
pub struct FullCheck {
    /// What the chip and the generation of the bootloader demand of an image.
    pub requirements: Requirements,
}

impl<F: ReadNorFlash> ImageCheck<F> for FullCheck {
    fn check(&mut self, flash: &mut F, region: Region) -> Option<ImageInfo> {
        image::verify(flash, region, &self.requirements).ok()
    }
}
