//! Replay files of known bugs.

use super::{KnownBug, Variant};
use crate::input::{self, InputError};
use crate::machine::{Broken, Counterexample, Cycle, CycleTrace, Misfit};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// The version of the format that this program reads and writes.
const FORMAT: u32 = 1;
/// Largest replay file in bytes.
const MAX_FILE: u64 = 0x10_0000;

/// A counterexample that can be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KnownReplay {
    /// Version of the format: 1.
    pub format: u32,
    /// The bug, by name. A replay file of the ESP32 explorer has no such entry.
    pub known_bug: String,
    /// `bad` or `fixed`.
    pub variant: String,
    /// What breaks in the last cycle.
    pub broken: Broken,
    /// The power cycles, from the new device on.
    pub cycles: Vec<Cycle>,
}

/// Why a replay file of a known bug cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The file is not what it should be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is no such bug or variant.
    #[error("unknown {what} {name:?}, expected {expected}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// The names there are.
        expected: String,
    },
    /// The cycles do not fit.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// What happened in a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The power cycles.
    pub cycles: Vec<CycleTrace>,
    /// Whether the last one breaks what the file says.
    pub reproduced: bool,
}

impl KnownReplay {
    /// The replay of a counterexample.
    #[must_use]
    pub fn new(bug: &KnownBug, variant: Variant, example: &Counterexample) -> Self {
        Self {
            format: FORMAT,
            known_bug: bug.name.into(),
            variant: variant.name().into(),
            broken: example.broken.clone(),
            cycles: example.cycles.clone(),
        }
    }

    /// Whether a file is a replay of a known bug, not of the ESP32 explorer.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_one(path: &Path) -> Result<bool, InputError> {
        let bytes = input::read_file(path, "a replay file that `sim` wrote", MAX_FILE)?;
        let value: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        Ok(value.is_some_and(|value| value.get("known-bug").is_some()))
    }

    /// Reads a replay file.
    ///
    /// # Errors
    /// The file cannot be read or is not a replay file of this format.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let bytes = input::read_file(path, "a replay file that `sim known` wrote", MAX_FILE)?;
        let replay: Self = serde_json::from_slice(&bytes).map_err(|error| {
            InputError::new(path, format!("not a replay file of format {FORMAT}: {error}"))
        })?;
        if replay.format != FORMAT {
            let what = format!("format {} is not supported, expected {FORMAT}", replay.format);
            return Err(InputError::new(path, what));
        }
        Ok(replay)
    }

    /// The file's contents.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("names, numbers and lists always have a JSON form") + "\n"
    }

    /// Lives through the power cycles.
    ///
    /// # Errors
    /// A name is unknown, or the cycles do not fit.
    pub fn run(&self) -> Result<Outcome, ReplayError> {
        let bug = KnownBug::by_name(&self.known_bug).ok_or_else(|| ReplayError::Unknown {
            what: "bug",
            name: self.known_bug.clone(),
            expected: names(KnownBug::ALL.iter().map(|bug| bug.name)),
        })?;
        let mut variants = Variant::ALL.into_iter();
        let variant = variants.find(|it| it.name() == self.variant);
        let variant = variant.ok_or_else(|| ReplayError::Unknown {
            what: "variant",
            name: self.variant.clone(),
            expected: names(Variant::ALL.into_iter().map(Variant::name)),
        })?;
        let cycles = bug.variant(variant).rerun(&self.cycles)?;
        let whole = cycles.len() == self.cycles.len();
        let last = cycles.last().and_then(|cycle| cycle.broken.as_ref());
        let reproduced = whole && last == Some(&self.broken);
        Ok(Outcome { cycles, reproduced })
    }

    /// Tells what happens, cycle by cycle.
    #[must_use]
    pub fn story(&self, outcome: &Outcome) -> String {
        let mut text = format!("{}, {}: {}\n", self.known_bug, self.variant, self.broken);
        for (index, (cycle, trace)) in self.cycles.iter().zip(&outcome.cycles).enumerate() {
            let _ = writeln!(text, "\nPower cycle {}: {}", index + 1, cycle.choice);
            for note in &trace.notes {
                let _ = writeln!(text, "  {note}");
            }
            match (&trace.cut, trace.operations.last(), &trace.broken) {
                (Some(cut), Some(operation), _) => {
                    let number = cut.operation;
                    let _ = writeln!(
                        text,
                        "  power is cut in operation {number}, {operation}: {:?}",
                        cut.tear
                    );
                }
                (_, _, Some(broken)) => {
                    let _ = writeln!(text, "  {broken}");
                }
                _ => {
                    let count = trace.operations.len();
                    let _ = writeln!(text, "  {count} flash operations, to the end");
                }
            }
        }
        text.push_str(match outcome.reproduced {
            true => "\nReproduced: the expectation breaks as recorded.\n",
            false => "\nNOT REPRODUCED: the last cycle does not show what is recorded.\n",
        });
        text
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
