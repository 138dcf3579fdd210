//! Outcomes before anything has come of them.

use super::outcome::{Outcome, Verdict};
use crate::board::{Board, RigError};
use crate::scenario::{BoardKind, Case, Scenario};
use std::path::{Path, PathBuf};

impl Outcome {
    /// The command that does a run of the case again.
    pub(super) fn again(&self, choices: &[String]) -> String {
        let board = match self.kind {
            BoardKind::Model => "model",
            BoardKind::Virtual => "virtual",
            BoardKind::Qemu => "qemu",
            BoardKind::Serial | BoardKind::SwitchedSerial => &self.board,
        };
        let at = match choices {
            [] => String::new(),
            choices => format!(" --at {}", choices.join(",")),
        };
        let (file, case) = (quoted(&self.file.display().to_string()), quoted(&self.case));
        format!("hil-runner run {file} --case {case}{at} --board {board}")
    }

    /// Of a case whose board cannot be had.
    pub(super) fn without_board(
        scenario: &Scenario,
        case: &Case,
        board: &str,
        error: &RigError,
    ) -> Self {
        let blank = named(board, BoardKind::Serial, scenario, case);
        Self { verdict: Verdict::RigError, reason: Some(error.to_string()), ..blank }
    }
}

/// An outcome with all that is known before the run.
pub(super) fn blank(board: &dyn Board, scenario: &Scenario, case: &Case) -> Outcome {
    named(board.name(), board.kind(), scenario, case)
}

fn named(board: &str, kind: BoardKind, scenario: &Scenario, case: &Case) -> Outcome {
    let outcome = Outcome {
        scenario: scenario.name.clone(),
        file: relative(&scenario.file),
        case: case.name.clone(),
        run: String::new(),
        board: board.into(),
        kind,
        verdict: Verdict::Pass,
        attempt: 1,
        reason: None,
        step: None,
        cuts: Vec::new(),
        earlier: Vec::new(),
        boots: Vec::new(),
        otadata: Vec::new(),
        operations: Vec::new(),
        console: Vec::new(),
        replay: String::new(),
        seconds: 0.0,
    };
    let replay = outcome.again(&[]);
    Outcome { replay, ..outcome }
}

/// A path as seen from the current folder, if it is below that.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).into()
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path.into() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
