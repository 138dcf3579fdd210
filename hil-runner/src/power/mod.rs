//! Switches for the power of real boards.
//!
//! A switch says which kinds of cut it really makes ([`PowerSwitch::kinds`]): a reset is never taken for a
//! loss of power.

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
