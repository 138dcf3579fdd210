//! What an exploration found.

use super::cycle::{Cycle, Writer};
use super::hazard::Hazard;
use super::spec::{Invariant, What};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A way in which an invariant breaks. One counterexample is kept for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The invariant.
    pub invariant: Invariant,
    /// The known weakness behind it, if it is recognised.
    pub hazard: Option<Hazard>,
    /// Whose flash operation a cut must hit. With the bootloader, update code cannot prevent it: the
    /// same exploration with cuts in the application alone does not have the finding.
    pub during: Writer,
}

impl Finding {
    /// The hazard, or the invariant where none is recognised.
    pub fn label(&self) -> String {
        self.hazard.map_or_else(|| self.invariant.to_string(), |hazard| hazard.to_string())
    }

    /// What it shows, in one sentence.
    pub fn describe(&self) -> &'static str {
        self.hazard.map_or("of no known weakness", Hazard::describe)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.invariant, self.describe())?;
        if let Some(hazard) = self.hazard {
            write!(f, " ({hazard})")?;
        }
        match self.during {
            Writer::Bootloader => f.write_str(", after a cut in a write of the bootloader"),
            Writer::Application => Ok(()),
        }
    }
}

/// A sequence of power cycles that breaks an invariant.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What it shows.
    pub finding: Finding,
    /// How it shows.
    pub what: What,
    /// The power cycles; the invariant breaks in the last one.
    pub cycles: Vec<Cycle>,
}

impl Counterexample {
    /// Number of power cuts.
    pub fn cuts(&self) -> usize {
        self.cycles.iter().filter(|cycle| cycle.cut.is_some()).count()
    }

    /// Most calls in one power cycle, the start-up of the application included.
    pub fn most_calls(&self) -> usize {
        self.cycles.iter().map(|cycle| cycle.calls.len()).max().unwrap_or(0)
    }
}

/// How far an exploration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Distinct power-on states met.
    pub states: u64,
    /// Distinct states met of a device whose application has started and made some calls.
    pub running: u64,
    /// States met of both kinds, but not yet run.
    pub pending: u64,
    /// Crash states tried, before duplicates are dropped.
    pub torn: u64,
    /// Places at which power was cut: flash operations, summed over all runs.
    pub cut_points: u64,
}

/// The result of an exploration.
#[derive(Clone, Debug)]
pub struct Report {
    /// Flash operations of one undisturbed update.
    pub operations: u64,
    /// Totals.
    pub progress: Progress,
    /// Most cuts on the way to a new state.
    pub deepest: u32,
    /// No state was left unexplored, and no torn outcome was thinned out: any number of cuts is
    /// covered.
    pub complete: bool,
    /// Large operations had their torn contents represented by samples.
    pub sampled_contents: bool,
    /// One counterexample of each kind, those with the fewest cuts first.
    pub counterexamples: Vec<Counterexample>,
    /// Time taken.
    pub elapsed: Duration,
}
