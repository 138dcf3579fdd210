//! The program: what its commands do.

mod args;
mod expect;
mod findings;
mod guarantee;
mod known;
mod matrix;
mod output;
mod parts;
mod prove;
mod random;
mod run;

use args::{Cli, Command, Explore, Reduction};
use clap::Parser;
use expect::Verdict;
use matrix::Matrix;
use output::Results;
use run::Runner;
use sim::explore::{Limits, Report};
use sim::flash::Part;
use sim::flash::fault::FaultProfile;
use sim::known::KnownReplay;
use sim::random::rerun;
use sim::replay::{Replay, ReplayError, Story};
use sim::setup::Setup;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A verdict is not as expected, or a counterexample does not replay.
const UNEXPECTED: u8 = 1;
/// An input or an argument is wrong.
const BAD_INPUT: u8 = 2;
/// Ctrl-C; what shells report for a program that ends by SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let result: Result<u8, Box<dyn Error>> = match &cli.command {
        Some(Command::Replay { file }) => match KnownReplay::is_one(file) {
            Ok(true) => known::replay(file).map_err(Into::into),
            Ok(false) => replay(file).map_err(Into::into),
            Err(error) => Err(error.into()),
        },
        Some(Command::Guarantee(args)) => guarantee::run(args).map_err(Into::into),
        Some(Command::Prove(args)) => prove::run(args).map_err(Into::into),
        Some(Command::CheckCertificate { files }) => prove::check(files).map_err(Into::into),
        Some(Command::Merge { directories }) => prove::merge(directories).map_err(Into::into),
        Some(Command::Parts) => {
            print(&parts::list());
            Ok(0)
        }
        Some(Command::Known(arguments)) => known::run(arguments).map_err(Into::into),
        None => explore(&cli.explore).map_err(Into::into),
    };
    result.map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::from(BAD_INPUT)
        },
        ExitCode::from,
    )
}

/// Prints to standard output. A reader that has gone away, as in `sim | head`, is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn explore(args: &Explore) -> Result<u8, ReplayError> {
    let matrix = Matrix::new(&args.device, &args.cuts)?;
    let interrupted = interruption();
    let limits = |part: &Part| Limits {
        max_states: args.max_states,
        remember: !args.without.contains(&Reduction::Runs),
        ..args.cuts.limits(part, args.usage.into())
    };
    let runner = Runner { jobs: args.cuts.threads(), quiet: args.json, interrupted: &interrupted };
    let reports = runner.run(&matrix.setups, |setup, watch| {
        Ok::<_, ReplayError>(sim::explore::explore(
            &setup.world()?.with_reductions(args.reductions()),
            &limits(&setup.part),
            watch,
        ))
    })?;
    let findings = findings::write(&matrix, &reports, args.cuts.seed, &args.counterexamples)?;
    let mut surprises = surprises(&matrix, &reports);
    let cases = if interrupted.load(Relaxed) { 0 } else { args.random };
    let (random, failures) = random::run(&matrix, args.cuts.seed, cases, &args.counterexamples)?;
    surprises.extend(failures);
    let results = Results {
        seed: args.cuts.seed,
        faults: faults(args, &matrix.setups),
        setups: &matrix.setups,
        reports: &reports,
        findings: &findings,
        random,
        refused: matrix.refused.iter().map(ToString::to_string).collect(),
        surprises: &surprises,
    };
    print(&if args.json { results.json() } else { results.text() });
    Ok(match (interrupted.load(Relaxed), surprises.is_empty()) {
        (true, _) => INTERRUPTED,
        (false, false) => UNEXPECTED,
        (false, true) => 0,
    })
}

/// The faults of the parts that were explored, each choice once.
fn faults(args: &Explore, setups: &[Setup]) -> Vec<FaultProfile> {
    let mut all = Vec::new();
    for faults in setups.iter().map(|setup| args.cuts.faults_of(&setup.part)) {
        if !all.contains(&faults) {
            all.push(faults);
        }
    }
    all
}

/// Set when the user wants the program to end.
fn interruption() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let handler = interrupted.clone();
    // Without a handler, Ctrl-C ends the program at once, as it does everywhere else.
    let _ = ctrlc::set_handler(move || handler.store(true, Relaxed));
    interrupted
}

fn surprises(matrix: &Matrix, reports: &[Option<Report>]) -> Vec<String> {
    let mut surprises = Vec::new();
    for (setup, report) in matrix.setups.iter().zip(reports) {
        let verdict = report.as_ref().map_or(Verdict::Incomplete, Verdict::of);
        if !verdict.expected(setup.subject) {
            let subject = setup.subject.name();
            let (layout, bootloader) = (setup.layout.name(), setup.generation);
            let rollback = setup.rollback;
            surprises
                .push(format!("{subject} on {layout} under {bootloader} {rollback}: {verdict}"));
        }
    }
    let complete = reports.iter().all(|report| report.as_ref().is_some_and(|it| it.complete));
    if matrix.stock && complete {
        let found: Vec<_> = matrix
            .setups
            .iter()
            .zip(reports)
            .filter(|(setup, _)| setup.subject.name().starts_with("esp-idf-v5.5"))
            .flat_map(|(_, report)| report)
            .flat_map(|report| &report.counterexamples)
            .map(|example| example.finding)
            .collect();
        for hazard in expect::missing(&found) {
            surprises.push(format!("esp-idf-v5.5 does not show {hazard}: {}", hazard.describe()));
        }
    }
    surprises
}

fn replay(file: &Path) -> Result<u8, ReplayError> {
    let replay = Replay::read(file)?;
    let setup = replay.setup()?;
    if let Some(scenario) = &replay.scenario {
        let outcome = rerun(&setup.world()?, scenario);
        print(&format!("{}\n{outcome:#?}\n", replay.to_json()));
        return Ok(if outcome.broken.is_some() { 0 } else { UNEXPECTED });
    }
    let trace = replay.run(&setup)?;
    print(&Story { replay: &replay, setup: &setup, trace: &trace }.to_string());
    Ok(match trace.violation(&replay.finding) {
        Some(_) => {
            print("\nReproduced: the invariant breaks as recorded.\n");
            0
        }
        None => {
            let finding = replay.finding;
            print(&format!("\nNOT REPRODUCED: the last cycle does not show: {finding}\n"));
            UNEXPECTED
        }
    })
}
