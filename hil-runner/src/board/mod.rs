//! What runs a scenario: the flash model, the virtual board, QEMU, and real boards, behind one trait.
//!
//! A [`Board`] is a device that can be given flash contents, switched on and off, and cut. What runs on it
//! talks through a [`Port`]. A case cannot tell which board it got; what a board cannot do it says
//! ([`Board::lacks`]), and the case is then not run.

pub mod aim;
mod contents;
mod cut;
mod model;
pub mod probe;
pub mod qemu;
pub mod serial;
pub mod virtual_board;

pub use contents::Contents;
pub use cut::{CutPlan, CutPoint, CutReport, Landing, Operation, OperationKind};
pub(crate) use model::Done;
pub use model::ModelBoard;

use crate::scenario::{BoardKind, Capability, ResetKind};
use std::any::Any;
use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A device on which cases run.
///
/// Flash operations are counted as the software on the device issues them: the erase of one sector, or one
/// write. All boards number them alike ([`Operation`]).
pub trait Board: Send {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// What it is.
    fn kind(&self) -> BoardKind;

    /// Why it cannot do this, as a phrase; `None` when it can.
    fn lacks(&self, capability: Capability) -> Option<String>;

    /// Makes flash hold exactly this. The device is off, or held, afterwards.
    ///
    /// # Errors
    /// The board does not answer, or holds something else afterwards.
    fn provision(&mut self, contents: &Contents) -> Result<(), RigError>;

    /// Reads flash. The device is off, or held, afterwards.
    ///
    /// # Errors
    /// The board does not answer.
    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError>;

    /// Overwrites bytes of flash; others stay. The device is off, or held, afterwards.
    ///
    /// # Errors
    /// The board does not answer, or holds something else afterwards.
    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError>;

    /// Lets the device start, once it has been without power for `off`, and gives the console of that
    /// start, from its first byte. After a cut that was a reset the device has started by itself; then this
    /// gives the console since.
    ///
    /// # Errors
    /// The power switch or the port fails.
    fn start(&mut self, off: Duration) -> Result<Box<dyn Port>, RigError>;

    /// Takes power away. The ports of the device fail from then on.
    ///
    /// # Errors
    /// The power switch fails.
    fn stop(&mut self) -> Result<(), RigError>;

    /// Resets the running device in that way without loss of power, and gives the console of the new start.
    /// [`ResetKind::Software`] is no matter of the board: the firmware is asked for it.
    ///
    /// # Errors
    /// The board has no such reset, or it fails.
    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError>;

    /// Plans a cut in place of the one before, or none; what became of one that has fired can then still be
    /// asked for. Operations count from now; while the device is off, from its start.
    ///
    /// # Errors
    /// The board cannot cut like that.
    fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError>;

    /// What became of the cut that was planned last: `None` as long as it has not fired. Asked for once.
    fn take_cut(&mut self) -> Option<CutReport>;

    /// The flash operations since the last call, as far as the board sees them. An operation that a cut
    /// stopped is among them.
    fn take_operations(&mut self) -> Vec<Operation>;

    /// When those operations were announced, as long as they are not taken: the time since some moment, for
    /// the first ones as far as it is known.
    fn moments(&mut self) -> Vec<Duration> {
        Vec::new()
    }

    /// The device as it is, to return to it; `None` when the board cannot.
    fn checkpoint(&mut self) -> Option<Checkpoint> {
        None
    }

    /// Returns to a checkpoint of this board, and gives the console from there on.
    ///
    /// # Errors
    /// The checkpoint is of another board.
    fn rewind(&mut self, _: &Checkpoint) -> Result<Box<dyn Port>, RigError> {
        Err(RigError::new("this board has no checkpoints"))
    }

    /// Keeps the device as it is that far into each flash operation from now on (while it is off: from its
    /// start), so that it can be cut there later without doing the same again. False when the board cannot.
    fn record(&mut self, _into: f64) -> bool {
        false
    }

    /// Ends the recording and gives it away; `None` when there is none.
    fn take_recording(&mut self) -> Option<Recording> {
        None
    }

    /// Puts the device where the cut, at an operation counted from the start of the recording, would have
    /// left it; [`take_cut`](Self::take_cut) tells about it. False when there is no such operation.
    ///
    /// # Errors
    /// The recording is of another board.
    fn cut_in(&mut self, _: &Recording, _: &CutPlan) -> Result<bool, RigError> {
        Err(RigError::new("this board has no recordings"))
    }

    /// Keeps what a device that has failed has in its registers and its memory, in files of that folder whose
    /// names begin with that one. Gives their paths: none where nobody can look.
    ///
    /// # Errors
    /// The device cannot be looked into, or the files cannot be written.
    fn post_mortem(&mut self, _folder: &Path, _name: &str) -> Result<Vec<PathBuf>, RigError> {
        Ok(Vec::new())
    }

    /// A digest of all flash contents, hidden conditions of its cells included; `None` when it takes long.
    fn fingerprint(&mut self) -> Option<[u8; 16]> {
        None
    }
}

/// A state of a board that it can return to; what is in it is the board's own.
pub type Checkpoint = Box<dyn Any + Send>;

/// A device at each of its flash operations for some time; what is in it is the board's own.
pub type Recording = Box<dyn Any + Send>;

/// The console of a device, both ways, for one start.
///
/// A read gives at least one byte, or fails: with [`TimedOut`](std::io::ErrorKind::TimedOut) when nothing
/// came in time, with [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) when the device was cut,
/// stopped, or taken for something else.
pub trait Port: Read + Write + Send {
    /// How long a read waits for its first byte, in the time of the device.
    fn set_timeout(&mut self, timeout: Duration);

    /// The serial port's path for other programs, if there is one.
    fn path(&self) -> Option<&Path> {
        None
    }
}

/// The bench failed, not the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RigError {
    what: String,
}

impl RigError {
    /// Says what failed and, where that is known, what helps.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl fmt::Display for RigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for RigError {}

impl From<std::io::Error> for RigError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
