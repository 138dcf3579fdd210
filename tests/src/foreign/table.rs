//! Cuts in all flash operations, and the table of what came of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use sim::flash::Digest;

use super::cut::{Completion, Cut, Outcome};
use super::recording::{Recording, Stretch};
use crate::full_stack::{Boot, FRACTIONS, Failure, Phase};

/// Operations of an upload in which power is cut. The image's length does not matter so.
const UPLOAD_CUTS: u64 = 20;

/// Cuts power in all operations of selection and confirmation, and in some of the upload, evenly spread,
/// at five points each.
///
/// Cuts of one phase that leave the same flash contents are followed up once.
///
/// # Errors
/// When an operation is not reached again.
pub fn sweep(recording: &Recording<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    for stretch in &recording.stretches {
        let mut known: BTreeMap<Digest, Outcome> = BTreeMap::new();
        for operation in operations(stretch) {
            for fraction in FRACTIONS {
                let Stretch { update, phase, .. } = *stretch;
                let cut = Cut { update, phase, operation, fraction };
                let mut device = recording.strike(stretch, cut)?;
                let state = device.board.flash().memory().digest_all();
                let outcome = known
                    .entry(state)
                    .or_insert_with(|| recording.consequence(stretch, cut, &mut device));
                outcomes.push(Outcome { cut, ..outcome.clone() });
            }
        }
    }
    Ok(outcomes)
}

/// The operations of a part of an update in which power is cut, by their numbers in it.
fn operations(stretch: &Stretch) -> Vec<u64> {
    let count = stretch.operations.end - stretch.operations.start;
    match stretch.phase {
        Phase::Upload => (0..UPLOAD_CUTS).map(|index| index * count / UPLOAD_CUTS).collect(),
        _ => (0..count).collect(),
    }
}

/// What a row of the table says of its cuts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    survived: bool,
    boot: String,
    next: String,
    completion: Completion,
}

/// Outcomes as a Markdown table: one row for each kind of outcome in each part of an update.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| update | power lost in | cuts | then runs | after one more power cycle | the update afterwards | the first such cut, and otadata behind it |\n|---|---|---|---|---|---|---|\n",
    );
    let same =
        |a: &Outcome, b: &Outcome| (a.cut.update, a.cut.phase) == (b.cut.update, b.cut.phase);
    for part in outcomes.chunk_by(same) {
        let mut kinds: BTreeMap<Kind, Vec<&Outcome>> = BTreeMap::new();
        for outcome in part {
            kinds.entry(kind(outcome)).or_default().push(outcome);
        }
        for (kind, of_kind) in kinds.iter().rev() {
            let Outcome { cut, otadata, .. } = of_kind[0];
            let Kind { survived, boot, next, completion } = kind;
            let mark = if *survived { "" } else { "**" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {mark}{boot}{mark} | {next} | {completion} | `{cut}` {} |",
                cut.update,
                cut.phase,
                of_kind.len(),
                otadata.replace('|', "\\|"),
            );
        }
    }
    text
}

fn kind(outcome: &Outcome) -> Kind {
    let Outcome { boot, next, completion, survived, .. } = outcome;
    let words = |boot: &Result<Boot, Failure>| match boot {
        Ok(boot) => boot.to_string(),
        Err(failure) => format!("nothing: {failure}"),
    };
    let (next, boot) = (words(next), words(boot));
    let next = if next == boot { "the same".to_owned() } else { next };
    Kind { survived: *survived, boot, next, completion: completion.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_kind_of_outcome() {
        let boot = |version: &str| Ok(Boot { version: version.into(), running: "ota_0".into() });
        let outcome = |operation, survived| Outcome {
            cut: Cut { update: 1, phase: Phase::Select, operation, fraction: 0.5 },
            otadata: "[1/NEW|-]".into(),
            boot: boot("1.0.0"),
            next: if survived { boot("1.0.0") } else { Err("no answer".into()) },
            completion: Completion::Done,
            survived,
        };
        let text = table(&[outcome(0, true), outcome(1, false), outcome(2, true)]);
        let rows: Vec<_> = text.lines().skip(2).collect();
        let good = "| 1 | select | 2 | 1.0.0 in ota_0 | the same | completes | `1:select:0:0.5` [1/NEW\\|-] |";
        let bad = "| 1 | select | 1 | **1.0.0 in ota_0** | nothing: no answer | completes | `1:select:1:0.5` [1/NEW\\|-] |";
        assert_eq!(rows, [good, bad]);
    }
}
