//! Running the tests on a firmware.

use super::suite::Test;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How the scenarios are run.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The workspace.
    pub root: &'a Path,
    /// The program `hil-runner`.
    pub runner: &'a Path,
    /// A bootloader that rolls back.
    pub rollback: Option<&'a Path>,
    /// Folder for journals and reports; those of a test stand in the folder of its name.
    pub results: PathBuf,
    /// How many tests run side by side.
    pub jobs: usize,
}

/// What a test found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Finding {
    /// The verb of the step that the report names.
    pub step: String,
    /// The line of that step in the scenario.
    pub line: u64,
    /// Why it failed, as the report says it.
    pub reason: String,
}

/// What the tests said of a firmware, by their names: `None` where a test passed.
pub type Findings = BTreeMap<String, Option<Finding>>;

impl Bench<'_> {
    /// Runs tests on the images in the folder `family`.
    ///
    /// # Errors
    /// When a test neither passes nor fails, but was not run, or the bench failed.
    pub fn run(&self, tests: &[&Test], family: &Path) -> Result<Findings, Box<dyn Error>> {
        let next = AtomicUsize::new(0);
        let findings = Mutex::new(Ok(Findings::new()));
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let found = self.run_one(test, family).map_err(|it| it.to_string());
                        let Ok(mut findings) = findings.lock() else { return };
                        match (findings.as_mut(), found) {
                            (Ok(all), Ok(found)) => drop(all.insert(test.name.clone(), found)),
                            (Ok(_), Err(error)) => *findings = Err(error),
                            (Err(_), _) => return,
                        }
                    }
                });
            }
        });
        Ok(findings.into_inner().map_err(|_| "a test panicked")??)
    }

    fn run_one(&self, test: &Test, family: &Path) -> Result<Option<Finding>, Box<dyn Error>> {
        let results = self.results.join(test.name.replace(' ', "-"));
        if results.exists() {
            fs::remove_dir_all(&results)?;
        }
        let mut command = Command::new(self.runner);
        command
            .current_dir(self.root)
            .args(["run", "--board", "virtual", "--jobs", "1", "--attempts", "1"])
            .arg(format!("scenarios/{}.toml", test.scenario))
            .args(["--case", &test.case])
            .arg("--family")
            .arg(family)
            .arg("--results")
            .arg(&results);
        if let Some(at) = &test.at {
            command.args(["--at", at]);
        }
        if let (true, Some(bootloader)) = (test.rollback, self.rollback) {
            command.arg("--rollback-bootloader").arg(bootloader);
        }
        let output = command.output()?;
        match output.status.code() {
            Some(0) => Ok(None),
            Some(1) => first_failure(&results.join("journal.jsonl")).map(Some),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
                Err(format!("{}: {}\n{said}", test.name, output.status).into())
            }
        }
    }
}

/// The first run in a journal that failed.
fn first_failure(journal: &Path) -> Result<Finding, Box<dyn Error>> {
    for line in fs::read_to_string(journal)?.lines() {
        let run: Value = serde_json::from_str(line)?;
        if run["verdict"] == "fail" {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Ok(Finding {
                step: text(&run["step"]["verb"]),
                line: run["step"]["line"].as_u64().unwrap_or(0),
                reason: text(&run["reason"]),
            });
        }
    }
    Err(format!("{}: no run failed", journal.display()).into())
}
