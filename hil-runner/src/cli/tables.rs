//! Scenarios and cases as tables.

use comfy_table::{ContentArrangement, Table, presets};
use hil_runner::scenario::{BoardKind, Case, Scenario, estimate};
use std::fmt::Write;
use std::time::Duration;

pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// A list of scenarios.
pub(super) fn list(scenarios: &[Scenario]) -> String {
    let mut table = table(["scenario", "cases", "hazards", "tags", "why"]);
    for Scenario { name, why, tags, hazards, cases, .. } in scenarios {
        let cases = cases.len().to_string();
        table.add_row([name, &cases, &hazards.join(" "), &tags.join(" "), why]);
    }
    format!("{table}\n{} scenarios\n", scenarios.len())
}

/// A plan: cases, boards, time.
pub(super) fn plan(scenarios: &[Scenario]) -> String {
    let mut table = table(["case", "runs", "boards: about how long", "not on"]);
    let cases: Vec<_> = scenarios.iter().flat_map(|scenario| &scenario.cases).collect();
    for case in &cases {
        let (can, cannot): (Vec<_>, Vec<_>) =
            BoardKind::ALL.into_iter().partition(|board| board.lacks(case).is_empty());
        let (runs, _) = estimate(case, BoardKind::Model);
        let can: Vec<_> = can
            .into_iter()
            .map(|board| format!("{}: {}", board.name(), rounded(estimate(case, board).1)))
            .collect();
        let cannot: Vec<_> = cannot.into_iter().map(|board| because(board, case)).collect();
        table.add_row([&case.name, &runs.to_string(), &can.join("\n"), &cannot.join("\n")]);
    }
    let mut text = format!("{table}\n{} scenarios, {} cases\n", scenarios.len(), cases.len());
    for board in BoardKind::ALL {
        let able = cases.iter().filter(|case| board.lacks(case).is_empty());
        let times: Vec<_> = able.map(|case| estimate(case, board).1).collect();
        let total = rounded(times.iter().sum());
        let _ =
            writeln!(text, "{}: {} cases, about {total} on one board", board.name(), times.len());
    }
    text
}

fn because(board: BoardKind, case: &Case) -> String {
    let lacks: Vec<_> = board.lacks(case).iter().map(ToString::to_string).collect();
    format!("{}: it cannot {}", board.name(), lacks.join(", "))
}

/// A duration to one unit.
fn rounded(time: Duration) -> String {
    match time.as_secs() {
        0 if time.as_millis() == 0 => "1 ms".into(),
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
