//! `sim guarantee`: the table of what a power cut comes to.

use super::args::{RollbackArg, bootloader, part, stock_layout, subject};
use super::findings::write_file;
use super::matrix::stock_images;
use super::print;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use ota_core::Generation;
use ota_core::image::ChipId;
use sim::flash::Part;
use sim::flash::fault::FaultProfile;
use sim::guarantee::{self, Report, Row};
use sim::layout::Layout;
use sim::replay::{FirmwareSource, Replay, ReplayError};
use sim::setup::Setup;
use sim::subject::Subject;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// With a factory application, and without: the other stock layouts have the same steps.
const LAYOUTS: [&str; 2] = ["factory-2-slots", "2-slots"];
/// Update code with different steps.
const SUBJECTS: [&str; 5] = ["ota-core", "update-agent", "esp-idf-v5.5", "esp-idf-v6.1", "esp-hal"];
/// Seed of the torn contents that are not enumerated.
const SEED: u64 = 1;

#[derive(Clone, Debug, Args)]
pub(super) struct Guarantee {
    /// Layout, may be repeated [default: factory-2-slots, 2-slots]
    #[arg(long, value_name = "NAME", value_parser = stock_layout)]
    layout: Vec<Layout>,
    /// Release of ESP-IDF that the bootloader comes from
    #[arg(long, value_name = "NAME", value_parser = bootloader, default_value = "v6.1")]
    bootloader: Generation,
    /// Whether the bootloader supports rollback
    #[arg(long, default_value = "both", value_parser = without_anti_rollback())]
    rollback: RollbackArg,
    /// Update code, may be repeated [default: ota-core, update-agent, esp-idf-v5.5, esp-idf-v6.1, esp-hal]
    #[arg(long, value_name = "NAME", value_parser = subject)]
    subject: Vec<&'static dyn Subject>,
    /// Flash part that the device has. Times are told for all parts
    #[arg(long, value_name = "NAME", default_value = "W25Q32JV", value_parser = part)]
    flash_part: Part,
    /// How long an update takes, in seconds, for the probability that a power cut hits it
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    update_time: Duration,
    /// Write a replay file for each invariant that breaks, step by step
    #[arg(long, value_name = "DIR")]
    counterexamples: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the results as a page of Markdown
    #[arg(long)]
    markdown: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|it| !it.is_zero()).ok_or_else(|| "expected a number above 0".into())
}

fn without_anti_rollback() -> impl TypedValueParser<Value = RollbackArg> {
    let names = PossibleValuesParser::new(["on", "off", "both"]);
    names.try_map(|name| RollbackArg::from_str(&name, false))
}

/// Makes the tables and prints them.
pub(super) fn run(args: &Guarantee) -> Result<u8, ReplayError> {
    let setups = setups(args);
    let profile = args.flash_part.profile.faults(SEED);
    let guarantees = all(&setups, profile)?;
    let report = Report { profile, update_time: args.update_time, guarantees: &guarantees };
    print(&match (args.json, args.markdown) {
        (true, _) => report.json(),
        (_, true) => report.markdown("sim guarantee --markdown"),
        _ => report.text(),
    });
    if let Some(directory) = &args.counterexamples {
        let (_, sources) = stock_images(args.rollback);
        for (setup, guarantee) in setups.iter().zip(&guarantees) {
            write_examples(setup, &sources, guarantee, directory)?;
        }
    }
    Ok(0)
}

/// The devices, the subjects of a layout and bootloader next to each other.
fn setups(args: &Guarantee) -> Vec<Setup> {
    let layouts = match args.layout.is_empty() {
        true => LAYOUTS.into_iter().flat_map(stock_layout).collect(),
        false => args.layout.clone(),
    };
    let subjects: Vec<_> = match args.subject.is_empty() {
        true => SUBJECTS.into_iter().flat_map(subject).collect(),
        false => args.subject.clone(),
    };
    let firmware: Arc<[_]> = stock_images(args.rollback).0.into();
    let mut setups = Vec::new();
    for layout in &layouts {
        for &rollback in args.rollback.values(args.bootloader) {
            setups.extend(subjects.iter().map(|&subject| Setup {
                layout: layout.clone().for_bootloader(args.bootloader),
                generation: args.bootloader,
                rollback,
                firmware: firmware.clone(),
                subject,
                part: args.flash_part,
                chip: ChipId::ESP32C3,
                encrypted: false,
            }));
        }
    }
    setups
}

/// The guarantees of all devices, on all cores.
fn all(setups: &[Setup], profile: FaultProfile) -> Result<Vec<guarantee::Guarantee>, ReplayError> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![None; setups.len()]);
    let work = || {
        while let index = next.fetch_add(1, Relaxed)
            && let Some(setup) = setups.get(index)
        {
            let result = guarantee::Guarantee::of(setup, profile);
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[index] = Some(result);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(setups.len());
    thread::scope(|scope| {
        (0..threads).for_each(|_| {
            scope.spawn(work);
        });
    });
    let results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.into_iter().flatten().collect()
}

/// Writes one replay file for each step and finding.
fn write_examples(
    setup: &Setup,
    sources: &[FirmwareSource],
    guarantee: &guarantee::Guarantee,
    directory: &Path,
) -> Result<(), ReplayError> {
    for cell in &guarantee.cells {
        for example in cell.outcomes.iter().flat_map(|row: &Row| &row.examples) {
            let replay = Replay::new(setup, sources, SEED, example)?;
            let name = format!(
                "{}-{}-{}-{}-{}-{}-{}",
                guarantee.subject,
                guarantee.layout,
                setup.rollback,
                cell.phase,
                cell.step,
                example.finding.label(),
                example.finding.invariant
            );
            write_file(directory, &name.replace([' ', '(', ')'], "-"), &replay)?;
        }
    }
    Ok(())
}
