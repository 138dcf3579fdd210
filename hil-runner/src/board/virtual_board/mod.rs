//! The virtual board behind its pseudo-terminal: reached by the same code as a real board, cut exactly.
//!
//! Its ports wait in simulated time: while a read waits, the board runs as fast as it can, and a limit is over
//! when so much time has passed on the board. Programs of the host that have the port open instead see a
//! board that is no faster than the clock on the wall while it waits for them.

mod control;
mod cutter;

pub use control::VirtualControl;

use super::RigError;
use super::serial::SerialBoard;
use cutter::Cutter;
use sim::flash::{Memory, Part};
use std::sync::{Arc, Mutex};
use virtual_board::serve::Served;
use virtual_board::{Board, Config};

/// A virtual board.
pub type VirtualBoard = SerialBoard<VirtualControl>;

/// Which virtual board.
#[derive(Clone, Debug)]
pub struct VirtualConfig {
    /// Its name in reports.
    pub name: String,
    /// Its flash chip.
    pub part: &'static Part,
    /// Seed of all that is random: RAM at power-on, random numbers, what is left of torn flash operations.
    pub seed: u64,
    /// Whether a bootloader that was built with rollback can be had for it.
    pub rollback_bootloader: bool,
}

impl VirtualBoard {
    /// A board with an erased flash and without power: an ESP32-C3.
    ///
    /// # Errors
    /// There is no ROM or no pseudo-terminal to be had.
    pub fn virtual_board(config: VirtualConfig) -> Result<Self, RigError> {
        let memory = Memory::erased(config.part.capacity);
        let board = Board::new(Config { seed: config.seed, ..Config::new(config.part, memory) });
        let board = board.map_err(|error| RigError::new(error.to_string()))?;
        let cutter = Arc::new(Mutex::new(Cutter::new(config.seed)));
        let watch = Arc::clone(&cutter);
        let served = Served::start(board, move |board, stop, output| {
            cutter::lock(&watch).after(board, stop, output)
        })?;
        Ok(Self::new(VirtualControl::new(config, Arc::new(served), cutter)))
    }
}
