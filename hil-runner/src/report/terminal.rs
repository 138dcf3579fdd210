//! The end of a run on a terminal.

use super::overall::headline;
use super::points::points;
use super::results::{Results, VERDICTS, name, tally};
use super::text::{count, grouped, visible};
use crate::run::{Outcome, Verdict};
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many lines of failures are shown. The HTML report has all.
const LINES: usize = 50;

/// What is shown at the end of a run: a table by scenario and board, what was not run and why, a line for
/// each run that did not pass, which ends with the command that does it again, the cut points that were asked
/// for and covered, and one line for the whole.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let results = Results::of(outcomes);
    let mut text = format!("{}\n", counts(&results));
    for ((board, reason), cases) in results.left_out() {
        let _ = writeln!(
            text,
            "not run on {}: {}: {}",
            visible(board),
            count(cases.len() as u64, "case"),
            visible(reason)
        );
    }
    let troubles = results.troubles();
    for run in troubles.iter().take(LINES) {
        let _ = writeln!(text, "{}", trouble(run));
    }
    if troubles.len() > LINES {
        let more = (troubles.len() - LINES) as u64;
        let _ = writeln!(text, "and {} that did not pass", count(more, "more run"));
    }
    text += &cut_points(outcomes);
    if let Some(spread) = latencies(outcomes) {
        let _ = writeln!(text, "{spread}");
    }
    let _ = writeln!(text, "{}", headline(&results));
    text
}

/// A table of the cut points that were asked for and those that were covered, with a line for each that was
/// not. Boards that cut exactly are in it only if they left a point out.
fn cut_points(outcomes: &[Outcome]) -> String {
    let points = points(outcomes);
    let telling: Vec<_> = points.iter().filter(|scenario| scenario.is_telling()).collect();
    if telling.is_empty() {
        return String::new();
    }
    let mut table = plain_table();
    table.set_header(["covered of asked cut points", "board", "before", "torn", "after"]);
    for scenario in &telling {
        let place = [visible(scenario.scenario), scenario.kind.name().to_owned()];
        table.add_row(place.into_iter().chain(scenario.counts()));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n");
    let missed: Vec<_> = telling.iter().flat_map(|scenario| scenario.missed()).collect();
    for point in missed.iter().take(LINES) {
        let _ = writeln!(text, "not covered: {point}");
    }
    if missed.len() > LINES {
        let more = count((missed.len() - LINES) as u64, "cut point");
        let _ = writeln!(text, "and {more} more that were not covered");
    }
    text
}

/// How long power switches took, from the trigger on the console: least, median and most. `None` when no cut
/// took real time.
fn latencies(outcomes: &[Outcome]) -> Option<String> {
    let cuts = outcomes.iter().flat_map(|outcome| &outcome.cuts);
    let mut times: Vec<f64> = cuts.filter_map(|cut| cut.latency).collect();
    times.sort_by(f64::total_cmp);
    let (least, most) = (times.first()?, times.last()?);
    let median = times.get(times.len() / 2)?;
    let cuts = count(times.len() as u64, "cut");
    Some(format!(
        "from the trigger to the end of the switch's command, {cuts}: \
         {least:.1} ms to {most:.1} ms, median {median:.1} ms"
    ))
}

/// A line of `--json`: the outcome, as in the journal. Without the end of the line.
///
/// # Errors
/// The path of the scenario's file is not Unicode.
pub fn json_line(outcome: &Outcome) -> serde_json::Result<String> {
    serde_json::to_string(outcome)
}

/// A run that did not pass, in one line.
pub(super) fn trouble(run: &Outcome) -> String {
    let reason = run.reason.as_deref().unwrap_or("no reason given");
    let place = place(run).map(|place| format!("{place}: ")).unwrap_or_default();
    let line = format!("{}: {}: {place}{reason}; again: {}", run.verdict, name(run), run.replay);
    visible(&line)
}

/// Where a run ended: file, line, step.
pub(super) fn place(run: &Outcome) -> Option<String> {
    let step = run.step.as_ref()?;
    Some(format!("{}:{}: step {}, {}", run.file.display(), step.line, step.number, step.verb))
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table
}

fn counts(results: &Results<'_>) -> Table {
    let mut table = plain_table();
    let mut header = vec!["scenario", "board", "cases", "runs", "planned", "fired", "landed"];
    // Columns of verdicts that came up nowhere would only widen the table.
    let all = results.tally();
    let shown: Vec<Verdict> = VERDICTS.into_iter().rev().filter(|it| all.of(*it) > 0).collect();
    let words: Vec<String> = shown.iter().map(ToString::to_string).collect();
    header.extend(words.iter().map(String::as_str));
    table.set_header(header);
    for scenario in &results.scenarios {
        let mut boards: BTreeMap<&str, (u64, Vec<&Outcome>)> = BTreeMap::new();
        for case in &scenario.cases {
            let (cases, runs) = boards.entry(case.board).or_default();
            *cases += 1;
            runs.extend(&case.runs);
        }
        for (board, (cases, runs)) in boards {
            let sum = tally(runs);
            let mut row = vec![visible(scenario.name), visible(board)];
            row.extend([cases, sum.runs, sum.planned, sum.fired, sum.landed].map(grouped));
            row.extend(shown.iter().map(|verdict| grouped(sum.of(*verdict))));
            table.add_row(row);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
