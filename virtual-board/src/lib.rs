//! An ESP32-C3 in software.
//!
//! A [`Board`] executes the chip's mask ROM, a second-stage bootloader and firmware, unmodified, on the
//! simulated flash chip of [`sim`]. Power can be cut inside any flash command. It knows the chip and
//! nothing of updates.
#![deny(missing_docs)]

mod board;
mod bootloader;
mod bus;
mod console;
mod cpu;
mod cut;
mod devices;
mod flash;
mod memory;
mod peripherals;
mod rom;
mod time;
mod watch;
mod window;

pub mod serve;

pub use board::{Board, Config, Error, Snapshot, Stop, Strap};
pub use bootloader::stock_bootloader;
pub use bus::Unimplemented;
pub use console::Console;
pub use cpu::State;
pub use cut::{Cut, CutPoint};
pub use flash::{CutOutcome, CutTrigger, FlashDevice, PowerLoss, Speed};
pub use peripherals::{ChipIdentity, Pacing, ResetCause, Scope};
pub use rom::{RomError, RomRevision};
pub use time::Ticks;
