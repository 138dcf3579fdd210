//! Makes one image of another one.

use super::case::Change;
use ota_core::image::{AppDescriptor, DESCRIPTOR_LEN, DESCRIPTOR_OFFSET, HEADER_LEN, Header};
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::Range;

/// Length of the SHA-256 that ends an image, in bytes.
const DIGEST: usize = 32;
/// Where the header names the chip (`esp_image_header_t`).
const CHIP: Range<usize> = 12..14;
/// Where the header has the address of the first instruction, which only the SHA-256 protects.
const ENTRY: usize = 4;
/// Where the description has the version (`esp_app_desc_t`), from the start of the image.
const VERSION: Range<usize> = DESCRIPTOR_OFFSET as usize + 16..DESCRIPTOR_OFFSET as usize + 48;

/// Why an image cannot be changed as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// It is no application image that ends with a SHA-256.
    NoImage,
    /// It has no description (`esp_app_desc_t`).
    NoDescription,
    /// The result is the same image.
    Nothing,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoImage => "not an application image that ends with a SHA-256",
            Self::NoDescription => "the image has no description",
            Self::Nothing => "the change leaves the image as it is",
        })
    }
}

impl std::error::Error for ChangeError {}

impl Change {
    /// The changed image. `image` is an application image that ends with its SHA-256.
    ///
    /// # Errors
    /// The image is of another form, or the change would leave it as it is.
    pub fn apply(&self, image: &[u8]) -> Result<Vec<u8>, ChangeError> {
        let header = image.first_chunk().and_then(Header::parse).ok_or(ChangeError::NoImage)?;
        let digest = image.len().saturating_sub(DIGEST);
        if header.hash_appended == 0 || digest <= HEADER_LEN {
            return Err(ChangeError::NoImage);
        }
        let mut changed = image.to_vec();
        match self {
            Self::TruncatedAt(at) => changed.truncate(*at as usize),
            Self::BitFlippedInHeader => changed[ENTRY] ^= 1,
            Self::BitFlippedInBody => changed[digest.midpoint(HEADER_LEN)] ^= 1,
            Self::BitFlippedInDigest => changed[digest] ^= 1,
            Self::ErasedFrom(at) => changed.iter_mut().skip(*at as usize).for_each(|b| *b = 0xFF),
            Self::ForChip(chip) => {
                changed[CHIP].copy_from_slice(&chip.id().0.to_le_bytes());
                sign(&mut changed, digest);
            }
            Self::Version(version) => {
                let at = DESCRIPTOR_OFFSET as usize;
                let descriptor = image.get(at..).and_then(|it| it.first_chunk::<DESCRIPTOR_LEN>());
                let described = descriptor.and_then(AppDescriptor::parse).is_some();
                if !described || at + DESCRIPTOR_LEN > digest {
                    return Err(ChangeError::NoDescription);
                }
                let text = version.bytes().take(VERSION.len() - 1);
                let text = text.chain(std::iter::repeat(0));
                changed[VERSION].iter_mut().zip(text).for_each(|(byte, new)| *byte = new);
                // The checksum is the last byte before the SHA-256: all data, exclusive or.
                let xor = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum ^ byte);
                changed[digest - 1] ^= xor(&image[VERSION]) ^ xor(&changed[VERSION]);
                sign(&mut changed, digest);
            }
        }
        if changed == image { Err(ChangeError::Nothing) } else { Ok(changed) }
    }
}

/// Puts the right SHA-256 behind the first `digest` bytes.
fn sign(image: &mut [u8], digest: usize) {
    let (bytes, place) = image.split_at_mut(digest);
    place.copy_from_slice(&Sha256::digest(&*bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ChipName;
    use ota_core::image::{ChipId, Requirements};
    use sim::firmware::Firmware;
    use sim::setup::FIXTURES;

    fn verifies(image: &[u8], chip: ChipId) -> bool {
        Firmware::new("", image, &Requirements::for_chip(chip)).is_ok()
    }

    #[test]
    fn damage_is_found() {
        let image = FIXTURES[0].bytes;
        assert!(verifies(image, ChipId::ESP32C3));
        for change in [
            Change::TruncatedAt(4096),
            Change::BitFlippedInHeader,
            Change::BitFlippedInBody,
            Change::BitFlippedInDigest,
            Change::ErasedFrom(4096),
        ] {
            let damaged = change.apply(image).unwrap();
            assert!(!verifies(&damaged, ChipId::ESP32C3), "{change:?}");
            assert_eq!(damaged.len() == image.len(), !matches!(change, Change::TruncatedAt(_)));
        }
    }

    #[test]
    fn another_chip_and_version_verify() {
        let image = FIXTURES[0].bytes;
        let other = Change::ForChip(ChipName::Esp32c6).apply(image).unwrap();
        assert!(verifies(&other, ChipId::ESP32C6) && !verifies(&other, ChipId::ESP32C3));
        let newer = Change::Version("3.1.4".into()).apply(image).unwrap();
        assert!(verifies(&newer, ChipId::ESP32C3));
        let descriptor = newer[DESCRIPTOR_OFFSET as usize..].first_chunk().unwrap();
        assert_eq!(AppDescriptor::parse(descriptor).unwrap().version.to_string(), "3.1.4");
    }

    #[test]
    fn what_cannot_be_changed_is_an_error() {
        let image = FIXTURES[0].bytes;
        let beyond = image.len() as u32;
        assert_eq!(Change::TruncatedAt(beyond).apply(image), Err(ChangeError::Nothing));
        assert_eq!(Change::ErasedFrom(beyond).apply(image), Err(ChangeError::Nothing));
        assert_eq!(Change::Version("1.0.0".into()).apply(image), Err(ChangeError::Nothing));
        for length in 0..64 {
            let short = Change::Version("9".into()).apply(&image[..length]);
            assert!(short.is_err());
        }
        assert_eq!(Change::BitFlippedInBody.apply(&[0xE9; 20]), Err(ChangeError::NoImage));
    }
}
