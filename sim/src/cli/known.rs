//! `sim known`: known bugs of other code, found and not found.

use super::{UNEXPECTED, print};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use sim::input::InputError;
use sim::known::{KnownBug, KnownReplay, ReplayError, Variant};
use sim::machine::Report;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// More states than any variant has; one that needs them is not clean.
const MAX_STATES: usize = 1_000_000;

/// Headings of the table, and whether the column holds numbers.
const COLUMNS: [(&str, bool); 8] = [
    ("bug", false),
    ("variant", false),
    ("states", true),
    ("torn", true),
    ("deepest", true),
    ("finding", false),
    ("cuts", true),
    ("seconds", true),
];

#[derive(Clone, Debug, Args)]
pub(super) struct Known {
    /// Bug to look for, may be repeated [default: all]
    #[arg(long, value_name = "NAME", value_parser = bug)]
    only: Vec<&'static KnownBug>,
    /// Where to write replay files
    #[arg(long, value_name = "DIR", default_value = "target/counterexamples")]
    replay_dir: PathBuf,
}

fn bug(name: &str) -> Result<&'static KnownBug, String> {
    KnownBug::by_name(name).ok_or_else(|| {
        let names: Vec<_> = KnownBug::ALL.iter().map(|bug| bug.name).collect();
        format!("expected {}", names.join(", "))
    })
}

/// Explores both variants of each bug.
pub(super) fn run(args: &Known) -> Result<u8, InputError> {
    let all: Vec<_> = KnownBug::ALL.iter().collect();
    let bugs = if args.only.is_empty() { &all } else { &args.only };
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(COLUMNS.map(|(heading, _)| heading));
    let (mut findings, mut surprises) = (String::new(), String::new());
    for bug in bugs {
        for variant in Variant::ALL {
            let start = Instant::now();
            let report = bug.variant(variant).explore(MAX_STATES);
            table.add_row(row(bug, variant, &report, start.elapsed()));
            if let Some(why) = surprise(bug, variant, &report) {
                surprises += &format!("UNEXPECTED: {}, {}: {why}\n", bug.name, variant.name());
            }
            if let Some(example) = &report.counterexample {
                let replay = KnownReplay::new(bug, variant, example);
                let file = args.replay_dir.join(format!("{}-{}.json", bug.name, variant.name()));
                write(&file, &replay.to_json())?;
                let (name, broken, file) = (bug.name, &example.broken, file.display());
                findings += &format!(
                    "{name}: {}\n    {broken}\n    {}\n    sim replay {file}\n",
                    bug.summary, bug.source
                );
            }
        }
    }
    for (column, (_, number)) in table.column_iter_mut().zip(COLUMNS) {
        if number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let failed = !surprises.is_empty();
    print(&format!("{table}\n\n{findings}{surprises}"));
    Ok(if failed { UNEXPECTED } else { 0 })
}

/// Runs a replay file and tells the story.
pub(super) fn replay(file: &Path) -> Result<u8, ReplayError> {
    let replay = KnownReplay::read(file)?;
    let outcome = replay.run()?;
    print(&replay.story(&outcome));
    Ok(if outcome.reproduced { 0 } else { UNEXPECTED })
}

fn row(bug: &KnownBug, variant: Variant, report: &Report, elapsed: Duration) -> Vec<String> {
    let example = report.counterexample.as_ref();
    let finding = match example {
        Some(example) => format!("not {}", example.broken.invariant),
        None if report.complete => "none, any number of cuts".into(),
        None => "none so far".into(),
    };
    vec![
        bug.name.into(),
        variant.name().into(),
        report.states.to_string(),
        report.torn.to_string(),
        report.deepest.to_string(),
        finding,
        example.map_or("-".into(), |example| example.cuts().to_string()),
        format!("{:.2}", elapsed.as_secs_f64()),
    ]
}

/// What is not as it should be.
fn surprise(bug: &KnownBug, variant: Variant, report: &Report) -> Option<String> {
    let cuts = report.counterexample.as_ref().map(|example| example.cuts());
    match (variant, cuts) {
        (Variant::Bad, None) => Some("the bug is not found".into()),
        (Variant::Bad, Some(cuts)) if cuts > bug.cuts => {
            Some(format!("the bug is found with {cuts} cuts, {} are enough", bug.cuts))
        }
        (Variant::Fixed, Some(_)) => Some("a bug is found".into()),
        (Variant::Fixed, None) if !report.complete => {
            Some(format!("more than {MAX_STATES} states, the exploration has not come to an end"))
        }
        _ => None,
    }
}

fn write(file: &Path, text: &str) -> Result<(), InputError> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let error = |error| InputError::new(file, format!("cannot be written: {error}"));
    fs::create_dir_all(directory).map_err(error)?;
    fs::write(file, text).map_err(error)
}
