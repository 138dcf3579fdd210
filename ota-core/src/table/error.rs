//! Errors of the application side of the partition table.

use core::fmt;

use crate::esp_err;
use crate::partition::{App, Kind, Region};
use crate::read::ReadError;

/// Why a partition table could not be loaded with the application's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableError<E> {
    /// The flash could not be read.
    Read(ReadError<E>),
    /// No entry at the offset of the table.
    Empty {
        /// Flash offset of the table.
        offset: u32,
    },
    /// No MD5 record follows the last entry.
    NoMd5 {
        /// Flash offset where it should be.
        offset: u32,
    },
    /// The MD5 record does not match the entries before it.
    Md5Mismatch {
        /// Flash offset of the record.
        offset: u32,
    },
    /// An entry that was there when the table was loaded is no longer one.
    Changed {
        /// Number of the entry, from 0.
        index: u8,
        /// Its flash offset.
        offset: u32,
    },
}

impl<E> TableError<E> {
    /// The `esp_err_t` value that ESP-IDF returns in this case.
    pub fn esp_err(&self) -> Option<i32> {
        match self {
            Self::Read(error) => error.esp_err(),
            Self::Empty { .. } | Self::NoMd5 { .. } => Some(esp_err::NOT_FOUND),
            Self::Md5Mismatch { .. } => Some(esp_err::INVALID_STATE),
            Self::Changed { .. } => None,
        }
    }
}

impl<E> From<ReadError<E>> for TableError<E> {
    fn from(error: ReadError<E>) -> Self {
        Self::Read(error)
    }
}

impl<E: fmt::Debug> fmt::Display for TableError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Empty { offset } => write!(
                f,
                "no partition table at flash offset {offset:#x}: an entry starting with AA 50 should be there"
            ),
            Self::NoMd5 { offset } => write!(
                f,
                "no MD5 record at flash offset {offset:#x}: one starting with EB EB should follow the last entry"
            ),
            Self::Md5Mismatch { offset } => write!(
                f,
                "the MD5 record at flash offset {offset:#x} does not match the entries before it"
            ),
            Self::Changed { index, offset } => {
                write!(f, "entry {index} at flash offset {offset:#x} no longer starts with AA 50")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for TableError<E> {}

/// Why an update session cannot work with a partition table, although it could be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError<E> {
    /// The table could not be read.
    Table(TableError<E>),
    /// A partition does not end within the flash chip.
    OutOfFlash {
        /// Number of the entry, from 0.
        index: u8,
        /// The partition.
        region: Region,
        /// Size of the flash chip in bytes.
        capacity: u64,
    },
    /// Two partitions share flash.
    Overlap {
        /// Number of the later entry, from 0.
        index: u8,
        /// Its partition.
        region: Region,
        /// Number of the earlier entry.
        other: u8,
        /// Its partition.
        other_region: Region,
    },
    /// A partition shares flash with the sector of the partition table.
    OverlapsTable {
        /// Number of the entry, from 0.
        index: u8,
        /// The partition.
        region: Region,
        /// The sector of the table.
        table: Region,
    },
    /// Offset or size of a partition is not a multiple of what it must be.
    Misaligned {
        /// Number of the entry, from 0.
        index: u8,
        /// The partition.
        region: Region,
        /// What the offset must be a multiple of, in bytes.
        offset_align: u32,
        /// What the size must be a multiple of, in bytes.
        size_align: u32,
    },
    /// A partition that an update must write is smaller than it must be.
    TooSmall {
        /// Number of the entry, from 0.
        index: u8,
        /// The partition.
        region: Region,
        /// Least size in bytes.
        min: u32,
    },
    /// A partition that an update must write is marked read-only.
    Readonly {
        /// Number of the entry, from 0.
        index: u8,
        /// The partition.
        region: Region,
    },
    /// A partition that may exist once is listed again.
    Duplicate {
        /// Number of the later entry, from 0.
        index: u8,
        /// What is listed again.
        kind: Kind,
    },
    /// No `data/ota` partition.
    NoOtadata,
    /// No `ota_0` partition, hence nothing to update.
    NoSlots,
    /// A slot is missing while a higher one exists.
    SlotGap {
        /// The missing slot.
        missing: App,
        /// The highest slot listed.
        highest: App,
    },
}

impl<E> LayoutError<E> {
    /// The `esp_err_t` value that ESP-IDF returns in this case. It checks little of this.
    pub fn esp_err(&self) -> Option<i32> {
        match self {
            Self::Table(error) => error.esp_err(),
            Self::NoOtadata | Self::NoSlots => Some(esp_err::NOT_FOUND),
            Self::Readonly { .. } => Some(esp_err::NOT_ALLOWED),
            _ => None,
        }
    }
}

impl<E> From<TableError<E>> for LayoutError<E> {
    fn from(error: TableError<E>) -> Self {
        Self::Table(error)
    }
}

impl<E: fmt::Debug> fmt::Display for LayoutError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::OutOfFlash { index, region, capacity } => write!(
                f,
                "entry {index} at {region} must end within the flash of {capacity:#x} bytes"
            ),
            Self::Overlap { index, region, other, other_region } => write!(
                f,
                "entry {index} at {region} overlaps entry {other} at {other_region}; partitions must not share flash"
            ),
            Self::OverlapsTable { index, region, table } => write!(
                f,
                "entry {index} at {region} overlaps the partition table at {table}; it must not"
            ),
            Self::Misaligned { index, region, offset_align, size_align } => write!(
                f,
                "entry {index} at {region} must have an offset that is a multiple of {offset_align:#x} and a size that is a multiple of {size_align:#x}"
            ),
            Self::TooSmall { index, region, min } => {
                write!(f, "entry {index} at {region} must have at least {min:#x} bytes")
            }
            Self::Readonly { index, region } => {
                write!(f, "entry {index} at {region} must not be read-only: updates write it")
            }
            Self::Duplicate { index, kind } => {
                write!(f, "entry {index} is a second {kind}; there must be one")
            }
            Self::NoOtadata => f.write_str("no data/ota partition; there must be one"),
            Self::NoSlots => f.write_str("no app/ota_0 partition; there must be one"),
            Self::SlotGap { missing, highest } => write!(
                f,
                "no {missing}, but {highest}: slots must be numbered without gaps from ota_0"
            ),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for LayoutError<E> {}
