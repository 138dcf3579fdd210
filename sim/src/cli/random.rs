//! The randomised search that follows the explorations.

use super::findings::write_file;
use super::matrix::Matrix;
use serde::Serialize;
use sim::explore::{Finding, Writer};
use sim::flash::fault::FaultClass;
use sim::random::{Options, search};
use sim::replay::{Replay, ReplayError};
use std::path::Path;

/// Most power cycles of a device before it is left in peace.
const MAX_CYCLES: usize = 8;

/// What a randomised search came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Devices that lived.
    pub(super) devices: u64,
    /// Their power cycles.
    pub(super) cycles: u64,
    /// Cuts, resets and faults that struck.
    pub(super) faults: u64,
}

/// Lets `cases` devices of each setup that is expected to be safe live through random faults of all
/// classes. A failure is written to `directory` and told in a sentence.
pub(super) fn run(
    matrix: &Matrix,
    seed: u64,
    cases: u32,
    directory: &Path,
) -> Result<(Summary, Vec<String>), ReplayError> {
    let mut summary = Summary::default();
    let mut failures = Vec::new();
    let options =
        Options { seed, cases, max_cycles: MAX_CYCLES, classes: FaultClass::ALL.to_vec() };
    let safe = matrix.setups.iter().filter(|setup| !setup.subject.is_suspect());
    for setup in safe.filter(|_| cases > 0) {
        let report = search(&setup.world()?, &options);
        summary.devices += u64::from(report.cases);
        summary.cycles += report.cycles;
        summary.faults += report.faults;
        let Some(failure) = report.failure else { continue };
        let Some(broken) = failure.outcome.broken else { continue };
        let during = Writer::Application;
        let finding = Finding { invariant: broken.invariant, hazard: None, during };
        let (subject, layout) = (setup.subject.name(), setup.layout.name());
        let replay = Replay::of_scenario(setup, &matrix.sources, finding, failure.scenario);
        let name = format!("random-{subject}-{layout}-{}-{}", setup.rollback, broken.invariant);
        let name = name.replace(' ', "-");
        let file = write_file(directory, &name, &replay)?;
        failures.push(format!(
            "{subject} on {layout}: random faults break a promise ({}); sim replay {}",
            broken.invariant,
            file.display()
        ));
    }
    Ok((summary, failures))
}
