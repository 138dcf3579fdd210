//! What an exploration comes to.

use super::Cycle;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// What had to hold, in a few words.
    pub invariant: String,
    /// What happened instead.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.invariant, self.what)
    }
}

/// How an expectation is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The expectation.
    pub broken: Broken,
    /// The power cycles from the new device on; the last one breaks it.
    pub cycles: Vec<Cycle>,
}

impl Counterexample {
    /// The number of power cuts.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.cycles.iter().filter(|cycle| cycle.cut.is_some()).count()
    }
}

/// What an exploration comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Different states: flash contents and expectations.
    pub states: usize,
    /// Power cycles that were run.
    pub runs: u64,
    /// Crash states that power cuts left behind, duplicates included.
    pub torn: u64,
    /// The most cuts that a state needs.
    pub deepest: u32,
    /// Whether no new state appeared: then any number of cuts in any order is covered.
    pub complete: bool,
    /// Whether an operation was too large for all its torn contents, so that some were taken for
    /// the rest.
    pub sampled: bool,
    /// A broken expectation. The exploration ends there.
    pub counterexample: Option<Counterexample>,
}
