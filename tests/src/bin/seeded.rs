//! `seeded`: shows that the scenarios find bugs in firmware, each the kind that it is made for.

use clap::Parser;
use cutpoint_tests::seeded::page;
use cutpoint_tests::seeded::suite::{Bug, Suite, Test};
use cutpoint_tests::seeded::trial::{Bench, Findings};
use cutpoint_tests::source_copy::SourceCopy;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Plant one bug after the other in the firmware, build it, and run scenarios on the virtual board.
///
/// `tests/seeded-bugs.toml` lists the bugs and the tests that must find each; the quick tests of other kinds
/// must not. The images without bugs are those of `just fw`, and pass all tests. Bugs that show only under a bootloader that
/// rolls back are tried when one is given.
///
/// Exit code: 0 when the tests found what they must, 1 when not, 2 when that can't be told.
#[derive(Parser)]
struct Arguments {
    /// Only bugs with this text in their names
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Only so many bugs
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Which bugs `--sample` takes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A bootloader with rollback for the ESP32-C3
    #[arg(long, value_name = "FILE")]
    rollback_bootloader: Option<PathBuf>,
    /// The program `hil-runner`; built when it is not given
    #[arg(long, value_name = "FILE")]
    hil_runner: Option<PathBuf>,
    /// Run every test for every bug; else those that must find it and the quick ones
    #[arg(long)]
    every_test: bool,
    /// Keep what an interrupted run has found; the list of bugs must be as it was
    #[arg(long)]
    resume: bool,
    /// How many tests run side by side
    #[arg(long, value_name = "N", default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
    /// Write the tables into docs/seeded-bugs.md, if all bugs were tried
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("seeded: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Arguments) -> Result<bool, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let suite = Suite::read(&root.join("tests/seeded-bugs.toml"))?;
    let bugs = chosen(&suite, args);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let runner = match &args.hil_runner {
        Some(runner) => runner.canonicalize()?,
        None => build_runner(root, &target)?,
    };
    let work = target.join("seeded");
    let rollback = args.rollback_bootloader.as_deref().map(Path::canonicalize).transpose()?;
    let bench = Bench {
        root,
        runner: &runner,
        rollback: rollback.as_deref(),
        results: work.join("results"),
        jobs: args.jobs.max(1),
    };
    let sound = root.join("target/fw");
    let tests: Vec<_> =
        suite.test.iter().filter(|test| !test.rollback || rollback.is_some()).collect();
    let found = work.join("findings");
    if !args.resume && found.exists() {
        fs::remove_dir_all(&found)?;
    }
    fs::create_dir_all(&found)?;
    let old = read(&found, NO_BUG)?;
    let missing = unsaid(&tests, &old);
    let findings = add(&found, NO_BUG, old, bench.run(&missing, &sound)?)?;
    let wrong = findings_text(&findings);
    if !wrong.is_empty() {
        return Err(format!("the firmware without bugs does not pass:{wrong}").into());
    }
    println!("no bug: {} tests pass", findings.len());

    let copy = SourceCopy::new(root, &work.join("tree"))?;
    let firmware = Firmware { copy: &copy, sound: &sound, built: work.join("fw"), target: &target };
    let (mut rows, mut unexpected) = (Vec::new(), 0);
    for (number, &bug) in bugs.iter().enumerate() {
        let started = Instant::now();
        let named = |error| format!("{:?}: {error}", bug.name);
        let wanted =
            |test: &&Test| args.every_test || test.quick || bug.found_by.contains_key(&test.name);
        let tests: Vec<_> = tests.iter().copied().filter(wanted).collect();
        let old = read(&found, &bug.name)?;
        let missing = unsaid(&tests, &old);
        let mut new = Findings::new();
        if !missing.is_empty() {
            firmware.make(bug).map_err(named)?;
            new = bench.run(&missing, &firmware.built).map_err(named)?;
        }
        let findings = add(&found, &bug.name, old, new)?;
        let verdict = suite.judge(bug, &findings);
        unexpected += usize::from(verdict.is_err());
        let (verdict, details) = match verdict {
            Ok(()) => ("found", String::new()),
            Err(why) => ("UNEXPECTED", format!("\n      {why}{}", findings_text(&findings))),
        };
        let (number, all, seconds) = (number + 1, bugs.len(), started.elapsed().as_secs());
        println!("{number:2}/{all} {verdict:10} {seconds:4} s  {}{details}", bug.name);
        rows.push((bug, findings));
    }
    println!("{} bugs, {unexpected} not found as they must be", bugs.len());
    if args.write && unexpected == 0 {
        if rows.len() < suite.bug.len() {
            return Err("the tables need all bugs, those under rollback too".into());
        }
        page::write(&root.join("docs/seeded-bugs.md"), &page::tables(&suite, &rows))?;
    }
    Ok(unexpected == 0)
}

/// Name under which the findings on the firmware without bugs are kept.
const NO_BUG: &str = "no bug";

/// What was found of a bug before.
fn read(folder: &Path, bug: &str) -> Result<Findings, Box<dyn Error>> {
    let file = folder.join(format!("{bug}.json"));
    match file.exists() {
        true => Ok(serde_json::from_str(&fs::read_to_string(file)?)?),
        false => Ok(Findings::new()),
    }
}

/// Keeps what was found of a bug.
fn add(
    folder: &Path,
    bug: &str,
    mut findings: Findings,
    new: Findings,
) -> Result<Findings, Box<dyn Error>> {
    findings.extend(new);
    let text = serde_json::to_string_pretty(&findings)?;
    fs::write(folder.join(format!("{bug}.json")), text)?;
    Ok(findings)
}

/// The tests that say nothing yet.
fn unsaid<'a>(tests: &[&'a Test], old: &Findings) -> Vec<&'a Test> {
    tests.iter().copied().filter(|test| !old.contains_key(&test.name)).collect()
}

/// The bugs to try.
fn chosen<'a>(suite: &'a Suite, args: &Arguments) -> Vec<&'a Bug> {
    let mut bugs: Vec<_> = suite.bug.iter().filter(|bug| bug.name.contains(&args.only)).collect();
    if args.rollback_bootloader.is_none() {
        for bug in bugs.extract_if(.., |bug| suite.needs_rollback(bug)) {
            println!("NOT TRIED, for want of --rollback-bootloader: {}", bug.name);
        }
    }
    if let Some(sample) = args.sample {
        let rank =
            |bug: &&Bug| *blake3::hash(format!("{} {}", args.seed, bug.name).as_bytes()).as_bytes();
        bugs.sort_by_cached_key(rank);
        bugs.truncate(sample);
    }
    bugs
}

fn build_runner(root: &Path, target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "hil-runner"])
        .current_dir(root)
        .status()?;
    match status.success() {
        true => Ok(target.join("debug/hil-runner")),
        false => Err(format!("could not build hil-runner: {status}").into()),
    }
}

/// Makes firmware with bugs.
struct Firmware<'a> {
    copy: &'a SourceCopy,
    /// Folder with the images without bugs.
    sound: &'a Path,
    /// Folder for those with one, and all others beside them.
    built: PathBuf,
    target: &'a Path,
}

impl Firmware<'_> {
    fn make(&self, bug: &Bug) -> Result<(), Box<dyn Error>> {
        self.copy.with(&bug.edit, || {
            let status = Command::new(env!("CARGO"))
                .args(["run", "--quiet", "--release", "--target-dir"])
                .arg(self.target.join("fixtures"))
                .args(["--manifest-path", "device-fw/family/Cargo.toml", "--"])
                .args(&bug.members)
                .current_dir(self.copy.tree())
                .env_remove("CARGO_TARGET_DIR")
                .output()?;
            if status.status.success() {
                return Ok(());
            }
            Err(format!("does not build:\n{}", String::from_utf8_lossy(&status.stderr)).into())
        })?;
        fs::create_dir_all(&self.built)?;
        for entry in fs::read_dir(self.sound)? {
            let name = entry?.file_name();
            if name.to_string_lossy().ends_with(".app.bin") {
                fs::copy(self.sound.join(&name), self.built.join(&name))?;
            }
        }
        for member in &bug.members {
            let name = format!("{member}.app.bin");
            fs::copy(self.copy.tree().join("target/fw").join(&name), self.built.join(&name))?;
        }
        Ok(())
    }
}

/// The failures, a line for each.
fn findings_text(findings: &Findings) -> String {
    findings
        .iter()
        .filter_map(|(test, finding)| {
            let found = finding.as_ref()?;
            Some(format!("\n      {test}: `{}`, line {}: {}", found.step, found.line, found.reason))
        })
        .collect()
}
