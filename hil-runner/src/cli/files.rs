//! Finds and reads scenario files.

use super::args::{Files, Filter};
use hil_runner::scenario::{Diagnostic, Scenario, Sources, duplicates, load};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Inventories of benches lie beside scenarios and are none.
const BENCHES: [&str; 2] = ["bench.toml", "bench.example.toml"];

/// The scenario files below paths, in the order of their names.
pub(super) fn find(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            below(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "toml")
            && !BENCHES.iter().any(|name| path.ends_with(name))
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The scenarios of files, and what is wrong with them.
pub(super) fn read(files: &Files) -> io::Result<(Vec<Scenario>, Vec<Diagnostic>)> {
    let sources = Sources { family: files.family.clone() };
    let (mut scenarios, mut wrong) = (Vec::new(), Vec::new());
    for path in find(&files.paths)? {
        match load(&path, &sources) {
            Ok(scenario) => scenarios.push(scenario),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    wrong.extend(duplicates(&scenarios));
    Ok((scenarios, wrong))
}

impl Filter {
    /// Whether a scenario is asked for.
    pub(super) fn takes(&self, scenario: &Scenario) -> bool {
        self.tag.iter().all(|tag| scenario.tags.contains(tag))
    }
}
