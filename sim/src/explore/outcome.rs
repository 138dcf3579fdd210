//! What a cut in one flash operation can lead to.

use super::hit;
use super::leftover::{LeftoverId, Leftovers};
use super::state::Content;
use super::world::World;
use crate::flash::fault::{CrashStates, FaultProfile, Tear, Watch, crash_states};
use crate::flash::{Digest, Operation, Recorded};
use ota_core::image::DESCRIPTOR_OFFSET;
use ota_core::otadata::{self, SelectEntry, State as OtaState};
use ota_core::partition::Region;
use std::collections::{HashMap, HashSet};
use std::iter;
use std::rc::Rc;

/// State words that readers of a select entry tell apart.
pub(crate) const DICTIONARY: [u32; 5] = [
    OtaState::NEW.0,
    OtaState::PENDING_VERIFY.0,
    OtaState::VALID.0,
    OtaState::INVALID.0,
    OtaState::ABORTED.0,
];

/// What a partition holds, with what an update may go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Held {
    /// Nothing of that kind.
    Content(Content),
    /// This, which some upload left.
    Leftover(LeftoverId),
}

/// What is different after a cut, in the form that a [`State`](super::State) keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Change {
    /// The select entries are these.
    Entries([SelectEntry; 2]),
    /// The application partition of this number holds that.
    Content(usize, Held),
    /// Nothing that anybody reads.
    Nothing,
}

/// One outcome of a cut.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) change: Change,
    /// The simplest tear that leads to it.
    pub(super) tear: Tear,
    /// A well-formed entry is left in a state that was neither there before nor meant.
    pub(super) torn_state: bool,
}

/// All outcomes of a cut in one operation, each once.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) distinct: Vec<Outcome>,
    /// Crash states that were looked at.
    pub(super) torn: u64,
    /// The contents that a large operation leaves were sampled.
    pub(super) sampled: bool,
}

/// Finds the outcomes of cuts. The same operation on the same contents has the same outcomes, so they
/// are remembered by the digest of the partition before and the operation.
#[derive(Debug)]
pub(super) struct Cuts<'w> {
    world: &'w World<'w>,
    profile: FaultProfile,
    pub(super) leftovers: Leftovers,
    /// `None` to work them out every time.
    known: Option<HashMap<(Digest, Operation), Rc<Outcomes>>>,
}

impl<'w> Cuts<'w> {
    pub(super) fn new(world: &'w World<'w>, profile: FaultProfile, remember: bool) -> Self {
        let leftovers = Leftovers::default();
        Self { world, profile, leftovers, known: remember.then(HashMap::new) }
    }

    /// The outcomes of a cut in `recorded`.
    pub(super) fn outcomes(&mut self, recorded: &Recorded) -> Rc<Outcomes> {
        let place = self.place(recorded);
        let Some(known) = &mut self.known else {
            return Rc::new(self.work_out(recorded, place));
        };
        let digest = match place {
            Some((_, region)) => recorded.before.digest(region.offset..region.offset + region.size),
            None => recorded.before.digest_all(),
        };
        let key = (digest, recorded.operation.clone());
        if let Some(outcomes) = known.get(&key) {
            return outcomes.clone();
        }
        let outcomes = Rc::new(self.work_out(recorded, place));
        if let Some(known) = &mut self.known {
            known.insert(key, outcomes.clone());
        }
        outcomes
    }

    /// The partition that an operation lies in: otadata, or an application partition by number.
    fn place(&self, recorded: &Recorded) -> Option<(Option<usize>, Region)> {
        let range = recorded.operation.range(self.world.part.capacity);
        let inside = |region: &Region| {
            region.offset <= range.start
                && u64::from(range.end) <= region.end().map_or(0, u64::from)
        };
        let otadata = self.world.layout.apps().otadata();
        if inside(&otadata) {
            return Some((None, otadata));
        }
        self.world
            .partitions()
            .enumerate()
            .find_map(|(index, region)| region.filter(inside).map(|region| (Some(index), region)))
    }

    /// The application partition that an operation lies in, by number.
    pub(super) fn partition(&self, recorded: &Recorded) -> Option<usize> {
        self.place(recorded)?.0
    }

    /// Every content that a cut in `recorded` can leave.
    pub(super) fn crash_states<'r>(&self, recorded: &'r Recorded) -> CrashStates<'r> {
        torn(self.world, &self.profile, recorded)
    }

    fn work_out(&self, recorded: &Recorded, place: Option<(Option<usize>, Region)>) -> Outcomes {
        let otadata = matches!(place, Some((None, _)));
        let states = self.crash_states(recorded);
        let mut outcomes =
            Outcomes { sampled: otadata && !states.exhaustive(), ..Outcomes::default() };
        let before = self.world.raw_entries(&recorded.before);
        let after = self.world.raw_entries(&recorded.after);
        let mut seen = HashSet::new();
        for crash in states {
            outcomes.torn += 1;
            let mut torn_state = false;
            let change = match place {
                Some((None, _)) => {
                    let torn = self.world.raw_entries(&crash.memory);
                    if forged(&before, &torn, &after) {
                        continue;
                    }
                    torn_state = hit::torn_state(&before, &torn, &after);
                    Change::Entries(self.world.entries(&crash.memory))
                }
                Some((Some(index), region)) => {
                    Change::Content(index, self.leftovers.held(self.world, &crash.memory, region))
                }
                None => Change::Nothing,
            };
            if seen.insert((change, torn_state)) {
                outcomes.distinct.push(Outcome { change, tear: crash.tear, torn_state });
            }
        }
        outcomes
    }
}

/// Every content that a cut in an operation can leave; see [`crash_states`]. Those in which a select entry
/// was [`forged`] are among them.
pub(crate) fn torn<'r>(
    world: &World<'_>,
    profile: &FaultProfile,
    recorded: &'r Recorded,
) -> CrashStates<'r> {
    let otadata = world.layout.apps().otadata();
    // Of an image only the verdict counts, so its torn contents are represented by a few.
    let mut profile = *profile;
    let range = recorded.operation.range(world.part.capacity);
    if range.start < otadata.offset || range.end > otadata.offset + otadata.size {
        profile.exhaustive_words = 0;
    }
    let encrypted = world.is_encrypted();
    let fields = |index: u32| {
        let start = otadata.offset + index * otadata::SECTOR_SIZE;
        // The label in between is read by nobody.
        [start..start + 4, start + 24..start + 32]
    };
    let anti_rollback = world.bootloader.anti_rollback.is_some();
    // Under anti-rollback the security version in a description is read before the image is verified. On
    // encrypted flash a torn one is noise, as is the magic number in the same block.
    let slot = world.touched(recorded).next().filter(|_| anti_rollback && !encrypted);
    let (ranges, dictionary) = match slot {
        Some((_, region)) => {
            let version = region.offset + DESCRIPTOR_OFFSET + 4;
            (iter::once(version..version + 4).collect(), world.comparable_versions())
        }
        // Words of ciphertext mean nothing to a reader, but the two blocks of an entry hold those fields.
        None if encrypted => ([fields(0), fields(1)].concat(), Vec::new()),
        None => ([fields(0), fields(1)].concat(), DICTIONARY.to_vec()),
    };
    let watch = Watch { ranges: &ranges, dictionary: &dictionary, encrypted };
    crash_states(&recorded.before, &recorded.operation, &profile, &watch)
        .expect("a recorded operation fits the memory that it was recorded on")
}

/// Whether a torn operation made a well-formed entry out of two words that do not belong together.
///
/// For a random pair the odds are 1 in 2^32. The one pair that could come about without luck is a
/// sequence number of all zeros under a CRC of all ones; it would take an erase that stops with one
/// word done and the other not begun.
pub(crate) fn forged(
    before: &[SelectEntry; 2],
    torn: &[SelectEntry; 2],
    after: &[SelectEntry; 2],
) -> bool {
    let pair = |entry: &SelectEntry| (entry.seq, entry.crc);
    (0..2).any(|i| {
        let found = pair(&torn[i]);
        torn[i].crc_ok() && found != pair(&before[i]) && found != pair(&after[i])
    })
}
