//! Tries every set of slots that a partition table can name.

use ota_core::SliceFlash;
use ota_core::partition::{
    App, ENTRY_LEN, Flags, Kind, Label, Partition, Region, Slot, Subtype, Type,
};
use ota_core::table::{DEFAULT_OFFSET, LayoutError, PartitionTable};
use std::process::ExitCode;

/// Offset of slot 0; each slot is a page behind the one before.
const FIRST: u32 = 0x1_0000;

/// Compares what `PartitionTable::validate` says of each set of slots, with otadata and without, with what it
/// has to say.
fn main() -> ExitCode {
    let mut flash = vec![0xFF; FIRST as usize * (Slot::MAX + 1)];
    for otadata in [true, false] {
        if let Some(set) = (0..=u16::MAX).find(|&set| !is_right(&mut flash, set, otadata)) {
            println!("not so for the set of slots {set:#018b}, otadata: {otadata}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The partition of a slot.
fn region(slot: Slot) -> Region {
    Region { offset: FIRST * (u32::from(slot.index()) + 1), size: 0x1000 }
}

fn is_right(flash: &mut [u8], set: u16, otadata: bool) -> bool {
    let slots = || (0..Slot::MAX as u8).filter_map(Slot::new);
    let listed = |slot: &Slot| set >> slot.index() & 1 == 1;
    let ota = Kind { ty: Type::DATA, subtype: Subtype::DATA_OTA };
    let ota = otadata.then_some((ota, Region { offset: 0xD000, size: 0x2000 }));
    let of_slot = |slot: Slot| (Kind { ty: Type::APP, subtype: slot.subtype() }, region(slot));
    let mut at = DEFAULT_OFFSET as usize;
    // The highest slot first: the order of a table means nothing.
    for (kind, region) in slots().rev().filter(listed).map(of_slot).chain(ota) {
        let partition = Partition {
            ty: kind.ty,
            subtype: kind.subtype,
            offset: region.offset,
            size: region.size,
            label: LABEL,
            flags: Flags(0),
        };
        flash[at..at + ENTRY_LEN].copy_from_slice(&partition.emit());
        at += ENTRY_LEN;
    }
    flash[at..at + ENTRY_LEN].fill(0xFF);

    let mut flash = SliceFlash(flash);
    let Ok(table) = PartitionTable::load_without_md5(&mut flash, DEFAULT_OFFSET) else {
        return set == 0 && !otadata;
    };
    let highest = slots().rfind(listed);
    let missing = slots().find(|slot| !listed(slot));
    match (table.validate(&mut flash), highest) {
        (Err(LayoutError::NoOtadata), _) => !otadata,
        (Err(LayoutError::NoSlots), highest) => otadata && highest.is_none(),
        (Err(LayoutError::SlotGap { missing: named, highest: App::Ota(last) }), Some(highest)) => {
            otadata
                && missing < Some(highest)
                && missing.map(App::Ota) == Some(named)
                && last == highest
        }
        (Ok(layout), Some(highest)) => {
            otadata
                && missing.is_none_or(|missing| missing > highest)
                && layout.slots().iter().copied().eq(slots().filter(listed).map(region))
        }
        _ => false,
    }
}

/// Nobody looks at it.
const LABEL: Label = ota_core::Text([0; 16]);
