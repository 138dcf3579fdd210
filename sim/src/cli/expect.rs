//! What a run is expected to find.

use sim::explore::{Finding, Hazard, Report, Writer};
use sim::subject::Subject;
use std::collections::BTreeSet;
use std::fmt;

/// What the update code of ESP-IDF is known for: the exploration of the stock layouts must find these.
const KNOWN: [Hazard; 5] = [Hazard::H1, Hazard::H3, Hazard::H5, Hazard::H8, Hazard::H14];

/// What an exploration says of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No invariant breaks.
    Safe,
    /// Invariants break only after cuts in writes of the bootloader, which update code cannot prevent.
    SafeButBootloader(BTreeSet<String>),
    /// The update code breaks invariants.
    Unsafe(BTreeSet<String>),
    /// Nothing was found so far, but not everything was explored.
    Incomplete,
}

impl Verdict {
    /// The verdict on what was found.
    pub(super) fn of(report: &Report) -> Self {
        let findings = || report.counterexamples.iter().map(|example| example.finding);
        let labels = |writer: Writer| {
            findings().filter(|it| it.during == writer).map(|it| it.label()).collect()
        };
        let application: BTreeSet<_> = labels(Writer::Application);
        let bootloader: BTreeSet<_> = labels(Writer::Bootloader);
        if !report.complete {
            Self::Incomplete
        } else if !application.is_empty() {
            Self::Unsafe(application)
        } else if !bootloader.is_empty() {
            Self::SafeButBootloader(bootloader)
        } else {
            Self::Safe
        }
    }

    /// Whether it is what `subject` is expected to get. Only update code of others may break invariants.
    pub(super) fn expected(&self, subject: &dyn Subject) -> bool {
        match self {
            Self::Safe | Self::SafeButBootloader(_) => true,
            Self::Unsafe(_) => subject.is_suspect(),
            Self::Incomplete => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |labels: &BTreeSet<String>| {
            let mut labels: Vec<_> = labels.iter().map(String::as_str).collect();
            // H2 before H14.
            labels.sort_by_key(|label| (label.len(), *label));
            labels.join(" ")
        };
        match self {
            Self::Safe => f.write_str("safe"),
            Self::SafeButBootloader(labels) => write!(f, "safe; bootloader: {}", list(labels)),
            Self::Unsafe(labels) => write!(f, "UNSAFE: {}", list(labels)),
            Self::Incomplete => f.write_str("incomplete"),
        }
    }
}

/// The hazards that `findings` of ESP-IDF's update code on all stock layouts should have, and do not.
pub(super) fn missing(findings: &[Finding]) -> Vec<Hazard> {
    let found = |hazard: &Hazard| {
        let shown = |it: &Finding| it.hazard == Some(*hazard) && it.during == Writer::Application;
        findings.iter().any(shown)
    };
    KNOWN.into_iter().filter(|hazard| !found(hazard)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::explore::Invariant;
    use sim::subject::{EspIdf, OtaCore};

    #[test]
    fn only_others_may_be_unsafe_and_nothing_may_be_incomplete() {
        let (own, other) = (OtaCore::default(), EspIdf::default());
        let labels: BTreeSet<_> = ["H14", "H2"].map(String::from).into();
        let verdict = Verdict::Unsafe(labels.clone());
        assert_eq!(verdict.to_string(), "UNSAFE: H2 H14");
        assert!(verdict.expected(&other) && !verdict.expected(&own));
        assert!(Verdict::SafeButBootloader(labels).expected(&own));
        assert!(!Verdict::Incomplete.expected(&other));
    }

    #[test]
    fn a_hazard_counts_only_without_help_of_the_bootloader() {
        let finding =
            |hazard, during| Finding { invariant: Invariant::Atomic, hazard: Some(hazard), during };
        let mut findings: Vec<_> = [Hazard::H1, Hazard::H3, Hazard::H8, Hazard::H14]
            .map(|hazard| finding(hazard, Writer::Application))
            .into();
        findings.push(finding(Hazard::H5, Writer::Bootloader));
        assert_eq!(missing(&findings), [Hazard::H5]);
    }
}
