//! Both select entries of otadata before and after, side by side.

use super::super::text::visible;
use crate::run::EntryRecord;
use maud::{Markup, html};

/// Hexadecimal digits of a group: four bytes, a word of the flash.
const GROUP: usize = 8;

/// The part of a run. Not empty.
pub(super) fn section(readings: &[[EntryRecord; 2]]) -> Markup {
    html! {
        h4 { "Select entries (otadata)" }
        div.entries {
            @for index in 0..2 {
                @let entries: Vec<&EntryRecord> = readings.iter().map(|it| &it[index]).collect();
                (table(index, &entries))
            }
        }
    }
}

fn table(index: usize, entries: &[&EntryRecord]) -> Markup {
    html! {
        table {
            caption { "Entry " (index) }
            thead {
                tr {
                    th scope="col" { span.hidden { "Field" } }
                    @for column in 0..entries.len() {
                        th scope="col" { (heading(column, entries.len())) }
                    }
                }
            }
            tbody {
                (row("Sequence", entries, |entry| if entry.erased { "–".into() } else { entry.seq.to_string() }))
                (row("State", entries, |entry| if entry.erased { "erased".into() } else { entry.state.clone() }))
                (row("CRC", entries, |entry| match (entry.erased, entry.crc_ok) {
                    (true, _) => "–".into(),
                    (false, true) => "right".into(),
                    (false, false) => "wrong".into(),
                }))
                (row("Selects", entries, |entry| entry.slot.clone().unwrap_or_else(|| "–".into())))
                tr {
                    th scope="row" { "Bytes" }
                    @for (column, entry) in entries.iter().enumerate() {
                        @let before = column.checked_sub(1).map(|before| entries[before]);
                        td { (bytes(&entry.hex, before.map(|it| it.hex.as_str()))) }
                    }
                }
            }
        }
    }
}

fn heading(column: usize, columns: usize) -> &'static str {
    match column {
        0 => "Before",
        column if column + 1 == columns => "After",
        _ => "Between",
    }
}

fn row(label: &str, entries: &[&EntryRecord], value: impl Fn(&EntryRecord) -> String) -> Markup {
    let values: Vec<String> = entries.iter().map(|entry| visible(&value(entry))).collect();
    html! {
        tr {
            th scope="row" { (label) }
            @for (column, value) in values.iter().enumerate() {
                td { (marked(value, column > 0 && values[column - 1] != *value)) }
            }
        }
    }
}

/// A value, marked by more than colour if it has changed.
fn marked(value: &str, changed: bool) -> Markup {
    html! {
        @if changed {
            mark { span aria-hidden="true" { "≠ " } span.hidden { "changed: " } (value) }
        } @else {
            (value)
        }
    }
}

/// Bytes in words, those marked that have changed.
fn bytes(hex: &str, before: Option<&str>) -> Markup {
    let digits: Vec<char> = visible(hex).chars().collect();
    let before: Vec<char> = before.map(visible).unwrap_or_default().chars().collect();
    html! {
        code.bytes {
            @for (index, group) in digits.chunks(GROUP).enumerate() {
                @let text: String = group.iter().collect();
                @let old = before.chunks(GROUP).nth(index);
                @if old.is_some_and(|old| old != group) { mark { (text) } } @else { (text) }
                " "
            }
        }
    }
}
