//! The states of a device, as far as anything that runs on it can tell them apart.
//!
//! # What is abstracted, and why that is sound
//! A [`State`] stands for all flash contents that make the bootloader and the subject do the same:
//! - **Sequence numbers** count from 1 to a few. Both sides only compare them, take them modulo the
//!   number of slots and add to them, so taking the same multiple of that number off both entries
//!   changes nothing. (The end of the range is tested apart.) Where the slots have gaps in their numbers
//!   the two sides count them differently: then it is a multiple of both counts.
//! - **Label** and the rest of an otadata sector are read by nobody.
//! - **An entry with a wrong CRC** keeps its state and whether it is blank; its other bits are not
//!   told apart.
//! - **A partition that holds no image that verifies** counts as full of zeros. The bootloader only
//!   learns that it does not verify. Update code erases before it programs; on zeros, code that did not
//!   would fail. Only of update code that goes on with what an interrupted upload left more is kept:
//!   whose upload it was. What exactly is left, `leftover.rs` deals with. Under anti-rollback the bootloader
//!   reads the security version in an image's description before it verifies the image, and so does the
//!   update code that asks whether rollback is possible; then such a partition keeps that version, on zeros.
//! - **Security versions** are only compared with each other, and burnt if they fit eFuse. All that are
//!   greater than those of the images count as one, and so do all that do not fit. Burning one is the last
//!   thing that a boot or a call does, and happens or does not: power that fails before leaves what the last
//!   flash operation left, and power that fails after it what a reset leaves, of which no less is expected.
//! - **Wear** is checked for each call and not part of the state.
//!
//! # With flash encryption
//! Flash holds ciphertext, and a state what is read of it. Of a block of 16 bytes everybody reads either what
//! was programmed last, or noise: an erased block, a torn one and one of zeros are alike in that. So it is
//! enough that a cut makes each block of an entry whole, old or noise:
//! - **Sequence number and CRC** stand in different blocks. An entry is well-formed if both blocks are whole
//!   and belong together; its state stands beside the CRC, so no torn state is ever believed. As for any other
//!   cut, noise does not forge a CRC ([`forged`](super::outcome::forged) leaves it out, with odds of 2^-32).
//! - **An erased entry** reads as noise that depends on the key and on its address. For any key but one in
//!   about 2^30, its CRC is wrong, it is not blank, and its state has no name; so do torn entries read, and all
//!   count as one. What stands for them is the ciphertext of such an entry, not an erased sector: update code
//!   that programs without erasing fails on it. A state with a name that is left of an entry whose first
//!   block is noise is kept, as the bootloader rewrites it without looking at the CRC.
//! - **Blank** is only what the device left the factory with: ciphertext of 0xFF.
//! - **A slot that does not verify** counts as full of zeros still, which are zeros of ciphertext: to the
//!   bootloader noise, which does not verify, and to update code the worst to program on. That a noise header
//!   promises no hash and is then verified in full costs time, no soundness.
//! - **One key** stands for all: nothing else depends on it.
//!
//! States are compared field by field, not by a digest. Partition contents are identified by the
//! 128-bit BLAKE3 digest of their bytes, conditions of the cells included.

#[cfg(doc)]
use super::reductions::Reductions;
use super::spec::Spec;
use super::world::World;
use crate::firmware::FirmwareId;
use crate::flash::{Memory, Recorded, SECTOR_SIZE};
use crate::layout::TABLE_OFFSET;
use ota_core::image::{DESCRIPTOR_MAGIC, DESCRIPTOR_OFFSET};
use ota_core::otadata::{self, ENTRY_SIZE, SelectEntry, State as OtaState};
use ota_core::partition::{Region, Slot};

/// What an application partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// There is no such partition.
    Absent,
    /// Nothing that verifies, and nothing to go on with.
    Junk,
    /// As [`Junk`](Self::Junk), under anti-rollback, with a description that states this security version:
    /// that of an image, one more, or `u32::MAX` for all that do not fit eFuse.
    Described(u32),
    /// What a cut left of an upload of this firmware, to a slot whose update code goes on with it: any of
    /// the contents that cuts in such uploads leave there.
    Partial(FirmwareId),
    /// Nothing that verifies, byte for byte: what stood in a partition as this one in the order in which the
    /// exploration met such contents. Only where [`Reductions::contents`] is off.
    Exact(u32),
    /// Something that verifies and is none of the images.
    Unknown,
    /// This firmware.
    Firmware(FirmwareId),
}

/// What the application partitions hold: factory, then the slots.
pub type Contents = [Content; 1 + Slot::MAX];

/// Flash contents that behave alike; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flash {
    /// The select entries.
    pub entries: [SelectEntry; 2],
    /// The application partitions.
    pub contents: Contents,
}

/// A class of devices that behave alike; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What flash holds.
    pub flash: Flash,
    /// What the application's side expects.
    pub spec: Spec,
    /// Security version in eFuse.
    pub secure_version: u32,
    /// Power has failed during a write of the bootloader, and no image has been confirmed since.
    pub bootloader_cut: bool,
}

impl Content {
    /// Whether nothing there verifies.
    pub(super) fn is_broken(self) -> bool {
        matches!(self, Self::Junk | Self::Described(_) | Self::Partial(_) | Self::Exact(_))
    }
}

impl Flash {
    /// The same with zeros in place of what uploads left, for all that do not go on with it.
    pub(super) fn without_partial(mut self) -> Self {
        for content in &mut self.contents {
            if let Content::Partial(_) = content {
                *content = Content::Junk;
            }
        }
        self
    }

    /// The same for a device on which the partitions held what they held `before`; only one was
    /// `written`.
    pub(super) fn with_unwritten(self, before: &Self, written: Option<usize>) -> Self {
        let mut contents = before.contents;
        if let Some(written) = written {
            contents[written] = self.contents[written];
        }
        Self { contents, ..self }
    }

    /// The same, but for one partition.
    pub(super) fn with(mut self, partition: usize, content: Content) -> Self {
        self.contents[partition] = content;
        self
    }
}

impl World<'_> {
    /// The state of a new device: the first firmware in factory or slot 0.
    pub fn initial(&self) -> State {
        let mut memory = self.memory_with(&[Content::Absent; 1 + Slot::MAX]);
        if let Some(region) = self.partitions().flatten().next() {
            self.put(&mut memory, region.offset, &self.firmware[0].bytes);
        }
        let otadata = self.layout.apps().otadata();
        self.put(&mut memory, otadata.offset, &vec![0xFF; otadata.size as usize]);
        self.put(&mut memory, otadata.offset, self.layout.otadata());
        let contents = self.contents(&memory);
        let installed = contents.iter().find_map(|content| match content {
            Content::Firmware(id) => Some(*id),
            _ => None,
        });
        State {
            flash: Flash { entries: self.entries(&memory), contents },
            spec: Spec::new(installed.unwrap_or(0)),
            secure_version: 0,
            bootloader_cut: false,
        }
    }

    /// Both select entries of `memory`, in the form that a [`State`] keeps.
    pub(crate) fn entries(&self, memory: &Memory) -> [SelectEntry; 2] {
        canonical(self.raw_entries(memory), self.seq_modulus, self.reductions.entries)
    }

    /// The state that stands for one of an exploration with fewer reductions.
    #[cfg(test)]
    pub(super) fn reduced(&self, state: &State) -> State {
        let entries = canonical(state.flash.entries, self.seq_modulus, true);
        let mut contents = state.flash.contents;
        for (content, region) in contents.iter_mut().zip(self.partitions()) {
            if let (Content::Exact(id), Some(region)) = (*content, region) {
                let mut memory = Memory::erased(self.part.capacity);
                self.put_exact(&mut memory, region, id);
                *content = self.described(&memory, region);
            }
        }
        let secure_version = self.comparable(state.secure_version);
        State { flash: Flash { entries, contents }, secure_version, ..*state }
    }

    /// Both select entries of `memory`.
    pub fn raw_entries(&self, memory: &Memory) -> [SelectEntry; 2] {
        let offset = self.layout.apps().otadata().offset;
        [0, 1].map(|index| {
            let bytes: [_; ENTRY_SIZE] = self.read(memory, offset + index * otadata::SECTOR_SIZE);
            SelectEntry::parse(&bytes)
        })
    }

    /// What the application partitions hold.
    pub(crate) fn contents(&self, memory: &Memory) -> Contents {
        let mut contents = [Content::Absent; 1 + Slot::MAX];
        for (content, region) in contents.iter_mut().zip(self.partitions()) {
            if let Some(region) = region {
                *content = self.content(memory, region);
            }
        }
        contents
    }

    /// The application partitions that an operation changes, with their numbers.
    pub(super) fn touched(
        &self,
        recorded: &Recorded,
    ) -> impl Iterator<Item = (usize, Region)> + '_ {
        let place = self.range(recorded);
        let partitions = self.partitions().enumerate();
        partitions.filter_map(move |(index, region)| {
            Some((index, region.filter(|region| region.overlaps(place))?))
        })
    }

    /// Whether both operations lie in one application partition.
    pub(super) fn same_slot(&self, one: &Recorded, other: &Recorded) -> bool {
        let places = [self.range(one), self.range(other)];
        let inside = |region: &Region| {
            places.iter().all(|place| region.offset <= place.offset && place.end() <= region.end())
        };
        self.partitions().flatten().any(|region| inside(&region))
    }

    fn range(&self, recorded: &Recorded) -> Region {
        let range = recorded.operation.range(self.part.capacity);
        Region { offset: range.start, size: range.end - range.start }
    }

    /// The flash contents that stand for all that are alike.
    pub fn memory(&self, flash: &Flash) -> Memory {
        let mut memory = self.memory_with(&flash.contents);
        let offset = self.layout.apps().otadata().offset;
        for (index, entry) in (0..).zip(&flash.entries) {
            self.put(&mut memory, offset + index * otadata::SECTOR_SIZE, &entry.emit());
        }
        memory
    }

    fn memory_with(&self, contents: &Contents) -> Memory {
        if let Some(memory) = self.shipped.borrow().get(contents) {
            return memory.clone();
        }
        let mut memory = Memory::erased(self.part.capacity);
        memory.set(TABLE_OFFSET, self.layout.table());
        for (content, region) in contents.iter().zip(self.partitions()) {
            let Some(region) = region else { continue };
            match content {
                Content::Firmware(id) => {
                    memory.set(region.offset, &self.stored(region, usize::from(*id)));
                }
                Content::Junk | Content::Partial(_) | Content::Unknown => {
                    memory.set(region.offset, &vec![0; self.dirty_size(region)]);
                }
                Content::Described(version) => {
                    memory.set(region.offset, &vec![0; self.dirty_size(region)]);
                    let magic = DESCRIPTOR_MAGIC.to_le_bytes();
                    let description = [magic, version.to_le_bytes()].concat();
                    self.put(&mut memory, region.offset + DESCRIPTOR_OFFSET, &description);
                }
                Content::Exact(id) => self.put_exact(&mut memory, region, *id),
                Content::Absent => {}
            }
        }
        self.shipped.borrow_mut().insert(*contents, memory.clone());
        memory
    }

    /// How much of a partition without an image is zeros: as much as any image covers.
    pub(super) fn dirty_size(&self, region: Region) -> usize {
        let longest = self.firmware.iter().map(|firmware| firmware.bytes.len()).max().unwrap_or(0);
        longest.next_multiple_of(SECTOR_SIZE).min(region.size as usize)
    }
}

/// A state value that none of the named ones is.
const ODD: OtaState = OtaState(0x5A);

/// Any wrong CRC.
const WRONG_CRC: u32 = 0;

fn canonical(entries: [SelectEntry; 2], modulus: u32, reduce: bool) -> [SelectEntry; 2] {
    let counted = |entry: &&SelectEntry| {
        entry.crc_ok() && entry.seq != 0 && entry.seq != SelectEntry::SEQ_BLANK
    };
    let least = entries.iter().filter(counted).map(|entry| entry.seq).min().unwrap_or(1);
    let surplus = (least - 1) / modulus * modulus;
    entries.map(|entry| {
        if !reduce {
            let shift = if counted(&&entry) { surplus } else { 0 };
            let SelectEntry { label, state, .. } = entry;
            let plain = SelectEntry::new(entry.seq - shift, state);
            return if shift == 0 { entry } else { SelectEntry { label, ..plain } };
        }
        let state = if entry.state.is_odd() { ODD } else { entry.state };
        if counted(&&entry) {
            return SelectEntry::new(entry.seq - surplus, state);
        }
        if entry.crc_ok() {
            return SelectEntry::new(entry.seq, state);
        }
        let blank = SelectEntry { label: [0xFF; 20], state, ..entry };
        if blank == SelectEntry::BLANK {
            return blank;
        }
        let seq = if entry.seq == SelectEntry::SEQ_BLANK { entry.seq } else { 1 };
        SelectEntry { seq, crc: WRONG_CRC, ..blank }
    })
}

#[cfg(test)]
mod tests;
