//! The partition table as the second-stage bootloader reads it.

use core::fmt;

use embedded_storage::nor_flash::ReadNorFlash;
use md5::{Digest, Md5};

use super::MD5_MAGIC;
use crate::esp_err;
use crate::generation::Generation;
use crate::partition::{App, ENTRY_LEN, Kind, MAGIC, Partition, Region, Slot, Subtype, Type};
use crate::read::{ReadError, read_array};

/// Records the bootloader looks at, the terminator included (`ESP_PARTITION_TABLE_MAX_ENTRIES`).
const MAX_RECORDS: u8 = 96;

/// What the bootloader takes from a partition table (ESP-IDF `bootloader_state_t`).
///
/// The bootloader checks neither overlaps, nor alignment, nor gaps and duplicates of slots; where
/// entries compete the last one wins. A region that no entry gave is all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootTable {
    /// The otadata partition. Boot selection takes it as present when its offset is not 0.
    pub otadata: Region,
    /// The factory application. Boot selection takes it as present when its offset is not 0, the
    /// load phase when its size is not 0.
    pub factory: Region,
    /// The test application. The load phase takes it as present when its size is not 0.
    pub test: Region,
    slots: [Region; Slot::MAX],
    app_count: u32,
}

impl BootTable {
    /// Loads the table at `table_offset`. `chip_size` is the flash size in bytes that the
    /// bootloader assumes; see [`Generation::chip_size`].
    pub fn load<F: ReadNorFlash>(
        flash: &mut F,
        table_offset: u32,
        chip_size: u32,
        generation: Generation,
    ) -> Result<Self, BootTableError<F::Error>> {
        let count = verify(flash, table_offset, chip_size, generation)?;
        let mut table = Self {
            otadata: Region::default(),
            factory: Region::default(),
            test: Region::default(),
            slots: [Region::default(); Slot::MAX],
            app_count: 0,
        };
        for index in 0..count {
            let record = read_array(flash, record_offset(table_offset, index))?;
            // An MD5 record among the first `count` is walked as if it were an entry.
            table.collect(&Partition::parse_fields(&record));
        }
        Ok(table)
    }

    fn collect(&mut self, entry: &Partition) {
        let region = entry.region();
        match entry.app() {
            Some(App::Factory) => self.factory = region,
            Some(App::Test) => self.test = region,
            Some(App::Ota(slot)) => {
                if let Some(place) = self.slots.get_mut(usize::from(slot.index())) {
                    *place = region;
                }
                self.app_count += 1;
            }
            None if entry.kind() == (Kind { ty: Type::DATA, subtype: Subtype::DATA_OTA }) => {
                self.otadata = region;
            }
            None => {}
        }
    }

    /// Number of slot entries, 0 to 95: the modulus of boot selection. Duplicates count, gaps do
    /// not, so it may differ from the highest slot number plus 1.
    pub fn app_count(&self) -> u32 {
        self.app_count
    }

    /// Region of slot `k`; empty (all zero) when `k` is not below [`app_count`](Self::app_count)
    /// or above 15, or no entry gave it.
    pub fn slot(&self, k: u32) -> Region {
        let index = usize::try_from(k).unwrap_or(usize::MAX);
        match self.slots.get(index) {
            Some(&region) if k < self.app_count => region,
            _ => Region::default(),
        }
    }
}

fn record_offset(table_offset: u32, index: u8) -> u32 {
    // An offset beyond `u32` saturates and then fails the bounds check of the read.
    table_offset.saturating_add(u32::from(index) * ENTRY_LEN as u32)
}

/// ESP-IDF `esp_partition_table_verify`: the number of records that count as entries.
fn verify<F: ReadNorFlash>(
    flash: &mut F,
    table_offset: u32,
    chip_size: u32,
    generation: Generation,
) -> Result<u8, BootTableError<F::Error>> {
    // Gone once an MD5 record was seen.
    let mut md5 = Some(Md5::new());
    for index in 0..MAX_RECORDS {
        let offset = record_offset(table_offset, index);
        let record: [u8; ENTRY_LEN] = read_array(flash, offset)?;
        if record.starts_with(&MAGIC) {
            let region = Partition::parse_fields(&record).region();
            if !fits(region, chip_size, generation) {
                return Err(BootTableError::OutOfChip { index, offset, region, chip_size });
            }
        } else if record.starts_with(&MD5_MAGIC) && generation.knows_table_md5() {
            let Some(md5) = md5.take() else {
                return Err(BootTableError::SecondMd5 { index, offset });
            };
            let computed: [u8; 16] = md5.finalize().into();
            if !record.ends_with(&computed) {
                return Err(BootTableError::Md5Mismatch { index, offset });
            }
        } else if record.starts_with(&[0xFF; 4])
            && (index != 0 || !generation.refuses_empty_table())
        {
            return Ok(index.saturating_sub(u8::from(md5.is_none())));
        } else {
            return Err(BootTableError::BadRecord { index, offset });
        }
        if let Some(md5) = &mut md5 {
            md5.update(record);
        }
    }
    Err(BootTableError::NoTerminator { offset: record_offset(table_offset, MAX_RECORDS) })
}

fn fits(region: Region, chip_size: u32, generation: Generation) -> bool {
    if generation.partition_end_wraps() {
        region.offset <= chip_size && region.offset.wrapping_add(region.size) <= chip_size
    } else {
        chip_size.checked_sub(region.offset).is_some_and(|room| region.size <= room)
    }
}

/// Why the second-stage bootloader refuses a partition table. The device then resets forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootTableError<E> {
    /// The flash could not be read.
    Read(ReadError<E>),
    /// An entry reaches beyond the flash size of the bootloader's image header.
    OutOfChip {
        /// Number of the record, from 0.
        index: u8,
        /// Its flash offset.
        offset: u32,
        /// The partition.
        region: Region,
        /// Flash size in bytes that the bootloader assumes.
        chip_size: u32,
    },
    /// The MD5 record does not match the records before it.
    Md5Mismatch {
        /// Number of the record, from 0.
        index: u8,
        /// Its flash offset.
        offset: u32,
    },
    /// There are two MD5 records.
    SecondMd5 {
        /// Number of the second one, from 0.
        index: u8,
        /// Its flash offset.
        offset: u32,
    },
    /// A record is neither entry, MD5 record (which bootloaders before v3.1 do not know) nor
    /// terminator, or the terminator comes first.
    BadRecord {
        /// Number of the record, from 0.
        index: u8,
        /// Its flash offset.
        offset: u32,
    },
    /// No terminator among the first 96 records.
    NoTerminator {
        /// Flash offset behind the last record.
        offset: u32,
    },
}

impl<E> BootTableError<E> {
    /// The `esp_err_t` value that the bootloader gets in this case.
    pub fn esp_err(&self) -> Option<i32> {
        match self {
            Self::Read(error) => error.esp_err(),
            Self::OutOfChip { .. } => Some(esp_err::INVALID_SIZE),
            _ => Some(esp_err::INVALID_STATE),
        }
    }
}

impl<E> From<ReadError<E>> for BootTableError<E> {
    fn from(error: ReadError<E>) -> Self {
        Self::Read(error)
    }
}

impl<E: fmt::Debug> fmt::Display for BootTableError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::OutOfChip { index, offset, region, chip_size } => write!(
                f,
                "record {index} at flash offset {offset:#x}: the partition {region} must end within the {chip_size:#x} bytes of the bootloader's image header"
            ),
            Self::Md5Mismatch { index, offset } => write!(
                f,
                "record {index} at flash offset {offset:#x}: the MD5 does not match the records before it"
            ),
            Self::SecondMd5 { index, offset } => write!(
                f,
                "record {index} at flash offset {offset:#x} is a second MD5 record; there must be at most one"
            ),
            Self::BadRecord { index, offset } => write!(
                f,
                "record {index} at flash offset {offset:#x} must start with AA 50, EB EB or, after the first, FF FF FF FF"
            ),
            Self::NoTerminator { offset } => write!(
                f,
                "no terminator before flash offset {offset:#x}: a record of FF bytes must follow the last entry"
            ),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for BootTableError<E> {}
