//! When to cut a machine that stops at its flash operations.

use crate::board::aim::{Aim, Shot};
use crate::board::serial::TextWatch;
use crate::board::{CutPlan, CutPoint, CutReport, Landing, Operation};
use crate::scenario::CutKind;
use std::time::Instant;

/// The cut that is planned, and the operations so far.
pub(in crate::board) struct Cutter {
    aim: Aim,
    plan: Option<(CutPlan, Option<TextWatch>)>,
    /// The text of the plan came at the first moment; the cut is due at the second one.
    due: Option<(Instant, Instant)>,
    /// The cut falls exactly where it was aimed at.
    exact: bool,
    report: Option<CutReport>,
}

/// How a machine that has stopped is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::board) enum Decision {
    /// It runs.
    GoOn,
    /// It runs, and is to stop when the operation that it is about to do is done.
    StopAtReturn,
    /// It is cut.
    Cut,
}

impl Cutter {
    /// Plans nothing.
    pub(in crate::board) fn new() -> Self {
        Self { aim: Aim::new(), plan: None, due: None, exact: false, report: None }
    }

    /// Plans a cut in place of the one before.
    pub(in crate::board) fn plan(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>) {
        self.aim.clear();
        if let Some((CutPlan { point: CutPoint::Operation { number, into }, .. }, _)) = &plan {
            self.aim.at(*number, *into);
        }
        if plan.is_some() {
            self.report = None;
        }
        (self.plan, self.due, self.exact) = (plan, None, false);
    }

    /// The cut that has fired.
    pub(in crate::board) fn take_report(&mut self) -> Option<CutReport> {
        self.report.take()
    }

    /// The operations since the last call.
    pub(in crate::board) fn take_operations(&mut self) -> Vec<Operation> {
        self.aim.take_operations()
    }

    /// The device has started anew.
    pub(in crate::board) fn restart(&mut self) {
        self.aim.restart();
    }

    /// The console shows this.
    pub(in crate::board) fn console(&mut self, bytes: &[u8], at: Instant) {
        self.aim.console(bytes);
        let Some((plan, text)) = &mut self.plan else { return };
        match plan.point {
            CutPoint::Text { plus, .. }
                if self.due.is_none() && text.as_mut().is_some_and(|text| text.sees(bytes)) =>
            {
                self.due = Some((at, at + plus));
            }
            // The firmware has ended the operation that was aimed at, and has not asked the ROM for it.
            CutPoint::Operation { .. } if self.aim.shot() == Some(Shot::Now) => {
                self.due = Some((at, at));
            }
            _ => {}
        }
    }

    /// The machine is about to do this.
    pub(in crate::board) fn begins(&mut self, operation: Operation) -> Decision {
        self.aim.command(operation);
        let into = match &self.plan {
            Some((CutPlan { point: CutPoint::Operation { into, .. }, .. }, _)) => *into,
            _ => return Decision::GoOn,
        };
        match self.aim.on_target() {
            None => Decision::GoOn,
            Some(_) if into <= 0.0 => {
                self.exact = true;
                Decision::Cut
            }
            // An announced operation may be several of these.
            Some(target) if end(operation) >= end(target) => Decision::StopAtReturn,
            Some(_) => Decision::GoOn,
        }
    }

    /// The machine has done this, and was to stop then.
    pub(in crate::board) fn ends(&mut self, operation: Operation) -> Decision {
        let target = self.aim.on_target().filter(|_| self.plan.is_some());
        if target.is_none_or(|target| end(operation) < end(target)) {
            return Decision::GoOn;
        }
        self.exact = true;
        Decision::Cut
    }

    /// When a cut is due, if that is known.
    pub(in crate::board) fn due(&self) -> Option<Instant> {
        self.due.map(|(_, due)| due)
    }

    /// Whether a cut is due.
    pub(in crate::board) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// The machine stands still to be cut like that; `None` if nothing is planned.
    pub(in crate::board) fn cut(&mut self, now: Instant) -> Option<CutKind> {
        let (plan, _) = self.plan.take()?;
        let latency = self.due.take().map(|(marker, _)| now.saturating_duration_since(marker));
        let operation = self.aim.on_target();
        // A text comes anywhere, also between the commands of an operation.
        let landing = if self.exact { Landing::Exact } else { Landing::Unknown };
        self.report = Some(CutReport { operation, landing, latency });
        self.exact = false;
        self.aim.clear();
        self.aim.restart();
        Some(plan.kind)
    }
}

/// The address behind an operation.
fn end(operation: Operation) -> u64 {
    u64::from(operation.address) + u64::from(operation.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::OperationKind;
    use crate::scenario::Text;
    use std::time::Duration;

    const ERASE: Operation =
        Operation { kind: OperationKind::Erase, address: 0x11_0000, length: 4096 };

    fn write(address: u32, length: u32) -> Operation {
        Operation { kind: OperationKind::Write, address, length }
    }

    fn aimed(number: u32, into: f64) -> Cutter {
        let mut cutter = Cutter::new();
        let point = CutPoint::Operation { number, into };
        cutter.plan(Some((CutPlan { kind: CutKind::Rail, point }, None)));
        cutter
    }

    fn announce(cutter: &mut Cutter, text: &str) {
        cutter.console(format!("ota-op: {text}\n").as_bytes(), Instant::now());
    }

    #[test]
    fn unannounced_operations_are_counted_and_cut_before() {
        let mut cutter = aimed(2, 0.0);
        assert_eq!(cutter.begins(ERASE), Decision::GoOn);
        assert_eq!(cutter.begins(write(0xD000, 32)), Decision::Cut);
        assert_eq!(cutter.cut(Instant::now()), Some(CutKind::Rail));
        let report = cutter.take_report().unwrap();
        assert_eq!((report.operation, report.landing), (Some(write(0xD000, 32)), Landing::Exact));
        assert_eq!(cutter.take_report(), None);
        assert_eq!(cutter.take_operations(), [ERASE, write(0xD000, 32)]);
        assert_eq!(cutter.begins(ERASE), Decision::GoOn, "the cut is over");
    }

    #[test]
    fn a_cut_behind_an_operation_waits_for_its_end() {
        let mut cutter = aimed(1, 1.0);
        assert_eq!(cutter.begins(ERASE), Decision::StopAtReturn);
        assert_eq!(cutter.ends(ERASE), Decision::Cut);
    }

    #[test]
    fn an_announced_operation_in_parts_is_one() {
        let mut cutter = aimed(2, 1.0);
        assert_eq!(cutter.begins(ERASE), Decision::GoOn);
        announce(&mut cutter, "begin seq=1 kind=write addr=0x110000 len=4096");
        assert_eq!(cutter.begins(write(0x11_0000, 2048)), Decision::GoOn);
        assert_eq!(cutter.begins(write(0x11_0800, 2048)), Decision::StopAtReturn);
        assert_eq!(cutter.ends(write(0x11_0800, 2048)), Decision::Cut);
    }

    #[test]
    fn an_announced_operation_that_the_rom_never_does_is_cut_at_its_end() {
        let mut cutter = aimed(1, 0.0);
        announce(&mut cutter, "begin seq=1 kind=erase addr=0x110000 len=4096");
        assert_eq!(cutter.due(), None);
        announce(&mut cutter, "end seq=1");
        assert!(cutter.is_due(Instant::now()));
        cutter.cut(Instant::now());
        let report = cutter.take_report().unwrap();
        assert_eq!((report.operation, report.landing), (Some(ERASE), Landing::Unknown));
    }

    #[test]
    fn a_text_is_cut_after_its_delay() {
        let mut cutter = Cutter::new();
        let text = Text::Plain("go".into());
        let plus = Duration::from_secs(3600);
        let watch = TextWatch::new(&text).unwrap();
        let plan = CutPlan { kind: CutKind::EnReset, point: CutPoint::Text { text, plus } };
        cutter.plan(Some((plan, Some(watch))));
        let now = Instant::now();
        cutter.console(b"g", now);
        assert_eq!(cutter.due(), None);
        cutter.console(b"o", now);
        assert_eq!(cutter.due(), Some(now + plus));
        assert!(!cutter.is_due(now) && cutter.is_due(now + plus));
        assert_eq!(cutter.begins(ERASE), Decision::GoOn);
        assert_eq!(cutter.cut(now + plus), Some(CutKind::EnReset));
        let report = cutter.take_report().unwrap();
        assert_eq!((report.landing, report.latency), (Landing::Unknown, Some(plus)));
    }
}
