//! JUnit XML, for what shows the results of continuous integration.

use super::results::{CaseResults, Results, ScenarioResults, name};
use super::terminal::place;
use crate::run::{Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::fmt;
use std::time::Duration;

/// How many runs of a case that did not pass are described.
const RUNS: usize = 50;

/// JUnit XML could not be made.
#[derive(Debug)]
pub struct JunitError(quick_junit::SerializeError);

impl fmt::Display for JunitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JUnit XML: {}", self.0)
    }
}

impl std::error::Error for JunitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// JUnit XML: a suite for each scenario, a test case for each case on each board. The runs of a case, of
/// which there may be thousands, are counted in its properties; those that did not pass are described.
///
/// A failure is a `failure`; a rig error and a missed window are an `error` of that type; a case that was
/// not run is `skipped`, with the reason.
///
/// # Errors
/// The XML cannot be made.
pub fn junit(outcomes: &[Outcome]) -> Result<String, JunitError> {
    let results = Results::of(outcomes);
    let mut report = Report::new("hil-runner");
    report.set_time(time(results.tally().seconds));
    report.add_test_suites(results.scenarios.iter().map(suite));
    report.to_string().map_err(JunitError)
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn suite(scenario: &ScenarioResults<'_>) -> TestSuite {
    let mut suite = TestSuite::new(scenario.name);
    suite.add_property(("file", scenario.file.to_string_lossy().as_ref()));
    let seconds = scenario.cases.iter().map(|case| case.tally().seconds).sum();
    suite.set_time(time(seconds));
    suite.add_test_cases(scenario.cases.iter().map(|case| test_case(scenario, case)));
    suite
}

fn test_case(scenario: &ScenarioResults<'_>, case: &CaseResults<'_>) -> TestCase {
    let tally = case.tally();
    let name = format!("{} on {}", case.case, case.board);
    let mut test = TestCase::new(name, status(case));
    test.set_classname(scenario.name);
    test.set_time(time(tally.seconds));
    let kind = case.runs.first().map_or("", |run| run.kind.name());
    for (key, value) in [("board", case.board), ("board-kind", kind)] {
        test.add_property((key, value));
    }
    for (key, value) in [
        ("runs", tally.runs),
        ("passed", tally.of(Verdict::Pass)),
        ("passed-after-retry", tally.retried),
        ("failed", tally.of(Verdict::Fail)),
        ("missed-window", tally.of(Verdict::MissedWindow)),
        ("rig-errors", tally.of(Verdict::RigError)),
        ("not-run", tally.of(Verdict::NotRun)),
        ("cuts-planned", tally.planned),
        ("cuts-fired", tally.fired),
        ("cuts-landed", tally.landed),
    ] {
        test.add_property((key, value.to_string().as_str()));
    }
    test
}

fn status(case: &CaseResults<'_>) -> TestCaseStatus {
    let verdict = case.verdict();
    let mut status = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::NotRun => TestCaseStatus::skipped(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::MissedWindow | Verdict::RigError => {
            TestCaseStatus::non_success(NonSuccessKind::Error)
        }
    };
    let reason = |run: &Outcome| run.reason.clone().unwrap_or_else(|| "no reason given".into());
    let worst = case.runs.iter().find(|run| run.verdict == verdict);
    status.set_message(worst.map(|run| reason(run)).unwrap_or_default());
    if verdict == Verdict::NotRun {
        // Surefire's schema, which most tools follow, knows only a message here.
        return status;
    }
    status.set_type(verdict.to_string().replace(' ', "-"));
    let troubles: Vec<_> = case
        .runs
        .iter()
        .filter(|run| !matches!(run.verdict, Verdict::Pass | Verdict::NotRun))
        .collect();
    let mut text: Vec<_> = troubles.iter().take(RUNS).map(|run| description(run)).collect();
    if troubles.len() > RUNS {
        text.push(format!("and {} more", troubles.len() - RUNS));
    }
    status.set_description(text.join("\n\n"));
    status
}

fn description(run: &Outcome) -> String {
    let mut lines = vec![format!("{}: {}", run.verdict, name(run))];
    lines.extend(place(run));
    lines.extend(run.reason.clone());
    lines.push(format!("again: {}", run.replay));
    lines.join("\n")
}
