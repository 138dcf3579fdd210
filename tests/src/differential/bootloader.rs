//! Bootloaders as their makers publish them. None is part of this project: they are taken from where
//! they are published.

use super::release::Release;
use ota_core::Generation;
use sha2::{Digest, Sha256};
use sim::bootloader::Bootloader;
use std::error::Error;
use virtual_board::stock_bootloader;

/// Length of the SHA-256 at the end of an image, in bytes.
const HASH: usize = 32;
/// Largest image that ends before the partition table, in bytes.
const ROOM: usize = ota_core::table::DEFAULT_OFFSET as usize;

/// A second-stage bootloader, and what the model has to know of it.
#[derive(Clone, Debug)]
pub struct RealBootloader {
    bytes: Vec<u8>,
    pub(super) rules: Rules,
    rollback: bool,
}

/// The rules of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// The generation that it is of.
    pub(super) generation: Generation,
    /// Whether it looks at the chip revisions that an image is for, as later releases of its series do.
    pub(super) chip_revision: bool,
}

impl RealBootloader {
    /// The one that the `espflash` crate brings along: ESP-IDF v6.1 with default options.
    ///
    /// # Errors
    /// When `espflash` has none, or it is not an image with a hash.
    pub fn bundled() -> Result<Self, Box<dyn Error>> {
        Self::from_image(stock_bootloader()?, Release::V6_1, false)
    }

    /// An image as it is written to the start of flash, of that release; `rollback` tells whether it was
    /// built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`.
    ///
    /// # Errors
    /// When it is not an image with a hash, or too long.
    pub fn from_image(
        bytes: Vec<u8>,
        release: Release,
        rollback: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let hashed = bytes.len().checked_sub(HASH).ok_or("too short for a bootloader image")?;
        if bytes.len() > ROOM || bytes[0] != 0xE9 || bytes[hashed..] != hash(&bytes[..hashed]) {
            return Err("no bootloader image with a SHA-256 at its end".into());
        }
        Ok(Self { bytes, rules: release.rules(), rollback })
    }

    /// The image for another flash size in its header, as flashing tools make it.
    pub(super) fn image(&self, spi_size: u8) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[3] = bytes[3] & 0x0F | spi_size << 4;
        let hashed = bytes.len() - HASH;
        let hash = hash(&bytes[..hashed]);
        bytes[hashed..].copy_from_slice(&hash);
        bytes
    }

    /// Its model.
    pub(super) fn model(&self) -> Bootloader {
        let generation = self.rules.generation;
        Bootloader { generation, rollback: self.rollback, ..Bootloader::default() }
    }
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    Sha256::digest(bytes).into()
}
