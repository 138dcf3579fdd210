//! Errors of image verification.

use core::fmt;

use super::ChipId;
use crate::esp_err;
use crate::read::ReadError;

/// Why an image is not valid. Offsets are absolute flash offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageError<E> {
    /// The flash could not be read.
    Read(ReadError<E>),
    /// The partition is larger than any the loader accepts.
    PartitionTooLarge {
        /// Size of the partition in bytes.
        size: u32,
        /// Greatest size in bytes.
        max: u32,
    },
    /// The image does not start with 0xE9.
    BadMagic {
        /// Flash offset of the image.
        offset: u32,
        /// The byte found there.
        found: u8,
    },
    /// The image is built for another chip.
    WrongChip {
        /// Flash offset of the image.
        offset: u32,
        /// Chip of the image.
        found: ChipId,
        /// Chip of the device.
        expected: ChipId,
    },
    /// The image needs a chip revision that the device does not have (major x 100 + minor).
    ChipRevision {
        /// Flash offset of the image.
        offset: u32,
        /// Revision of the device.
        found: u16,
        /// Least revision.
        min: u16,
        /// Greatest revision; 0 and 65535 for none.
        max: u16,
    },
    /// The image needs an eFuse block revision that the device does not have (major x 100 + minor).
    BlockRevision {
        /// Flash offset of the limits.
        offset: u32,
        /// Revision of the device.
        found: u16,
        /// Least revision; 0 and 65535 for none.
        min: u16,
        /// Greatest revision; 0 and 65535 for none.
        max: u16,
    },
    /// The number of segments is not allowed.
    SegmentCount {
        /// Flash offset of the image.
        offset: u32,
        /// Number of segments.
        found: u8,
        /// Least number.
        min: u8,
        /// Greatest number.
        max: u8,
    },
    /// The length of a segment is not a multiple of 4 below 16 MiB.
    SegmentLength {
        /// Number of the segment, from 0.
        index: u8,
        /// Flash offset of its header.
        offset: u32,
        /// Length of its data.
        len: u32,
    },
    /// Segment 0 is too short.
    SegmentTooShort {
        /// Flash offset of its header.
        offset: u32,
        /// Length of its data.
        len: u32,
        /// Least length.
        min: u32,
    },
    /// A segment that is mapped through the flash cache is not congruent to its address.
    Misaligned {
        /// Number of the segment, from 0.
        index: u8,
        /// Flash offset of its data.
        offset: u32,
        /// Address it is for.
        load_addr: u32,
        /// Page size in bytes: the two must agree modulo this.
        page: u32,
    },
    /// No application descriptor.
    NoDescriptor {
        /// Flash offset where it should be.
        offset: u32,
    },
    /// The image, with the space for its signature where there must be one, is longer than its
    /// partition.
    TooLong {
        /// Bytes needed; the greatest `u32` if they are more.
        len: u32,
        /// Size of the partition.
        size: u32,
    },
    /// The checksum over the segments is wrong.
    Checksum {
        /// Flash offset of the checksum byte.
        offset: u32,
        /// The byte found there.
        found: u8,
        /// What it should be.
        computed: u8,
    },
    /// The image has no SHA-256 appended, but must have one.
    NoHash {
        /// Flash offset of the image.
        offset: u32,
    },
    /// The appended SHA-256 is wrong.
    Hash {
        /// Flash offset of the SHA-256.
        offset: u32,
    },
}

impl<E> ImageError<E> {
    /// The `esp_err_t` value of ESP-IDF's `esp_image_verify` in this case. The functions of its
    /// application API report them all as `ESP_ERR_OTA_VALIDATE_FAILED`.
    pub fn esp_err(&self) -> Option<i32> {
        match self {
            Self::Read(error) => error.esp_err(),
            Self::PartitionTooLarge { .. } => Some(esp_err::INVALID_ARG),
            Self::WrongChip { .. } | Self::ChipRevision { .. } | Self::BlockRevision { .. } => {
                Some(esp_err::FAIL)
            }
            // What `esp_ota_get_partition_description` returns; verification has `ESP_FAIL`.
            Self::NoDescriptor { .. } => Some(esp_err::NOT_FOUND),
            Self::NoHash { .. } => None,
            _ => Some(esp_err::IMAGE_INVALID),
        }
    }

    /// The error of the flash driver, if that is what stopped the verification: then nothing is
    /// known about the image.
    pub fn into_flash(self) -> Option<E> {
        match self {
            Self::Read(ReadError::Flash { source, .. }) => Some(source),
            _ => None,
        }
    }
}

impl<E> From<ReadError<E>> for ImageError<E> {
    fn from(error: ReadError<E>) -> Self {
        Self::Read(error)
    }
}

/// A revision as `v1.3`.
struct Revision(u16);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0 / 100, self.0 % 100)
    }
}

/// The allowed revisions, open at the end that is not set.
struct Limits(u16, u16);

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if super::verify::is_set(self.0) {
            write!(f, "from {} ", Revision(self.0))?;
        }
        if super::verify::is_set(self.1) {
            write!(f, "up to {} ", Revision(self.1))?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug> fmt::Display for ImageError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::PartitionTooLarge { size, max } => {
                write!(f, "the partition has {size:#x} bytes; the loader accepts at most {max:#x}")
            }
            Self::BadMagic { offset, found } => write!(
                f,
                "no image at flash offset {offset:#x}: its first byte is {found:#04x} and should be 0xe9"
            ),
            Self::WrongChip { offset, found, expected } => write!(
                f,
                "the image at flash offset {offset:#x} is for {found} and should be for {expected}"
            ),
            Self::ChipRevision { offset, found, min, max } => write!(
                f,
                "the image at flash offset {offset:#x} needs a chip revision {}but this is {}",
                Limits(*min, *max),
                Revision(*found)
            ),
            Self::BlockRevision { offset, found, min, max } => write!(
                f,
                "the limits at flash offset {offset:#x} need an eFuse block revision {}but this is {}",
                Limits(*min, *max),
                Revision(*found)
            ),
            Self::SegmentCount { offset, found, min, max } => write!(
                f,
                "the image at flash offset {offset:#x} has {found} segments and should have {min} to {max}"
            ),
            Self::SegmentLength { index, offset, len } => write!(
                f,
                "segment {index} at flash offset {offset:#x} has {len:#x} bytes; it should be a multiple of 4 below 0x1000000"
            ),
            Self::SegmentTooShort { offset, len, min } => write!(
                f,
                "segment 0 at flash offset {offset:#x} has {len:#x} bytes and should have at least {min:#x}"
            ),
            Self::Misaligned { index, offset, load_addr, page } => write!(
                f,
                "the data of segment {index} at flash offset {offset:#x} should be congruent to its address {load_addr:#x} modulo {page:#x}"
            ),
            Self::NoDescriptor { offset } => write!(
                f,
                "no application descriptor at flash offset {offset:#x}: it should start with {:#x}",
                super::DESCRIPTOR_MAGIC
            ),
            Self::TooLong { len, size } => write!(
                f,
                "the image needs at least {len:#x} bytes, but its partition has {size:#x}"
            ),
            Self::Checksum { offset, found, computed } => write!(
                f,
                "the checksum at flash offset {offset:#x} is {found:#04x} and should be {computed:#04x}"
            ),
            Self::NoHash { offset } => {
                write!(f, "the image at flash offset {offset:#x} should have a SHA-256 appended")
            }
            Self::Hash { offset } => {
                write!(f, "the SHA-256 at flash offset {offset:#x} does not match the image")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for ImageError<E> {}
