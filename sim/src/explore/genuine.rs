//! Whether an update selects what was sent, and nothing else.

use super::spec::{Broken, Invariant, What};
use super::state::Content;
use super::world::World;
use crate::flash::Recorded;
use ota_core::otadata::{self, SelectEntry};
use ota_core::partition::Slot;

/// What boot selection chooses after a flash operation in otadata.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// Sequence number of the entry that is chosen.
    seq: u32,
    slot: Slot,
    /// The slot holds, byte for byte, one of the images.
    genuine: bool,
}

impl Selection {
    /// The choice after `recorded`; `None` if that is not in otadata, or no entry is chosen.
    pub(crate) fn after(world: &World<'_>, recorded: &Recorded) -> Option<Self> {
        let otadata = world.layout.apps().otadata();
        let range = otadata.offset..otadata.offset + otadata.size;
        if !range.contains(&recorded.operation.offset) {
            return None;
        }
        let entries = world.raw_entries(&recorded.after);
        let active = &entries[otadata::active(&entries)?];
        let index = active.slot_index(world.layout.apps().slot_count().into())?;
        let slot = Slot::new(u8::try_from(index).ok()?)?;
        let region = world.layout.apps().slot(slot)?;
        let genuine = matches!(world.content(&recorded.after, region), Content::Firmware(_));
        Some(Self { seq: active.seq, slot, genuine })
    }

    /// The slot, as a number of an application partition.
    pub(crate) fn partition(&self) -> usize {
        1 + usize::from(self.slot.index())
    }
}

/// The first of the `selections` during an update that chooses something else than one of the images by
/// an entry that was not there `before` the update.
///
/// What the bootloader would make of it does not count: it may well refuse to boot it.
pub(crate) fn check_selections(
    before: &[SelectEntry; 2],
    selections: impl IntoIterator<Item = Selection>,
) -> Option<Broken> {
    let known = |seq| before.iter().any(|entry| entry.crc_ok() && entry.seq == seq);
    let mut new = selections.into_iter().filter(|it| !it.genuine && !known(it.seq));
    let what = What::Selected(new.next()?.slot);
    Some(Broken { invariant: Invariant::Genuine, what })
}
