//! Boards with a debug probe.
//!
//! A probe adds to a board behind a serial port ([`ProbeControl`]):
//!
//! - the debug-probe reset, as a step and as a cut. It is no loss of power: flash keeps its supply and ends
//!   its command, and reports call it what it is;
//! - cuts at the n-th flash operation that the core does not run past: it halts where software asks the mask
//!   ROM for the operation, or where that function returns, and is reset there. Firmware with a flash driver
//!   of its own is not seen, nor is anything on Xtensa chips;
//! - registers and memory of a device that has failed.
//!
//! **Attaching a probe disables the chip's watchdogs** (as does each halt, in the debug sequences of
//! probe-rs), until something in the chip enables them again. So a case that needs one (a watchdog cut or
//! reset, an image that ends in a reset by itself) is not run with a probe attached, and a probe should be
//! attached only for cases that ask for a debug reset.
//!
//! A probe is attached anew after each start with power or EN, which takes a while that the device runs
//! without it: what such a start does first is not seen, and a cut that was planned before it is reported as
//! [`Landing::Unknown`](super::Landing::Unknown). After a debug-probe reset the core stands still until
//! everything is arranged.
//!
//! The decisions are tested with the virtual board as [`Target`]. With the feature `probe`, `connect`
//! attaches real probes through the probe-rs library; it has been run against no hardware.

mod control;
mod debugger;
mod post_mortem;
#[cfg(feature = "probe")]
mod real;
mod routines;
mod target;

pub use control::{ProbeBoard, ProbeControl};
#[cfg(feature = "probe")]
pub use real::connect;
pub use target::{Call, Target};

use super::RigError;
use crate::scenario::ChipName;
use std::ops::Range;

/// Attaches the probe to a chip that runs.
pub type Attach = Box<dyn FnMut() -> Result<Box<dyn Target>, RigError> + Send>;

/// What a board does with its probe.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// The chip on the board.
    pub chip: ChipName,
    /// The parts of memory to keep when a device fails; its registers are kept in any case. To be readable
    /// through the debug port, such as the SRAM from 0x3FC8_0000 to 0x3FCE_0000 of an ESP32-C3.
    pub memory: Vec<Range<u32>>,
}
