//! What all runs together come to.

use super::results::{Results, Tally};
use super::text::{count, grouped, seconds};
use crate::run::{Outcome, Verdict};

/// What all runs together come to, the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overall {
    /// Something that a scenario promises does not hold.
    Failed,
    /// Runs came to no verdict about the device.
    Undecided,
    /// Nothing ran at all.
    Nothing,
    /// All that ran passed, some of it only when tried again.
    Retried,
    /// All that ran passed.
    Passed,
}

impl Overall {
    pub(super) fn of(tally: &Tally) -> Self {
        let any = |verdict| tally.of(verdict) > 0;
        if any(Verdict::Fail) {
            Self::Failed
        } else if any(Verdict::RigError) || any(Verdict::MissedWindow) {
            Self::Undecided
        } else if !any(Verdict::Pass) {
            Self::Nothing
        } else if tally.retried > 0 {
            Self::Retried
        } else {
            Self::Passed
        }
    }

    fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Undecided | Self::Nothing => 3,
            Self::Retried => 4,
        }
    }

    /// The verdict that it is shown like.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Passed | Self::Retried => Verdict::Pass,
            Self::Failed => Verdict::Fail,
            Self::Undecided => Verdict::RigError,
            Self::Nothing => Verdict::NotRun,
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Undecided => "Not decided: the bench failed in some runs",
            Self::Nothing => "Nothing was run",
            Self::Retried => "Passed, but some runs only when tried again",
            Self::Passed => "Passed",
        }
    }
}

/// The exit status for these outcomes:
///
/// - 1 if a run failed;
/// - else 3 if a run came to no verdict (rig error, or a cut that missed its window), or if nothing passed
///   at all: no outcomes, or only cases that no board can run;
/// - else 4 if a run passed only when tried again;
/// - else 0.
///
/// A case that is not run neither passes nor fails; beside others that pass, it does not change the status.
/// 2 says that an argument or a file is wrong, and never comes from outcomes.
#[must_use]
pub fn exit_code(outcomes: &[Outcome]) -> u8 {
    Overall::of(&Results::of(outcomes).tally()).exit_code()
}

/// One line that says how it went: `Passed: 3 cases, 40 runs; cuts: 36 planned, 36 fired, 36 landed`.
pub(super) fn headline(results: &Results<'_>) -> String {
    let tally = results.tally();
    let (cases, nowhere) = results.coverage();
    let mut line = format!(
        "{}: {}, {} in {}; cuts: {} planned, {} fired, {} landed",
        Overall::of(&tally).words(),
        count(cases, "case"),
        count(tally.runs, "run"),
        seconds(tally.seconds),
        grouped(tally.planned),
        grouped(tally.fired),
        grouped(tally.landed),
    );
    if nowhere > 0 {
        line += &format!("; {} could be run on no board", count(nowhere, "case"));
    }
    line
}
