//! A small explorer for code that is not an ESP32's: any program that keeps its state on flash.
//!
//! A [`Machine`] is a device between two power-ons: what its flash holds at first, what the world may
//! ask of it at each power-on, and native code that runs on a [`Chip`](crate::flash::Chip). Beside the
//! flash it carries a *ghost*: what somebody who watches the device may expect of it, such as the
//! image that has to start or the value that was stored. The code says when expectations change; they
//! live in no memory of the device and survive every cut.
//!
//! [`Explore::explore`] makes the closure of all that can happen: from each state (exact contents and
//! conditions of all cells, and the ghost) each choice is run, and power is cut in every flash
//! operation in every way that the machine's fault profile allows. States are merged when contents and
//! ghost are the same, and in no other case: there is no abstraction to be trusted. That is affordable
//! because such machines have a few sectors; [`explore`](crate::explore) is the engine for whole ESP32
//! layouts.

mod chain;
mod report;
mod run;
mod search;
mod tears;

pub use chain::{Cut, Cycle, CycleTrace, Misfit};
pub use report::{Broken, Counterexample, Report};
pub use run::{Run, Stop};

use crate::flash::fault::FaultProfile;
use crate::flash::{Memory, Part};
use std::fmt;
use std::hash::Hash;

/// A device whose program keeps its state on flash.
pub trait Machine: fmt::Debug + Sync {
    /// What may be expected of the device.
    type Ghost: Clone + Eq + Hash + fmt::Debug;
    /// What the world asks of it when power comes on; shown in replay files by its name.
    type Choice: Copy + fmt::Display;

    /// The flash part; its capacity is that of the initial contents.
    fn part(&self) -> Part;

    /// The new device, and what to expect of it.
    fn initial(&self) -> (Memory, Self::Ghost);

    /// All that may be asked of the device at a power-on.
    fn choices(&self) -> &[Self::Choice];

    /// What a power cut may do.
    fn profile(&self) -> FaultProfile;

    /// Lives from a power-on until the device idles. The same flash contents, ghost and choice must
    /// give the same operations.
    ///
    /// # Errors
    /// [`Stop::Broken`] when an expectation is not met, [`Stop::Flash`] from the flash.
    fn power_cycle(&self, run: &mut Run<Self::Ghost>, choice: Self::Choice) -> Result<(), Stop>;
}

/// What can be done with any [`Machine`], whatever its types.
pub trait Explore: fmt::Debug + Sync {
    /// Explores until a broken expectation, or until no new state appears, or until there are more
    /// than `max_states` states. States with fewer cuts come first, so a counterexample has the
    /// fewest; its cycles are simplified.
    fn explore(&self, max_states: usize) -> Report;

    /// Lives through the cycles of a counterexample, from the new device on. The trace ends with the
    /// first cycle that breaks an expectation.
    ///
    /// # Errors
    /// [`Misfit`] when a cycle names a choice, an operation or an outcome that there is not.
    fn rerun(&self, cycles: &[Cycle]) -> Result<Vec<CycleTrace>, Misfit>;
}

impl<M: Machine> Explore for M {
    fn explore(&self, max_states: usize) -> Report {
        search::explore(self, max_states)
    }

    fn rerun(&self, cycles: &[Cycle]) -> Result<Vec<CycleTrace>, Misfit> {
        chain::rerun(self, cycles)
    }
}

#[cfg(test)]
mod tests;
