//! Results as text and as JSON.

use super::expect::Verdict;
use super::findings::FoundHere;
use super::random::Summary;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sim::explore::{Report, Writer};
use sim::flash::fault::{ChipProfile, FaultClass, FaultProfile};
use sim::setup::{Rollback, Setup};
use std::fmt::Write;

/// Everything that there is to say about a run.
#[derive(Debug)]
pub(super) struct Results<'a> {
    /// Seed of the torn contents.
    pub(super) seed: u64,
    /// The faults, one choice of them for each chip profile.
    pub(super) faults: Vec<FaultProfile>,
    /// What was explored.
    pub(super) setups: &'a [Setup],
    /// What came out; `None` for what was not begun.
    pub(super) reports: &'a [Option<Report>],
    /// What was found.
    pub(super) findings: &'a [FoundHere],
    /// The randomised search.
    pub(super) random: Summary,
    /// What was not explored, and why, in sentences.
    pub(super) refused: Vec<String>,
    /// What is not as expected, in sentences.
    pub(super) surprises: &'a [String],
}

/// Headings of the table, and whether the column holds numbers.
const COLUMNS: [(&str, bool); 10] = [
    ("layout", false),
    ("bootloader", false),
    ("subject", false),
    ("operations", true),
    ("cut points", true),
    ("torn states", true),
    ("states", true),
    ("deepest", true),
    ("verdict", false),
    ("time", true),
];

impl Results<'_> {
    /// The results for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.table());
        for found in self.findings {
            let FoundHere { subject, finding, cuts, file } = found;
            let plural = if *cuts == 1 { "cut" } else { "cuts" };
            let label = finding.label();
            let (invariant, file) = (finding.invariant, file.display());
            let bootloader = match finding.during {
                Writer::Bootloader => " (in a write of the bootloader)",
                Writer::Application => "",
            };
            let _ = writeln!(
                text,
                "{subject}: {label}, {cuts} {plural}{bootloader}, not {invariant}: {}\n    sim replay {file}",
                finding.describe(),
            );
        }
        if !self.findings.is_empty() {
            text.push('\n');
        }
        for faults in &self.faults {
            let _ = writeln!(text, "seed {}, {faults}", self.seed);
        }
        if self.reports.iter().flatten().any(|report| report.sampled_contents) {
            text.push_str("Torn contents of large otadata operations were sampled.\n");
        }
        if self.reports.iter().all(|report| report.as_ref().is_some_and(|it| it.complete)) {
            text.push_str("No new state appears: any number of cuts in any order is covered.\n");
        }
        let Summary { devices, cycles, faults } = self.random;
        if devices > 0 {
            let _ = writeln!(
                text,
                "Random search: {devices} devices, {cycles} power cycles, {faults} faults of all classes."
            );
        }
        for refused in &self.refused {
            let _ = writeln!(text, "NOT EXPLORED: {refused}");
        }
        for surprise in self.surprises {
            let _ = writeln!(text, "UNEXPECTED: {surprise}");
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(COLUMNS.map(|(heading, _)| heading));
        for (setup, report) in self.setups.iter().zip(self.reports) {
            let mut row = vec![
                setup.layout.name().to_string(),
                format!(
                    "{} {}{}",
                    setup.generation,
                    setup.rollback,
                    if setup.encrypted { " encrypted" } else { "" }
                ),
                setup.subject.name().to_string(),
            ];
            match report {
                Some(report) => {
                    let progress = &report.progress;
                    row.push(report.operations.to_string());
                    row.push(progress.cut_points.to_string());
                    row.push(progress.torn.to_string());
                    row.push(progress.states.to_string());
                    row.push(report.deepest.to_string());
                    row.push(Verdict::of(report).to_string());
                    row.push(format!("{:.1} s", report.elapsed.as_secs_f64()));
                }
                None => {
                    row.extend(["0"; 5].map(String::from));
                    row.push(Verdict::Incomplete.to_string());
                    row.push("0.0 s".into());
                }
            }
            table.add_row(row);
        }
        for (column, (_, number)) in table.column_iter_mut().zip(COLUMNS) {
            if number {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// All classes of faults.
    fn classes(&self) -> impl Iterator<Item = FaultClass> {
        let any = |class: &FaultClass| self.faults.iter().any(|faults| faults.has(*class));
        FaultClass::ALL.into_iter().filter(any)
    }

    /// The results for machines.
    pub(super) fn json(&self) -> String {
        let runs = self.setups.iter().zip(self.reports).map(|(setup, report)| {
            let verdict = report.as_ref().map_or(Verdict::Incomplete, Verdict::of);
            let progress = report.as_ref().map(|report| report.progress).unwrap_or_default();
            Run {
                layout: setup.layout.name(),
                bootloader: setup.generation.name(),
                rollback: setup.rollback.is_on(),
                anti_rollback: setup.rollback == Rollback::Anti,
                encrypted: setup.encrypted,
                subject: setup.subject.name(),
                operations: report.as_ref().map_or(0, |report| report.operations),
                cut_points: progress.cut_points,
                torn_states: progress.torn,
                states: progress.states,
                states_left: progress.pending,
                deepest: report.as_ref().map_or(0, |report| report.deepest),
                complete: report.as_ref().is_some_and(|report| report.complete),
                verdict: verdict.to_string(),
                expected: verdict.expected(setup.subject),
                seconds: report.as_ref().map_or(0.0, |report| report.elapsed.as_secs_f64()),
            }
        });
        let findings = self.findings.iter().map(|found| Found {
            subject: found.subject,
            hazard: found.finding.hazard.map(|hazard| hazard.to_string()),
            invariant: found.finding.invariant.to_string(),
            during: found.finding.during,
            cuts: found.cuts,
            description: found.finding.describe(),
            replay: found.file.display().to_string(),
        });
        let document = Document {
            seed: self.seed,
            faults: self.classes().map(|class| class.to_string()).collect(),
            chip_profiles: self.faults.iter().flat_map(ChipProfile::of).map(|it| it.name).collect(),
            runs: runs.collect(),
            findings: findings.collect(),
            random: self.random,
            not_explored: &self.refused,
            unexpected: self.surprises,
        };
        let json = serde_json::to_string_pretty(&document);
        json.expect("names, numbers and lists always have a JSON form") + "\n"
    }
}

#[derive(Serialize)]
struct Document<'a> {
    seed: u64,
    faults: Vec<String>,
    chip_profiles: Vec<&'static str>,
    runs: Vec<Run<'a>>,
    findings: Vec<Found<'a>>,
    random: Summary,
    not_explored: &'a [String],
    unexpected: &'a [String],
}

#[derive(Serialize)]
struct Run<'a> {
    layout: &'a str,
    bootloader: &'a str,
    rollback: bool,
    anti_rollback: bool,
    encrypted: bool,
    subject: &'a str,
    operations: u64,
    cut_points: u64,
    torn_states: u64,
    states: u64,
    states_left: u64,
    deepest: u32,
    complete: bool,
    verdict: String,
    expected: bool,
    seconds: f64,
}

#[derive(Serialize)]
struct Found<'a> {
    subject: &'a str,
    hazard: Option<String>,
    invariant: String,
    during: Writer,
    cuts: usize,
    description: &'a str,
    replay: String,
}
