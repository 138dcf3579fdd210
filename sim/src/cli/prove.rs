//! `sim prove`, `sim check-certificate` and `sim merge`.

use super::args::{Cuts, Device};
use super::matrix::Matrix;
use super::run::Runner;
use super::{INTERRUPTED, UNEXPECTED, interruption, print};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use ota_core::partition::Slot;
use serde::{Deserialize, Serialize};
use sim::certificate::{self, Certificate, CertificateError, Header};
use sim::explore::{Limits, Usage, Writer};
use sim::input::InputError;
use sim::replay::{DeviceSource, FirmwareSource, LayoutSource, ReplayError};
use sim::setup::{Setup, subjects};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

/// Says in each directory what was to be proven, and which part of it there.
const PLAN: &str = "plan.json";
const EXTENSION: &str = "certificate";

#[derive(Clone, Debug, Args)]
pub(super) struct Prove {
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    cuts: Cuts,
    /// Prove only part I of N equal parts, for N machines; `sim merge` joins them
    #[arg(long, value_name = "I/N", default_value = "1/1", hide_default_value = true)]
    partition: Partition,
    /// Where to write the certificates
    #[arg(long, value_name = "DIR", default_value = "target/certificates")]
    certificates: PathBuf,
}

/// Every N-th piece of the work, beginning with number I, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Partition {
    index: usize,
    count: usize,
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("expected a part and the number of parts, such as 1/4".into()),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    partition: Partition,
    /// The names of all certificates of all parts.
    all: Vec<String>,
}

impl Plan {
    fn is_mine(&self, index: usize) -> bool {
        index % self.partition.count == self.partition.index - 1
    }
}

/// What update code is proven by default: what should be safe, with any calls; what is known not to be, as it
/// is commonly used, and so is any on sixteen slots: what any calls leave there is more than a million states.
fn usage(setup: &Setup) -> Usage {
    let most_slots = usize::from(setup.layout.apps().slot_count()) == Slot::MAX;
    if setup.subject.is_suspect() || most_slots { Usage::Usual } else { Usage::Any }
}

fn name(setup: &Setup) -> String {
    let (layout, subject) = (setup.layout.name(), setup.subject.name());
    let encrypted = if setup.encrypted { "encrypted-" } else { "" };
    let (generation, rollback) = (setup.generation, setup.rollback);
    format!("{layout}-{generation}-{rollback}-{encrypted}{subject}")
}

fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.{EXTENSION}"))
}

/// Proves what the command line asks for.
pub(super) fn run(args: &Prove) -> Result<u8, CertificateError> {
    let mut matrix = Matrix::new(&args.device, &args.cuts)?;
    // On encrypted flash there is no other.
    if !args.device.all && args.device.subject.is_empty() && !args.device.encrypted {
        let wanted = matrix.retain(|setup| !setup.subject.is_suspect());
        wanted.map_err(ReplayError::from)?;
    }
    let directory = &args.certificates;
    let plan = Plan { partition: args.partition, all: matrix.setups.iter().map(name).collect() };
    write(directory, &plan)?;
    let mine = matrix.setups.iter().enumerate().filter(|(index, _)| plan.is_mine(*index));
    let setups: Vec<_> = mine.map(|(_, setup)| setup.clone()).collect();
    let interrupted = interruption();
    let runner = Runner { jobs: args.cuts.threads(), quiet: false, interrupted: &interrupted };
    let proven = runner.run(&setups, |setup, watch| {
        let path = file(directory, &name(setup));
        let limits = args.cuts.limits(&setup.part, usage(setup));
        if let Some(header) = kept(&path, setup, &matrix.sources, &limits) {
            return Ok(Some((path, header)));
        }
        match certificate::prove(setup, &matrix.sources, &limits, watch) {
            Ok((certificate, _)) => {
                certificate.write(&path)?;
                Ok(Some((path, certificate.header)))
            }
            Err(CertificateError::Incomplete) if interrupted.load(Relaxed) => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    let proven: Vec<_> = proven.into_iter().flatten().flatten().collect();
    print(&report(&proven));
    for refused in &matrix.refused {
        print(&format!("NOT PROVEN: {refused}\n"));
    }
    Ok(match interrupted.load(Relaxed) {
        true => INTERRUPTED,
        false => verdict(proven.iter().map(|(_, header)| header)),
    })
}

fn write(directory: &Path, plan: &Plan) -> Result<(), InputError> {
    let path = directory.join(PLAN);
    let json = serde_json::to_string_pretty(plan).expect("names and numbers have a JSON form");
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, json + "\n"));
    written.map_err(|error| InputError::new(&path, format!("cannot write: {error}")))
}

/// What this very program has proven of the same device in an earlier run, if it is whole. Another one may
/// have other update code in it.
fn kept(path: &Path, setup: &Setup, sources: &[FirmwareSource], limits: &Limits) -> Option<Header> {
    let certificate = Certificate::read(path).ok()?;
    let whole = certificate.is_whole();
    let header = certificate.header;
    let same = !header.program.is_empty()
        && header.program == certificate::program()
        && header.device == DeviceSource::of(setup, sources)
        && header.usage == limits.usage
        && header.faults == limits.profile.classes().collect::<Vec<_>>()
        && header.seed == limits.profile.seed
        && header.bootloader_cuts == limits.cut_bootloader;
    (whole && same).then_some(header)
}

/// Unless update code that should be safe breaks something.
fn verdict<'h>(mut headers: impl Iterator<Item = &'h Header>) -> u8 {
    let suspect = |name: &str| subjects().iter().any(|it| it.name() == name && it.is_suspect());
    let broken =
        |header: &Header| header.exceptions.iter().any(|it| it.during == Writer::Application);
    let unexpected = headers.any(|header| broken(header) && !suspect(&header.device.subject));
    if unexpected { UNEXPECTED } else { 0 }
}

fn report(proven: &[(PathBuf, Header)]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "layout",
        "bootloader",
        "subject",
        "states",
        "running",
        "leftovers",
        "scenarios",
        "deepest",
        "breaks",
    ]);
    for (_, header) in proven {
        let layout = match &header.device.layout {
            LayoutSource::Stock(name) | LayoutSource::Table { name, .. } => name,
        };
        let rollback = match (header.device.rollback, header.device.anti_rollback) {
            (false, _) => "",
            (true, false) => " rollback",
            (true, true) => " anti-rollback",
        };
        let encrypted = if header.device.encrypted { " encrypted" } else { "" };
        let exceptions = header.exceptions.iter().map(|exception| match exception.during {
            Writer::Bootloader => format!("{} (bootloader)", exception.invariant),
            Writer::Application => exception.invariant.to_string(),
        });
        let breaks = exceptions.collect::<Vec<_>>().join(", ");
        table.add_row([
            layout.clone(),
            format!("{}{rollback}{encrypted}", header.bootloader),
            header.device.subject.clone(),
            header.states.to_string(),
            header.running.to_string(),
            header.leftovers.to_string(),
            header.scenarios.to_string(),
            header.deepest.to_string(),
            if breaks.is_empty() { "nothing".into() } else { breaks },
        ]);
    }
    for column in 3..8 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{table}\n\n");
    let total: u64 = proven.iter().map(|(_, header)| header.scenarios).sum();
    let count = proven.len();
    text +=
        &format!("{count} certificates, {total} scenarios: any number of cuts, in any order.\n");
    if let Some(directory) = proven.first().and_then(|(path, _)| path.parent()) {
        let directory = directory.display();
        text += &format!("    sim check-certificate {directory}/*.{EXTENSION}\n");
    }
    text
}

/// Verifies certificates, on all cores.
pub(super) fn check(files: &[PathBuf]) -> Result<u8, CertificateError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut all_hold = true;
        while let Some(file) = files.get(next.fetch_add(1, Relaxed)) {
            all_hold &= holds(file)?;
        }
        Ok(all_hold)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(files.len());
    let results: Vec<Result<bool, CertificateError>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |handle: ScopedJoinHandle<'_, _>| match handle.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        handles.into_iter().map(join).collect()
    });
    let mut status = 0;
    for all_hold in results {
        if !all_hold? {
            status = UNEXPECTED;
        }
    }
    Ok(status)
}

/// Verifies a certificate, and says how that went.
fn holds(file: &Path) -> Result<bool, CertificateError> {
    let started = Instant::now();
    let certificate = Certificate::read(file)?;
    let setup = certificate.header.device.setup()?;
    let world = setup.world().map_err(ReplayError::from)?;
    let file = file.display();
    let (text, holds) = match certificate::check(&certificate, &world) {
        Ok(checked) => {
            let certificate::Checked { situations, scenarios, runs } = checked;
            let seconds = started.elapsed().as_secs_f64();
            let claim = &certificate.header.claim;
            let counts = format!("{situations} situations, {scenarios} scenarios, {runs} runs");
            (format!("{file}: holds ({counts}, {seconds:.1} s)\n    {claim}\n"), true)
        }
        Err(refused) => (format!("{file}: DOES NOT HOLD: {refused}\n"), false),
    };
    print(&text);
    Ok(holds)
}

/// Joins the parts of a proof.
pub(super) fn merge(directories: &[PathBuf]) -> Result<u8, CertificateError> {
    let mut all: Option<Vec<String>> = None;
    let mut proven = Vec::new();
    let mut found = BTreeSet::new();
    for directory in directories {
        let path = directory.join(PLAN);
        let plan = fs::read_to_string(&path).map_err(|error| {
            InputError::new(&path, format!("{error}; expected a directory of `sim prove`"))
        })?;
        let plan: Plan = serde_json::from_str(&plan).map_err(|error| {
            InputError::new(&path, format!("{error}; expected what `sim prove` wrote"))
        })?;
        if *all.get_or_insert_with(|| plan.all.clone()) != plan.all {
            let first = directories[0].display();
            let what = format!("this is part of another proof than {first}");
            return Err(InputError::new(&path, what).into());
        }
        for (index, name) in plan.all.iter().enumerate() {
            let file = file(directory, name);
            if plan.is_mine(index) && file.exists() && found.insert(name.clone()) {
                let certificate = Certificate::read(&file)?;
                if !certificate.is_whole() {
                    return Err(
                        InputError::new(&file, "the digest is wrong: it was changed").into()
                    );
                }
                proven.push((file, certificate.header));
            }
        }
    }
    print(&report(&proven));
    let missing: Vec<_> = all.into_iter().flatten().filter(|name| !found.contains(name)).collect();
    for name in &missing {
        print(&format!("MISSING: {name}\n"));
    }
    let verdict = verdict(proven.iter().map(|(_, header)| header));
    Ok(if missing.is_empty() { verdict } else { UNEXPECTED })
}
