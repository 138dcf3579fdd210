//! When power goes.

use crate::flash::{CutOutcome, CutTrigger};
use crate::time::Ticks;

/// A planned power cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// When power goes.
    pub point: CutPoint,
    /// How the flash operation ends that is under way then, if one is.
    pub outcome: CutOutcome,
}

/// The moment of a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutPoint {
    /// This simulated time.
    Time(Ticks),
    /// A command to the flash chip.
    Flash(CutTrigger),
    /// Before the instruction at this address is executed.
    Instruction(u32),
    /// When the last byte of this text leaves UART0.
    Console(Vec<u8>),
}
