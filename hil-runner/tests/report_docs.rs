//! The examples in the book's page about reports are real, and current.
//!
//! `UPDATE_DOCS=1 cargo test -p hil-runner --test report_docs` writes them.

#![allow(missing_docs)]

mod outcomes;

use hil_runner::report::{cut_points_line, json_line, junit, step_summary, table};
use hil_runner::run::Outcome;
use outcomes::{failed, header, in_full, late, not_run, passed};
use std::path::Path;
use std::{env, fs};

const HINT: &str = "UPDATE_DOCS=1 cargo test -p hil-runner --test report_docs";

fn page() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reports.md")
}

/// A case with three runs, of which one fails, and a case that was not run.
fn example() -> Vec<Outcome> {
    vec![in_full(1), passed(2), failed(59), not_run("bring-your-own-firmware", "model")]
}

/// What stands between the lines `<!-- NAME -->` and `<!-- end -->`: language and text.
fn examples() -> [(&'static str, &'static str, String); 7] {
    let all = example();
    [
        ("points", "text", table(&late())),
        ("points-line", "json", cut_points_line(&late()).unwrap()),
        ("table", "text", table(&all)),
        ("header", "json", serde_json::to_string(&header()).unwrap()),
        ("line", "json", json_line(&passed(2)).unwrap()),
        ("junit", "xml", junit(&all).unwrap()),
        ("summary", "markdown", step_summary(&all)),
    ]
}

#[test]
fn the_examples_are_current() {
    let mut text = fs::read_to_string(page()).unwrap();
    for (name, language, example) in examples() {
        let begin = format!("<!-- {name} -->\n");
        let (before, rest) = text.split_once(&begin).expect(name);
        let (stored, after) = rest.split_once("<!-- end -->").unwrap();
        // The summary has blocks of code within: a longer fence.
        let block = format!("````{language}\n{}\n````\n", example.trim_end());
        if env::var_os("UPDATE_DOCS").is_none() {
            assert!(stored == block, "{name}: {HINT}");
        }
        text = format!("{before}{begin}{block}<!-- end -->{after}");
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(page(), text).unwrap();
    }
}

#[test]
fn every_key_of_a_line_is_explained() {
    let page = fs::read_to_string(page()).unwrap();
    let keys = |value: serde_json::Value| value.as_object().unwrap().keys().cloned().collect();
    let mut all: Vec<String> = keys(serde_json::to_value(&late()[1]).unwrap());
    all.extend::<Vec<String>>(keys(serde_json::to_value(header()).unwrap()));
    for key in all {
        assert!(page.contains(&format!("| `{key}` |")), "{key} is not explained");
    }
}
