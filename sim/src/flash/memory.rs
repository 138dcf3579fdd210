//! The cells of a chip: a copy-on-write array of sectors.
//!
//! Two levels: a root of 64 KiB blocks, each a list of 16 sectors. Cloning shares the root. A
//! write after a clone copies one sector, the block's 16 pointers and the root's pointers (one per
//! 64 KiB of capacity), whatever the chip holds; a write without a clone copies nothing.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{BLOCK_SIZE, Condition, Digest, SECTOR_SIZE, Sector};

const FANOUT: usize = BLOCK_SIZE / SECTOR_SIZE;

#[derive(Debug)]
struct Block {
    sectors: [Arc<Sector>; FANOUT],
    erases: [u32; FANOUT],
    digest: OnceLock<Digest>,
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self { sectors: self.sectors.clone(), erases: self.erases, digest: OnceLock::new() }
    }
}

impl Block {
    fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| combine(self.sectors.iter().map(|sector| sector.digest())))
    }
}

fn combine(digests: impl Iterator<Item = Digest>) -> Digest {
    let mut bytes = Vec::with_capacity(FANOUT * 16);
    digests.for_each(|digest| bytes.extend_from_slice(&digest.0));
    Digest::of([bytes.as_slice()])
}

/// The contents, wear and condition of every sector of a chip.
///
/// Clones are independent and cost O(1). Addresses are byte offsets from the start of the chip.
/// Equality compares contents and condition, not wear.
///
/// # Panics
/// Every method that takes an address panics when it lies beyond [`capacity`](Self::capacity), as
/// slices do; [`Chip`](super::Chip) checks first and returns errors instead.
#[derive(Clone, Debug)]
pub struct Memory {
    blocks: Arc<[Arc<Block>]>,
    capacity: u32,
    /// Sectors with a [`Condition`]; spares healthy chips the search for them.
    conditioned: u32,
}

impl Memory {
    /// Erased cells, never worn.
    ///
    /// # Panics
    /// When `capacity` is 0 or not a multiple of the 4 KiB sector.
    #[must_use]
    pub fn erased(capacity: u32) -> Self {
        assert!(capacity > 0 && capacity.is_multiple_of(SECTOR_SIZE as u32), "not whole sectors");
        let block = Arc::new(Block {
            sectors: std::array::from_fn(|_| Sector::filled(0xFF)),
            erases: [0; FANOUT],
            digest: OnceLock::new(),
        });
        let blocks = vec![block; (capacity as usize).div_ceil(BLOCK_SIZE)];
        Self { blocks: blocks.into(), capacity, conditioned: 0 }
    }

    /// Erased cells with `bytes` at the start.
    ///
    /// # Panics
    /// As [`erased`](Self::erased), and when `bytes` do not fit.
    #[must_use]
    pub fn with_contents(capacity: u32, bytes: &[u8]) -> Self {
        let mut memory = Self::erased(capacity);
        memory.set(0, bytes);
        memory
    }

    /// Size in bytes.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The sector number `index` (address / 4096).
    #[must_use]
    pub fn sector(&self, index: u32) -> &Arc<Sector> {
        assert!(index < self.capacity / SECTOR_SIZE as u32, "sector out of bounds");
        &self.blocks[index as usize / FANOUT].sectors[index as usize % FANOUT]
    }

    /// How often the sector number `index` was erased, torn erases included.
    #[must_use]
    pub fn erase_count(&self, index: u32) -> u32 {
        self.blocks[index as usize / FANOUT].erases[index as usize % FANOUT]
    }

    /// The largest erase count on the chip.
    #[must_use]
    pub fn max_erase_count(&self) -> u32 {
        self.blocks.iter().flat_map(|block| block.erases).max().unwrap_or(0)
    }

    /// Copies stored bytes from `offset` on. Unstable cells show their nominal value.
    pub fn read(&self, offset: u32, bytes: &mut [u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (index, start) = split(at);
            let (head, tail) = rest.split_at_mut(rest.len().min(SECTOR_SIZE - start));
            head.copy_from_slice(&self.sector(index).bytes()[start..start + head.len()]);
            at += head.len() as u32;
            rest = tail;
        }
    }

    /// The stored bytes of a range.
    #[must_use]
    pub fn to_vec(&self, range: Range<u32>) -> Vec<u8> {
        let mut bytes = vec![0; range.len()];
        self.read(range.start, &mut bytes);
        bytes
    }

    /// The little-endian word at a multiple of 4.
    #[must_use]
    pub fn word(&self, offset: u32) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Sets bytes to any value, as a flash programmer does before the device is shipped: no wear,
    /// no condition.
    pub fn set(&mut self, offset: u32, bytes: &[u8]) {
        self.update(offset, bytes, |_, new| new);
    }

    /// Programs bytes: each cell becomes `old & new`. Stuck bits need no care, they are 0 already.
    pub fn program(&mut self, offset: u32, bytes: &[u8]) {
        self.update(offset, bytes, |old, new| old & new);
    }

    /// Completes an erase of the sectors that `range` touches: all ones, stuck bits excepted, no
    /// longer unstable or weak, worn by one cycle.
    pub fn erase(&mut self, range: Range<u32>) {
        for index in sectors(&range) {
            self.wear(index);
            let erased = self.sector(index).erased();
            self.replace(index, erased);
        }
    }

    /// Digest of the sectors of a range, conditions included, wear excluded. Comparable between
    /// memories for the same range; equal exactly when the contents are, up to hash collisions.
    ///
    /// Costs a few bytes of hashing per unchanged sector or 64 KiB block.
    ///
    /// # Panics
    /// When the range is not made of whole sectors or leaves the chip.
    #[must_use]
    pub fn digest(&self, range: Range<u32>) -> Digest {
        let sector = SECTOR_SIZE as u32;
        assert!(range.end <= self.capacity, "out of bounds");
        assert!(range.start.is_multiple_of(sector) && range.end.is_multiple_of(sector));
        let mut digests = Vec::with_capacity(2 * FANOUT + self.blocks.len());
        let (mut index, end) = (range.start / sector, range.end / sector);
        while index < end {
            let whole = (index as usize).is_multiple_of(FANOUT) && (end - index) as usize >= FANOUT;
            if whole {
                digests.push(self.blocks[index as usize / FANOUT].digest());
                index += FANOUT as u32;
            } else {
                digests.push(self.sector(index).digest());
                index += 1;
            }
        }
        combine(digests.into_iter())
    }

    /// Digest of the whole chip.
    #[must_use]
    pub fn digest_all(&self) -> Digest {
        self.digest(0..self.capacity)
    }

    /// Changes the condition of the sector number `index`.
    pub fn change_condition(&mut self, index: u32, change: impl FnOnce(&mut Condition)) {
        let mut sector = self.sector(index).as_ref().clone();
        sector.change_condition(change);
        self.replace(index, Arc::new(sector));
    }

    /// Whether any sector has a [`Condition`].
    #[must_use]
    pub fn has_conditions(&self) -> bool {
        self.conditioned > 0
    }

    /// Numbers of the sectors that have a [`Condition`]; none on a healthy chip, without a search.
    #[must_use]
    pub fn conditioned(&self) -> Vec<u32> {
        if !self.has_conditions() {
            return Vec::new();
        }
        let all = 0..self.capacity / SECTOR_SIZE as u32;
        all.filter(|&index| self.sector(index).condition().is_some()).collect()
    }

    /// Counts one erase cycle of a sector.
    pub(super) fn wear(&mut self, index: u32) {
        let block = self.block_mut(index as usize / FANOUT);
        let erases = &mut block.erases[index as usize % FANOUT];
        *erases = erases.saturating_add(1);
    }

    /// Puts another sector in place, sharing it.
    pub(crate) fn replace(&mut self, index: u32, sector: Arc<Sector>) {
        let (old, new) = (self.sector(index).condition().is_some(), sector.condition().is_some());
        self.conditioned = self.conditioned + u32::from(new) - u32::from(old);
        let block = self.block_mut(index as usize / FANOUT);
        block.digest.take();
        block.sectors[index as usize % FANOUT] = sector;
    }

    /// Sets each byte to `merge(old, new)`; sectors that stay as they are stay shared.
    pub(super) fn update(&mut self, offset: u32, bytes: &[u8], merge: impl Fn(u8, u8) -> u8) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (index, start) = split(at);
            let (head, tail) = rest.split_at(rest.len().min(SECTOR_SIZE - start));
            let old = &self.sector(index).bytes()[start..start + head.len()];
            if old.iter().zip(head).any(|(&old, &new)| merge(old, new) != old) {
                let block = self.block_mut(index as usize / FANOUT);
                block.digest.take();
                let sector = Arc::make_mut(&mut block.sectors[index as usize % FANOUT]);
                let cells = &mut sector.bytes_mut()[start..start + head.len()];
                for (cell, &new) in cells.iter_mut().zip(head) {
                    *cell = merge(*cell, new);
                }
            }
            at += head.len() as u32;
            rest = tail;
        }
    }

    fn block_mut(&mut self, block: usize) -> &mut Block {
        Arc::make_mut(&mut Arc::make_mut(&mut self.blocks)[block])
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        self.capacity == other.capacity
            && self.blocks.iter().zip(other.blocks.iter()).all(|(a, b)| {
                Arc::ptr_eq(a, b)
                    || a.sectors.iter().zip(&b.sectors).all(|(a, b)| {
                        Arc::ptr_eq(a, b)
                            || (a.bytes() == b.bytes() && a.condition() == b.condition())
                    })
            })
    }
}

impl Eq for Memory {}

/// Sector number and offset in it.
fn split(offset: u32) -> (u32, usize) {
    (offset / SECTOR_SIZE as u32, offset as usize % SECTOR_SIZE)
}

/// Numbers of the sectors that a range of addresses touches.
pub(super) fn sectors(range: &Range<u32>) -> Range<u32> {
    range.start / SECTOR_SIZE as u32..range.end.div_ceil(SECTOR_SIZE as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: u32 = 5 * BLOCK_SIZE as u32 / 4; // the last block is not full

    fn write() -> impl Strategy<Value = (u32, Vec<u8>)> {
        (0..CAPACITY - 5000, prop::collection::vec(any::<u8>(), 1..5000))
    }

    proptest! {
        #[test]
        fn snapshots_are_independent(writes in prop::collection::vec(write(), 1..6)) {
            let mut memory = Memory::erased(CAPACITY);
            let mut snapshots = vec![(memory.clone(), memory.to_vec(0..CAPACITY))];
            for (offset, bytes) in writes {
                memory.set(offset, &bytes);
                let mut expected = snapshots.last().unwrap().1.clone();
                expected[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
                snapshots.push((memory.clone(), expected));
            }
            for (snapshot, expected) in snapshots {
                prop_assert_eq!(snapshot.to_vec(0..CAPACITY), expected);
            }
        }

        #[test]
        fn program_only_clears((offset, bytes) in write(), (at, over) in write()) {
            let mut memory = Memory::erased(CAPACITY);
            memory.set(offset, &bytes);
            let before = memory.to_vec(0..CAPACITY);
            memory.program(at, &over);
            let after = memory.to_vec(0..CAPACITY);
            for (i, (old, new)) in before.iter().zip(&after).enumerate() {
                let data = i.checked_sub(at as usize).and_then(|i| over.get(i));
                prop_assert_eq!(*new, old & data.unwrap_or(&0xFF));
            }
        }

        #[test]
        fn digests_are_equal_exactly_when_bytes_are(
            (offset, bytes) in write(), (at, over) in write(), sector in 0..20u32,
        ) {
            let a = Memory::with_contents(CAPACITY, &[0x5A; 5000]);
            let _cached = a.digest_all();
            let mut b = a.clone();
            b.set(offset, &bytes);
            let _cached = b.digest_all();
            b.program(at, &over);
            let range = sector * 4096..CAPACITY;
            prop_assert_eq!(
                a.digest(range.clone()) == b.digest(range.clone()),
                a.to_vec(range.clone()) == b.to_vec(range.clone())
            );
            // A memory that reached the same bytes another way agrees.
            let again = Memory::with_contents(CAPACITY, &b.to_vec(0..CAPACITY));
            prop_assert_eq!(again.digest(range.clone()), b.digest(range));
            prop_assert_eq!(&again, &b);
        }
    }

    #[test]
    fn erasing_shares_the_blank_sector_and_wears() {
        let mut memory = Memory::with_contents(CAPACITY, &[0; 20_000]);
        memory.erase(0x1000..0x3000);
        assert!(Arc::ptr_eq(memory.sector(1), &Sector::filled(0xFF)));
        assert_eq!([0, 1, 2, 3].map(|index| memory.erase_count(index)), [0, 1, 1, 0]);
        assert_eq!(memory.max_erase_count(), 1);
        let mut fork = memory.clone();
        fork.erase(0x1000..0x2000);
        assert_eq!([0, 1, 2].map(|index| fork.erase_count(index)), [0, 2, 1]);
        assert_eq!(memory.erase_count(1), 1);
        assert_eq!(memory.word(0x2FFC), u32::MAX);
        assert_eq!(memory.word(0x3000), 0);
    }

    #[test]
    fn a_write_copies_one_sector_only() {
        let before = Memory::with_contents(CAPACITY, &[0; 70_000]);
        let mut after = before.clone();
        after.set(0x2345, &[1]);
        let shared = |index| Arc::ptr_eq(before.sector(index), after.sector(index));
        assert_eq!((0..20).filter(|&index| !shared(index)).collect::<Vec<_>>(), [2]);
        assert!(Arc::ptr_eq(&before.blocks[1], &after.blocks[1]));
    }

    #[test]
    fn conditions_are_found_and_counted() {
        let mut memory = Memory::erased(CAPACITY);
        memory.change_condition(7, |c| c.unstable[0] = 1);
        memory.change_condition(7, |c| c.weak[0] = 1);
        assert_eq!(memory.conditioned(), [7]);
        assert_ne!(memory, Memory::erased(CAPACITY));
        memory.erase(7 * 4096..8 * 4096);
        assert_eq!(memory.conditioned(), [0; 0]);
        assert_eq!(memory, Memory::erased(CAPACITY));
    }
}
