//! What a flash is to hold.

use std::collections::BTreeMap;

/// Flash contents: some pieces, and erased bytes elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    capacity: u32,
    pieces: BTreeMap<u32, Vec<u8>>,
}

impl Contents {
    /// An erased flash of that many bytes.
    #[must_use]
    pub fn erased(capacity: u32) -> Self {
        Self { capacity, pieces: BTreeMap::new() }
    }

    /// Puts bytes at an offset, over what was put at the same offset before. Pieces do not overlap
    /// otherwise.
    pub fn put(&mut self, offset: u32, bytes: impl Into<Vec<u8>>) {
        self.pieces.insert(offset, bytes.into());
    }

    /// Size of the flash in bytes.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The pieces, in the order of their offsets.
    pub fn pieces(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.pieces.iter().map(|(offset, bytes)| (*offset, bytes.as_slice()))
    }
}
