//! What explorations found, one line and one replay file for each subject and hazard.

use super::matrix::Matrix;
use sim::explore::{Counterexample, Finding, Report, Writer};
use sim::input::InputError;
use sim::replay::{Replay, ReplayError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A finding with its shortest counterexample.
#[derive(Debug)]
pub(super) struct FoundHere {
    /// Name of the update code.
    pub(super) subject: &'static str,
    /// What was found.
    pub(super) finding: Finding,
    /// Number of power cuts in the counterexample.
    pub(super) cuts: usize,
    /// The counterexample.
    pub(super) file: PathBuf,
}

/// Picks the shortest counterexample of each subject and hazard, and writes it to `directory`.
pub(super) fn write(
    matrix: &Matrix,
    reports: &[Option<Report>],
    seed: u64,
    directory: &Path,
) -> Result<Vec<FoundHere>, ReplayError> {
    let mut shortest: BTreeMap<_, (usize, &Counterexample)> = BTreeMap::new();
    for (index, report) in reports.iter().enumerate() {
        for example in report.iter().flat_map(|report| &report.counterexamples) {
            let Finding { hazard, during, invariant } = example.finding;
            // Without a hazard, the invariant is all that tells findings apart.
            let unknown = hazard.is_none().then_some(invariant);
            let key = (matrix.setups[index].subject.name(), during, hazard, unknown);
            let length = |it: &Counterexample| (it.cuts(), it.cycles.len());
            let best = shortest.entry(key).or_insert((index, example));
            if length(example) < length(best.1) {
                *best = (index, example);
            }
        }
    }
    let mut found = Vec::new();
    for ((subject, during, ..), (index, example)) in shortest {
        let finding = example.finding;
        let replay = Replay::new(&matrix.setups[index], &matrix.sources, seed, example)?;
        let suffix = match during {
            Writer::Bootloader => "-bootloader",
            Writer::Application => "",
        };
        let label = finding.label().replace(' ', "-");
        let encrypted = if replay.device.encrypted { "-encrypted" } else { "" };
        let name = format!("{subject}-{label}{suffix}{encrypted}");
        let file = write_file(directory, &name, &replay)?;
        let cuts = replay.cycles.iter().filter(|cycle| cycle.cut.is_some()).count();
        found.push(FoundHere { subject, finding, cuts, file });
    }
    Ok(found)
}

/// Writes a replay file, and makes the directory for it if need be.
pub(super) fn write_file(
    directory: &Path,
    name: &str,
    replay: &Replay,
) -> Result<PathBuf, ReplayError> {
    let failed = |path: &Path, error: std::io::Error| {
        ReplayError::from(InputError::new(path, format!("cannot write a replay file: {error}")))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let file = directory.join(format!("{name}.json"));
    fs::write(&file, replay.to_json()).map_err(|error| failed(&file, error))?;
    Ok(file)
}
