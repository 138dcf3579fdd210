//! One page for people, complete in itself.
//!
//! It asks for nothing from anywhere (its own policy forbids it), has no script, and works with a keyboard
//! and in any width from 400 pixels. A passed run takes a few bytes of it; what is worth a look is shown in
//! full: what did not pass, and the first run of each case.

mod detail;
mod matrix;
mod otadata;
mod points;
mod timeline;

use super::overall::{Overall, headline};
use super::points as cut_points;
use super::results::{Results, name};
use super::terminal::place;
use super::text::{count, visible};
use crate::run::{Header, Outcome, Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::HashMap;

const STYLE: &str = include_str!("style.css");

/// What a browser may load for the page: nothing. A text that is obeyed in spite of all escaping cannot
/// load or run anything either.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// How many runs that did not pass are shown in full. When there are so many, they are alike.
const IN_FULL: usize = 200;

/// How many runs that did not pass are listed.
const LISTED: usize = 2000;

/// The page, as HTML. `header` is that of the journal, if there is one.
#[must_use]
pub fn html(header: Option<&Header>, outcomes: &[Outcome]) -> String {
    let results = Results::of(outcomes);
    let troubles = results.troubles();
    let shown = Shown::of(&results, &troubles);
    let cut_points = cut_points::points(outcomes);
    let overall = Overall::of(&results.tally());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { "Power cuts: " (overall.words()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the results" }
                header {
                    h1 { "Power cuts" }
                    p class={ "overall " (class(overall.verdict())) } {
                        (symbol(overall.verdict())) " " (headline(&results))
                    }
                    (contents(&results, &troubles, !cut_points.is_empty()))
                }
                main #main tabindex="-1" {
                    @if !troubles.is_empty() { (did_not_pass(&troubles, &shown)) }
                    (matrix::section(&results, &shown))
                    (points::section(&cut_points))
                    (not_run(&results))
                    (detail::section(&shown))
                    @if let Some(header) = header { (this_run(header)) }
                }
            }
        }
    };
    page.into_string()
}

/// The runs that are shown in full.
struct Shown<'a> {
    runs: Vec<&'a Outcome>,
    numbers: HashMap<*const Outcome, usize>,
}

impl<'a> Shown<'a> {
    fn of(results: &Results<'a>, troubles: &[&'a Outcome]) -> Self {
        let mut shown = Self { runs: Vec::new(), numbers: HashMap::new() };
        let first = results.cases().filter_map(|case| case.runs.first().copied());
        let first = first.filter(|run| run.verdict == Verdict::Pass);
        for run in troubles.iter().copied().take(IN_FULL).chain(first) {
            shown.runs.push(run);
            shown.numbers.insert(run, shown.runs.len());
        }
        shown
    }

    /// The anchor of a run, if it is shown in full.
    fn anchor(&self, run: &Outcome) -> Option<String> {
        self.numbers.get(&std::ptr::from_ref(run)).map(|number| format!("run-{number}"))
    }
}

/// The class of elements that show a verdict.
fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::NotRun => "not-run",
        Verdict::MissedWindow => "missed",
        Verdict::RigError => "rig",
        Verdict::Fail => "fail",
    }
}

/// A verdict without words and without colour.
fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::NotRun => "–",
        Verdict::MissedWindow => "?",
        Verdict::RigError => "!",
        Verdict::Fail => "✗",
    }
}

/// A verdict as symbol and words.
fn badge(verdict: Verdict) -> Markup {
    html! { span class={ "badge " (class(verdict)) } { (symbol(verdict)) " " (verdict) } }
}

fn contents(results: &Results<'_>, troubles: &[&Outcome], cut_points: bool) -> Markup {
    html! {
        nav aria-label="On this page" {
            ul {
                @if !troubles.is_empty() {
                    li { a href="#did-not-pass" { "What did not pass" } }
                }
                li { a href="#results" { "All results" } }
                @if cut_points { li { a href="#cut-points" { "Cut points" } } }
                @if results.tally().of(Verdict::NotRun) > 0 {
                    li { a href="#not-run" { "What was not run" } }
                }
                li { a href="#details" { "Runs in full" } }
            }
        }
    }
}

fn did_not_pass(troubles: &[&Outcome], shown: &Shown<'_>) -> Markup {
    html! {
        section aria-labelledby="did-not-pass" {
            h2 #did-not-pass { "What did not pass" }
            ol.troubles {
                @for run in troubles.iter().take(LISTED) {
                    li {
                        (badge(run.verdict)) " "
                        @let name = visible(&name(run));
                        @if let Some(anchor) = shown.anchor(run) {
                            a href={ "#" (anchor) } { (name) }
                        } @else {
                            (name)
                        }
                        p.reason { (visible(run.reason.as_deref().unwrap_or("no reason given"))) }
                        @if let Some(place) = place(run) { p.place { (visible(&place)) } }
                        (replay(run))
                    }
                }
            }
            @if troubles.len() > LISTED {
                p { "And " (count((troubles.len() - LISTED) as u64, "more run")) "." }
            }
        }
    }
}

/// The command that does a run again; one click marks all of it.
fn replay(run: &Outcome) -> Markup {
    html! { p.replay { span.label { "Again: " } code { (visible(&run.replay)) } } }
}

fn not_run(results: &Results<'_>) -> Markup {
    let left_out = results.left_out();
    html! {
        @if !left_out.is_empty() {
            section aria-labelledby="not-run" {
                h2 #not-run { "What was not run" }
                p { "These cases need what the board cannot do. They count neither as passed nor as failed." }
                ul {
                    @for ((board, reason), cases) in left_out {
                        li {
                            (count(cases.len() as u64, "case")) " on " (visible(board)) ": " (visible(reason))
                            details {
                                summary { "Which" }
                                ul { @for case in cases { li { (visible(case)) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn this_run(header: &Header) -> Markup {
    html! {
        section aria-labelledby="this-run" {
            h2 #this-run { "How it was run" }
            dl {
                dt { "Command" }
                dd { code { (visible(&header.command.join(" "))) } }
                dt { "Seed" }
                dd { (header.seed) }
                dt { "Begun" }
                dd { time datetime=(header.started) { (visible(&header.started)) } }
                dt { "Version of hil-runner" }
                dd { (visible(&header.version)) }
            }
            details {
                summary { "Files and their SHA-256" }
                ul {
                    @for (path, hash) in &header.files {
                        li { (visible(&path.to_string_lossy())) ": " code { (visible(hash)) } }
                    }
                }
            }
        }
    }
}
