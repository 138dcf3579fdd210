//! Cut points: those that were asked for, and those that were covered.

use super::super::points::{Group, ScenarioPoints, in_tries, ranges};
use super::super::text::{count, visible};
use maud::{Markup, html};

/// How many rows the table has at most: a chain of cuts makes one for each of its first cuts.
const ROWS: usize = 2000;

/// The section of the page; nothing if no cut was asked for at an operation.
pub(super) fn section(points: &[ScenarioPoints<'_>]) -> Markup {
    let rows: usize = points.iter().map(|scenario| scenario.groups.len()).sum();
    let mut left = ROWS;
    let shown: Vec<_> = points
        .iter()
        .map(|scenario| {
            let groups = &scenario.groups[..scenario.groups.len().min(left)];
            left -= groups.len();
            (scenario, groups)
        })
        .filter(|(_, groups)| !groups.is_empty())
        .collect();
    html! {
        @if !points.is_empty() {
            section aria-labelledby="cut-points" {
                h2 #cut-points { "Cut points" }
                p {
                    "Where cuts were asked for, and where cuts of runs with a verdict fell, whatever they were "
                    "aimed at. What was not covered shows nothing about the device."
                }
                @for (scenario, groups) in shown { (table(scenario, groups)) }
                @if rows > ROWS { p { "And " (count((rows - ROWS) as u64, "more row")) "." } }
            }
        }
    }
}

fn table(scenario: &ScenarioPoints<'_>, groups: &[Group<'_>]) -> Markup {
    let [before, torn, after] = scenario.counts();
    let missed = groups.iter().any(|group| !group.missed.is_empty());
    html! {
        details open[missed] {
            summary {
                (visible(scenario.scenario)) " on " (scenario.kind.name()) ": before " (before) ", torn " (torn)
                ", after " (after)
            }
            table.points {
                caption { "Numbers of flash operations in their step" }
                thead {
                    tr {
                        th scope="col" { "Case" }
                        th scope="col" { "Step" }
                        th scope="col" { "Where" }
                        th scope="col" { "Asked" }
                        th scope="col" { "Covered" }
                        th scope="col" { "Not covered" }
                    }
                }
                tbody { @for group in groups { (row(group)) } }
            }
        }
    }
}

fn row(group: &Group<'_>) -> Markup {
    let mut asked: Vec<_> = group.missed.iter().map(|missed| missed.operation).collect();
    asked.extend(&group.covered);
    asked.sort_unstable();
    let missed = group.missed.iter().map(|it| format!("{} ({})", it.operation, in_tries(it.tries)));
    let missed: Vec<_> = missed.collect();
    html! {
        tr {
            th scope="row" { (visible(group.case)) }
            td {
                (group.step)
                @for behind in &group.behind { ", behind " (visible(behind)) }
            }
            td { (group.part.name()) }
            td { (ranges(asked)) }
            td { (ranges(group.covered.iter().copied())) }
            td { (missed.join(", ")) }
        }
    }
}
