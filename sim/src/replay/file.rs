//! The replay file.

use super::device::{DeviceSource, FirmwareSource};
use super::error::ReplayError;
use super::execute::Trace;
use super::minimise::minimise;
use crate::explore::{Counterexample, Cycle, Finding};
use crate::input::{self, InputError};
use crate::random::Scenario;
use crate::setup::Setup;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the format that this program reads and writes.
const FORMAT: u32 = 2;
/// Largest replay file in bytes.
const MAX_FILE: u64 = 0x10_0000;

/// A counterexample that can be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replay {
    /// Version of the format: 2.
    pub format: u32,
    /// What it shows, for the reader.
    pub summary: String,
    /// What it shows.
    pub finding: Finding,
    /// The device.
    pub device: DeviceSource,
    /// Seed of the exploration that found it. The cycles contain all that it determined.
    pub seed: u64,
    /// The power cycles; the invariant breaks in the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cycles: Vec<Cycle>,
    /// Instead of cycles: what a randomised search found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
}

impl Replay {
    /// Makes a replay of a counterexample that was found on `setup` and simplifies it. `firmware` says
    /// where the images come from.
    ///
    /// # Errors
    /// [`ReplayError::NotReproduced`] if it does not replay.
    pub fn new(
        setup: &Setup,
        firmware: &[FirmwareSource],
        seed: u64,
        example: &Counterexample,
    ) -> Result<Self, ReplayError> {
        let world = setup.world()?;
        let finding = example.finding;
        let cycles = minimise(&world, &example.cycles, &finding)
            .ok_or(ReplayError::NotReproduced(finding))?;
        Ok(Self { seed, cycles, ..Self::empty(setup, firmware, finding) })
    }

    /// Makes a replay of what a randomised search found on `setup`.
    pub fn of_scenario(
        setup: &Setup,
        firmware: &[FirmwareSource],
        finding: Finding,
        scenario: Scenario,
    ) -> Self {
        let seed = scenario.seed;
        Self { seed, scenario: Some(scenario), ..Self::empty(setup, firmware, finding) }
    }

    fn empty(setup: &Setup, firmware: &[FirmwareSource], finding: Finding) -> Self {
        Self {
            format: FORMAT,
            summary: finding.to_string(),
            finding,
            device: DeviceSource::of(setup, firmware),
            seed: 0,
            cycles: Vec::new(),
            scenario: None,
        }
    }

    /// Reads a replay file.
    ///
    /// # Errors
    /// The file cannot be read or is not a replay file of this format.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let bytes = input::read_file(path, "a replay file that `sim` wrote", MAX_FILE)?;
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
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("names, numbers and lists always have a JSON form") + "\n"
    }

    /// The device that it runs on.
    ///
    /// # Errors
    /// A name is unknown, or a file is missing or has changed.
    pub fn setup(&self) -> Result<Setup, ReplayError> {
        self.device.setup()
    }

    /// Runs the power cycles on `setup`.
    ///
    /// # Errors
    /// The cycles do not fit the device.
    pub fn run(&self, setup: &Setup) -> Result<Trace, ReplayError> {
        Trace::run(&setup.world()?, &self.cycles)
    }
}
