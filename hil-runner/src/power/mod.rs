//! Switches for the power of real boards.
//!
//! A switch says which kinds of cut it really makes ([`PowerSwitch::kinds`]): a reset is never taken for a
//! loss of power. [`PowerConfig`] is a switch as an inventory describes it, [`Guarded`] one that never
//! leaves its board without power, and [`measure`] finds out how fast one is.

mod command;
mod config;
mod en_line;
mod guard;
mod measure;
#[cfg(feature = "ppk2")]
mod ppk2;
mod relay;
mod signs;
mod usb_hub;

pub use config::PowerConfig;
pub use guard::{Guarded, Restored, restore};
pub use measure::{Cycle, Life, Limits, SignsOfLife, measure};
pub use signs::SerialSigns;

use crate::board::RigError;
use crate::scenario::CutKind;

/// What takes power away from a board and gives it back, or what resets it.
pub trait PowerSwitch: Send {
    /// What it is, for reports: the kind of switch and where it is.
    fn name(&self) -> String;

    /// The kinds of cut that it really makes; never empty.
    fn kinds(&self) -> Vec<CutKind>;

    /// Switches on or off. Returns when the command has been carried out, as far as the switch tells; what
    /// is left in capacitors may run the board on for a while.
    ///
    /// # Errors
    /// The switch does not answer or refuses.
    fn set(&mut self, on: bool) -> Result<(), RigError>;
}

/// A state for messages.
fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
