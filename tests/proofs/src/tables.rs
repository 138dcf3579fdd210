//! Whole partition tables: `ota_core::table`.

use crate::flash::{Chip, Fault};
use ota_core::partition::{App, Region};
use ota_core::table::{
    AppLayout, BootTable, BootTableError, LayoutError, PartitionTable, TableError,
};
use ota_core::{Generation, ReadError};

/// The addresses of the functions, so that they are linked.
pub(crate) fn exported() -> [*const (); 10] {
    [
        boot_load as *const (),
        app_load as *const (),
        app_view as *const (),
        layout_check as *const (),
        layout_view as *const (),
        layout_error as *const (),
        entry_error as *const (),
        sizes as *const (),
        layout_verdict as *const (),
        entry_verdict as *const (),
    ]
}

/// What came of a table: 0, or the number of an error, and what the error says.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Verdict {
    code: u32,
    index: u32,
    offset: u32,
    region: Region,
    /// The size that a region exceeds, or has to have; or another region's.
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

fn table_error(error: TableError<Fault>) -> Verdict {
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

type EntryResult = Result<(), LayoutError<Fault>>;
type LayoutResult = Result<AppLayout, LayoutError<Fault>>;

extern "C" fn layout_check(table: &PartitionTable, chip: &mut Chip, result: &mut LayoutResult) {
    *result = table.validate(chip);
}

/// Sizes in bytes of both tables, a layout, the result for an entry, and an error.
extern "C" fn sizes(sizes: &mut [usize; 5]) {
    *sizes = [
        size_of::<BootTable>(),
        size_of::<PartitionTable>(),
        size_of::<AppLayout>(),
        size_of::<EntryResult>(),
        size_of::<LayoutError<Fault>>(),
    ];
}

/// The error in a result; null if there is none.
extern "C" fn layout_error(result: &LayoutResult) -> *const LayoutError<Fault> {
    result.as_ref().err().map_or(std::ptr::null(), std::ptr::from_ref)
}

/// The error in a result; null if there is none.
extern "C" fn entry_error(result: &EntryResult) -> *const LayoutError<Fault> {
    result.as_ref().err().map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Whether there is a factory and a test application, the number of slots, and the regions of otadata, of both
/// applications, and of slot `k`.
extern "C" fn layout_view(layout: &AppLayout, k: u32, view: &mut ([u32; 3], [Region; 4])) {
    let (factory, test) = (layout.factory(), layout.test());
    let slot = layout.slots().get(k as usize).copied();
    view.0 = [factory.is_some().into(), test.is_some().into(), layout.slot_count().into()];
    view.1 = [Some(layout.otadata()), factory, test, slot].map(Option::unwrap_or_default);
}

extern "C" fn layout_verdict(result: &LayoutResult, verdict: &mut Verdict) {
    *verdict = match *result {
        Ok(_) => Verdict::default(),
        Err(error) => layout_fault(error),
    };
}

extern "C" fn entry_verdict(result: &EntryResult, verdict: &mut Verdict) {
    *verdict = match *result {
        Ok(()) => Verdict::default(),
        Err(error) => layout_fault(error),
    };
}

fn number(app: App) -> u32 {
    match app {
        App::Ota(slot) => slot.index().into(),
        App::Factory | App::Test => u32::MAX,
    }
}

fn layout_fault(error: LayoutError<Fault>) -> Verdict {
    let none = Verdict::default;
    match error {
        LayoutError::Table(error) => table_error(error),
        LayoutError::OutOfFlash { index, region, capacity } => {
            Verdict { code: 10, index: index.into(), offset: 0, region, size: capacity }
        }
        LayoutError::Overlap { index, region, other, other_region } => Verdict {
            code: 11,
            index: index.into(),
            offset: other.into(),
            region,
            size: u64::from(other_region.offset) << 32 | u64::from(other_region.size),
        },
        LayoutError::OverlapsTable { index, region, table } => Verdict {
            code: 12,
            index: index.into(),
            offset: 0,
            region,
            size: u64::from(table.offset) << 32 | u64::from(table.size),
        },
        LayoutError::Misaligned { index, region, offset_align, size_align } => Verdict {
            code: 13,
            index: index.into(),
            offset: 0,
            region,
            size: u64::from(offset_align) << 32 | u64::from(size_align),
        },
        LayoutError::TooSmall { index, region, min } => {
            Verdict { code: 14, index: index.into(), offset: 0, region, size: min.into() }
        }
        LayoutError::Readonly { index, region } => {
            Verdict { code: 15, index: index.into(), region, ..none() }
        }
        LayoutError::Duplicate { index, kind } => Verdict {
            code: 16,
            index: index.into(),
            offset: u32::from(kind.ty.0) << 8 | u32::from(kind.subtype.0),
            ..none()
        },
        LayoutError::NoOtadata => Verdict { code: 17, ..none() },
        LayoutError::NoSlots => Verdict { code: 18, ..none() },
        LayoutError::SlotGap { missing, highest } => {
            Verdict { code: 19, index: number(missing), offset: number(highest), ..none() }
        }
    }
}
