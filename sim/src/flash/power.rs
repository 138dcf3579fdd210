//! Power: cuts, resets and what the next power-on finds.

use serde::{Deserialize, Serialize};

use super::{Chip, FlashError, SECTOR_SIZE, fault::Tear, noise::Noise};

/// A power cut in a coming operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutPlan {
    /// Number of the operation on the chip, from 0; see [`Chip::operations`].
    pub operation: u64,
    /// How the operation ends.
    pub tear: Tear,
}

impl Chip {
    /// Plans a cut: the operation with that number ends as the tear says, it returns
    /// [`FlashError::PowerLost`], and so does every access from then on until
    /// [`power_on`](Self::power_on). A plan for an operation that has passed never strikes.
    ///
    /// A reset without power loss (fault F9) is a cut with [`Tear::Complete`] when the chip goes
    /// on by itself, with any other tear when the reset aborts it: the code that issued the
    /// operation ends in both cases.
    pub fn plan_cut(&mut self, cut: CutPlan) {
        self.cut = Some(cut);
    }

    /// Whether the chip has power.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Cuts power now. Operations under way or suspended end as the tear says; without any, the
    /// contents stay.
    ///
    /// # Errors
    /// [`FlashError::TearMismatch`] when an operation can't end like that; it then stays without
    /// effect. Power is off in any case.
    pub fn power_off(&mut self, tear: &Tear) -> Result<(), FlashError> {
        self.powered = false;
        self.write_enabled = false;
        let mut outcome = Ok(());
        for interrupted in [self.suspended.take(), self.running.take()].into_iter().flatten() {
            match tear.apply(&self.memory, &interrupted.operation) {
                Ok(memory) => self.memory = memory,
                Err(mismatch) => outcome = Err(mismatch.into()),
            }
        }
        outcome
    }

    /// Restores power; with power on, a power cycle in which an operation under way is lost without
    /// effect. Weak bits flip with a probability of one half each; they stay weak until the next
    /// completed erase.
    pub fn power_on(&mut self) {
        if self.powered {
            self.write_enabled = false;
            self.running = None;
            self.suspended = None;
        }
        self.powered = true;
        self.counters.power_ons += 1;
        for index in self.memory.conditioned() {
            let sector = self.memory.sector(index);
            let Some(weak) = sector.condition().map(|c| c.weak).filter(|w| *w != [0; _]) else {
                continue;
            };
            let mut flips = [0; SECTOR_SIZE];
            // Every power-on flips other bits, and the same ones in a replay.
            let stream = u64::from(index) << 32 | (self.counters.power_ons & 0xFFFF_FFFF);
            Noise::new(self.seed, stream).fill(&mut flips);
            flips.iter_mut().zip(weak).for_each(|(flip, weak)| *flip &= weak);
            self.memory.update(index * SECTOR_SIZE as u32, &flips, |old, flip| old ^ flip);
        }
    }
}
