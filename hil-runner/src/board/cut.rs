//! Cuts of a device, and the flash operations that they fall into.

use crate::scenario::{CutKind, Text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A cut that a board is to make.
#[derive(Clone, Debug, PartialEq)]
pub struct CutPlan {
    /// How the device is interrupted.
    pub kind: CutKind,
    /// When.
    pub point: CutPoint,
}

/// When a cut falls.
#[derive(Clone, Debug, PartialEq)]
pub enum CutPoint {
    /// In a flash operation.
    Operation {
        /// Which, counted from 1 from the moment of planning.
        number: u32,
        /// How far into it, from 0 just before it to 1 just after it.
        into: f64,
    },
    /// After a text on the console.
    Text {
        /// The text.
        text: Text,
        /// How long after it.
        plus: Duration,
    },
}

/// A flash operation as the software on the device issues it: the erase of one sector or one write.
///
/// The firmware announces its own while its trace is on (`ota-op` lines). Those of the bootloader, and of a
/// firmware that announces nothing, are commands to the flash chip, as far as the board sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// What it does.
    pub kind: OperationKind,
    /// Where in flash.
    pub address: u32,
    /// How many bytes.
    pub length: u32,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            OperationKind::Erase => "erase",
            OperationKind::Write => "write",
        };
        write!(f, "{verb} of {} bytes at {:#x}", self.length, self.address)
    }
}

/// What a flash operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Sets all bits.
    Erase,
    /// Clears bits.
    Write,
}

/// A cut that has fired.
#[derive(Clone, Debug, PartialEq)]
pub struct CutReport {
    /// The operation that it was aimed at or fell into, if any is known.
    pub operation: Option<Operation>,
    /// Where it fell.
    pub landing: Landing,
    /// From the trigger on the console to the end of the command to the power switch, where time is real.
    pub latency: Option<Duration>,
}

/// Where a cut fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Landing {
    /// Where it was asked for: the board cuts exactly.
    Exact,
    /// Known only from flash, which has not been read, or which nothing here can judge.
    Unknown,
    /// Before the operation, by the flash contents: nothing of it was done.
    Before,
    /// In the operation, by the flash contents: some of it was done.
    Torn,
    /// After the operation, by the flash contents: all of it was done, and nothing of the next one.
    After,
    /// The flash contents are none that the flash model predicts.
    Unpredicted,
}
