//! Random faults of a running chip, reproducible from a seed.

use serde::{Deserialize, Serialize};

use super::{FaultClass, FaultProfile, Tear};
use crate::flash::{Operation, OperationKind, noise::Noise};

/// What goes wrong with one operation although power stays on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// F7: the command reports success and ends as the tear says.
    Silent(Tear),
    /// F5: the operation completes and leaves weak cells.
    Weak,
    /// F10: the operation fails, leaves the tear and an error in the status.
    Failed(Tear),
    /// F10: the operation completes but some bits of its sectors are stuck at 0 from now on.
    Stuck {
        /// Which bits.
        seed: u64,
    },
}

/// Decides which operations and reads of a [`Chip`](crate::flash::Chip) fail, and how.
///
/// The same injector with the same sequence of accesses gives the same faults.
#[derive(Clone, Debug)]
pub struct FaultInjector {
    profile: FaultProfile,
    /// Faults per million operations, and per million reads.
    rate: u32,
    schedule: Vec<(u64, Fault)>,
    read_schedule: Vec<u64>,
    noise: Noise,
}

impl FaultInjector {
    /// Faults of the classes F5, F7, F10 and F11 that `profile` selects, each operation and each
    /// read failing with a probability of `per_million` in 1,000,000. With F10, sectors beyond
    /// the part's endurance fail always.
    #[must_use]
    pub fn random(profile: FaultProfile, per_million: u32) -> Self {
        let noise = Noise::new(profile.seed, 0xFA);
        Self { profile, rate: per_million, schedule: Vec::new(), read_schedule: Vec::new(), noise }
    }

    /// Exactly these faults: operations by their number on the chip, from 0.
    #[must_use]
    pub fn scheduled(seed: u64, schedule: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        let schedule = schedule.into_iter().collect();
        Self { schedule, ..Self::random(FaultProfile::none(seed), 0) }
    }

    /// Adds failing reads (F11) by their number on the chip, from 0.
    #[must_use]
    pub fn with_read_faults(mut self, reads: impl IntoIterator<Item = u64>) -> Self {
        self.read_schedule.extend(reads);
        self
    }

    /// The fault of the operation with that number, if any. `worn` when it erases a sector beyond
    /// its endurance.
    pub(in crate::flash) fn operation(
        &mut self,
        number: u64,
        operation: &Operation,
        worn: bool,
    ) -> Option<Fault> {
        if let Some((_, fault)) = self.schedule.iter().find(|(at, _)| *at == number) {
            return Some(fault.clone());
        }
        if worn && self.profile.has(FaultClass::WearOut) {
            return Some(self.worn_out());
        }
        if !self.noise.chance(self.rate) {
            return None;
        }
        let classes = [FaultClass::Weak, FaultClass::Silent, FaultClass::WearOut];
        let selected: Vec<_> = classes.into_iter().filter(|&c| self.profile.has(c)).collect();
        if selected.is_empty() {
            return None;
        }
        Some(match selected[self.noise.below(selected.len() as u32) as usize] {
            FaultClass::Weak => Fault::Weak,
            FaultClass::Silent => Fault::Silent(self.partial(operation)),
            _ => self.worn_out(),
        })
    }

    /// Whether the read with that number fails.
    pub(in crate::flash) fn read(&mut self, number: u64) -> bool {
        self.read_schedule.contains(&number)
            || (self.profile.has(FaultClass::ReadFault) && self.noise.chance(self.rate))
    }

    /// Bits that differ in this read of unstable cells.
    pub(in crate::flash) fn seed(&self) -> u64 {
        self.profile.seed
    }

    fn worn_out(&mut self) -> Fault {
        let seed = u64::from(self.noise.word());
        if self.noise.chance(500_000) {
            Fault::Failed(Tear::Mixed { seed })
        } else {
            Fault::Stuck { seed }
        }
    }

    fn partial(&mut self, operation: &Operation) -> Tear {
        let seed = u64::from(self.noise.word());
        match (&operation.kind, self.noise.below(3)) {
            (_, 0) => Tear::Untouched,
            (_, 1) => Tear::Mixed { seed },
            (OperationKind::Program { data }, _) => {
                Tear::Prefix { bytes: self.noise.below(data.len().max(1) as u32) }
            }
            (OperationKind::Erase(_), _) => Tear::NearlyErased { seed },
        }
    }
}
