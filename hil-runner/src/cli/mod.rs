//! The program: what its commands do.

mod args;
mod bench;
mod boards;
mod discover;
mod files;
mod power;
#[cfg(feature = "probe")]
mod probe;
mod real;
mod run;
mod state;
mod tables;

use args::{Cli, Command, Files};
use clap::Parser;
use hil_runner::board::RigError;
use hil_runner::scenario::{Diagnostic, Scenario, format, schema};
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An argument or a scenario file is wrong.
const WRONG: u8 = 2;
/// The bench failed: a switch, a port.
const RIG_ERROR: u8 = 3;
/// What `new` writes, up to the name.
const TEMPLATE: &str = include_str!("template.toml");

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => return ended(run::run(&args)),
        Command::Replay { file, board, family } => {
            return ended(run::replay(&file, &board, &family));
        }
        Command::Report { journal, results } => {
            return ended(run::reports(&journal, &results).map(Some));
        }
        Command::State(args) => return ended(state::state(&args)),
        Command::New { file } => new(&file),
        Command::Check { files } => check(&files),
        Command::Plan { files, filter } => scenarios(&files).map(|all| {
            all.map(|mut all| {
                all.retain(|scenario| filter.takes(scenario));
                print(&tables::plan(&all));
            })
            .is_some()
        }),
        Command::List { files, filter } => scenarios(&files).map(|all| {
            all.map(|mut all| {
                all.retain(|scenario| filter.takes(scenario));
                print(&tables::list(&all));
            })
            .is_some()
        }),
        Command::Discover(arguments) => discover::run(&arguments),
        Command::Power(command) => power::power(&command),
        Command::Schema { bench } => {
            print(&if bench { hil_runner::bench::schema() } else { schema() });
            Ok(true)
        }
        Command::Explain { code } => {
            print(code.explanation());
            Ok(true)
        }
        Command::Fmt { check, paths } => fmt(&paths, check),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(WRONG),
        Err(error) => {
            eprintln!("error: {error}");
            let rig = error.get_ref().is_some_and(|it| it.is::<RigError>());
            ExitCode::from(if rig { RIG_ERROR } else { WRONG })
        }
    }
}

/// The exit status of something that has one of its own; `None` when an argument or a file is wrong.
fn ended(result: io::Result<Option<u8>>) -> ExitCode {
    match result {
        Ok(status) => ExitCode::from(status.unwrap_or(WRONG)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(RIG_ERROR)
        }
    }
}

/// Prints to standard output. A reader that has gone away, as in `hil-runner list | head`, is no error.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Adds to an error the file that it is about.
fn about(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes a starting point.
fn new(file: &Path) -> io::Result<bool> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(plain).collect();
    let name = match name.trim_matches('-') {
        "" => "my-scenario",
        name => name,
    };
    let mut output =
        OpenOptions::new().write(true).create_new(true).open(file).map_err(about(file))?;
    output.write_all(TEMPLATE.replace("NAME", name).as_bytes()).map_err(about(file))?;
    print(&format!("{}: written; next: hil-runner check {}\n", file.display(), file.display()));
    Ok(true)
}

/// Shows what is wrong.
fn report(wrong: &[Diagnostic]) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for diagnostic in wrong {
        eprintln!("{}\n", diagnostic.render(colour));
    }
    if let Some(first) = wrong.first() {
        let count = wrong.len();
        let errors = if count == 1 { "error" } else { "errors" };
        eprintln!("{count} {errors}; `hil-runner explain {}` says more", first.code);
    }
}

fn check(files: &Files) -> io::Result<bool> {
    let (scenarios, wrong) = files::read(files)?;
    report(&wrong);
    if wrong.is_empty() {
        let cases: usize = scenarios.iter().map(|scenario| scenario.cases.len()).sum();
        print(&format!("{} scenarios, {cases} cases: no mistakes found\n", scenarios.len()));
    }
    Ok(wrong.is_empty())
}

/// The scenarios, if nothing is wrong with any.
fn scenarios(files: &Files) -> io::Result<Option<Vec<Scenario>>> {
    let (scenarios, wrong) = files::read(files)?;
    report(&wrong);
    Ok(wrong.is_empty().then_some(scenarios))
}

fn fmt(paths: &[PathBuf], check: bool) -> io::Result<bool> {
    let mut fine = true;
    for path in files::find(paths)? {
        let source = fs::read_to_string(&path).map_err(about(&path))?;
        match format(&source) {
            None => {
                fine = false;
                eprintln!("{}: not TOML; `hil-runner check` says where", path.display());
            }
            Some(formatted) if formatted == source => {}
            Some(_) if check => {
                fine = false;
                eprintln!("{}: would change; run `hil-runner fmt`", path.display());
            }
            Some(formatted) => {
                fs::write(&path, formatted).map_err(about(&path))?;
                print(&format!("{}: changed\n", path.display()));
            }
        }
    }
    Ok(fine)
}
