//! One power cycle of a machine.

use super::Broken;
use crate::flash::{Chip, EraseSize, FlashError, Memory, PAGE_SIZE, Part, Recorded};

/// More flash operations than any power cycle of a small machine needs.
const MAX_OPERATIONS: u64 = 10_000;

/// Why a power cycle ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// An expectation is not met.
    #[error("{0}")]
    Broken(Broken),
    /// The code used the flash in a way that it refuses, such as an address beyond its end.
    #[error("the flash refused an access: {0}")]
    Flash(#[from] FlashError),
    /// The code does not come to an end.
    #[error("more than {MAX_OPERATIONS} flash operations in one power cycle")]
    Endless,
}

impl Stop {
    /// The expectation `invariant` is not met, because of `what`.
    pub fn broken(invariant: &str, what: impl Into<String>) -> Self {
        Self::Broken(Broken { invariant: invariant.into(), what: what.into() })
    }

    /// What is broken, for the report.
    pub(super) fn into_broken(self) -> Broken {
        match self {
            Self::Broken(broken) => broken,
            other => Broken { invariant: "sound code".into(), what: other.to_string() },
        }
    }
}

/// The flash and the ghost of a machine while it has power.
#[derive(Debug)]
pub struct Run<G> {
    chip: Chip,
    /// Every expectation, with the number of the first operation that it applies to.
    expected: Vec<(u64, G)>,
    notes: Vec<(u64, String)>,
}

impl<G: Clone> Run<G> {
    pub(super) fn new(part: Part, memory: Memory, ghost: G) -> Self {
        let mut chip = Chip::with_memory(part, memory);
        chip.record();
        Self { chip, expected: vec![(0, ghost)], notes: Vec::new() }
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    /// [`Stop::Flash`].
    pub fn read<const N: usize>(&mut self, address: u32) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.chip.read_bytes(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Programs bytes, one operation for each 256-byte page that they touch.
    ///
    /// # Errors
    /// [`Stop::Flash`], [`Stop::Endless`].
    pub fn program(&mut self, address: u32, bytes: &[u8]) -> Result<(), Stop> {
        let (mut at, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let room = PAGE_SIZE - at as usize % PAGE_SIZE;
            let (head, tail) = rest.split_at(rest.len().min(room));
            self.ready()?;
            self.chip.program_page(at, head)?;
            self.chip.wait_ready();
            at += head.len() as u32;
            rest = tail;
        }
        Ok(())
    }

    /// Erases the 4 KiB sector that contains `address`.
    ///
    /// # Errors
    /// [`Stop::Flash`], [`Stop::Endless`].
    pub fn erase(&mut self, address: u32) -> Result<(), Stop> {
        self.ready()?;
        self.chip.erase_unit(EraseSize::Sector4K, address)?;
        self.chip.wait_ready();
        Ok(())
    }

    /// What is expected now.
    pub fn expected(&self) -> &G {
        &self.expected[self.expected.len() - 1].1
    }

    /// From now on something else is expected, also after a cut in the next operation.
    pub fn expect(&mut self, ghost: G) {
        self.expected.push((self.chip.operations(), ghost));
    }

    /// Adds a line to the story of the cycle.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push((self.chip.operations(), text.into()));
    }

    fn ready(&mut self) -> Result<(), Stop> {
        if self.chip.operations() >= MAX_OPERATIONS {
            return Err(Stop::Endless);
        }
        Ok(self.chip.write_enable()?)
    }

    /// Ends the cycle.
    pub(super) fn finish(mut self) -> Finished<G> {
        let recorded = self.chip.take_recording();
        Finished {
            recorded,
            expected: self.expected,
            notes: self.notes,
            memory: self.chip.into_memory(),
        }
    }
}

/// A power cycle that was run to its end.
#[derive(Debug)]
pub(super) struct Finished<G> {
    /// Its operations.
    pub(super) recorded: Vec<Recorded>,
    expected: Vec<(u64, G)>,
    notes: Vec<(u64, String)>,
    /// The flash contents at the end.
    pub(super) memory: Memory,
}

impl<G> Finished<G> {
    /// What is expected after a cut in an operation.
    pub(super) fn expected_in(&self, operation: usize) -> &G {
        let after = self.expected.partition_point(|(first, _)| *first <= operation as u64);
        &self.expected[after - 1].1
    }

    /// Its story up to an operation.
    pub(super) fn notes_until(&self, operation: usize) -> Vec<String> {
        let told = self.notes.iter().take_while(|(before, _)| *before <= operation as u64);
        told.map(|(_, text)| text.clone()).collect()
    }

    /// What is expected at the end.
    pub(super) fn expected(&self) -> &G {
        &self.expected[self.expected.len() - 1].1
    }
}
