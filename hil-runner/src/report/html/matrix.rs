//! All results: for each scenario the cases, and for each case its cuts, one sign each.

use super::super::results::{CaseResults, Results, ScenarioResults, Tally, VERDICTS, retried};
use super::super::text::{count, grouped, visible};
use super::{Shown, badge, class, symbol};
use crate::run::{Outcome, Verdict};
use maud::{Markup, html};

/// The sign of a run that passed only when tried again.
const AGAIN: &str = "↻";

/// The section of the page.
pub(super) fn section(results: &Results<'_>, shown: &Shown<'_>) -> Markup {
    html! {
        section aria-labelledby="results" {
            h2 #results { "All results" }
            p.legend {
                "One sign for each run, in the order of the cuts: "
                @for verdict in VERDICTS.into_iter().rev() { (badge(verdict)) " " }
                span.badge.pass { (AGAIN) " pass when tried again" }
                " Links lead to the run in full."
            }
            table.matrix {
                caption { "Scenarios, their cases on each board, and the runs of each case" }
                thead {
                    tr {
                        th scope="col" { "Case" }
                        th scope="col" { "Verdict" }
                        th scope="col" { "Cuts: planned / fired / landed" }
                    }
                }
                @for scenario in &results.scenarios { (group(scenario, shown)) }
            }
        }
    }
}

fn group(scenario: &ScenarioResults<'_>, shown: &Shown<'_>) -> Markup {
    html! {
        tbody {
            tr {
                th.scenario scope="rowgroup" colspan="3" {
                    (visible(scenario.name))
                    span.file { " " (visible(&scenario.file.to_string_lossy())) }
                }
            }
            @for case in &scenario.cases { (rows(case, shown)) }
        }
    }
}

/// A case: how it went, and below its runs if there are several.
fn rows(case: &CaseResults<'_>, shown: &Shown<'_>) -> Markup {
    let tally = case.tally();
    let only = if let [run] = case.runs.as_slice() { shown.anchor(run) } else { None };
    html! {
        tr {
            th scope="row" { (visible(case.case)) span.board { " on " (visible(case.board)) } }
            td {
                @if let Some(anchor) = only {
                    a href={ "#" (anchor) } { (badge(case.verdict())) }
                } @else {
                    (badge(case.verdict()))
                }
                @if case.runs.len() > 1 { span.counts { (counts(&tally)) } }
            }
            td.cuts {
                (grouped(tally.planned)) " / " (grouped(tally.fired)) " / " (grouped(tally.landed))
            }
        }
        @if case.runs.len() > 1 {
            tr.runs {
                td colspan="3" { @for line in lines(&case.runs) { (strip(&line, shown)) } }
            }
        }
    }
}

fn counts(tally: &Tally) -> String {
    let some = VERDICTS.into_iter().filter(|verdict| tally.of(*verdict) > 0);
    let words: Vec<_> =
        some.map(|verdict| format!("{} {verdict}", grouped(tally.of(verdict)))).collect();
    words.join(", ")
}

/// The runs by all cuts but the last: a chain `cut 3, 7` stands in the line of `cut 3`.
fn lines<'a>(runs: &[&'a Outcome]) -> Vec<(&'a str, Vec<&'a Outcome>)> {
    let mut lines: Vec<(&str, Vec<_>)> = Vec::new();
    for run in runs {
        let first = run.run.rsplit_once(", ").map_or("", |(first, _)| first);
        match lines.last_mut() {
            Some((last, line)) if *last == first => line.push(*run),
            _ => lines.push((first, vec![*run])),
        }
    }
    lines
}

fn strip((first, runs): &(&str, Vec<&Outcome>), shown: &Shown<'_>) -> Markup {
    // Runs that are not shown in full and have one verdict are one element: thousands stay light, and a
    // screen reader says it once.
    let alike = runs.chunk_by(|one, next| {
        one.verdict == next.verdict && shown.anchor(one).is_none() && shown.anchor(next).is_none()
    });
    html! {
        div.strip {
            @if !first.is_empty() { span.first { (visible(first)) ", " } }
            @for runs in alike {
                @if let [run, ..] = runs {
                    @let label = label(runs);
                    @if let Some(anchor) = shown.anchor(run) {
                        a class=(class(run.verdict)) href={ "#" (anchor) } title=(label) aria-label=(label) {
                            (sign(run))
                            @if run.verdict != Verdict::Pass { (number(run)) }
                        }
                    } @else {
                        span class=(class(run.verdict)) role="img" title=(label) aria-label=(label) {
                            (sign(run).repeat(runs.len()))
                        }
                    }
                }
            }
        }
    }
}

/// The sign of a run.
fn sign(run: &Outcome) -> &'static str {
    if retried(run) { AGAIN } else { symbol(run.verdict) }
}

/// The number of the last cut, to find it in a long strip.
fn number(run: &Outcome) -> String {
    visible(run.run.rsplit(' ').next().unwrap_or_default())
}

fn label(runs: &[&Outcome]) -> String {
    let name = |run: &Outcome| match run.run.as_str() {
        "" => "the only run".to_string(),
        run => visible(run),
    };
    match runs {
        [] => String::new(),
        [run] if retried(run) => {
            format!("{}: pass at attempt {}", name(run), run.attempt)
        }
        [run] => format!("{}: {}", name(run), run.verdict),
        [one, .., last] => {
            let number = count(runs.len() as u64, "run");
            format!("{} to {}, {number}: {}", name(one), name(last), one.verdict)
        }
    }
}
