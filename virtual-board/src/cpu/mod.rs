//! The processor: RV32IMC, machine mode, with the C3's own registers.
//!
//! [`Cpu`] interprets code that it decodes once, block by block. It knows memory and devices as a [`Bus`]
//! and counts time in instructions.

mod blocks;
mod bus;
mod compressed;
mod csr;
mod decode;
mod execute;
mod op;

pub(crate) use bus::{Bus, Fault, Stored, Width};

use std::collections::BTreeSet;

use blocks::Blocks;
use csr::Csrs;

/// Where the processor starts after a reset: in the mask ROM.
const RESET_VECTOR: u32 = 0x4000_0000;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The budget is used up.
    Budget,
    /// The last instruction was a store that asked for it ([`Stored::Attention`]).
    Attention,
    /// Nothing happens until an interrupt comes: the last instruction was `wfi`, or a jump to itself.
    Waiting,
    /// The last instruction enabled interrupts.
    InterruptsEnabled,
    /// The next instruction has a breakpoint.
    Breakpoint,
}

/// What a program can see of the processor: all of it that a snapshot has to keep.
#[derive(Clone, Debug)]
pub struct State {
    /// The registers. `x[0]` stays 0.
    pub x: [u32; 32],
    /// Address of the next instruction.
    pub pc: u32,
    csrs: Csrs,
    clock: u64,
}

impl State {
    fn after_reset(clock: u64) -> Self {
        Self { x: [0; 32], pc: RESET_VECTOR, csrs: Csrs::new(), clock }
    }

    /// Reads a control and status register, `None` when there is none of this number.
    #[must_use]
    pub fn read_csr(&self, number: u32) -> Option<u32> {
        self.csrs.read(number, self.clock)
    }

    /// Writes a control and status register, `None` when there is none of this number or it is
    /// read-only.
    pub fn write_csr(&mut self, number: u32, value: u32) -> Option<()> {
        self.csrs.write(number, value, self.clock)
    }
}

/// The processor.
///
/// Code that it has decoded is not part of its [`State`]; whether it is still right is told by
/// [`Bus::code_version`].
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    state: State,
    blocks: Blocks,
    /// The last run ended within a block.
    resume: Option<Resume>,
    /// Address and clock where a run ended for a breakpoint, which does not stop the next run again.
    stopped: Option<(u32, u64)>,
}

/// A place within a block.
#[derive(Clone, Copy, Debug)]
struct Resume {
    /// Address of the instruction.
    pc: u32,
    /// Address of its block.
    block: u32,
    /// Its number within the block.
    index: usize,
}

impl Cpu {
    /// A processor after its first reset.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { state: State::after_reset(0), blocks: Blocks::new(), resume: None, stopped: None }
    }

    /// Resets the processor. Its clock goes on.
    pub(crate) fn reset(&mut self) {
        self.state = State::after_reset(self.state.clock);
    }

    /// Instructions executed since the processor was made. One that traps counts as well.
    #[must_use]
    pub(crate) fn clock(&self) -> u64 {
        self.state.clock
    }

    /// Lets the time of so many instructions pass, as a jump to itself does.
    pub(crate) fn idle(&mut self, instructions: u64) {
        self.state.clock += instructions;
    }

    /// Registers and all else that a program can see.
    #[must_use]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The same, to be changed by a debugger.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Goes back to an earlier state, clock included.
    pub(crate) fn set_state(&mut self, state: &State) {
        self.state.clone_from(state);
    }

    /// Whether an interrupt would be taken (`mstatus.MIE`).
    #[must_use]
    pub(crate) fn interrupts_enabled(&self) -> bool {
        self.state.csrs.interrupts_enabled()
    }

    /// Takes an interrupt on CPU line `line` (0 to 31). The caller has seen that interrupts are enabled.
    pub(crate) fn take_interrupt(&mut self, line: u32) {
        self.state.pc = self.state.csrs.interrupt(line & 31, self.state.pc);
    }

    /// Has runs end before the instructions at these addresses. A run that starts where the last one
    /// ended for a breakpoint steps off it.
    pub(crate) fn set_breakpoints(&mut self, addresses: &BTreeSet<u32>) {
        self.blocks.set_stops(addresses.iter().copied().collect());
    }
}

#[cfg(test)]
mod tests;
