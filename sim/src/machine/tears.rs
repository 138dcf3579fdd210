//! The sectors that a cut may leave behind, each made once.

use crate::flash::fault::{FaultProfile, Tear, Watch, crash_states};
use crate::flash::{Digest, Memory, Operation, Recorded, SECTOR_SIZE, Sector};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// What is left of a sector.
#[derive(Debug)]
pub(super) struct Torn {
    /// How the operation ended.
    pub(super) tear: Tear,
    sector: Arc<Sector>,
}

/// What a cut in an operation on a sector with certain contents may leave.
///
/// A machine's operations stay within one sector, and so does a torn one. The same operation on the
/// same contents leaves the same, whatever the rest of the flash holds: it is made once.
#[derive(Debug)]
pub(super) struct Tears {
    profile: FaultProfile,
    known: HashMap<(Operation, Digest), Rc<[Torn]>>,
    /// Whether some contents stood for others.
    pub(super) sampled: bool,
}

impl Tears {
    pub(super) fn new(profile: FaultProfile) -> Self {
        Self { profile, known: HashMap::new(), sampled: false }
    }

    /// All different outcomes of a cut in an operation.
    pub(super) fn of(&mut self, recorded: &Recorded) -> Rc<[Torn]> {
        let index = sector_of(&recorded.operation);
        let digest = recorded.before.sector(index).digest();
        let Self { profile, known, sampled } = self;
        let torn = known.entry((recorded.operation.clone(), digest)).or_insert_with(|| {
            let (before, operation) = (&recorded.before, &recorded.operation);
            let states = crash_states(before, operation, profile, &Watch::default());
            // What was recorded did happen, so it fits the chip.
            let states = states.into_iter().inspect(|states| *sampled |= !states.exhaustive());
            let mut seen = HashSet::new();
            let torn = states.flatten().map(|it| {
                let sector = Arc::clone(it.memory.sector(index));
                Torn { tear: it.tear, sector }
            });
            torn.filter(|torn| seen.insert(torn.sector.digest())).collect()
        });
        Rc::clone(torn)
    }
}

impl Torn {
    /// The contents that the cut leaves.
    pub(super) fn memory(&self, recorded: &Recorded) -> Memory {
        let mut memory = recorded.before.clone();
        memory.replace(sector_of(&recorded.operation), Arc::clone(&self.sector));
        memory
    }

    /// The digest of [`memory`](Self::memory), of which that before the operation is known.
    pub(super) fn contents(&self, before: &Contents, recorded: &Recorded) -> Digest {
        let mut contents = before.clone();
        contents.0[sector_of(&recorded.operation) as usize] = self.sector.digest();
        contents.digest()
    }
}

/// The digests of all sectors: a machine has so few that they are the quickest way to tell whether
/// contents are known.
#[derive(Clone, Debug)]
pub(super) struct Contents(Vec<Digest>);

impl Contents {
    pub(super) fn of(memory: &Memory) -> Self {
        let sectors = memory.capacity() / SECTOR_SIZE as u32;
        Self((0..sectors).map(|index| memory.sector(index).digest()).collect())
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.0.iter().map(|digest| digest.0.as_slice()))
    }
}

fn sector_of(operation: &Operation) -> u32 {
    operation.offset / SECTOR_SIZE as u32
}
