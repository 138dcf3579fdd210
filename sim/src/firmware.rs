//! The application images that an exploration deals with.

use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_core::SliceFlash;
use ota_core::image::{self, ImageError, ImageInfo, Requirements};
use ota_core::partition::Region;
use std::sync::Arc;

/// Number of a firmware in the list of an exploration.
pub type FirmwareId = u8;

/// An application image and what it is called.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// Name for reports, for instance the file's or the image's own version.
    pub name: String,
    /// The image as it is sent to a device.
    pub bytes: Arc<[u8]>,
    /// What verification says of it.
    pub info: ImageInfo,
}

impl Firmware {
    /// Takes an image that verifies under `requirements`; bytes behind its end are dropped.
    ///
    /// # Errors
    /// What is wrong with the image, with file offsets.
    pub fn new(
        name: impl Into<String>,
        bytes: &[u8],
        requirements: &Requirements,
    ) -> Result<Self, ImageError<NorFlashErrorKind>> {
        let mut file = SliceFlash(bytes);
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let region = Region { offset: 0, size };
        let info = image::verify(&mut file, region, requirements)?;
        let bytes = bytes[..info.len as usize].into();
        Ok(Self { name: name.into(), bytes, info })
    }
}
