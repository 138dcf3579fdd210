//! Exploration of every power cut.
//!
//! A *power-on state* is what flash holds when power returns. From each the bootloader and the subject
//! run once; at every flash operation of either, power is cut in every way that the fault profile
//! allows, and what remains is the next power-on state. The search is breadth first by the number of
//! cuts and ends when no new state appears: then *any* number of cuts in *any* order was covered.

mod cycle;
mod encrypted;
mod genuine;
mod hazard;
mod hit;
mod identify;
mod leftover;
mod outcome;
mod plain;
mod reductions;
mod report;
mod run;
mod search;
mod spec;
mod state;
mod summary;
mod verdicts;
mod wear;
mod world;

pub use cycle::{Cut, Cycle, Request, Writer};
pub(crate) use encrypted::encryption;
pub use hazard::Hazard;
pub(crate) use hit::{Hit, content_of, recognise, torn_state};
pub(crate) use leftover::{Holding, LeftoverId, Leftovers};
pub(crate) use outcome::{DICTIONARY, Held, forged, torn};
pub use plain::{Check, PlainLimits, PlainReport, plain, plain_nested};
pub use reductions::Reductions;
pub use report::{Counterexample, Finding, Progress, Report};
pub use run::{AppRun, BootRun, CallRun};
pub use search::{Limits, explore};
pub(crate) use search::{Met, Situation, close};
pub use spec::{Booted, Broken, Candidates, Invariant, Spec, Trial, Usage, What};
pub use state::{Content, Contents, Flash, State};
pub(crate) use world::Expected;
pub use world::{World, WorldError};
