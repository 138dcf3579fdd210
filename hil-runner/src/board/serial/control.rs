//! What differs between boards behind a serial port.

use super::TextWatch;
use crate::board::{Checkpoint, CutPlan, CutReport, Operation, Recording, RigError};
use crate::scenario::{BoardKind, Capability, ChipName, ResetKind};
use serialport::{TTYPort, UsbPortInfo};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Power, resets and cuts of a board behind a serial port. All else is the same for all of them and is
/// done by [`SerialBoard`](super::SerialBoard).
pub trait Control: Send {
    /// See [`Board::name`](crate::board::Board::name).
    fn name(&self) -> &str;

    /// See [`Board::kind`](crate::board::Board::kind).
    fn kind(&self) -> BoardKind;

    /// See [`Board::lacks`](crate::board::Board::lacks).
    fn lacks(&self, capability: Capability) -> Option<String>;

    /// The port through which the flash is reached. The chip is in its serial loader, or can be reset into
    /// it with the lines of that port ([`Found::lines`]).
    ///
    /// # Errors
    /// Power cannot be given, or the port does not appear.
    fn download(&mut self) -> Result<Found, RigError>;

    /// Says that the chip in its loader is not needed for a while, or that it is needed again.
    ///
    /// # Errors
    /// The board fails.
    fn rest(&mut self, _: bool) -> Result<(), RigError> {
        Ok(())
    }

    /// The port of the console, once the device has been without power for `off`. The device does not run
    /// yet, or [`start`](Self::start) resets it.
    ///
    /// # Errors
    /// Power cannot be given, or the port does not appear.
    fn console(&mut self, off: Duration) -> Result<Found, RigError>;

    /// Lets the device start.
    ///
    /// # Errors
    /// Power cannot be given, or the lines of the port fail.
    fn start(&mut self, console: &mut TTYPort) -> Result<(), RigError>;

    /// Takes power away, or holds the device in reset if nothing can.
    ///
    /// # Errors
    /// The switch fails.
    fn stop(&mut self) -> Result<(), RigError>;

    /// Resets the running device, of which this is the console, as far as to where
    /// [`start`](Self::start) lets it start.
    ///
    /// # Errors
    /// There is no such reset.
    fn reset(&mut self, kind: ResetKind) -> Result<(), RigError>;

    /// What looks at the console of one start, on this port.
    ///
    /// # Errors
    /// The port fails.
    fn watcher(&mut self, console: &TTYPort) -> Result<Box<dyn Watcher>, RigError>;

    /// A port that was kept open because its lines hold the device.
    fn held_port(&mut self) -> Option<TTYPort> {
        None
    }

    /// The time that limits of the console count in.
    fn clock(&self) -> Arc<dyn Clock>;

    /// See [`Board::plan_cut`](crate::board::Board::plan_cut). The text is given ready to be looked for.
    ///
    /// # Errors
    /// It cannot cut like that.
    fn plan_cut(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>) -> Result<(), RigError>;

    /// See [`Board::take_cut`](crate::board::Board::take_cut).
    fn take_cut(&mut self) -> Option<CutReport>;

    /// See [`Board::take_operations`](crate::board::Board::take_operations).
    fn take_operations(&mut self) -> Vec<Operation>;

    /// See [`Board::moments`](crate::board::Board::moments).
    fn moments(&mut self) -> Vec<Duration> {
        Vec::new()
    }

    /// Whether all bits of this range of flash are set, if that is known without asking the chip.
    fn is_erased(&mut self, _: Range<u32>) -> Option<bool> {
        None
    }

    /// See [`Board::checkpoint`](crate::board::Board::checkpoint).
    fn checkpoint(&mut self) -> Option<Checkpoint> {
        None
    }

    /// Returns to a checkpoint; the device stands still until it is let [`go_on`](Self::go_on). Nothing
    /// that was under way on the port arrives afterwards.
    ///
    /// # Errors
    /// See [`Board::rewind`](crate::board::Board::rewind).
    fn rewind(&mut self, _: &Checkpoint) -> Result<Found, RigError> {
        Err(RigError::new("this board has no checkpoints"))
    }

    /// Lets the device go on after [`rewind`](Self::rewind).
    ///
    /// # Errors
    /// The board fails.
    fn go_on(&mut self) -> Result<(), RigError> {
        Ok(())
    }

    /// See [`Board::record`](crate::board::Board::record).
    fn record(&mut self, _into: f64) -> bool {
        false
    }

    /// See [`Board::take_recording`](crate::board::Board::take_recording).
    fn take_recording(&mut self) -> Option<Recording> {
        None
    }

    /// See [`Board::cut_in`](crate::board::Board::cut_in).
    ///
    /// # Errors
    /// The recording is of another board.
    fn cut_in(&mut self, _: &Recording, _: &CutPlan) -> Result<bool, RigError> {
        Err(RigError::new("this board has no recordings"))
    }

    /// See [`Board::post_mortem`](crate::board::Board::post_mortem).
    ///
    /// # Errors
    /// The device cannot be looked into, or the files cannot be written.
    fn post_mortem(&mut self, _folder: &Path, _name: &str) -> Result<Vec<PathBuf>, RigError> {
        Ok(Vec::new())
    }

    /// See [`Board::fingerprint`](crate::board::Board::fingerprint).
    fn fingerprint(&mut self) -> Option<[u8; 16]> {
        None
    }
}

/// A port that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// Its USB device; all zeros for a port that is none.
    pub usb: UsbPortInfo,
    /// The chip that must be there.
    pub chip: ChipName,
    /// Whether DTR and RTS reset the chip.
    pub lines: bool,
    /// The rate to talk to the serial loader at, in baud.
    pub baud: u32,
}

impl Found {
    /// A port that is no USB device and whose lines lead nowhere.
    pub fn bare(path: PathBuf, chip: ChipName) -> Self {
        let usb = UsbPortInfo {
            vid: 0,
            pid: 0,
            serial_number: None,
            manufacturer: None,
            product: None,
            interface: None,
        };
        Self { path, usb, chip, lines: false, baud: super::CONSOLE_BAUD }
    }
}

/// Looks at what comes on the console of one start.
pub trait Watcher: Send {
    /// These bytes have been read, at that moment.
    fn saw(&mut self, bytes: &[u8], at: Instant);

    /// Whether the device was interrupted and what it sent before that has been read. `idle`: nothing came
    /// for a while.
    fn is_over(&mut self, received: u64, idle: bool) -> bool;
}

/// The time of a device.
pub trait Clock: Send + Sync {
    /// Time since some moment.
    fn now(&self) -> Duration;

    /// Says that so many bytes of the console have been read and that nothing is done until more come, or
    /// until it is `until`. Whether these were all; `None` where that is not known.
    fn wait_for_output(&self, received: u64, until: Duration) -> Option<bool>;
}

/// Real time.
pub(in crate::board) struct RealTime(pub(in crate::board) Instant);

impl Clock for RealTime {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait_for_output(&self, _: u64, _: Duration) -> Option<bool> {
        None
    }
}
