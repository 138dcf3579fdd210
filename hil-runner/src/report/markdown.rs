//! A summary in Markdown, as GitHub shows it for a step of a workflow.

use super::overall::headline;
use super::points::points;
use super::results::{Results, VERDICTS, name};
use super::terminal::place;
use super::text::{count, grouped, visible};
use crate::run::{Outcome, Verdict};
use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};

/// How many runs that did not pass are described: GitHub takes 1 MiB per step.
const RUNS: usize = 50;

/// The environment variable in which GitHub names the file that a step's summary is appended to.
const VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// Appends the summary to the file that GitHub asks for it, and tells whether it does.
///
/// # Errors
/// The file cannot be written; the error names it.
pub fn write_step_summary(outcomes: &[Outcome]) -> io::Result<bool> {
    let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(false);
    };
    let file = OpenOptions::new().append(true).create(true).open(&path);
    file.and_then(|mut file| file.write_all(step_summary(outcomes).as_bytes())).map_err(
        |error| {
            let path = path.to_string_lossy();
            io::Error::new(error.kind(), format!("${VARIABLE}: {path}: {error}"))
        },
    )?;
    Ok(true)
}

/// The summary: a table by scenario, what did not pass with the command that does it again, and what was
/// not run.
#[must_use]
pub fn step_summary(outcomes: &[Outcome]) -> String {
    let results = Results::of(outcomes);
    let mut text = format!("### Power cuts\n\n{}\n\n", headline(&results));
    table(&mut text, &results);
    let troubles = results.troubles();
    if !troubles.is_empty() {
        text.push_str("\n#### Did not pass\n");
    }
    for run in troubles.iter().take(RUNS) {
        let reason = run.reason.as_deref().unwrap_or("no reason given");
        let place = place(run).map(|place| format!("{} ", code(&place))).unwrap_or_default();
        let _ = write!(
            text,
            "\n**{}**: {}<br>{place}{}\n\n{}\n",
            run.verdict,
            plain(&name(run)),
            plain(reason),
            fenced(&run.replay),
        );
    }
    if troubles.len() > RUNS {
        let more = (troubles.len() - RUNS) as u64;
        let _ = writeln!(text, "\nAnd {}.", count(more, "more run"));
    }
    cut_points(&mut text, outcomes);
    let left_out = results.left_out();
    if !left_out.is_empty() {
        text.push_str("\n#### Not run\n\n");
    }
    for ((board, reason), cases) in left_out {
        let cases = count(cases.len() as u64, "case");
        let _ = writeln!(text, "- {cases} on {}: {}", plain(board), plain(reason));
    }
    text
}

/// The cut points that were asked for and covered, as on a terminal.
fn cut_points(text: &mut String, outcomes: &[Outcome]) {
    let points = points(outcomes);
    let telling: Vec<_> = points.iter().filter(|scenario| scenario.is_telling()).collect();
    if telling.is_empty() {
        return;
    }
    text.push_str("\n#### Cut points: covered of asked\n\n");
    text.push_str("| scenario | board | before | torn | after |\n|---|---|---:|---:|---:|\n");
    for scenario in &telling {
        let (name, counts) = (plain(scenario.scenario), scenario.counts().join(" | "));
        let _ = writeln!(text, "| {name} | {} | {counts} |", scenario.kind.name());
    }
    let missed: Vec<_> = telling.iter().flat_map(|scenario| scenario.missed()).collect();
    if !missed.is_empty() {
        text.push_str("\nNot covered:\n\n");
    }
    for point in missed.iter().take(RUNS) {
        let _ = writeln!(text, "- {}", plain(point));
    }
    if missed.len() > RUNS {
        let more = count((missed.len() - RUNS) as u64, "cut point");
        let _ = writeln!(text, "- and {more} more");
    }
}

fn table(text: &mut String, results: &Results<'_>) {
    let all = results.tally();
    let shown: Vec<Verdict> = VERDICTS.into_iter().rev().filter(|it| all.of(*it) > 0).collect();
    let words: Vec<String> = shown.iter().map(|verdict| format!(" {verdict} |")).collect();
    let _ = writeln!(text, "| scenario | runs | planned | fired | landed |{}", words.concat());
    let _ = writeln!(text, "|---|---:|---:|---:|---:|{}", "---:|".repeat(shown.len()));
    for scenario in &results.scenarios {
        let runs = scenario.cases.iter().flat_map(|case| case.runs.iter().copied());
        let sum = super::results::tally(runs);
        let _ = write!(text, "| {} |", plain(scenario.name));
        let counts = [sum.runs, sum.planned, sum.fired, sum.landed].into_iter();
        for number in counts.chain(shown.iter().map(|verdict| sum.of(*verdict))) {
            let _ = write!(text, " {} |", grouped(number));
        }
        text.push('\n');
    }
}

/// A text without meaning for Markdown or HTML.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '@' | '!' | '$' => {
                escaped.extend(['\\', c]);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text in one line as code.
fn code(text: &str) -> String {
    let ticks = "`".repeat(longest_ticks(text) + 1);
    format!("{ticks} {} {ticks}", visible(text))
}

/// A text as a block of code.
fn fenced(text: &str) -> String {
    let ticks = "`".repeat((longest_ticks(text) + 1).max(3));
    format!("{ticks}\n{}\n{ticks}", visible(text))
}

/// The longest row of backticks in a text: a fence must be longer.
fn longest_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
