//! What came of a run: one line of the journal, and all that reports are made of.

use crate::board::{Landing, Operation};
use crate::scenario::{BoardKind, CutKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What came of one run of a case on a board. A case that is cut at every operation makes many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's file.
    pub file: PathBuf,
    /// The case's name.
    pub case: String,
    /// Which run of the case: the cut points, as in `cut 3` or `cut 3, 1`; empty when there is only one.
    pub run: String,
    /// The board's name.
    pub board: String,
    /// What it is.
    pub kind: BoardKind,
    /// The verdict.
    pub verdict: Verdict,
    /// How often it was tried, from 1.
    pub attempt: u32,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// The step that it ended in, if it did not pass.
    pub step: Option<StepRecord>,
    /// The cuts, in their order.
    pub cuts: Vec<CutRecord>,
    /// The cuts of each attempt before this one that missed. They count for where they fell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Vec<CutRecord>>,
    /// The starts of the device that were judged.
    pub boots: Vec<BootRecord>,
    /// Both select entries before the first cut, and after the last start that followed a cut; empty where
    /// they were not read.
    pub otadata: Vec<[EntryRecord; 2]>,
    /// The flash operations of the step that was cut, up to the cut. Kept where the console is.
    pub operations: Vec<OperationRecord>,
    /// The console: lines with the moment they ended, in milliseconds since the run began. Kept of runs
    /// that did not pass and of the first run of a case.
    pub console: Vec<(f64, String)>,
    /// The command that does it again.
    pub replay: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Outcome {
    /// The numbers of the operations for the cuts at `every` operation, if the run need not be done again: what
    /// came to no verdict is.
    pub(super) fn done(&self) -> Option<Vec<u32>> {
        let decided = matches!(self.verdict, Verdict::Pass | Verdict::Fail | Verdict::NotRun);
        let numbers = self.run.trim_start_matches("cut ").split(", ");
        decided.then(|| numbers.filter_map(|number| number.parse().ok()).collect())
    }
}

/// A verdict, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that the scenario promises holds.
    Pass,
    /// The board cannot do what the case needs.
    NotRun,
    /// The cut fell outside of what it was aimed at.
    MissedWindow,
    /// The bench failed, not the device.
    RigError,
    /// Something that the scenario promises does not hold.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::NotRun => "not run",
            Self::MissedWindow => "missed window",
            Self::RigError => "rig error",
            Self::Fail => "fail",
        })
    }
}

/// A step, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepRecord {
    /// Its number in the case, from 1.
    pub number: usize,
    /// Its line in the scenario's file, from 1.
    pub line: usize,
    /// Its verb.
    pub verb: String,
}

/// A cut, for reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CutRecord {
    /// The step that it stands in.
    pub step: StepRecord,
    /// How the device is interrupted.
    pub kind: CutKind,
    /// Where it was asked for, in words: `operation 3, 0.5 into it`.
    pub asked: String,
    /// Number of the operation in the step, if it was asked for one.
    pub number: Option<u32>,
    /// How far into it.
    pub into: Option<f64>,
    /// Whether the device was interrupted.
    pub fired: bool,
    /// Where, if it is known; `None` unless it fired.
    pub landing: Option<Landing>,
    /// Number of the operation that `landing` is about, from 1, where that was found out from flash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landed: Option<u32>,
    /// Number of the operation that the cut counts for, where that was found out from flash: one asked for
    /// there, as far into it, would have fallen in the same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_for: Option<u32>,
    /// The operation, if it is known.
    pub operation: Option<Operation>,
    /// From its trigger on the console to the end of the command to the power switch, in milliseconds,
    /// where time is real.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
}

impl CutRecord {
    /// Whether it is known to have fallen where it was asked for.
    #[must_use]
    pub fn hit(&self) -> bool {
        let found = self.counts_for.is_some() && self.counts_for == self.number;
        self.fired && (self.landing == Some(Landing::Exact) || found)
    }
}

/// A start of the device, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootRecord {
    /// What ran, by the scenario's name for the image, or in the device's words if it has none.
    pub image: String,
    /// The slot that it ran from.
    pub slot: String,
    /// What might have run.
    pub expected: Vec<String>,
    /// How many cuts came before.
    pub after_cuts: usize,
}

/// A select entry, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EntryRecord {
    /// Sequence number.
    pub seq: u32,
    /// State, by its name in ESP-IDF or as a number.
    pub state: String,
    /// Whether the CRC is right.
    pub crc_ok: bool,
    /// Whether all bytes are erased.
    pub erased: bool,
    /// The slot that it selects.
    pub slot: Option<String>,
    /// The 32 bytes, in hexadecimal digits.
    pub hex: String,
}

/// A flash operation, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OperationRecord {
    /// Number in the step, from 1.
    pub number: u32,
    /// What it does.
    pub operation: Operation,
    /// Whether the cut fell into it.
    pub cut: bool,
}
