//! Real boards of an inventory as places of a run.

use super::bench::lock;
use hil_runner::bench::{BoardEntry, Lock, SerialEntry, StateDir, open_port, serial_ports};
use hil_runner::board::serial::{RealConfig, RealControl, SerialBoard};
use hil_runner::board::{Board, RigError};
use hil_runner::power::{Guarded, PowerSwitch};
use hil_runner::run::Seat;
use hil_runner::scenario::{Capability, Case, CutKind, ResetKind, needs};

/// The rate at which flash is written and read, in baud: all common adapters can do it.
const BAUD: u32 = 460_800;

/// A real board. Its lock is taken when it gets its first case, and kept to the end of the run.
pub(super) struct Real {
    entry: BoardEntry,
    serial: SerialEntry,
    state: StateDir,
    // Before the lock: power comes back while nobody else may use the board.
    board: Option<Box<dyn Board>>,
    /// Its debug probe is attached whenever it runs.
    probed: bool,
    lock: Option<Lock>,
}

impl Real {
    pub(super) fn new(entry: BoardEntry, serial: SerialEntry, state: StateDir) -> Self {
        Self { entry, serial, state, board: None, probed: false, lock: None }
    }

    /// The board without its debug probe, locked for that task.
    pub(super) fn get(&mut self, task: &str) -> Result<&mut dyn Board, RigError> {
        self.with(task, false)
    }

    fn with(&mut self, task: &str, probed: bool) -> Result<&mut dyn Board, RigError> {
        match &mut self.lock {
            None => self.lock = Some(lock(&self.state, &self.entry, task)?),
            Some(lock) => lock.describe(task)?,
        }
        let same = self.probed == probed;
        let board = match self.board.take().filter(|_| same) {
            Some(board) => board,
            None => self.open(probed)?,
        };
        self.probed = probed;
        Ok(self.board.insert(board).as_mut())
    }

    fn open(&self, probed: bool) -> Result<Box<dyn Board>, RigError> {
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
        let control = RealControl::new(config, switch);
        match serial.probe.as_ref().filter(|_| probed) {
            #[cfg(feature = "probe")]
            Some(probe) => super::probe::board(control, probe, entry.chip),
            _ => Ok(Box::new(SerialBoard::new(control))),
        }
    }
}

/// Whether a case asks for the debug probe. It is attached for no other: that disables the watchdogs.
fn asks_for_probe(case: &Case) -> bool {
    let needs = needs(case);
    needs.contains(&Capability::Cut(CutKind::DebugReset))
        || needs.contains(&Capability::Reset(ResetKind::DebugReset))
}

impl Seat for Real {
    fn name(&self) -> String {
        self.entry.name.clone()
    }

    fn board(&mut self, case: &Case) -> Result<&mut dyn Board, RigError> {
        let probed = cfg!(feature = "probe") && self.serial.probe.is_some() && asks_for_probe(case);
        self.with(&case.name, probed)
    }
}
