//! Select entries: what bootloaders and applications write, what is left of it when power fails, and
//! what they never write.

use super::dice::Dice;
use ota_core::otadata::{ENTRY_SIZE, SelectEntry, State, seq_crc};

/// The bytes of one sector of otadata that are looked at.
pub(super) type Bytes = [u8; ENTRY_SIZE];

/// Both entries, and what is special about each.
pub(super) fn entries(dice: &mut Dice) -> [(&'static str, Bytes); 2] {
    if dice.once_in(12) {
        // As a device leaves the factory.
        return [("blank", [0xFF; ENTRY_SIZE]); 2];
    }
    let base = sequence(dice);
    // Most entries stand in some relation to each other.
    let other = match dice.below(6) {
        0 => base,
        1 => base.wrapping_add(2),
        2 => sequence(dice),
        _ => base.wrapping_add(1),
    };
    let (first, second) = if dice.once_in(2) { (base, other) } else { (other, base) };
    [entry(dice, first), entry(dice, second)]
}

fn sequence(dice: &mut Dice) -> u32 {
    match dice.below(16) {
        0 => 0,
        1 => u32::MAX - dice.below(5),
        2 => dice.word(),
        3 => 0x7FFF_FFFE + dice.below(4),
        _ => 1 + dice.below(40),
    }
}

fn state(dice: &mut Dice) -> State {
    match dice.below(8) {
        0 => {
            State(dice.pick(&[5, 6, 0xFF, 0x0300_0000, 0x0400_0000, 0x1_0000, 0xFFFF_FFFE, 0x101]))
        }
        1 => State(dice.word()),
        _ => dice.pick(&[
            State::NEW,
            State::PENDING_VERIFY,
            State::VALID,
            State::INVALID,
            State::ABORTED,
            State::UNDEFINED,
        ]),
    }
}

fn entry(dice: &mut Dice, seq: u32) -> (&'static str, Bytes) {
    let mut entry = SelectEntry::new(seq, state(dice));
    match dice.below(24) {
        0..=2 => ("blank", [0xFF; ENTRY_SIZE]),
        3 => ("zeros", [0; ENTRY_SIZE]),
        4 => ("noise", dice.bytes()),
        5 => {
            entry.crc = dice.word();
            ("bad CRC", entry.emit())
        }
        6 => {
            entry.crc ^= 1 << dice.below(32);
            ("bad CRC", entry.emit())
        }
        7 => {
            entry.crc = dice.pick(&[!entry.crc, entry.crc.swap_bytes(), seq_crc(seq.swap_bytes())]);
            ("CRC of another kind", entry.emit())
        }
        8 => {
            let bytes = entry.emit();
            entry.crc = ota_core::crc::crc32_le(u32::MAX, &bytes[..28]);
            ("CRC of the whole entry", entry.emit())
        }
        9 => {
            let mut bytes = entry.emit();
            bytes[dice.below(32) as usize] ^= 1 << dice.below(8);
            ("a bit differs", bytes)
        }
        10 => {
            // Before ESP-IDF v3.3 the label had 24 bytes and there was no state.
            entry.label = dice.bytes();
            entry.state = State(dice.word());
            ("with a label", entry.emit())
        }
        11 => ("sequence 0 on erased flash", SelectEntry { seq: 0, ..SelectEntry::BLANK }.emit()),
        12 => ("torn program, prefix", torn_prefix(dice, &entry.emit())),
        13 => ("torn program, bits", torn_bits(dice, &entry.emit(), &[0xFF; ENTRY_SIZE])),
        14 => ("torn erase", torn_bits(dice, &[0xFF; ENTRY_SIZE], &entry.emit())),
        15 => {
            // Words that are done, and words that are not.
            let mut bytes = entry.emit();
            for word in bytes.chunks_exact_mut(4) {
                match dice.below(3) {
                    0 => word.fill(0xFF),
                    1 => word.fill(0),
                    _ => {}
                }
            }
            ("torn erase, words", bytes)
        }
        _ => ("ordinary", entry.emit()),
    }
}

/// The first bytes, the rest erased.
fn torn_prefix(dice: &mut Dice, whole: &Bytes) -> Bytes {
    let mut bytes = [0xFF; ENTRY_SIZE];
    let len = dice.below(ENTRY_SIZE as u32) as usize;
    bytes[..len].copy_from_slice(&whole[..len]);
    bytes
}

/// Each bit as it was or as it was to become; in some words all are done.
fn torn_bits(dice: &mut Dice, new: &Bytes, old: &Bytes) -> Bytes {
    let mask: Bytes = dice.bytes();
    let done = dice.word();
    std::array::from_fn(|at| {
        let mask = if done >> (at / 4) & 1 == 1 { 0xFF } else { mask[at] };
        new[at] & mask | old[at] & !mask
    })
}
