//! What the tests of scenario files share.

#![allow(dead_code, reason = "not every test uses all of it")]

use hil_runner::scenario::{Diagnostic, Scenario, Sources, parse};
use std::path::{Path, PathBuf};

/// A folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Checks a text as if it were a file beside the library's scenarios. No image is there.
pub(crate) fn check(text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let sources = Sources { family: "no such folder".into() };
    parse(&repository("scenarios").join("test.toml"), text, &sources)
}

/// The codes of what is wrong with a text.
pub(crate) fn codes(text: &str) -> Vec<&'static str> {
    let wrong = check(text).err().unwrap_or_default();
    wrong.iter().map(|diagnostic| diagnostic.code.name()).collect()
}

/// The scenario files of the library.
pub(crate) fn library() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository("scenarios")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|it| it == "toml") && !path.ends_with("bench.example.toml")
    });
    files.sort();
    files
}
