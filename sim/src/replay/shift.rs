//! Sequence numbers of an exploration, and those of the device.
//!
//! An exploration [counts](crate::explore::State) sequence numbers from a few on, at the start of each
//! call; on the device they have grown further. Where a cut leaves a word that holds such a number or its
//! CRC, the word that it leaves on the device is another one.

use crate::explore::World;
use crate::flash::fault::{Tear, WordValue};
use crate::flash::{Memory, Recorded};
use ota_core::otadata::{self, SECTOR_SIZE, SelectEntry};

/// Offset of the CRC in a select entry, in bytes.
const CRC: u32 = 28;

/// `tear`, which an exploration found, in `recorded`, an operation of a call that began on `start`.
pub(super) fn on_device(
    world: &World<'_>,
    start: &Memory,
    recorded: &Recorded,
    tear: &Tear,
) -> Tear {
    let Tear::Words { rest, words } = tear else { return tear.clone() };
    let pairs = world.raw_entries(start).into_iter().zip(world.entries(start));
    let counted = pairs.filter(|(real, _)| is_counted(real));
    let surplus = counted.map(|(real, counted)| real.seq - counted.seq).max().unwrap_or(0);
    let [before, after] =
        [&recorded.before, &recorded.after].map(|memory| world.raw_entries(memory));
    let otadata = world.layout.apps().otadata().offset;
    let translate = |word: &WordValue| {
        for (index, versions) in (0..).zip(before.into_iter().zip(after)) {
            let entry = otadata + index * SECTOR_SIZE;
            for real in [versions.0, versions.1].into_iter().filter(is_counted) {
                let counted = real.seq.wrapping_sub(surplus);
                if word.offset == entry && word.value == counted {
                    return WordValue { value: real.seq, ..*word };
                }
                if word.offset == entry + CRC && word.value == otadata::seq_crc(counted) {
                    return WordValue { value: real.crc, ..*word };
                }
            }
        }
        *word
    };
    Tear::Words { rest: rest.clone(), words: words.iter().map(translate).collect() }
}

/// Whether a sequence number is one that an exploration counts: 0 and blank stay what they are.
fn is_counted(entry: &SelectEntry) -> bool {
    entry.crc_ok() && ![0, SelectEntry::SEQ_BLANK].contains(&entry.seq)
}
