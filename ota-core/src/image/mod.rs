//! Application images.
//!
//! An image is a [`Header`], up to 16 segments, a checksum, and mostly a SHA-256; segment 0 starts
//! with an [`AppDescriptor`]. Formats and rules from ESP-IDF `esp_app_format.h`,
//! `esp_image_format.c` and `bootloader_common_loader.c`.

mod chip;
mod descriptor;
mod error;
mod header;
mod requirements;
mod segments;
mod signature;
mod stream;
mod verify;

pub use chip::ChipId;
pub use descriptor::{
    AppDescriptor, DESCRIPTOR_LEN, DESCRIPTOR_MAGIC, DESCRIPTOR_OFFSET, describe,
};
pub use error::ImageError;
pub use header::{HEADER_LEN, Header, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader};
pub use requirements::Requirements;
pub use segments::{Segment, Segments, segments};
pub use signature::{SIGNATURE_SECTOR_LEN, signature_blocks, signature_offset};
pub(crate) use verify::digest;
pub use verify::{ImageInfo, verify};

#[cfg(test)]
mod tests;
