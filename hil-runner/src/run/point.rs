//! Places of cuts: where they were asked for, and where they fell.

use super::outcome::{CutRecord, Outcome, Verdict};
use crate::board::Landing;

/// The place of a cut in a step, behind those of the cuts before it in the same run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// In a flash operation.
    Operation {
        /// The number of the step in its case, from 1.
        step: usize,
        /// The number of the operation in its part of the step, from 1.
        number: u32,
        /// How far into it.
        part: Part,
    },
    /// At a text on the console.
    Text {
        /// The number of the step in its case, from 1.
        step: usize,
        /// The text and the time after it, in words.
        at: String,
    },
}

/// How far into an operation a cut is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Just before it.
    Before,
    /// When some of it is done.
    Torn,
    /// Just after it.
    After,
}

impl Part {
    /// In the order in which they come.
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::Torn, Self::After];

    /// The word for it in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Torn => "torn",
            Self::After => "after",
        }
    }

    fn of(into: f64) -> Self {
        match into {
            into if into <= 0.0 => Self::Before,
            into if into >= 1.0 => Self::After,
            _ => Self::Torn,
        }
    }
}

impl Point {
    fn new(cut: &CutRecord, number: Option<u32>) -> Self {
        let step = cut.step.number;
        match (number, cut.into) {
            (Some(number), Some(into)) => Self::Operation { step, number, part: Part::of(into) },
            _ => Self::Text { step, at: cut.asked.clone() },
        }
    }
}

/// Where the cuts of an attempt were asked for, in their order.
pub(crate) fn asked(cuts: &[CutRecord]) -> Vec<Point> {
    cuts.iter().map(|cut| Point::new(cut, cut.number)).collect()
}

/// Where they fell, up to the first one of which that is not known.
pub(crate) fn fell(cuts: &[CutRecord]) -> Vec<Point> {
    let place = |cut: &CutRecord| match (cut.number, cut.landing) {
        _ if !cut.fired => None,
        (None, _) | (_, Some(Landing::Exact)) => Some(Point::new(cut, cut.number)),
        (Some(_), _) => cut.counts_for.map(|number| Point::new(cut, Some(number))),
    };
    cuts.iter().map_while(place).collect()
}

/// Where they fell, if that is known of all.
pub(super) fn all_fell(cuts: &[CutRecord]) -> Option<Vec<Point>> {
    Some(fell(cuts)).filter(|places| places.len() == cuts.len())
}

/// Where the cuts of attempts with a verdict fell, if that is known of all cuts of the attempt.
pub(super) fn of_outcome(outcome: &Outcome) -> impl Iterator<Item = Vec<Point>> {
    attempts(outcome).filter(|(_, judged)| *judged).filter_map(|(cuts, _)| all_fell(cuts))
}

/// The cuts of all attempts at a run, and whether the device was judged after them.
pub(crate) fn attempts(outcome: &Outcome) -> impl Iterator<Item = (&[CutRecord], bool)> {
    let earlier = outcome.earlier.iter().map(|cuts| (cuts.as_slice(), true));
    earlier.chain([(outcome.cuts.as_slice(), outcome.verdict != Verdict::RigError)])
}
