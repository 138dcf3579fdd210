//! The partition table on flash.
//!
//! Two sides read the same bytes with different rules. [`PartitionTable`] follows the application
//! side (ESP-IDF `esp_partition`, `partition.c`), and [`PartitionTable::validate`] adds what an
//! update session relies on. [`BootTable`] follows the second-stage bootloader (ESP-IDF
//! `flash_partitions.c`, `bootloader_utility.c`), which checks less, and differently.

mod boot;
mod error;
mod layout;

use embedded_storage::nor_flash::ReadNorFlash;
use md5::{Digest, Md5};

use crate::partition::{ENTRY_LEN, MAGIC, Partition, Subtype, Type};
use crate::read::{ReadError, read_unaligned};

pub use boot::{BootTable, BootTableError};
pub use error::{LayoutError, TableError};
pub use layout::AppLayout;

/// Default flash offset of the partition table (`CONFIG_PARTITION_TABLE_OFFSET`).
pub const DEFAULT_OFFSET: u32 = 0x8000;

/// Bytes reserved for the table: one sector, of which the first 0xC00 bytes hold entries.
pub const SECTOR_LEN: u32 = 0x1000;

/// First two bytes of the record that holds the MD5 of the entries before it.
const MD5_MAGIC: [u8; 2] = [0xEB, 0xEB];

/// A table as the application side reads it: where it is and how many entries it has.
///
/// The entries stay on flash and are read again when asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionTable {
    offset: u32,
    count: u8,
}

impl PartitionTable {
    /// Loads the table at flash `offset`, whose MD5 record is mandatory and must match, as in
    /// firmware built with `CONFIG_PARTITION_TABLE_MD5` (the default).
    ///
    /// Entries end at the first record that is not an entry, at the latest after 4096 bytes.
    pub fn load<F: ReadNorFlash>(flash: &mut F, offset: u32) -> Result<Self, TableError<F::Error>> {
        let mut md5 = Md5::new();
        let mut end = [0; ENTRY_LEN];
        let table = Self::scan(flash, offset, &mut end, |entry| md5.update(entry))?;
        let at = table.entry_offset(table.count);
        if !end.starts_with(&MD5_MAGIC) {
            return Err(TableError::NoMd5 { offset: at });
        }
        let computed: [u8; 16] = md5.finalize().into();
        if !end.ends_with(&computed) {
            return Err(TableError::Md5Mismatch { offset: at });
        }
        table.not_empty()
    }

    /// Loads the table at flash `offset` without looking for an MD5 record, as in firmware built
    /// without `CONFIG_PARTITION_TABLE_MD5`.
    pub fn load_without_md5<F: ReadNorFlash>(
        flash: &mut F,
        offset: u32,
    ) -> Result<Self, TableError<F::Error>> {
        let table = Self::scan(flash, offset, &mut [0; ENTRY_LEN], |_| ())?;
        table.not_empty()
    }

    /// Counts entries, showing each to `entry`, and leaves in `record` the one that ended them; an
    /// entry if nothing did.
    fn scan<F: ReadNorFlash>(
        flash: &mut F,
        offset: u32,
        record: &mut [u8; ENTRY_LEN],
        mut entry: impl FnMut(&[u8; ENTRY_LEN]),
    ) -> Result<Self, ReadError<F::Error>> {
        let mut table = Self { offset, count: 0 };
        while u32::from(table.count) < SECTOR_LEN / ENTRY_LEN as u32 {
            read_unaligned(flash, table.entry_offset(table.count), record)?;
            if !record.starts_with(&MAGIC) {
                break;
            }
            entry(record);
            table.count += 1;
        }
        Ok(table)
    }

    fn not_empty<E>(self) -> Result<Self, TableError<E>> {
        if self.count == 0 { Err(TableError::Empty { offset: self.offset }) } else { Ok(self) }
    }

    /// Flash offset of the table.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Number of entries, 1 to 128.
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Flash offset of entry `index`. Entries of a loaded table lie within the flash address
    /// space, so the sum is exact for them.
    fn entry_offset(&self, index: u8) -> u32 {
        self.offset.saturating_add(u32::from(index) * ENTRY_LEN as u32)
    }

    fn entry<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        index: u8,
    ) -> Result<Partition, TableError<F::Error>> {
        let offset = self.entry_offset(index);
        let mut record = [0; ENTRY_LEN];
        read_unaligned(flash, offset, &mut record)?;
        Partition::parse(&record).ok_or(TableError::Changed { index, offset })
    }

    /// Reads the entries in the order of the table.
    pub fn entries<'f, F: ReadNorFlash>(&self, flash: &'f mut F) -> Entries<'f, F> {
        Entries { flash, table: *self, next: 0 }
    }

    /// Finds the first partition of type `ty` that has the given subtype and label, where `None`
    /// stands for any (ESP-IDF `esp_partition_find_first`).
    pub fn find<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        ty: Type,
        subtype: Option<Subtype>,
        label: Option<&str>,
    ) -> Result<Option<Partition>, TableError<F::Error>> {
        for entry in self.entries(flash) {
            let entry = entry?;
            if entry.ty == ty
                && subtype.is_none_or(|subtype| entry.subtype == subtype)
                && label.is_none_or(|label| entry.label.as_bytes() == label.as_bytes())
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Reads the entries of a table one after the other; see [`PartitionTable::entries`].
#[derive(Debug)]
pub struct Entries<'f, F> {
    flash: &'f mut F,
    table: PartitionTable,
    next: u8,
}

impl<F: ReadNorFlash> Iterator for Entries<'_, F> {
    type Item = Result<Partition, TableError<F::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index >= self.table.count {
            return None;
        }
        self.next += 1;
        Some(self.table.entry(self.flash, index))
    }
}

#[cfg(test)]
mod tests;
