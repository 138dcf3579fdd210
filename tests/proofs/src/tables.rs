//! Whole partition tables: `ota_core::table`.

use crate::flash::{Chip, Fault};
use ota_core::partition::Region;
use ota_core::table::{BootTable, BootTableError, PartitionTable, TableError};
use ota_core::{Generation, ReadError};

/// The addresses of the functions, so that they are linked.
pub(crate) fn exported() -> [*const (); 3] {
    [boot_load as *const (), app_load as *const (), app_view as *const ()]
}

/// A theorem compares a table with all bytes of another.
const _: () = assert!(size_of::<BootTable>() == 156);

/// What came of a table: 0, or the number of an error, and what the error says.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Verdict {
    code: u32,
    index: u32,
    offset: u32,
    region: Region,
    /// The size that a region exceeds.
    size: u64,
}

fn read_error(error: ReadError<Fault>) -> Verdict {
    match error {
        ReadError::OutOfBounds { offset, len, capacity } => {
            Verdict { code: 1, offset, size: capacity, index: len, ..Verdict::default() }
        }
        ReadError::Flash { offset, source: Fault::Reported } => {
            Verdict { code: 2, offset, ..Verdict::default() }
        }
        ReadError::Flash { offset, source: Fault::Power } => {
            Verdict { code: 3, offset, ..Verdict::default() }
        }
    }
}

extern "C" fn boot_load(
    loaded: &mut BootTable,
    verdict: &mut Verdict,
    chip: &mut Chip,
    table_offset: u32,
    chip_size: u32,
    generation: u8,
) {
    let Some(&generation) = Generation::ALL.get(usize::from(generation)) else { return };
    let none = Verdict::default;
    *verdict = match BootTable::load(chip, table_offset, chip_size, generation) {
        Ok(table) => {
            *loaded = table;
            none()
        }
        Err(BootTableError::Read(error)) => read_error(error),
        Err(BootTableError::OutOfChip { index, offset, region, chip_size }) => {
            Verdict { code: 4, index: index.into(), offset, region, size: chip_size.into() }
        }
        Err(BootTableError::Md5Mismatch { index, offset }) => {
            Verdict { code: 5, index: index.into(), offset, ..none() }
        }
        Err(BootTableError::SecondMd5 { index, offset }) => {
            Verdict { code: 6, index: index.into(), offset, ..none() }
        }
        Err(BootTableError::BadRecord { index, offset }) => {
            Verdict { code: 7, index: index.into(), offset, ..none() }
        }
        Err(BootTableError::NoTerminator { offset }) => Verdict { code: 8, offset, ..none() },
    };
}

extern "C" fn app_load(
    loaded: &mut PartitionTable,
    verdict: &mut Verdict,
    chip: &mut Chip,
    offset: u32,
    md5: bool,
) {
    let load = if md5 { PartitionTable::load } else { PartitionTable::load_without_md5 };
    *verdict = match load(chip, offset) {
        Ok(table) => {
            *loaded = table;
            Verdict::default()
        }
        Err(error) => table_error(error),
    };
}

pub(crate) fn table_error(error: TableError<Fault>) -> Verdict {
    let none = Verdict::default;
    match error {
        TableError::Read(error) => read_error(error),
        TableError::Empty { offset } => Verdict { code: 4, offset, ..none() },
        TableError::NoMd5 { offset } => Verdict { code: 5, offset, ..none() },
        TableError::Md5Mismatch { offset } => Verdict { code: 6, offset, ..none() },
        TableError::Changed { index, offset } => {
            Verdict { code: 7, index: index.into(), offset, ..none() }
        }
    }
}

/// Offset and number of entries.
extern "C" fn app_view(table: &PartitionTable, view: &mut [u32; 2]) {
    *view = [table.offset(), table.count().into()];
}
