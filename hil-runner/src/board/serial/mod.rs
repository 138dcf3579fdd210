//! Boards behind a serial port, virtual and real: one implementation of [`Board`] over what differs
//! ([`Control`]).
//!
//! Flash is written and read through the chip's serial loader with the `espflash` library; the console is
//! read with the `serialport` crate. Dropping the [`Port`] of a start closes the serial port, so that
//! another program can open it; a real board is then no longer cut by what its console shows.

mod console;
mod control;
mod loader;
mod ports;
mod real;
mod sectors;
mod text;
mod trigger;

pub(super) use console::Console;
pub(super) use control::RealTime;
pub use control::{Clock, Control, Found, Watcher};
pub use real::{RealBoard, RealConfig, RealControl};
pub use text::TextWatch;
pub use trigger::CutTimes;

use super::{
    Board, Checkpoint, Contents, CutPlan, CutReport, Operation, Port, Recording, RigError,
};
use crate::bench::ports::open;
use crate::scenario::{BoardKind, Capability, ResetKind};
use loader::Loader;
use serialport::{ClearBuffer, SerialPort, TTYPort};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The rate at which the mask ROM and the firmware talk, in baud.
pub const CONSOLE_BAUD: u32 = 115_200;

/// How often to try to reach the serial loader: its limits are of tens of milliseconds, and a busy host
/// misses one at times.
const ATTEMPTS: u32 = 3;

/// A board behind a serial port.
pub struct SerialBoard<C> {
    control: C,
    state: State,
}

/// What the device does.
enum State {
    /// Nothing, or nobody knows.
    Off,
    /// It is in its serial loader.
    Loader(Box<Loader>),
    /// Its firmware runs, or was interrupted.
    Running {
        /// Reads until this is dropped.
        _console: Console,
    },
}

impl<C: Control> SerialBoard<C> {
    /// A board with that control.
    pub fn new(control: C) -> Self {
        Self { control, state: State::Off }
    }

    /// What differs from other boards behind a serial port.
    pub fn control(&self) -> &C {
        &self.control
    }

    /// Gives that up, for a board that does more with it.
    pub fn into_control(self) -> C {
        self.control
    }

    /// Does something with the serial loader; starts it if need be.
    fn load<R>(
        &mut self,
        act: impl FnOnce(&mut Loader, &mut C) -> Result<R, RigError>,
    ) -> Result<R, RigError> {
        let mut loader = match std::mem::replace(&mut self.state, State::Off) {
            State::Loader(loader) => {
                self.control.rest(false)?;
                loader
            }
            running => {
                drop(running);
                Box::new(self.connect()?)
            }
        };
        let result = act(&mut loader, &mut self.control);
        if result.is_ok() {
            self.state = State::Loader(loader);
            self.control.rest(true)?;
        }
        // After a failure nobody knows what the loader is at: the next use starts it anew.
        result
    }

    fn connect(&mut self) -> Result<Loader, RigError> {
        let mut attempt = 1;
        loop {
            let found = self.control.download()?;
            let serial = self.open(&found)?;
            match Loader::connect(serial, &found) {
                // The library itself tries again where it can reset the chip.
                Err(_) if attempt < ATTEMPTS && !found.lines => attempt += 1,
                result => return result,
            }
        }
    }

    fn open(&mut self, found: &Found) -> Result<TTYPort, RigError> {
        match self.control.held_port() {
            Some(port) => Ok(port),
            None => open(&found.path, CONSOLE_BAUD),
        }
    }

    /// Begins to read the console and lets the device run.
    fn listen(
        &mut self,
        found: Found,
        run: impl FnOnce(&mut C, &mut TTYPort) -> Result<(), RigError>,
    ) -> Result<Box<dyn Port>, RigError> {
        let mut serial = self.open(&found)?;
        // What an earlier start has left there.
        serial
            .clear(ClearBuffer::All)
            .map_err(|error| RigError::new(format!("{}: {error}", found.path.display())))?;
        let watcher = self.control.watcher(&serial)?;
        let clock = self.control.clock();
        let (console, port) = Console::open(&serial, found.path, watcher, clock)?;
        self.state = State::Running { _console: console };
        run(&mut self.control, &mut serial)?;
        Ok(port)
    }
}

impl<C: Control> Board for SerialBoard<C> {
    fn name(&self) -> &str {
        self.control.name()
    }

    fn kind(&self) -> BoardKind {
        self.control.kind()
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        self.control.lacks(capability)
    }

    fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        self.load(|loader, control| {
            loader.provision(contents, &mut |range| control.is_erased(range))
        })
    }

    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        self.load(|loader, _| loader.read(range))
    }

    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.load(|loader, _| loader.overwrite(offset, bytes))
    }

    fn start(&mut self, off: Duration) -> Result<Box<dyn Port>, RigError> {
        self.state = State::Off;
        let found = self.control.console(off)?;
        self.listen(found, C::start)
    }

    fn stop(&mut self) -> Result<(), RigError> {
        // The console ends before power goes: what comes from a device that dies is noise.
        self.state = State::Off;
        self.control.stop()
    }

    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        if !matches!(self.state, State::Running { .. }) {
            return Err(RigError::new("only a device that runs can be reset"));
        }
        self.control.reset(kind)?;
        self.start(Duration::ZERO)
    }

    fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError> {
        self.control.plan_cut(TextWatch::of_plan(plan)?)
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        self.control.take_cut()
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        self.control.take_operations()
    }

    fn moments(&mut self) -> Vec<Duration> {
        self.control.moments()
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        self.control.checkpoint()
    }

    fn rewind(&mut self, checkpoint: &Checkpoint) -> Result<Box<dyn Port>, RigError> {
        self.state = State::Off;
        let found = self.control.rewind(checkpoint)?;
        self.listen(found, |control, _| control.go_on())
    }

    fn record(&mut self, into: f64) -> bool {
        self.control.record(into)
    }

    fn take_recording(&mut self) -> Option<Recording> {
        self.control.take_recording()
    }

    fn cut_in(&mut self, recording: &Recording, plan: &CutPlan) -> Result<bool, RigError> {
        self.state = State::Off;
        self.control.cut_in(recording, plan)
    }

    fn post_mortem(&mut self, folder: &Path, name: &str) -> Result<Vec<PathBuf>, RigError> {
        self.control.post_mortem(folder, name)
    }

    fn fingerprint(&mut self) -> Option<[u8; 16]> {
        self.control.fingerprint()
    }
}
