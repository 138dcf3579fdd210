//! One run of a case as a file, to be done again anywhere.

use super::outcome::Outcome;
use crate::scenario::{Case, Diagnostic, Scenario, Source, Sources, parse};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the format that this program reads and writes.
const FORMAT: u32 = 1;

/// A run of a case: the scenario as it was, and where its cuts fell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replay {
    /// Version of the format.
    format: u32,
    /// What it shows, for the reader.
    pub summary: String,
    /// The scenario's file; relative paths in it start there.
    pub file: PathBuf,
    /// The scenario's text.
    scenario: String,
    /// The case's name.
    pub case: String,
    /// The numbers of the operations for the cuts at every operation.
    pub at: Vec<u32>,
    /// Files of images, each with its SHA-256 in hexadecimal digits.
    images: BTreeMap<PathBuf, String>,
}

/// Why a replay cannot be had.
#[derive(Debug)]
pub enum ReplayError {
    /// A file cannot be read, or is no replay.
    File(PathBuf, String),
    /// The scenario in it has mistakes, for instance as a file that it names is gone.
    Scenario(Vec<Diagnostic>),
}

impl Replay {
    /// The run that had this outcome.
    ///
    /// # Errors
    /// The scenario or an image cannot be read.
    pub fn of(outcome: &Outcome, case: &Case) -> io::Result<Self> {
        let mut images = BTreeMap::new();
        for image in case.images.values() {
            if let Source::File { path, .. } = &image.source {
                images.insert(path.clone(), sha256(path)?);
            }
        }
        let numbers = outcome.run.trim_start_matches("cut ").split(", ");
        Ok(Self {
            format: FORMAT,
            summary: outcome.reason.clone().unwrap_or_default(),
            file: std::path::absolute(&outcome.file)?,
            scenario: fs::read_to_string(&outcome.file)?,
            case: outcome.case.clone(),
            at: numbers.filter_map(|number| number.parse().ok()).collect(),
            images,
        })
    }

    /// Reads a replay.
    ///
    /// # Errors
    /// The file cannot be read, or is no replay of this format.
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let wrong = |what: String| ReplayError::File(path.into(), what);
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let replay: Self = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("not a replay that `hil-runner run` wrote: {error}")))?;
        if replay.format != FORMAT {
            return Err(wrong(format!("format {} is not supported: {FORMAT} is", replay.format)));
        }
        Ok(replay)
    }

    /// Writes the replay to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        fs::write(path, text + "\n")
    }

    /// The scenario, with only the case that is to be run.
    ///
    /// # Errors
    /// The scenario has mistakes by now, the case is not in it, or an image has changed.
    pub fn scenario(&self, sources: &Sources) -> Result<Scenario, ReplayError> {
        let mut scenario =
            parse(&self.file, &self.scenario, sources).map_err(ReplayError::Scenario)?;
        let wrong = |what: String| ReplayError::File(self.file.clone(), what);
        scenario.cases.retain(|case| case.name == self.case);
        let Some(case) = scenario.cases.first() else {
            return Err(wrong(format!("there is no case `{}`", self.case)));
        };
        for image in case.images.values() {
            let Source::File { path, .. } = &image.source else { continue };
            let Some(before) = self.images.get(path) else { continue };
            let now =
                sha256(path).map_err(|error| ReplayError::File(path.clone(), error.to_string()))?;
            if now != *before {
                let what = format!("the image has changed: SHA-256 {now}, it was {before}");
                return Err(ReplayError::File(path.clone(), what));
            }
        }
        Ok(scenario)
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
