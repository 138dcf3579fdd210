//! What flash holds, against what it must hold.

use super::outcome::EntryRecord;
use crate::scenario::{Entry, Otadata};
use ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE, SelectEntry, State, active};
use ota_core::partition::{App, Slot};
use sim::layout::Apps;

/// Bytes of otadata that hold select entries.
pub(super) const BOTH: u32 = 2 * SECTOR_SIZE;

/// The select entries in the first two sectors of otadata.
pub(super) fn parse(otadata: &[u8]) -> Option<[SelectEntry; 2]> {
    let entry = |at: u32| {
        let bytes = otadata.get(at as usize..)?.first_chunk::<ENTRY_SIZE>()?;
        Some(SelectEntry::parse(bytes))
    };
    Some([entry(0)?, entry(SECTOR_SIZE)?])
}

/// What the bootloader selects by these entries, before it looks at any image.
pub(super) fn selected(entries: &[SelectEntry; 2], apps: &Apps) -> Option<App> {
    let count = u32::from(apps.slot_count());
    match active(entries) {
        Some(index) => {
            let slot = entries.get(index)?.slot_index(count)?;
            Slot::new(u8::try_from(slot).ok()?).map(App::Ota)
        }
        None if apps.factory().is_some() => Some(App::Factory),
        None => Slot::new(0).map(App::Ota),
    }
}

/// What is wrong with the entries; `None` when they are as they must be.
pub(super) fn mismatch(entries: &[SelectEntry; 2], wanted: &Otadata) -> Option<String> {
    let holds = match wanted {
        Otadata::Valid => active(entries).is_some(),
        Otadata::Erased => entries.iter().all(|entry| *entry == SelectEntry::BLANK),
        Otadata::Entries(wanted) => {
            entries.iter().zip(wanted).all(|(entry, wanted)| match wanted {
                Entry::Any => true,
                Entry::Erased => *entry == SelectEntry::BLANK,
                Entry::Written { seq, state } => {
                    entry.crc_ok() && entry.seq == *seq && entry.state == *state
                }
            })
        }
    };
    let [first, second] = entries;
    (!holds).then(|| format!("otadata holds [{first} | {second}], expected {}", words(wanted)))
}

fn words(wanted: &Otadata) -> String {
    let entry = |entry: &Entry| match entry {
        Entry::Any => "*".into(),
        Entry::Erased => "-".into(),
        Entry::Written { seq, state } => format!("{seq}/{state}"),
    };
    match wanted {
        Otadata::Valid => "an entry that counts".into(),
        Otadata::Erased => "two erased entries".into(),
        Otadata::Entries([first, second]) => format!("[{} | {}]", entry(first), entry(second)),
    }
}

/// Entries for reports.
pub(super) fn records(entries: &[SelectEntry; 2], apps: &Apps) -> [EntryRecord; 2] {
    entries.each_ref().map(|entry| {
        let slot = entry.slot_index(u32::from(apps.slot_count()));
        let slot = slot.filter(|_| entry.seq != SelectEntry::SEQ_BLANK);
        EntryRecord {
            seq: entry.seq,
            state: entry.state.to_string(),
            crc_ok: entry.crc_ok(),
            erased: *entry == SelectEntry::BLANK,
            slot: slot.map(|slot| format!("ota_{slot}")),
            hex: entry.emit().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    })
}

/// The state in which the trial of an image ends at the next reset.
pub(super) fn on_trial(entries: &[SelectEntry; 2]) -> bool {
    let entry = active(entries).and_then(|index| entries.get(index));
    entry.is_some_and(|entry| entry.state == State::PENDING_VERIFY)
}
