//! What became of a cut.

use super::exec::Exec;
use super::landing::Found;
use super::outcome::{CutRecord, OperationRecord, StepRecord};
use super::steps::Planned;
use super::stop::{Run, Stop, fail};
use crate::board::{CutPoint, Landing};
use crate::scenario::{Cut, Step, Text};

impl Exec<'_, '_> {
    /// Notes a cut that has interrupted the device, and where it fell.
    pub(super) fn fired(&mut self, step: &Step, cut: &Cut, planned: Option<&Planned>) -> Run {
        let report = self.report.take().or_else(|| self.device.board.take_cut());
        let moments = self.device.board.moments();
        let operations = self.device.operations();
        self.device.interrupted();
        let unknown = report.as_ref().is_some_and(|report| report.landing == Landing::Unknown);
        let found = match planned.filter(|_| unknown) {
            Some(planned) => self.locate(cut, planned, &operations, &moments)?,
            None => None,
        };
        if cut.is_every() {
            self.shared.fired.insert(self.device.progress.choices);
            self.every_fired += 1;
        }
        let record = self.record(step, cut, planned);
        let landing = report.as_ref().map(|report| report.landing);
        let latency = report.as_ref().and_then(|report| report.latency);
        let latency = latency.map(|latency| latency.as_secs_f64() * 1000.0);
        let operation = report.and_then(|report| report.operation);
        let record = CutRecord { latency, ..record };
        let record = match found {
            None => CutRecord { fired: true, landing, operation, ..record },
            Some(Found { landing, number, counts_for, operation }) => CutRecord {
                fired: true,
                landing: Some(landing),
                landed: number,
                counts_for,
                operation,
                ..record
            },
        };
        self.device.progress.cuts_made += 1;
        self.device.remark(&format!("{:?}: {}", cut.kind, record.asked));
        let last = operations.len();
        let numbered = operations.into_iter().zip(1..);
        self.device.progress.operations = numbered
            .map(|(operation, number)| OperationRecord {
                number,
                operation,
                cut: number as usize == last,
            })
            .collect();
        self.device.progress.cuts.push(record);
        Ok(())
    }

    fn record(&self, step: &Step, cut: &Cut, planned: Option<&Planned>) -> CutRecord {
        let point = planned.map(|planned| &planned.plan.point);
        let (number, into, asked) = match point {
            Some(CutPoint::Operation { number, into }) => {
                (Some(*number), Some(*into), format!("operation {number}, {into} into it"))
            }
            Some(CutPoint::Text { text, plus }) => {
                let text = match text {
                    Text::Plain(text) => text,
                    Text::Pattern(pattern) => &pattern.pattern,
                };
                (None, None, format!("{} ms after `{text}`", plus.as_millis()))
            }
            None => (None, None, String::new()),
        };
        let step = StepRecord {
            number: self.device.progress.step + 1,
            line: step.line,
            verb: step.action.verb().into(),
        };
        CutRecord {
            step,
            kind: cut.kind,
            asked,
            number,
            into,
            fired: false,
            landing: None,
            landed: None,
            counts_for: None,
            operation: None,
            latency: None,
        }
    }

    /// The step is over, and the cut did not fire.
    pub(super) fn not_fired(&mut self, step: &Step, cut: &Cut, planned: Option<&Planned>) -> Run {
        let count = self.device.operations().len();
        let record = self.record(step, cut, planned);
        let asked = record.asked.clone();
        if let Some(Planned { plan, instead: Some(_), .. }) = planned
            && let CutPoint::Operation { number, .. } = plan.point
            && let Some(landings) = &mut self.shared.landings
        {
            let moment = (self.device.progress.step, self.device.progress.cuts_made);
            let stop = landings.too_late(moment, number);
            self.device.progress.cuts.push(record);
            return Err(stop);
        }
        if cut.is_every() {
            return Err(Stop::NoSuchOperation);
        }
        self.device.progress.cuts.push(record);
        fail(format!("the cut never fired ({asked}): this part of the step has {count} operations"))
    }
}
