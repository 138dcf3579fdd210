//! What is asked of a debug probe.

use crate::board::RigError;
use std::ops::Range;

/// The core of a chip, with a debug probe attached to it. When it is dropped, the probe is detached.
pub trait Target: Send {
    /// Whether the core stands still.
    ///
    /// # Errors
    /// The probe fails, or the chip is gone.
    fn is_halted(&mut self) -> Result<bool, RigError>;

    /// Lets the core stand still.
    ///
    /// # Errors
    /// It did not halt in time, or see [`is_halted`](Self::is_halted).
    fn halt(&mut self) -> Result<(), RigError>;

    /// Lets the core go on, off a breakpoint that it stands at.
    ///
    /// # Errors
    /// See [`is_halted`](Self::is_halted).
    fn go_on(&mut self) -> Result<(), RigError>;

    /// Has the core halt before the instructions at these addresses, and at no others. A core that runs is
    /// halted meanwhile.
    ///
    /// # Errors
    /// There are more than the chip has triggers, or see [`is_halted`](Self::is_halted).
    fn set_breakpoints(&mut self, addresses: &[u32]) -> Result<(), RigError>;

    /// Resets the chip; its core halts before the first instruction. Breakpoints are gone afterwards.
    ///
    /// # Errors
    /// It did not halt in time, or see [`is_halted`](Self::is_halted).
    fn reset_and_halt(&mut self) -> Result<(), RigError>;

    /// The function that a halted core is about to enter, if it is about to enter one.
    ///
    /// # Errors
    /// See [`is_halted`](Self::is_halted).
    fn call(&mut self) -> Result<Call, RigError>;

    /// The registers of a halted core, by their names.
    ///
    /// # Errors
    /// See [`is_halted`](Self::is_halted).
    fn registers(&mut self) -> Result<Vec<(String, u64)>, RigError>;

    /// Reads memory while the core is halted.
    ///
    /// # Errors
    /// There is no memory, or see [`is_halted`](Self::is_halted).
    fn read_memory(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError>;
}

/// A call of a function by the calling convention of RISC-V, seen before its first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Address of the next instruction.
    pub function: u32,
    /// Where it returns to: register `ra`.
    pub returns: u32,
    /// The first three arguments: registers `a0` to `a2`.
    pub arguments: [u32; 3],
}
