//! All guarantees of a run, and their JSON form.

use super::recover::{Lost, Updates};
use super::step::{Phase, Step};
use super::table::{Cell, CutKind, Guarantee, Row};
use super::window::{Exposure, Timed, Window};
use crate::flash::Part;
use crate::flash::fault::FaultProfile;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a run found, for people and for machines.
#[derive(Debug)]
pub struct Report<'a> {
    /// The faults that were tried.
    pub profile: FaultProfile,
    /// How long an update takes from its first flash operation to its last, for the probability that a cut
    /// at a random instant of it hits.
    pub update_time: Duration,
    /// One for each layout, bootloader and subject; the subjects of a device next to each other.
    pub guarantees: &'a [Guarantee],
}

/// Version of the JSON form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    seed: u64,
    faults: Vec<String>,
    update_seconds: f64,
    devices: Vec<DeviceDocument<'a>>,
}

#[derive(Serialize)]
struct DeviceDocument<'a> {
    #[serde(flatten)]
    guarantee: &'a Guarantee,
    update: UpdateDocument<'a>,
}

#[derive(Serialize)]
struct UpdateDocument<'a> {
    image_bytes: u32,
    operations: usize,
    vulnerable: Vec<&'a Timed>,
    parts: Vec<PartDocument>,
}

#[derive(Serialize)]
struct PartDocument {
    #[serde(flatten)]
    exposure: Exposure,
    probability_in_flash_time: f64,
    probability_in_update: Option<f64>,
}

impl Report<'_> {
    /// The results for machines.
    pub fn json(&self) -> String {
        let part = |guarantee: &Guarantee, part: &Part| {
            let exposure = guarantee.window.exposure(part);
            PartDocument {
                exposure,
                probability_in_flash_time: exposure.in_flash_time(),
                probability_in_update: exposure.in_update(self.update_time),
            }
        };
        let devices = self.guarantees.iter().map(|guarantee| DeviceDocument {
            guarantee,
            update: UpdateDocument {
                image_bytes: guarantee.window.image_bytes,
                operations: guarantee.window.operations.len(),
                vulnerable: guarantee.window.vulnerable().collect(),
                parts: Part::ALL.iter().map(|it| part(guarantee, it)).collect(),
            },
        });
        let document = Document {
            format: FORMAT,
            seed: self.profile.seed,
            faults: self.profile.classes().map(|class| class.to_string()).collect(),
            update_seconds: self.update_time.as_secs_f64(),
            devices: devices.collect(),
        };
        let json = serde_json::to_string_pretty(&document);
        json.expect("names, numbers and lists always have a JSON form") + "\n"
    }

    /// The guarantees of each layout and bootloader.
    pub(super) fn devices(&self) -> impl Iterator<Item = &[Guarantee]> {
        let same = |one: &Guarantee, other: &Guarantee| {
            (&one.layout, one.rollback) == (&other.layout, other.rollback)
        };
        self.guarantees.chunk_by(same)
    }
}

/// The rows of the tables of one device: for each phase the steps and kinds of cut that some subject has.
pub(super) fn rows(device: &[Guarantee]) -> BTreeMap<Phase, BTreeSet<(Step, CutKind)>> {
    let mut rows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for cell in device.iter().flat_map(|guarantee| &guarantee.cells) {
        rows.entry(cell.phase).or_default().insert((cell.step, cell.cut));
    }
    rows
}

/// How much room there is for words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    /// On a page: `old, download lost !H1 ×12`.
    Full,
    /// On a terminal: `old −download !H1 ×12`.
    Short,
}

/// What the crash states of a cell come to, in a few words. Outcomes that differ in nothing that is said
/// here count as one.
pub(super) fn in_words(cell: &Cell, wording: Wording) -> Vec<String> {
    let mut known: Vec<(String, u64)> = Vec::new();
    for row in &cell.outcomes {
        let words = words(row, wording);
        match known.iter_mut().find(|(it, _)| *it == words) {
            Some((_, count)) => *count += row.crash_states,
            None => known.push((words, row.crash_states)),
        }
    }
    known.into_iter().map(|(words, count)| format!("{words} ×{count}")).collect()
}

fn words(row: &Row, wording: Wording) -> String {
    let mut words = row.boots.to_string();
    words += &match (row.lost, wording) {
        (Lost::Nothing, _) => String::new(),
        (lost, Wording::Full) => format!(", {lost} lost"),
        (lost, Wording::Short) => format!(" −{lost}"),
    };
    words += match row.updates {
        Updates::FirstTry => "",
        Updates::SecondTry => ", 2nd try",
        Updates::Never => ", NO UPDATE",
    };
    for label in labels(row) {
        words += &format!(" !{label}");
    }
    words
}

/// The hazards of a row, or the invariants where none is recognised.
fn labels(row: &Row) -> BTreeSet<String> {
    row.breaks.iter().map(|finding| finding.label()).collect()
}

/// The vulnerable operations of an update: phase, step, how many of them.
pub(super) fn vulnerable(window: &Window) -> Vec<(Phase, Step, usize)> {
    let mut found: Vec<(Phase, Step, usize)> = Vec::new();
    for timed in window.vulnerable() {
        let same = |it: &&mut (Phase, Step, usize)| (it.0, it.1) == (timed.phase, timed.step);
        match found.iter_mut().find(same) {
            Some(known) => known.2 += 1,
            None => found.push((timed.phase, timed.step, 1)),
        }
    }
    found
}

/// A probability as a percentage.
pub(super) fn percent(probability: f64) -> String {
    if probability == 0.0 { "0".into() } else { format!("{:.3} %", probability * 100.0) }
}
