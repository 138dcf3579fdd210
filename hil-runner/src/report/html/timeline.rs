//! The flash operations of the step that was cut, as a picture and as a list.

use super::super::text::count;
use crate::board::OperationKind;
use crate::run::{OperationRecord, Outcome};
use maud::{Markup, html};
use std::fmt::Write;

/// Operations that are further apart, in bytes, are drawn in lanes of their own.
const APART: u32 = 0x1_0000;

/// How many operations are shown, the last ones.
const OPERATIONS: usize = 500;

/// Sizes in the picture, in pixels: lane, space between lanes, place for the addresses and for the cut.
const LANE: u32 = 40;
const GAP: u32 = 12;
const LEFT: u32 = 88;
const TOP: u32 = 24;

/// The part of a run. Not empty.
pub(super) fn section(run: &Outcome) -> Markup {
    let left_out = run.operations.len().saturating_sub(OPERATIONS);
    let operations = &run.operations[left_out..];
    let summary = summary(operations);
    html! {
        h4 { "Flash operations" }
        p { (summary) @if left_out > 0 { " " (count(left_out as u64, "earlier one")) " left out." } }
        div.scroll role="group" aria-label="Picture of the flash operations" tabindex="0" {
            (picture(operations, &summary))
        }
        p.facts { "□ erase, ■ write; from left to right as they came, from top to bottom by address" }
        details {
            summary { "As a list" }
            ol start=[operations.first().map(|it| it.number)] {
                @for record in operations {
                    li value=(record.number) {
                        (record.operation) @if record.cut { strong { " ✂ cut here" } }
                    }
                }
            }
        }
    }
}

fn summary(operations: &[OperationRecord]) -> String {
    let mut text = count(operations.len() as u64, "operation");
    match operations.iter().find(|record| record.cut) {
        Some(cut) => {
            let _ = write!(text, "; cut in number {}, {}.", cut.number, cut.operation);
        }
        None => text.push_str("; none was cut."),
    }
    text
}

/// Addresses that are drawn together: first, and one past the last.
type Lane = (u32, u32);

fn lanes(operations: &[OperationRecord]) -> Vec<Lane> {
    let mut spans: Vec<Lane> =
        operations.iter().map(|record| (record.operation.address, end(record))).collect();
    spans.sort_unstable();
    let mut lanes: Vec<Lane> = Vec::new();
    for (from, to) in spans {
        match lanes.last_mut() {
            Some(last) if from.saturating_sub(last.1) < APART => last.1 = last.1.max(to),
            _ => lanes.push((from, to)),
        }
    }
    lanes
}

fn end(record: &OperationRecord) -> u32 {
    record.operation.address.saturating_add(record.operation.length)
}

fn picture(operations: &[OperationRecord], summary: &str) -> Markup {
    let lanes = lanes(operations);
    let number = u32::try_from(operations.len()).unwrap_or(u32::MAX).max(1);
    let step = (600 / number).clamp(3, 24);
    // On the right there must be room for the word at the cut.
    let (width, bottom) = (LEFT + number * step + 56, TOP + lanes.len() as u32 * (LANE + GAP));
    let (mut erases, mut writes, mut cut) = (String::new(), String::new(), None);
    for (index, record) in (0..).zip(operations) {
        let x = LEFT + index * step;
        let y = vertical(record, &lanes);
        let path = match record.operation.kind {
            OperationKind::Erase => &mut erases,
            OperationKind::Write => &mut writes,
        };
        let _ = write!(path, "M{x} {y}h{w}v8h-{w}z", w = step - 1);
        if record.cut {
            cut = Some(x + step / 2);
        }
    }
    let labels = (0..).zip(&lanes).map(|(index, lane)| (TOP + index * (LANE + GAP), lane));
    html! {
        svg.timeline role="img" aria-label=(summary) xmlns="http://www.w3.org/2000/svg"
            viewBox={ "0 0 " (width) " " (bottom) } width=(width) height=(bottom)
        {
            @for (y, (from, to)) in labels {
                rect.lane x=(LEFT) y=(y) width=(number * step) height=(LANE) {}
                text x="0" y=(y + 12) { (format!("{from:#x}")) }
                text x="0" y=(y + LANE - 2) { (format!("–{:#x}", to - 1)) }
            }
            path.write d=(writes) {}
            path.erase d=(erases) {}
            @if let Some(x) = cut {
                path.cut d={ "M" (x) " 4V" (bottom) } {}
                text.cut x=(x + 4) y="14" { "✂ cut" }
            }
        }
    }
}

/// The upper edge of an operation's mark: its address within its lane, the lowest address at the top.
fn vertical(record: &OperationRecord, lanes: &[Lane]) -> u32 {
    let address = record.operation.address;
    let lane = lanes.iter().position(|(from, to)| (*from..*to).contains(&address)).unwrap_or(0);
    let (from, to) = lanes.get(lane).copied().unwrap_or((0, 1));
    let room = u64::from(LANE - 8);
    let within = u64::from(address.saturating_sub(from)) * room / u64::from((to - from).max(1));
    TOP + lane as u32 * (LANE + GAP) + u32::try_from(within.min(room)).unwrap_or(0)
}
