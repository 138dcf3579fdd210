//! When power goes, and what that does to the flash operation under way.

use std::ops::Range;

use sim::flash::{
    Operation, OperationKind,
    fault::{Tear, TearMismatch},
};

use crate::time::Ticks;

/// A power cut that waits for a flash command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PowerCut {
    /// The command that it waits for.
    pub(crate) trigger: CutTrigger,
    /// How the operation that the command starts, or that is under way or suspended, ends.
    pub(crate) outcome: CutOutcome,
}

/// A flash command, the moment of a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutTrigger {
    /// The program or erase with that number, from 0 since the chip was made; see
    /// [`FlashDevice::operations`](super::FlashDevice::operations).
    Operation(u64),
    /// The SPI command of any kind with that number, from 0 since the chip was made; see
    /// [`FlashDevice::commands`](super::FlashDevice::commands).
    Command(u64),
    /// The next read, program or erase command that touches a byte of this address range while the
    /// chip listens to it: not busy, not in power-down.
    Touch(Range<u32>),
}

/// How an interrupted operation ends. Every outcome is a [`Tear`], so that the flash contents are
/// among those that the fault model allows.
///
/// A fraction of the busy time becomes a tear of class F0 to F3:
///
/// - 0 or less: [`Tear::Untouched`]; 1 or more: [`Tear::Complete`].
/// - Between, a program: with seed 0 [`Tear::Prefix`] of that fraction of its bytes, rounded down;
///   with any other seed [`Tear::Mixed`], each bit done or not.
/// - Between, an erase, in the order in which the phases pass: below 3/8 [`Tear::Mixed`], below 5/8
///   [`Tear::Zeroed`], then [`Tear::NearlyErased`].
/// - Between, with a program under way while an erase is suspended: [`Tear::Mixed`] for both.
#[derive(Clone, Debug, PartialEq)]
pub enum CutOutcome {
    /// The tear for the part of its busy time that the operation had, as of the clock.
    Elapsed {
        /// Which bits.
        seed: u64,
    },
    /// The tear for a fraction of the busy time, without waiting for it to pass.
    Fraction {
        /// 0 is the start of the operation, 1 its end.
        fraction: f64,
        /// Which bits.
        seed: u64,
    },
    /// That tear. If the operation can't end so, it has no effect.
    Exact(Tear),
}

impl CutOutcome {
    /// The tear for `operation`, of whose busy time the part `elapsed` has passed. `nested`: another
    /// operation is suspended, and the tear has to fit both.
    #[must_use]
    pub fn tear(&self, operation: &Operation, elapsed: f64, nested: bool) -> Tear {
        let (fraction, seed) = match self {
            Self::Exact(tear) => return tear.clone(),
            Self::Fraction { fraction, seed } => (*fraction, *seed),
            Self::Elapsed { seed } => (elapsed, *seed),
        };
        if fraction >= 1.0 {
            return Tear::Complete;
        }
        // Not a number is also "nothing happened".
        if fraction.is_nan() || fraction <= 0.0 {
            return Tear::Untouched;
        }
        match &operation.kind {
            _ if nested => Tear::Mixed { seed },
            OperationKind::Program { data } if seed == 0 => {
                Tear::Prefix { bytes: (fraction * data.len() as f64) as u32 }
            }
            OperationKind::Program { .. } => Tear::Mixed { seed },
            OperationKind::Erase(_) => match fraction {
                ..0.375 => Tear::Mixed { seed },
                ..0.625 => Tear::Zeroed,
                _ => Tear::NearlyErased { seed },
            },
        }
    }
}

/// What a power loss did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerLoss {
    /// When power went.
    pub time: Ticks,
    /// SPI commands that the chip had got by then, the one under way included.
    pub commands: u64,
    /// The operation that was under way, else the suspended one.
    pub operation: Option<Operation>,
    /// How operations under way or suspended ended; an error means that the tear asked for does not
    /// fit, and that an operation it does not fit had no effect.
    pub tear: Result<Tear, TearMismatch>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::flash::{EraseSize, Memory};

    fn tear(operation: &Operation, fraction: f64, seed: u64) -> Tear {
        CutOutcome::Fraction { fraction, seed }.tear(operation, 0.9, false)
    }

    #[test]
    fn fractions_follow_the_operation() {
        let program = Operation::program(0, vec![0; 200]);
        assert_eq!(tear(&program, 0.0, 0), Tear::Untouched);
        assert_eq!(tear(&program, f64::NAN, 0), Tear::Untouched);
        assert_eq!(tear(&program, 0.25, 0), Tear::Prefix { bytes: 50 });
        assert_eq!(tear(&program, 0.25, 7), Tear::Mixed { seed: 7 });
        assert_eq!(tear(&program, 1.0, 7), Tear::Complete);
        let erase = Operation::erase(0, EraseSize::Sector4K);
        let phases = [0.0, 0.25, 0.5, 0.75, 1.0].map(|fraction| tear(&erase, fraction, 3));
        let expected = [
            Tear::Untouched,
            Tear::Mixed { seed: 3 },
            Tear::Zeroed,
            Tear::NearlyErased { seed: 3 },
            Tear::Complete,
        ];
        assert_eq!(phases, expected);
    }

    #[test]
    fn every_fraction_fits_its_operation() {
        let memory = Memory::erased(64 * 1024);
        let operations =
            [Operation::program(16, vec![0; 240]), Operation::erase(0, EraseSize::Block32K)];
        for operation in operations {
            for step in 0..=16 {
                for seed in 0..3 {
                    let tear = tear(&operation, f64::from(step) / 16.0, seed);
                    assert!(tear.apply(&memory, &operation).is_ok(), "{operation} {tear:?}");
                }
            }
        }
    }

    #[test]
    fn the_clock_decides_only_when_asked() {
        let erase = Operation::erase(0, EraseSize::Sector4K);
        let exact = CutOutcome::Exact(Tear::Zeroed);
        assert_eq!(exact.tear(&erase, 0.1, false), Tear::Zeroed);
        let elapsed = CutOutcome::Elapsed { seed: 1 };
        assert_eq!(elapsed.tear(&erase, 0.9, false), Tear::NearlyErased { seed: 1 });
        assert_eq!(elapsed.tear(&erase, 0.5, true), Tear::Mixed { seed: 1 });
    }
}
