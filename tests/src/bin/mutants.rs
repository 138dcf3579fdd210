//! Shows that the tests can fail: plants one seeded bug after the other in a copy of the workspace and
//! runs the tests that must catch it.
//!
//! `tests/mutants.toml` lists the bugs. A bug that its tests do not catch, one that does not compile
//! and one whose place in the source has changed are all failures of the run.

use cutpoint_tests::source_copy::{Edit, SourceCopy};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

/// A mutant that makes a test run longer than this hangs it, which the test's author would notice.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mutant: Vec<Mutant>,
}

/// A seeded bug.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// What is wrong.
    name: String,
    /// The source file, from the root of the workspace.
    file: PathBuf,
    /// Text that stands once in the file.
    find: String,
    /// What it becomes.
    replace: String,
    /// Arguments of the `cargo test` that must fail.
    caught_by: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let only = std::env::args().nth(1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let table = fs::read_to_string(root.join("tests/mutants.toml"))?;
    let mutants: Vec<_> = toml::from_str::<Table>(&table)?.mutant;
    let mutants: Vec<_> = mutants.iter().filter(|mutant| mutant.name.contains(&only)).collect();
    let copy = Copy::new(root)?;

    let suites: BTreeSet<_> = mutants.iter().map(|mutant| mutant.caught_by.as_str()).collect();
    for suite in suites {
        let output = copy.test(suite, false)?;
        if !output.status.success() {
            return Err(
                format!("`cargo test {suite}` fails without a mutant:\n{}", text(&output)).into()
            );
        }
    }

    let mut survivors = Vec::new();
    for (number, mutant) in mutants.iter().enumerate() {
        let started = Instant::now();
        let verdict = copy.try_mutant(mutant)?;
        println!(
            "{:2}/{} {:9} {:4} s  {}",
            number + 1,
            mutants.len(),
            verdict,
            started.elapsed().as_secs(),
            mutant.name
        );
        if verdict == "SURVIVED" {
            survivors.push(&mutant.name);
        }
    }
    println!("{} mutants, {} survived", mutants.len(), survivors.len());
    Ok(survivors.is_empty())
}

/// A copy of the workspace and where it is built.
struct Copy {
    copy: SourceCopy,
    target: PathBuf,
}

impl Copy {
    fn new(root: &Path) -> Result<Self, Box<dyn Error>> {
        // The same target directory: dependencies need not be built again.
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let copy = SourceCopy::new(root, &target.join("mutants"))?;
        Ok(Self { copy, target })
    }

    fn try_mutant(&self, mutant: &Mutant) -> Result<&'static str, Box<dyn Error>> {
        let Mutant { name, file, find, replace, .. } = mutant;
        let edit = Edit { file: file.clone(), find: find.clone(), replace: replace.clone() };
        let named = |error| format!("{name:?}: {error}").into();
        self.copy.with(&[edit], || self.verdict(mutant)).map_err(named)
    }

    fn verdict(&self, mutant: &Mutant) -> Result<&'static str, Box<dyn Error>> {
        let built = self.test(&mutant.caught_by, true)?;
        if !built.status.success() {
            return Err(format!("{:?} does not compile:\n{}", mutant.name, text(&built)).into());
        }
        let mut tests = self.command(&mutant.caught_by, false);
        let mut child =
            tests.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn()?;
        let started = Instant::now();
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok("SURVIVED"),
                Some(_) => return Ok("caught"),
                None if started.elapsed() > PATIENCE => {
                    // The test is a child of cargo: end the whole group.
                    Command::new("kill")
                        .args(["-KILL", "--"])
                        .arg(format!("-{}", child.id()))
                        .status()?;
                    child.wait()?;
                    return Ok("hung");
                }
                // There is no portable way to wait for a process with a time limit.
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn test(&self, arguments: &str, only_build: bool) -> Result<Output, Box<dyn Error>> {
        Ok(self.command(arguments, only_build).output()?)
    }

    fn command(&self, arguments: &str, only_build: bool) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(self.copy.tree()).env("CARGO_TARGET_DIR", &self.target).arg("test");
        // The same few crates are built again and again, whatever suits the build around this.
        command.env("CARGO_INCREMENTAL", "1");
        if only_build {
            command.arg("--no-run");
        }
        command.args(arguments.split_whitespace());
        command
    }
}

fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
