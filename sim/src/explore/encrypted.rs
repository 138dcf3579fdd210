//! Devices with flash encryption.
//!
//! Flash of such a device holds ciphertext in otadata and in all application partitions, which ESP-IDF
//! encrypts whether the table flags them or not (`esp_partition` and the bootloader take them as encrypted).
//! The partition table is encrypted as well, but nothing ever writes it, and so it stays as it is here.
//!
//! The device was encrypted before it was shipped: what the first boot does in place is not modelled. It
//! leaves otadata as ciphertext of 0xFF, which still reads as blank; a sector that is erased later does not.

use super::world::{World, WorldError};
use crate::flash::{Chip, Encryption, Memory};
use crate::layout::Layout;
use ota_core::partition::Region;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// By offset of the partition and number of the image.
type Images = HashMap<(u32, usize), Rc<[u8]>>;

/// The encryption of a device, and its images as they stand on flash.
#[derive(Debug)]
pub(super) struct Encrypted {
    encryption: Arc<Encryption>,
    images: RefCell<Images>,
}

impl World<'_> {
    /// The same device with flash encryption.
    ///
    /// # Errors
    /// [`WorldError::PlainOnly`] when the update code cannot do with it.
    pub fn encrypted(mut self) -> Result<Self, WorldError> {
        if let Some(reason) = self.subject.plain_only() {
            return Err(WorldError::PlainOnly { subject: self.subject.name(), reason });
        }
        let encryption = Arc::new(encryption(self.layout));
        self.encryption = Some(Encrypted { encryption, images: RefCell::default() });
        Ok(self)
    }

    /// Whether flash holds ciphertext.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// The chip of the device.
    pub(crate) fn chip(&self, memory: Memory) -> Chip {
        let chip = Chip::with_memory(self.part, memory);
        match &self.encryption {
            None => chip,
            Some(encrypted) => chip.with_encryption(encrypted.encryption.clone()),
        }
    }

    /// What the device reads at a multiple of 16 in an encrypted partition, `N` being a multiple of 16 as
    /// well; of flash that is not encrypted, what stands there.
    pub(super) fn read<const N: usize>(&self, memory: &Memory, offset: u32) -> [u8; N] {
        let mut bytes = [0; N];
        memory.read(offset, &mut bytes);
        if let Some(encrypted) = &self.encryption {
            encrypted.encryption.decrypt(offset, &mut bytes);
        }
        bytes
    }

    /// Puts into an encrypted partition what the device then reads as `bytes`.
    pub(super) fn put(&self, memory: &mut Memory, offset: u32, bytes: &[u8]) {
        match &self.encryption {
            None => memory.set(offset, bytes),
            Some(encrypted) => memory.set(offset, &encrypted.of(offset, bytes)),
        }
    }

    /// An image as it stands in a partition.
    pub(super) fn stored(&self, region: Region, id: usize) -> Stored<'_> {
        let bytes = &self.firmware[id].bytes;
        let Some(encrypted) = &self.encryption else { return Stored::Plain(bytes) };
        let mut images = encrypted.images.borrow_mut();
        let image = images.entry((region.offset, id));
        Stored::Encrypted(
            image.or_insert_with(|| encrypted.of(region.offset, bytes).into()).clone(),
        )
    }
}

/// Bytes of an image as they stand on flash.
pub(super) enum Stored<'w> {
    Plain(&'w [u8]),
    Encrypted(Rc<[u8]>),
}

impl std::ops::Deref for Stored<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Encrypted(bytes) => bytes,
        }
    }
}

impl Encrypted {
    /// The ciphertext of `bytes`, filled up to whole blocks as update code does it: with 0xFF.
    fn of(&self, offset: u32, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(Encryption::BLOCK_SIZE), 0xFF);
        self.encryption.encrypt(offset, &mut bytes);
        bytes
    }
}

/// The encryption of a device with these partitions.
pub(crate) fn encryption(layout: &Layout) -> Encryption {
    let apps = layout.apps();
    let encrypted = apps.slots().chain(apps.factory()).chain([apps.otadata()]);
    let ranges = encrypted.map(|region| region.offset..region.offset + region.size);
    Encryption::new(&Encryption::KEY, ranges.collect())
}

#[cfg(test)]
mod tests;
