//! What an image must fulfil.

use super::ChipId;
use crate::generation::Generation;

/// What [`verify`](super::verify()) demands of an image: the device it must run on and the rules
/// that apply. Start from one of the constructors and adjust fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirements {
    /// Chip of the device.
    pub chip: ChipId,
    /// Revision of the chip, major x 100 + minor; `None` when not known, which leaves the limits
    /// of the image unchecked.
    pub chip_revision: Option<u16>,
    /// Whether the greatest chip revision does not count (eFuse `DISABLE_WAFER_VERSION_MAJOR`).
    pub ignore_max_chip_revision: bool,
    /// Revision of the eFuse block, major x 100 + minor; `None` when not known or when the
    /// generation does not look at it, which leaves the limits of the image unchecked. Without
    /// effect on the ESP32.
    pub block_revision: Option<u16>,
    /// Whether the greatest eFuse block revision does not count (eFuse
    /// `DISABLE_BLK_VERSION_MAJOR`).
    pub ignore_max_block_revision: bool,
    /// Whether an image that says that it ends with its SHA-256 must do so.
    pub verify_hash: bool,
    /// Least length of segment 0 in bytes.
    pub min_segment0: u32,
    /// Page size of the flash cache in bytes, a power of two. Chips with a configurable page size
    /// prefer what the application descriptor states.
    pub mmu_page_size: u32,
    /// Greatest size of the partition in bytes.
    pub max_partition_size: u32,
    /// Whether a Secure Boot V2 signature sector must fit behind the image. Signatures themselves
    /// are not verified.
    pub secure_boot_v2: bool,
    /// Whether to demand what ESP-IDF leaves optional: an appended SHA-256, a segment, and an
    /// application descriptor. Without the hash one byte is all that protects the image, and the
    /// header not even by that; a header of 24 bytes, 7 bytes of padding and 0xEF would pass.
    pub strict: bool,
}

impl Requirements {
    /// Strict requirements for an update of a device of this chip, with 64 KiB cache pages.
    /// Revisions are unknown.
    pub fn for_chip(chip: ChipId) -> Self {
        Self { strict: true, ..Self::bootloader(chip, Generation::V6_2) }
    }

    /// The rules of the bootloader of a generation, with 64 KiB cache pages and without secure
    /// boot. Revisions are unknown. So is the chip that the image is for to bootloaders before v4.0; that
    /// is left out here, since no update and no power cut changes it.
    pub fn bootloader(chip: ChipId, generation: Generation) -> Self {
        Self {
            chip,
            chip_revision: None,
            ignore_max_chip_revision: false,
            block_revision: None,
            ignore_max_block_revision: false,
            verify_hash: generation.verifies_hash(),
            min_segment0: generation.least_segment0().unwrap_or(0),
            mmu_page_size: 0x1_0000,
            max_partition_size: 0x100_0000,
            secure_boot_v2: false,
            strict: false,
        }
    }
}
