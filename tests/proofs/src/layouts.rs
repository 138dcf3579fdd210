//! What an update asks of a partition table: `ota_core::table::PartitionTable::validate`.

use crate::flash::{Chip, Fault};
use crate::table::app;
use crate::tables::{Verdict, table_error};
use ota_core::partition::{App, Kind, Region, Slot, Subtype, Type};
use ota_core::table::{AppLayout, LayoutError, PartitionTable};

/// The addresses of the functions, so that they are linked.
pub(crate) fn exported() -> [*const (); 6] {
    [
        layout_validate as *const (),
        layout_verdict as *const (),
        layout_result as *const (),
        layout_view as *const (),
        layout_added as *const (),
        layout_completed as *const (),
    ]
}

/// A theorem compares all bytes of these, and replaces functions that return them.
const _: () = {
    assert!(size_of::<AppLayout>() == 156);
    assert!(size_of::<Added>() == 32);
    assert!(size_of::<Completed>() == 160);
};

/// What `AppLayout::add` returns.
type Added = Result<(), LayoutError<Fault>>;
/// What `AppLayout::complete` returns, and `PartitionTable::validate`.
type Completed = Result<AppLayout, LayoutError<Fault>>;

/// What came of a layout: 0, or the number of an error, and what the error says.
#[repr(C)]
#[derive(Default)]
struct Refusal {
    code: u32,
    index: u32,
    region: Region,
    other_region: Region,
    /// Number of the other entry, or what else the error says.
    other: u32,
    more: u32,
    capacity: u64,
    table: Verdict,
}

impl From<LayoutError<Fault>> for Refusal {
    fn from(error: LayoutError<Fault>) -> Self {
        let of =
            |code, index: u8, region| Self { code, index: index.into(), region, ..Self::default() };
        let none = Region::default();
        match error {
            LayoutError::OutOfFlash { index, region, capacity } => {
                Self { capacity, ..of(1, index, region) }
            }
            LayoutError::Overlap { index, region, other, other_region } => {
                Self { other: other.into(), other_region, ..of(2, index, region) }
            }
            LayoutError::OverlapsTable { index, region, table } => {
                Self { other_region: table, ..of(3, index, region) }
            }
            LayoutError::Misaligned { index, region, offset_align, size_align } => {
                Self { other: offset_align, more: size_align, ..of(4, index, region) }
            }
            LayoutError::TooSmall { index, region, min } => {
                Self { other: min, ..of(5, index, region) }
            }
            LayoutError::Readonly { index, region } => of(6, index, region),
            LayoutError::Duplicate { index, kind } => {
                Self { other: kind.ty.0.into(), more: kind.subtype.0.into(), ..of(7, index, none) }
            }
            LayoutError::NoOtadata => of(8, 0, none),
            LayoutError::NoSlots => of(9, 0, none),
            LayoutError::SlotGap { missing, highest } => Self {
                other: app(Some(missing)).into(),
                more: app(Some(highest)).into(),
                ..of(10, 0, none)
            },
            LayoutError::Table(error) => Self { table: table_error(error), ..of(11, 0, none) },
        }
    }
}

impl Refusal {
    /// The error with this number that says the rest; for those that `add` and `complete` return.
    fn error(&self) -> Option<LayoutError<Fault>> {
        let &Self { index, region, other, more, .. } = self;
        let index = index as u8;
        let slot = |of: u32| Slot::new(of as u8).map(App::Ota);
        Some(match self.code {
            4 => LayoutError::Misaligned { index, region, offset_align: other, size_align: more },
            5 => LayoutError::TooSmall { index, region, min: other },
            6 => LayoutError::Readonly { index, region },
            7 => {
                let kind = Kind { ty: Type(other as u8), subtype: Subtype(more as u8) };
                LayoutError::Duplicate { index, kind }
            }
            8 => LayoutError::NoOtadata,
            9 => LayoutError::NoSlots,
            10 => LayoutError::SlotGap { missing: slot(other)?, highest: slot(more)? },
            _ => return None,
        })
    }
}

extern "C" fn layout_validate(
    table: &PartitionTable,
    layout: &mut AppLayout,
    refusal: &mut Refusal,
    chip: &mut Chip,
) {
    layout_result(&table.validate(chip), layout, refusal);
}

extern "C" fn layout_result(completed: &Completed, layout: &mut AppLayout, refusal: &mut Refusal) {
    *refusal = match *completed {
        Ok(complete) => {
            *layout = complete;
            Refusal::default()
        }
        Err(error) => error.into(),
    };
}

extern "C" fn layout_verdict(added: &Added, refusal: &mut Refusal) {
    *refusal = added.map_or_else(Refusal::from, |()| Refusal::default());
}

/// otadata, factory, test and slot `k`, which are empty if there are none, then the number of slots.
extern "C" fn layout_view(layout: &AppLayout, k: u8, view: &mut ([Region; 4], u32)) {
    let slot = Slot::new(k).and_then(|slot| layout.slot(slot));
    view.0 = [Some(layout.otadata()), layout.factory(), layout.test(), slot]
        .map(Option::unwrap_or_default);
    view.1 = layout.slot_count().into();
}

/// Has `added` be what a refusal says.
extern "C" fn layout_added(refusal: &Refusal, added: &mut Added) {
    *added = refusal.error().map_or(Ok(()), Err);
}

/// Has `completed` be what a refusal says, or else a layout.
extern "C" fn layout_completed(refusal: &Refusal, layout: &AppLayout, completed: &mut Completed) {
    *completed = refusal.error().map_or(Ok(*layout), Err);
}
