//! The otadata partition: two 4 KiB sectors, each with one 32-byte *select entry* at its start.
//!
//! The bootloader boots the slot of the *active* entry: of the entries that are bootable and have a
//! correct CRC, the one with the larger sequence number; sector 0 wins a tie. The CRC covers the
//! sequence number alone, so a torn or flipped state is believed.
//!
//! Source: ESP-IDF `esp_flash_partitions.h` (`esp_ota_select_entry_t`, `esp_ota_img_states_t`),
//! `bootloader_common.c`, `bootloader_common_loader.c`.

use crate::crc::crc32_le;
use crate::partition::Slot;
use core::fmt;

/// Size of a select entry on flash, in bytes.
pub const ENTRY_SIZE: usize = 32;

/// Distance between the two select entries, and the unit in which they are erased, in bytes.
pub const SECTOR_SIZE: u32 = 0x1000;

/// Least size of the otadata partition that the bootloader accepts, in bytes.
pub const MIN_PARTITION_SIZE: u32 = 2 * SECTOR_SIZE;

/// Offset of the CRC field inside a select entry, in bytes.
pub const CRC_OFFSET: usize = field::CRC.start;

mod field {
    use core::ops::Range;

    pub(super) const SEQ: Range<usize> = 0..4;
    pub(super) const LABEL: Range<usize> = 4..24;
    pub(super) const STATE: Range<usize> = 24..28;
    pub(super) const CRC: Range<usize> = 28..32;
}

/// State of the image that a select entry points to.
///
/// Any 32-bit value can stand on flash. Espressif's code compares for equality and nothing else, so
/// every value but [`INVALID`](Self::INVALID) and [`ABORTED`](Self::ABORTED) is bootable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct State(pub u32);

impl State {
    /// Selected, not booted yet. A rollback bootloader turns it into
    /// [`PENDING_VERIFY`](Self::PENDING_VERIFY) as it boots the image.
    pub const NEW: Self = Self(0);
    /// Booted once, not confirmed yet. A rollback bootloader turns it into
    /// [`ABORTED`](Self::ABORTED) at the next reset.
    pub const PENDING_VERIFY: Self = Self(1);
    /// Confirmed by the application.
    pub const VALID: Self = Self(2);
    /// Rejected by the application.
    pub const INVALID: Self = Self(3);
    /// Was reset before it confirmed itself.
    pub const ABORTED: Self = Self(4);
    /// Not tracked: always bootable.
    pub const UNDEFINED: Self = Self(u32::MAX);

    /// Whether the bootloader takes an entry in this state.
    pub const fn is_bootable(self) -> bool {
        self.0 != Self::INVALID.0 && self.0 != Self::ABORTED.0
    }

    /// Whether the value is none of the named states.
    pub const fn is_odd(self) -> bool {
        self.0 > Self::ABORTED.0 && self.0 != Self::UNDEFINED.0
    }

    /// Name of the state, `NEW` for instance; `None` for an odd value.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NEW => "NEW",
            Self::PENDING_VERIFY => "PENDING_VERIFY",
            Self::VALID => "VALID",
            Self::INVALID => "INVALID",
            Self::ABORTED => "ABORTED",
            Self::UNDEFINED => "UNDEFINED",
            _ => return None,
        })
    }
}

/// The [name](Self::name), or the number.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A select entry, with every field as it stands on flash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SelectEntry {
    /// Sequence number; [`SEQ_BLANK`](Self::SEQ_BLANK) means that there is no entry.
    pub seq: u32,
    /// Bytes that nobody interprets; 0xFF in entries that this crate writes.
    pub label: [u8; 20],
    /// State of the image.
    pub state: State,
    /// CRC of the sequence number.
    pub crc: u32,
}

impl SelectEntry {
    /// The sequence number of an erased sector.
    pub const SEQ_BLANK: u32 = u32::MAX;

    /// What an erased sector reads as.
    pub const BLANK: Self =
        Self { seq: u32::MAX, label: [0xFF; 20], state: State::UNDEFINED, crc: u32::MAX };

    /// A well-formed entry.
    pub fn new(seq: u32, state: State) -> Self {
        Self { seq, label: [0xFF; 20], state, crc: seq_crc(seq) }
    }

    /// Decodes an entry. Every byte pattern is an entry of some kind, so this cannot fail.
    pub fn parse(bytes: &[u8; ENTRY_SIZE]) -> Self {
        let &[q0, q1, q2, q3, ref label @ .., s0, s1, s2, s3, c0, c1, c2, c3] = bytes;
        Self {
            seq: u32::from_le_bytes([q0, q1, q2, q3]),
            label: *label,
            state: State(u32::from_le_bytes([s0, s1, s2, s3])),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// Encodes the entry; the inverse of [`parse`](Self::parse).
    pub fn emit(&self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[field::SEQ].copy_from_slice(&self.seq.to_le_bytes());
        bytes[field::LABEL].copy_from_slice(&self.label);
        bytes[field::STATE].copy_from_slice(&self.state.0.to_le_bytes());
        bytes[field::CRC].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Whether the CRC matches the sequence number.
    pub fn crc_ok(&self) -> bool {
        self.crc == seq_crc(self.seq)
    }

    /// The bootloader's `invalid`: blank, or in a state that is not bootable. The CRC plays no part.
    pub fn is_invalid(&self) -> bool {
        self.seq == Self::SEQ_BLANK || !self.state.is_bootable()
    }

    /// Whether the bootloader may choose this entry.
    pub fn is_valid(&self) -> bool {
        !self.is_invalid() && self.crc_ok()
    }

    /// Whether there is no entry, or one with a wrong CRC.
    pub fn is_blank_or_bad_crc(&self) -> bool {
        self.seq == Self::SEQ_BLANK || !self.crc_ok()
    }

    /// The slot that the sequence number selects among `slot_count` slots: `(seq - 1) mod count` in
    /// wrapping 32-bit arithmetic. `None` without slots.
    ///
    /// The bootloader's count can exceed 16 for a malformed table, and then so can the result.
    pub fn slot_index(&self, slot_count: u32) -> Option<u32> {
        slot_index(self.seq, slot_count)
    }
}

impl fmt::Debug for SelectEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SelectEntry {
    /// `-` for a blank sector, else `seq/STATE`, with a remark when the CRC is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::BLANK {
            return f.write_str("-");
        }
        match self.seq {
            Self::SEQ_BLANK => f.write_str("blank")?,
            seq => write!(f, "{seq}")?,
        }
        write!(f, "/{}", self.state)?;
        if self.crc_ok() { Ok(()) } else { f.write_str(" (bad crc)") }
    }
}

/// See [`SelectEntry::slot_index`].
pub(crate) fn slot_index(seq: u32, slot_count: u32) -> Option<u32> {
    seq.wrapping_sub(1).checked_rem(slot_count)
}

/// CRC of a sequence number as it stands in a select entry.
pub fn seq_crc(seq: u32) -> u32 {
    crc32_le(u32::MAX, &seq.to_le_bytes())
}

/// One of the two sectors that hold a select entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sector {
    First,
    Second,
}

impl Sector {
    pub(crate) const BOTH: [Self; 2] = [Self::First, Self::Second];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Offset inside the otadata partition, in bytes.
    pub(crate) fn offset(self) -> u32 {
        match self {
            Self::First => 0,
            Self::Second => SECTOR_SIZE,
        }
    }
}

/// Index of the active entry: the valid one with the larger sequence number, sector 0 at a tie.
pub fn active(entries: &[SelectEntry; 2]) -> Option<usize> {
    let [first, second] = entries.each_ref().map(|entry| entry.is_valid().then_some(entry.seq));
    newer(first, second).map(|sector| sector as usize)
}

/// The sector of the active entry, from the sequence numbers of the valid ones.
pub(crate) fn newer(first: Option<u32>, second: Option<u32>) -> Option<Sector> {
    match (first, second) {
        (Some(first), Some(second)) if second > first => Some(Sector::Second),
        (Some(_), _) => Some(Sector::First),
        (None, Some(_)) => Some(Sector::Second),
        (None, None) => None,
    }
}

/// The least sequence number above `current` that selects `slot` among `slot_count` slots.
///
/// `None` when the number would come within two rounds of the reserved value 0xFFFF_FFFF, where ESP-IDF
/// wraps and so writes an entry that reads as blank; when `slot` is not below `slot_count`; and when there
/// are more slots than a table can name ([`Slot::MAX`]).
///
/// ESP-IDF takes the least number *not below* `current`; the two differ only for a slot that is
/// selected already, where the same number in both sectors would make the choice hang on the tie
/// rule.
pub fn next_seq(current: Option<u32>, slot: Slot, slot_count: u32) -> Option<u32> {
    let target = u32::from(slot.index());
    if target >= slot_count || slot_count > Slot::MAX as u32 {
        return None;
    }
    let Some(current) = current.filter(|&seq| seq != 0) else {
        return Some(target + 1);
    };
    let selected = (current - 1) % slot_count;
    let step = match (target + slot_count - selected) % slot_count {
        0 => slot_count,
        step => step,
    };
    let limit = (u32::MAX).checked_sub(2 * slot_count)?;
    current.checked_add(step).filter(|&seq| seq <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn more_slots_than_there_can_be_have_no_next_number() {
        let slot = Slot::new(15).unwrap();
        assert!(next_seq(Some(1), slot, 16).is_some());
        for count in [17, 0x8000_0000, u32::MAX] {
            assert_eq!(next_seq(Some(1), slot, count), None);
        }
    }

    #[test]
    fn crc_matches_the_entries_of_real_devices() {
        for (seq, crc) in [
            (0, 0xFFFF_FFFF),
            (1, 0x4743_989A),
            (2, 0x55F6_3774),
            (3, 0xED4A_5011),
            (4, 0x709D_68A8),
            (8, 0x3A4B_D710),
            (0xFF, 0x21FA_F90E),
            (0x100, 0xFE3D_95C8),
            (0xFFFF_FFFE, 0x99F8_B879),
        ] {
            assert_eq!(seq_crc(seq), crc, "seq {seq:#x}");
        }
    }

    #[test]
    fn entries_are_byte_exact() {
        let mut expected = [0xFF; 32];
        expected[..4].copy_from_slice(&[2, 0, 0, 0]);
        expected[24..].copy_from_slice(&[1, 0, 0, 0, 0x74, 0x37, 0xF6, 0x55]);
        assert_eq!(SelectEntry::new(2, State::PENDING_VERIFY).emit(), expected);
    }

    #[test]
    fn zero_over_an_erased_sector_is_a_valid_entry() {
        let mut bytes = [0xFF; 32];
        bytes[..4].fill(0);
        let entry = SelectEntry::parse(&bytes);
        assert!(entry.is_valid());
        let slots: Vec<_> = (1..=16).map(|n| entry.slot_index(n).unwrap()).collect();
        assert_eq!(slots, [0, 1, 0, 3, 0, 3, 3, 7, 3, 5, 3, 3, 8, 3, 0, 15]);
    }

    #[test]
    fn ties_go_to_sector_0() {
        let entry = SelectEntry::new(7, State::VALID);
        assert_eq!(active(&[entry, entry]), Some(0));
        assert_eq!(active(&[SelectEntry::BLANK, entry]), Some(1));
        let aborted = SelectEntry::new(9, State::ABORTED);
        assert_eq!(active(&[entry, aborted]), Some(0));
        assert_eq!(active(&[aborted, SelectEntry::BLANK]), None);
    }

    #[test]
    fn sequence_numbers_run_out_instead_of_wrapping() {
        let slot = Slot::new(0).unwrap();
        assert_eq!(next_seq(Some(0xFFFF_FFFE), slot, 2), None);
        assert_eq!(next_seq(Some(0xFFFF_FFFA), slot, 2), Some(0xFFFF_FFFB));
        assert_eq!(next_seq(None, slot, 0), None);
        assert_eq!(next_seq(Some(0), slot, 2), Some(1));
    }

    proptest! {
        #[test]
        fn every_pattern_survives_a_round_trip(bytes: [u8; 32]) {
            prop_assert_eq!(SelectEntry::parse(&bytes).emit(), bytes);
        }

        #[test]
        fn next_seq_selects_the_slot_and_wins(
            current in 0..u32::MAX - 64, slot in 0u8..16, extra in 0u32..16,
        ) {
            let count = (u32::from(slot) + 1 + extra).min(16);
            let seq = next_seq(Some(current), Slot::new(slot).unwrap(), count).unwrap();
            let entry = SelectEntry::new(seq, State::VALID);
            prop_assert!(seq > current && seq - current <= count);
            prop_assert_eq!(entry.slot_index(count), Some(u32::from(slot)));
        }
    }
}
