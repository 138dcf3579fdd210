//! Runs in full.

use super::super::results::{landed, name};
use super::super::terminal::place;
use super::super::text::{count, seconds, visible};
use super::{Shown, badge, otadata, replay, timeline};
use crate::board::Landing;
use crate::run::{BootRecord, CutRecord, Outcome, Verdict};
use maud::{Markup, html};

/// How many lines of a console are shown, the last ones.
const LINES: usize = 1000;

/// The section of the page.
pub(super) fn section(shown: &Shown<'_>) -> Markup {
    html! {
        section aria-labelledby="details" {
            h2 #details { "Runs in full" }
            p { "What did not pass, and the first run of each case." }
            @for run in &shown.runs {
                // The anchor is inside: a browser opens what hides the target of a link.
                details.run open[run.verdict != Verdict::Pass] {
                    summary { h3 { (badge(run.verdict)) " " (visible(&name(run))) } }
                    div id=[shown.anchor(run)] .body { (body(run)) }
                }
            }
        }
    }
}

fn body(run: &Outcome) -> Markup {
    let name = visible(&name(run));
    html! {
        @if let Some(reason) = &run.reason { p.reason { (visible(reason)) } }
        @if let Some(place) = place(run) { p.place { "At " (visible(&place)) } }
        (replay(run))
        p.facts {
            (run.kind.name()) " board, attempt " (run.attempt) ", " (seconds(run.seconds))
        }
        @if !run.cuts.is_empty() { (cuts(&run.cuts, &name)) }
        @if !run.operations.is_empty() { (timeline::section(run)) }
        @if !run.boots.is_empty() { (boots(&run.boots, &name)) }
        @if !run.otadata.is_empty() { (otadata::section(&run.otadata)) }
        @if !run.console.is_empty() { (console(&run.console, &name)) }
    }
}

/// A table that scrolls by itself where it is wider than the page.
fn wide(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="group" aria-label=(label) tabindex="0" { (table) } }
}

fn cuts(cuts: &[CutRecord], name: &str) -> Markup {
    let table = html! {
        table {
            caption { h4 { "Cuts" } }
            thead {
                tr {
                    th scope="col" { "Asked for" }
                    th scope="col" { "In" }
                    th scope="col" { "By" }
                    th scope="col" { "Fired" }
                    th scope="col" { "Landed there" }
                    th scope="col" { "Operation" }
                }
            }
            tbody {
                @for cut in cuts {
                    tr {
                        th scope="row" { (visible(&cut.asked)) }
                        td { "step " (cut.step.number) ", " (visible(&cut.step.verb)) }
                        td { (word(&cut.kind)) }
                        td { (if cut.fired { "yes" } else { "no" }) }
                        td {
                            (fell(cut))
                        }
                        td { @if let Some(operation) = cut.operation { (operation) } @else { "–" } }
                    }
                }
            }
        }
    };
    wide(&format!("Cuts of {name}"), &table)
}

/// Whether a cut fell where it was asked for, and else where.
fn fell(cut: &CutRecord) -> String {
    let place = match cut.landing {
        Some(Landing::Before) => "before",
        Some(Landing::Torn) => "into",
        Some(Landing::After) => "after",
        Some(Landing::Exact | Landing::Unknown | Landing::Unpredicted) | None => "",
    };
    match (cut.fired, landed(cut), cut.landed) {
        (true, true, _) => "yes".into(),
        (true, false, Some(number)) => format!("no: {place} operation {number}"),
        (true, false, None) => "not known".into(),
        (false, _, _) => "no".into(),
    }
}

/// A value as it is written in a scenario.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "–".into(),
    }
}

fn boots(boots: &[BootRecord], name: &str) -> Markup {
    let table = html! {
        table {
            caption { h4 { "What booted" } }
            thead {
                tr {
                    th scope="col" { "After" }
                    th scope="col" { "Ran" }
                    th scope="col" { "From" }
                    th scope="col" { "Allowed" }
                }
            }
            tbody {
                @for boot in boots {
                    tr {
                        th scope="row" {
                            (match boot.after_cuts {
                                0 => "no cut".into(),
                                cuts => count(cuts as u64, "cut"),
                            })
                        }
                        td {
                            @if boot.expected.contains(&boot.image) {
                                (visible(&boot.image))
                            } @else {
                                span.badge.fail { "✗ " (visible(&boot.image)) }
                            }
                        }
                        td { (visible(&boot.slot)) }
                        td { (visible(&boot.expected.join(", "))) }
                    }
                }
            }
        }
    };
    wide(&format!("What booted in {name}"), &table)
}

fn console(lines: &[(f64, String)], name: &str) -> Markup {
    let left_out = lines.len().saturating_sub(LINES);
    html! {
        h4 { "Console" }
        @if left_out > 0 {
            p { (count(left_out as u64, "earlier line")) " left out; the journal has all." }
        }
        pre.console tabindex="0" role="group" aria-label={ "Console of " (name) } {
            @for (time, line) in &lines[left_out..] {
                span.time { (format!("{:>10.3}", time / 1000.0)) " s  " } (visible(line)) "\n"
            }
        }
    }
}
