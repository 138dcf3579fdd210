//! Outcomes in the order of reports: by scenario, case and board.

use crate::run::{CutRecord, Outcome, Verdict};
use std::collections::BTreeMap;
use std::path::Path;

/// All verdicts, the worst first.
pub(super) const VERDICTS: [Verdict; 5] =
    [Verdict::Fail, Verdict::RigError, Verdict::MissedWindow, Verdict::NotRun, Verdict::Pass];

/// What came of all runs.
pub(super) struct Results<'a> {
    /// By scenario, in the order of their names.
    pub(super) scenarios: Vec<ScenarioResults<'a>>,
}

/// What came of the cases of a scenario.
pub(super) struct ScenarioResults<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its file.
    pub(super) file: &'a Path,
    /// Its cases on each board.
    pub(super) cases: Vec<CaseResults<'a>>,
}

/// What came of a case on a board.
pub(super) struct CaseResults<'a> {
    /// The case's name.
    pub(super) case: &'a str,
    /// The board's name.
    pub(super) board: &'a str,
    /// Its runs, in the order of their cuts; at least one.
    pub(super) runs: Vec<&'a Outcome>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Runs, without those that no board could do.
    pub(super) runs: u64,
    /// Cuts that were planned.
    pub(super) planned: u64,
    /// Cuts that interrupted the device.
    pub(super) fired: u64,
    /// Cuts that are known to have fallen where they were asked for.
    pub(super) landed: u64,
    /// Runs that passed only when tried again.
    pub(super) retried: u64,
    /// Time, in seconds.
    pub(super) seconds: f64,
    verdicts: [u64; VERDICTS.len()],
}

impl Tally {
    /// How many runs have this verdict.
    pub(super) fn of(&self, verdict: Verdict) -> u64 {
        VERDICTS.iter().zip(self.verdicts).find(|(it, _)| **it == verdict).map_or(0, |it| it.1)
    }

    fn add(&mut self, run: &Outcome) {
        for (verdict, number) in VERDICTS.iter().zip(&mut self.verdicts) {
            *number += u64::from(*verdict == run.verdict);
        }
        self.runs += u64::from(run.verdict != Verdict::NotRun);
        self.planned += run.cuts.len() as u64;
        self.fired += run.cuts.iter().filter(|cut| cut.fired).count() as u64;
        self.landed += run.cuts.iter().filter(|cut| landed(cut)).count() as u64;
        self.retried += u64::from(retried(run));
        self.seconds += run.seconds;
    }
}

/// Whether a cut is known to have fallen where it was asked for.
pub(super) fn landed(cut: &CutRecord) -> bool {
    cut.hit()
}

/// Whether a run passed only when tried again.
pub(super) fn retried(run: &Outcome) -> bool {
    run.verdict == Verdict::Pass && run.attempt > 1
}

impl<'a> Results<'a> {
    /// Sorts outcomes. Of several of the same run the last counts, as in a journal that was gone on with,
    /// unless one before it is a failure: trying again does not make a failure good.
    pub(super) fn of(outcomes: &'a [Outcome]) -> Self {
        let mut latest = BTreeMap::new();
        for run in outcomes {
            // The texts beside their keys: `1` and `01` sort alike and are two names all the same.
            let case = (natural(&run.case), &run.case);
            let key = (&run.scenario, case, &run.board, natural(&run.run), &run.run);
            let kept = latest.entry(key).or_insert(run);
            if kept.verdict != Verdict::Fail {
                *kept = run;
            }
        }
        let mut scenarios: Vec<ScenarioResults<'_>> = Vec::new();
        for run in latest.into_values() {
            if scenarios.last().is_none_or(|last| last.name != run.scenario) {
                let (name, file) = (run.scenario.as_str(), run.file.as_path());
                scenarios.push(ScenarioResults { name, file, cases: Vec::new() });
            }
            if let Some(scenario) = scenarios.last_mut() {
                scenario.add(run);
            }
        }
        Self { scenarios }
    }

    /// All cases on all boards.
    pub(super) fn cases(&self) -> impl Iterator<Item = &CaseResults<'a>> {
        self.scenarios.iter().flat_map(|scenario| &scenario.cases)
    }

    /// All runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = &'a Outcome> {
        self.cases().flat_map(|case| case.runs.iter().copied())
    }

    /// The runs that neither passed nor were left out, the worst first.
    pub(super) fn troubles(&self) -> Vec<&'a Outcome> {
        let fine = |run: &&Outcome| matches!(run.verdict, Verdict::Pass | Verdict::NotRun);
        let mut troubles: Vec<_> = self.runs().filter(|run| !fine(run)).collect();
        troubles.sort_by_key(|run| std::cmp::Reverse(run.verdict));
        troubles
    }

    /// Why cases were not run: board and reason, with the cases.
    pub(super) fn left_out(&self) -> BTreeMap<(&'a str, &'a str), Vec<&'a str>> {
        let mut reasons: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for run in self.runs().filter(|run| run.verdict == Verdict::NotRun) {
            let reason = run.reason.as_deref().unwrap_or("for no known reason");
            let cases = reasons.entry((run.board.as_str(), reason)).or_default();
            if cases.last() != Some(&run.case.as_str()) {
                cases.push(run.case.as_str());
            }
        }
        reasons
    }

    /// How many cases there are, and how many of them no board ran.
    pub(super) fn coverage(&self) -> (u64, u64) {
        let mut ran = BTreeMap::new();
        for run in self.runs() {
            *ran.entry((&run.scenario, &run.case)).or_insert(false) |=
                run.verdict != Verdict::NotRun;
        }
        (ran.len() as u64, ran.values().filter(|ran| !**ran).count() as u64)
    }

    /// The sum.
    pub(super) fn tally(&self) -> Tally {
        tally(self.runs())
    }
}

impl<'a> ScenarioResults<'a> {
    fn add(&mut self, run: &'a Outcome) {
        let same = |last: &CaseResults<'_>| last.case == run.case && last.board == run.board;
        match self.cases.last_mut() {
            Some(last) if same(last) => last.runs.push(run),
            _ => {
                self.cases.push(CaseResults { case: &run.case, board: &run.board, runs: vec![run] })
            }
        }
    }
}

impl CaseResults<'_> {
    /// The sum.
    pub(super) fn tally(&self) -> Tally {
        tally(self.runs.iter().copied())
    }

    /// The worst verdict.
    pub(super) fn verdict(&self) -> Verdict {
        self.runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::NotRun)
    }
}

/// Counts runs.
pub(super) fn tally<'a>(runs: impl IntoIterator<Item = &'a Outcome>) -> Tally {
    let mut tally = Tally::default();
    runs.into_iter().for_each(|run| tally.add(run));
    tally
}

/// A run's name in reports: the case, the cuts if there are any, the board.
pub(super) fn name(run: &Outcome) -> String {
    let separator = if run.run.is_empty() { "" } else { ", " };
    format!("{}{separator}{} on {}", run.case, run.run, run.board)
}

/// A key that sorts `cut 9` before `cut 10`.
fn natural(text: &str) -> Vec<(&str, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (words, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(end);
        parts.push((words, number.parse().unwrap_or(0)));
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn numbers_sort_as_numbers() {
        let mut runs = ["cut 10", "cut 2, 11", "cut 9", "cut 2, 3", ""];
        runs.sort_by_key(|run| natural(run));
        assert_eq!(runs, ["", "cut 2, 3", "cut 2, 11", "cut 9", "cut 10"]);
    }
}
