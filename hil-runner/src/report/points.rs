//! Cut points that were asked for, and those that were covered.

use super::text::{grouped, visible};
use crate::board::Landing;
use crate::run::point::{Part, Point, asked, attempts, fell};
use crate::run::{Outcome, Verdict};
use crate::scenario::BoardKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The cut points of a scenario on one kind of board.
pub(super) struct ScenarioPoints<'a> {
    /// The scenario's name.
    pub(super) scenario: &'a str,
    /// What boards they are.
    pub(super) kind: BoardKind,
    /// All cuts fell exactly, as the board cuts so.
    exact: bool,
    /// The points.
    pub(super) groups: Vec<Group<'a>>,
}

/// Cut points of a case that differ only in the number of the operation.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Group<'a> {
    scenario: &'a str,
    kind: BoardKind,
    /// The case.
    pub(super) case: &'a str,
    /// Where the cuts before them were asked for, in words.
    pub(super) behind: Vec<String>,
    /// The number of the step, from 1.
    pub(super) step: usize,
    /// How far into the operation.
    #[serde(rename = "where", serialize_with = "name")]
    pub(super) part: Part,
    /// The operations that cuts of runs with a verdict fell at.
    pub(super) covered: Vec<u32>,
    /// The others.
    pub(super) missed: Vec<Missed>,
}

/// A cut point that no cut fell at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Missed {
    /// The number of the operation.
    pub(super) operation: u32,
    /// How often it was tried.
    pub(super) tries: u32,
}

fn name<S: serde::Serializer>(part: &Part, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(part.name())
}

/// The points of a case, as they are collected.
#[derive(Default)]
struct Collected {
    /// Each with how often it was tried.
    asked: BTreeMap<Vec<Point>, u32>,
    fell: BTreeSet<Vec<Point>>,
    exact: bool,
}

/// By the names of cases.
type Cases<'a> = BTreeMap<&'a str, Collected>;

/// Collects the points of all attempts, also of those that a later result replaces. By the names of scenarios.
pub(super) fn points(outcomes: &[Outcome]) -> Vec<ScenarioPoints<'_>> {
    let mut all: BTreeMap<(&str, &str), (BoardKind, Cases<'_>)> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|it| it.verdict != Verdict::NotRun) {
        let key = (outcome.scenario.as_str(), outcome.kind.name());
        let (_, cases) = all.entry(key).or_insert_with(|| (outcome.kind, Cases::new()));
        let fresh = || Collected { exact: true, ..Collected::default() };
        let case = cases.entry(&outcome.case).or_insert_with(fresh);
        for (cuts, judged) in attempts(outcome) {
            let asked = asked(cuts);
            for length in 1..=asked.len() {
                *case.asked.entry(asked[..length].to_vec()).or_default() += 1;
            }
            let fell = if judged { fell(cuts) } else { Vec::new() };
            case.fell.extend((1..=fell.len()).map(|length| fell[..length].to_vec()));
            let exact = |landing| matches!(landing, None | Some(Landing::Exact));
            case.exact &= cuts.iter().all(|cut| exact(cut.landing));
        }
    }
    let scenarios = all.into_iter().map(|((scenario, _), (kind, cases))| {
        let exact = cases.values().all(|case| case.exact);
        let groups = cases.into_iter().flat_map(|(case, it)| groups(scenario, kind, case, &it));
        ScenarioPoints { scenario, kind, exact, groups: groups.collect() }
    });
    scenarios.filter(|scenario| !scenario.groups.is_empty()).collect()
}

fn groups<'a>(
    scenario: &'a str,
    kind: BoardKind,
    case: &'a str,
    collected: &Collected,
) -> Vec<Group<'a>> {
    let mut groups = BTreeMap::new();
    for (points, &tries) in &collected.asked {
        let Some((Point::Operation { step, number, part }, behind)) = points.split_last() else {
            continue;
        };
        let group = groups.entry((behind, *step, *part)).or_insert_with(|| Group {
            scenario,
            kind,
            case,
            behind: behind.iter().map(words).collect(),
            step: *step,
            part: *part,
            covered: Vec::new(),
            missed: Vec::new(),
        });
        match collected.fell.contains(points) {
            true => group.covered.push(*number),
            false => group.missed.push(Missed { operation: *number, tries }),
        }
    }
    groups.into_values().collect()
}

fn words(point: &Point) -> String {
    match point {
        Point::Operation { step, number, part } => {
            format!("step {step}, operation {number}, {}", part.name())
        }
        Point::Text { step, at } => format!("step {step}, {at}"),
    }
}

impl ScenarioPoints<'_> {
    /// Whether the numbers of asked and covered points tell what those of cuts do not.
    pub(super) fn is_telling(&self) -> bool {
        !self.exact || self.groups.iter().any(|group| !group.missed.is_empty())
    }

    /// How many points were covered, and of how many, for each part of an operation: `57 of 58`, or `-` where
    /// none was asked for.
    pub(super) fn counts(&self) -> [String; 3] {
        Part::ALL.map(|part| {
            let groups = || self.groups.iter().filter(|group| group.part == part);
            let covered: usize = groups().map(|group| group.covered.len()).sum();
            match covered + groups().map(|group| group.missed.len()).sum::<usize>() {
                0 => "-".into(),
                asked => format!("{covered} of {asked}"),
            }
        })
    }

    /// A text for each point that was not covered.
    pub(super) fn missed(&self) -> impl Iterator<Item = String> {
        self.groups.iter().flat_map(move |group| {
            let behind: String = group.behind.iter().map(|it| format!(", behind {it}")).collect();
            group.missed.iter().map(move |Missed { operation, tries }| {
                let (part, tries) = (group.part.name(), in_tries(*tries));
                let place = format!("step {}, operation {operation}, {part}", group.step);
                let board = self.kind.name();
                visible(&format!("{} on {board}: {place}{behind}: {tries}", group.case))
            })
        })
    }
}

/// The last line of `--json`: the cut points. Without the end of the line.
///
/// # Errors
/// The JSON cannot be made.
pub fn cut_points_line(outcomes: &[Outcome]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Line<'a> {
        cut_points: Vec<Group<'a>>,
    }
    let cut_points = points(outcomes).into_iter().flat_map(|scenario| scenario.groups).collect();
    serde_json::to_string(&Line { cut_points })
}

/// How often a point was tried.
pub(super) fn in_tries(tries: u32) -> String {
    let tries = u64::from(tries);
    format!("{} {}", grouped(tries), if tries == 1 { "try" } else { "tries" })
}

/// Numbers in short: `1-3, 7`.
pub(super) fn ranges(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(ranges([1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10");
        assert_eq!(ranges([]), "");
    }
}
