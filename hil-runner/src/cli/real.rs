//! Real boards of an inventory as places of a run.

use super::bench::lock;
use hil_runner::bench::{BoardEntry, Lock, SerialEntry, StateDir, open_port, serial_ports};
use hil_runner::board::serial::{RealBoard, RealConfig};
use hil_runner::board::{Board, RigError};
use hil_runner::power::{Guarded, PowerSwitch};
use hil_runner::run::Seat;
use hil_runner::scenario::Case;

/// The rate at which flash is written and read, in baud: all common adapters can do it.
const BAUD: u32 = 460_800;

/// A real board. Its lock is taken when it gets its first case, and kept to the end of the run.
pub(super) struct Real {
    entry: BoardEntry,
    serial: SerialEntry,
    state: StateDir,
    // Before the lock: power comes back while nobody else may use the board.
    board: Option<RealBoard>,
    lock: Option<Lock>,
}

impl Real {
    pub(super) fn new(entry: BoardEntry, serial: SerialEntry, state: StateDir) -> Self {
        Self { entry, serial, state, board: None, lock: None }
    }

    /// The board, locked for that task.
    pub(super) fn get(&mut self, task: &str) -> Result<&mut dyn Board, RigError> {
        match &mut self.lock {
            None => self.lock = Some(lock(&self.state, &self.entry, task)?),
            Some(lock) => lock.describe(task)?,
        }
        let board = match self.board.take() {
            Some(board) => board,
            None => self.open()?,
        };
        Ok(self.board.insert(board))
    }

    fn open(&self) -> Result<RealBoard, RigError> {
        let Self { entry, serial, state, .. } = self;
        let switch = match &serial.power {
            None => None,
            Some(config) => {
                let port = match config.needs_lines() {
                    true => Some(serial.locate(&serial_ports()?)?),
                    false => None,
                };
                let lines = port.as_deref().map(open_port).transpose()?;
                let switch = config.open(lines)?;
                let key = (entry.name.as_str(), entry.key());
                let guarded = Guarded::new(switch, config, key, port.as_deref(), state)?;
                Some(Box::new(guarded) as Box<dyn PowerSwitch>)
            }
        };
        let port = serial.selector();
        let name = entry.name.clone();
        let config = RealConfig { name, port, chip: entry.chip, lines: true, baud: BAUD };
        Ok(RealBoard::real(config, switch))
    }
}

impl Seat for Real {
    fn name(&self) -> String {
        self.entry.name.clone()
    }

    fn board(&mut self, case: &Case) -> Result<&mut dyn Board, RigError> {
        self.get(&case.name)
    }
}
