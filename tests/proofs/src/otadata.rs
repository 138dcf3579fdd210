//! Select entries: `ota_core::otadata`.

use ota_core::otadata::{ENTRY_SIZE, SelectEntry, State, active, next_seq, seq_crc};
use ota_core::partition::Slot;

/// What a function here returns for `None`.
const NONE: u32 = u32::MAX;

/// The addresses of the functions, so that they are linked.
pub(crate) fn exported() -> [*const (); 8] {
    [
        crc_of as *const (),
        entry_parse as *const (),
        entry_emit as *const (),
        entry_new as *const (),
        entry_tests as *const (),
        entries_active as *const (),
        entry_slot as *const (),
        seq_next as *const (),
    ]
}

/// Fields of a select entry, in the order of their place on flash.
#[repr(C)]
struct Fields {
    seq: u32,
    label: [u8; 20],
    state: u32,
    crc: u32,
}

extern "C" fn crc_of(seq: u32) -> u32 {
    seq_crc(seq)
}

extern "C" fn entry_parse(bytes: &[u8; ENTRY_SIZE], fields: &mut Fields) {
    let entry = SelectEntry::parse(bytes);
    *fields = Fields { seq: entry.seq, label: entry.label, state: entry.state.0, crc: entry.crc };
}

extern "C" fn entry_emit(fields: &Fields, bytes: &mut [u8; ENTRY_SIZE]) {
    let &Fields { seq, label, state, crc } = fields;
    *bytes = SelectEntry { seq, label, state: State(state), crc }.emit();
}

extern "C" fn entry_new(seq: u32, state: u32, bytes: &mut [u8; ENTRY_SIZE]) {
    *bytes = SelectEntry::new(seq, State(state)).emit();
}

/// A bit for each predicate of a select entry.
extern "C" fn entry_tests(bytes: &[u8; ENTRY_SIZE]) -> u32 {
    let entry = SelectEntry::parse(bytes);
    [
        entry.crc_ok(),
        entry.is_invalid(),
        entry.is_valid(),
        entry.is_blank_or_bad_crc(),
        entry.state.is_bootable(),
        entry.state.is_odd(),
    ]
    .into_iter()
    .rev()
    .fold(0, |bits, bit| bits << 1 | u32::from(bit))
}

extern "C" fn entries_active(entries: &[[u8; ENTRY_SIZE]; 2]) -> u32 {
    active(&entries.each_ref().map(SelectEntry::parse)).map_or(NONE, |sector| sector as u32)
}

/// The slot of an entry; wider than a slot can be, so that [`NONE`] is none of them.
extern "C" fn entry_slot(bytes: &[u8; ENTRY_SIZE], slot_count: u32) -> u64 {
    SelectEntry::parse(bytes).slot_index(slot_count).map_or(u64::MAX, u64::from)
}

/// The sequence number after `current`, if there is one; [`NONE`] is no sequence number.
extern "C" fn seq_next(is_some: bool, current: u32, slot: u8, slot_count: u32) -> u32 {
    let current = is_some.then_some(current);
    Slot::new(slot).and_then(|slot| next_seq(current, slot, slot_count)).unwrap_or(NONE)
}
