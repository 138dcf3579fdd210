//! Aiming again at an operation that a cut has missed.

use crate::board::{CutPoint, Operation, OperationKind};
use crate::scenario::{Pattern, Text};
use std::time::Duration;

/// How far apart operations are taken to be as long as nobody knows better, in milliseconds.
const APART: f64 = 10.0;
/// The least that an aim is moved, in operations.
const LEAST: f64 = 0.125;

/// Operations that the firmware announced in a part of a step, each with the moment of its announcement in
/// milliseconds.
pub(super) type Announced = Vec<(Operation, f64)>;

/// When to cut, as seen from the announcement of the operation aimed at.
///
/// It is told in operations, not in time: of those the firmware announces one after the other, and they take
/// what time they take. Parts of one become a delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Aim {
    /// In operations; less than 0 for a moment before it.
    pub(super) offset: f64,
    /// The latest that was too early, and the earliest that was too late.
    early: Option<f64>,
    late: Option<f64>,
}

impl Aim {
    /// So many operations after the announcement.
    pub(super) fn new(offset: f64) -> Self {
        Self { offset, early: None, late: None }
    }

    /// Learns from a cut that came so many operations too late, or too early if it is less than 0.
    pub(super) fn missed_by(&mut self, late: f64) {
        let by = if late < 0.0 { late.min(-LEAST) } else { late.max(LEAST) };
        // A cut does not take the same time each time: what contradicts the last one is forgotten.
        let (early, latest) = match late < 0.0 {
            true => (Some(self.offset), self.late.filter(|it| *it > self.offset)),
            false => (self.early.filter(|it| *it < self.offset), Some(self.offset)),
        };
        (self.early, self.late) = (early, latest);
        self.offset -= by;
        // Between what was too early and what was too late, if the guess is not.
        if let (Some(early), Some(late)) = (self.early, self.late)
            && !(early < self.offset && self.offset < late)
        {
            self.offset = f64::midpoint(early, late);
        }
    }

    /// The point for a cut at the operation with that number: the announcement of this operation or of one
    /// before it, and a delay. `None` if the firmware has announced nothing so far.
    pub(super) fn point(&self, number: u32, announced: &Announced) -> Option<CutPoint> {
        let at = (f64::from(number) + self.offset).max(1.0);
        // The board looks for text: of equal announcements it would take the first one.
        let unique = |index: usize, operation: &Operation| {
            announced.iter().take(index).all(|(it, _)| it != operation)
        };
        let latest = at.min(f64::from(number)) as usize;
        let mut markers = announced.iter().enumerate().take(latest).rev();
        let (_, (operation, from)) = markers.find(|(index, (it, _))| unique(*index, it))?;
        let plus = (moment(at, announced)? - from) / 1000.0;
        let plus = Duration::from_secs_f64(plus.max(0.0));
        Some(CutPoint::Text { text: announcement(operation), plus })
    }
}

/// The moment at that place: 1 is the announcement of the first operation, 1.5 is half-way to the next one.
fn moment(at: f64, announced: &Announced) -> Option<f64> {
    let number = at as usize;
    let last = announced.len();
    let (_, start) = announced.get(number.min(last).checked_sub(1)?)?;
    Some(match announced.get(number) {
        Some((_, next)) => start + at.fract() * (next - start),
        None => start + (at - number.min(last) as f64) * apart(announced),
    })
}

/// How far apart operations are, in milliseconds.
fn apart(announced: &Announced) -> f64 {
    let pair = announced.first().zip(announced.last()).filter(|_| announced.len() > 1);
    let spread = pair.map(|((_, first), (_, last))| (last - first) / (announced.len() - 1) as f64);
    spread.filter(|apart| *apart > 0.0).unwrap_or(APART)
}

/// The line with which the firmware announces an operation (docs/smp-group.md, "Flash trace").
fn announcement(operation: &Operation) -> Text {
    let Operation { kind, address, length } = operation;
    let kind = match kind {
        OperationKind::Erase => "erase",
        OperationKind::Write => "write",
    };
    let pattern = format!("ota-op: begin seq=[0-9]+ kind={kind} addr={address:#x} len={length}$");
    Text::Pattern(Pattern { pattern })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes that follow each other, so many milliseconds each, each of another place.
    fn announced(lengths: &[f64]) -> Announced {
        let mut now = 100.0;
        let writes = lengths.iter().zip(0u32..).map(|(length, index)| {
            let at = now;
            now += length;
            (Operation { kind: OperationKind::Write, address: index * 4096, length: 64 }, at)
        });
        writes.collect()
    }

    /// How late a cut at this point comes with a switch that takes so long, in operations: 0 for one into
    /// the operation wanted.
    fn late(point: &CutPoint, latency: f64, number: u32, announced: &Announced) -> f64 {
        let CutPoint::Text { text, plus } = point else { panic!("{point:?}") };
        let pattern = text.regex().unwrap();
        let shown = |operation: &Operation| {
            let Operation { address, length, .. } = operation;
            format!("ota-op: begin seq=9 kind=write addr={address:#x} len={length}")
        };
        let marker = announced.iter().find(|(operation, _)| pattern.is_match(&shown(operation)));
        let at = marker.unwrap().1 + plus.as_secs_f64() * 1000.0 + latency;
        let begun = announced.iter().filter(|(_, moment)| *moment <= at).count();
        begun as f64 - f64::from(number)
    }

    fn attempts(lengths: &[f64], number: u32, mut latency: impl FnMut() -> f64) -> usize {
        let announced = announced(lengths);
        let mut aim = Aim::new(0.0);
        for attempt in 1..100 {
            let point = aim.point(number, &announced).unwrap();
            match late(&point, latency(), number, &announced) {
                0.0 => return attempt,
                late => aim.missed_by(late),
            }
        }
        100
    }

    #[test]
    fn a_late_switch_hits_after_few_attempts() {
        let even = [5.0; 60];
        assert_eq!(attempts(&even, 30, || 2.0), 1);
        assert_eq!(attempts(&even, 30, || 7.0), 2);
        assert_eq!(attempts(&even, 30, || 63.0), 2);
        let uneven: Vec<_> = (0..60).map(|index| [0.5, 9.0, 45.0, 2.0][index % 4]).collect();
        for number in 20..50 {
            let attempts = attempts(&uneven, number, || 31.0);
            assert!(attempts < 20, "operation {number}: {attempts}");
        }
    }

    #[test]
    fn a_switch_that_varies_is_hit_with_all_the_same() {
        let mut seed = 7u32;
        let mut latency = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            40.0 + f64::from(seed >> 24) / 16.0
        };
        for number in 15..60 {
            let attempts = attempts(&[5.0; 60], number, &mut latency);
            assert!(attempts < 40, "operation {number}: {attempts}");
        }
    }

    #[test]
    fn what_comes_before_the_first_announcement_cannot_be_hit() {
        assert_eq!(attempts(&[5.0; 60], 1, || 7.0), 100);
    }

    #[test]
    fn equal_announcements_are_told_apart_by_the_first() {
        let mut twice = announced(&[4.0; 8]);
        twice[5].0 = twice[2].0;
        let point = Aim::new(0.0).point(6, &twice).unwrap();
        let CutPoint::Text { text, plus } = point else { panic!("{point:?}") };
        assert_eq!(text, announcement(&twice[4].0));
        assert_eq!(plus, Duration::from_millis(4));
    }
}
