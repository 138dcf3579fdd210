//! One run of a case, step by step, with its cuts.

use super::device::{Device, Progress, START};
use super::images::Images;
use super::landing::Landings;
use super::outcome::{BootRecord, CutRecord};
use super::point::{self, Point};
use super::steps::Planned;
use super::stop::{Run, Stop, fail};
use crate::board::{Board, Checkpoint, CutPlan, CutPoint, CutReport, Recording, RigError};
use crate::scenario::{Action, AfterCut, Case, Cut, Place, Step, Then, Which};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the runs of a case are, and what one needs of another.
#[derive(Default)]
pub(super) struct Shared {
    /// Operation numbers for the cuts at `every` operation, in the order in which a run meets them.
    pub(super) choices: Vec<u32>,
    /// The device at each choice.
    pub(super) kept: Vec<Kept>,
    /// Which of the choices, counted from 1, met an operation at all.
    pub(super) fired: BTreeSet<usize>,
    /// How many operations a step has, where the last one is asked for.
    pub(super) counts: BTreeMap<(usize, usize), u32>,
    /// What a run went on with and passed: the step, what ran, and all of flash.
    pub(super) known: BTreeMap<Known, String>,
    /// As of the run that goes on.
    pub(super) visited: Vec<Known>,
    /// Where the cuts of runs with a verdict fell.
    pub(super) hit: BTreeSet<Vec<Point>>,
    /// Where cuts fell, on boards that do not know it themselves.
    pub(super) landings: Option<Landings>,
}

/// The device just before a part of a step whose operations are cut one after the other.
pub(super) struct Kept {
    progress: Progress,
    checkpoint: Checkpoint,
    /// At each of those operations, where the board can tell.
    recording: Option<Recording>,
}

/// All that the rest of a run depends on, while the device is as a start left it.
pub(super) type Known = (usize, Option<(String, String)>, bool, [u8; 16]);

impl Shared {
    /// Everything that this run went on with is good: the same need not be tried again.
    pub(super) fn passed(&mut self, run: &str) {
        for known in self.visited.drain(..) {
            self.known.entry(known).or_insert_with(|| run.to_owned());
        }
    }

    /// Whether the cuts of some run have fallen where these were asked for.
    pub(super) fn covers(&self, cuts: &[CutRecord]) -> bool {
        self.hit.contains(&point::asked(cuts))
    }

    /// The run did not pass.
    pub(super) fn failed(&mut self) {
        self.visited.clear();
    }
}

/// A run that goes on.
pub(super) struct Exec<'a, 'b> {
    pub(super) device: Device<'a>,
    pub(super) shared: &'b mut Shared,
    pub(super) cancelled: &'b AtomicBool,
    /// Cuts at `every` operation that fired in this run.
    pub(super) every_fired: usize,
    /// What became of the cut, where the board was asked already.
    pub(super) report: Option<CutReport>,
}

impl<'a, 'b> Exec<'a, 'b> {
    /// A run on a board whose flash has its first contents.
    pub(super) fn new(
        board: &'a mut dyn Board,
        case: &'a Case,
        images: &'a Images,
        shared: &'b mut Shared,
        cancelled: &'b AtomicBool,
    ) -> Self {
        Self {
            device: Device::new(board, case, images),
            shared,
            cancelled,
            every_fired: 0,
            report: None,
        }
    }

    /// Goes on from the last checkpoint, if there is one.
    pub(super) fn rewind(&mut self) -> Run<bool> {
        let Some(Kept { progress, checkpoint, .. }) = self.shared.kept.last() else {
            return Ok(false);
        };
        let port = self.device.board.rewind(checkpoint)?;
        let progress = progress.clone();
        // Those before it have fired.
        self.every_fired = progress.choices;
        self.device.rewind(progress, Some(port));
        Ok(true)
    }

    /// Runs the steps that are left.
    pub(super) fn run(&mut self) -> Run {
        let case = self.device.case;
        while let Some(step) = case.steps.get(self.device.progress.step) {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Stop::Cancelled);
            }
            self.step(step)?;
            self.device.board.plan_cut(None)?;
            self.device.progress.step += 1;
            self.device.progress.cuts_made = 0;
            self.look_up()?;
        }
        self.shared.landings.as_mut().map_or(Ok(()), Landings::missed)
    }

    /// Ends the run if another one was here with the same device, and passed.
    fn look_up(&mut self) -> Run {
        let progress = &self.device.progress;
        if !progress.fresh && progress.on || progress.cuts.is_empty() {
            return Ok(());
        }
        let running = progress.running.as_ref();
        let running = running.and_then(|it| Some((it.image.clone().ok()?, it.slot.clone())));
        let (step, unjudged) = (progress.step, progress.unjudged);
        let Some(fingerprint) = self.device.board.fingerprint() else {
            return Ok(());
        };
        let known = (step, running, unjudged, fingerprint);
        match self.shared.known.get(&known) {
            Some(run) => Err(Stop::SameAs(run.clone())),
            None => {
                self.shared.visited.push(known);
                Ok(())
            }
        }
    }

    fn step(&mut self, step: &Step) -> Run {
        let Some(after) = step.after_cut.as_ref().filter(|_| !step.cuts.is_empty()) else {
            return match self.device.perform(step, None) {
                Err(Stop::Interrupted) => {
                    Err(RigError::new("the device was lost, and nobody cut it").into())
                }
                other => other,
            };
        };
        loop {
            let made = self.device.progress.cuts_made;
            let cut = step.cuts.get(made);
            let planned = cut.map(|cut| self.choose(cut)).transpose()?;
            if let (Some(cut), Some(planned)) = (cut, &planned)
                && self.recorded(planned)?
            {
                self.fired(step, cut, Some(planned))?;
                continue;
            }
            let result = match made.checked_sub(1).and_then(|last| step.cuts.get(last)) {
                None => self.first_time(step, planned.as_ref()),
                Some(last) => self.after(step, last, after, planned.as_ref()),
            };
            let result = self.and_the_cut(result, cut, step)?;
            match (result, cut) {
                (true, Some(cut)) => self.fired(step, cut, planned.as_ref())?,
                (false, None) => return Ok(()),
                (false, Some(cut)) => {
                    if let Some(planned) = &planned
                        && self.keep_recording(planned)?
                    {
                        self.fired(step, cut, Some(planned))?;
                        continue;
                    }
                    return self.not_fired(step, cut, planned.as_ref());
                }
                (true, None) => {
                    return Err(RigError::new("the device was lost, and nobody cut it").into());
                }
            }
        }
    }

    /// Whether the device was cut in a recording of this part of the step.
    fn recorded(&mut self, planned: &Planned) -> Run<bool> {
        if !planned.record {
            return Ok(false);
        }
        let Some(Kept { recording: Some(recording), .. }) = self.shared.kept.last() else {
            return Ok(false);
        };
        if self.device.board.cut_in(recording, &planned.plan)? {
            Ok(true)
        } else {
            Err(Stop::NoSuchOperation)
        }
    }

    /// Keeps the recording of this part of the step, and cuts the device in it.
    fn keep_recording(&mut self, planned: &Planned) -> Run<bool> {
        if !planned.record {
            return Ok(false);
        }
        let recording = self.device.recording.take().or_else(|| self.device.board.take_recording());
        let (Some(recording), Some(kept)) = (recording, self.shared.kept.last_mut()) else {
            return Ok(false);
        };
        kept.recording = Some(recording);
        let progress = kept.progress.clone();
        self.device.rewind(progress, None);
        self.device.progress.choices += 1;
        self.device.part = None;
        self.recorded(planned)
    }

    /// Whether a part of the step ended in an interruption. Waits for a cut that comes some time after a
    /// text.
    fn and_the_cut(&mut self, result: Run, cut: Option<&Cut>, step: &Step) -> Run<bool> {
        match result {
            Err(Stop::Interrupted) => return Ok(true),
            Err(other) => return Err(other),
            Ok(()) => {}
        }
        let Some(Cut { place: Place::Text { text, plus }, .. }) = cut else {
            // It may have fired behind the last answer of the device.
            self.device.board.plan_cut(None)?;
            self.report = self.device.board.take_cut();
            return Ok(self.report.is_some());
        };
        let shown = text.regex().is_some_and(|text| {
            self.device
                .log()
                .lines()
                .skip(self.device.progress.start_line)
                .any(|(_, line)| text.is_match(&line))
        });
        let limit = if shown { *plus + START } else { step.limit };
        let console = self.device.console()?;
        match console.wait::<()>(console.next(), limit, false, |_| Ok(None)) {
            Ok(_) => Ok(false),
            Err(Stop::Interrupted) => Ok(true),
            Err(other) => Err(other),
        }
    }

    /// Does the step for the first time.
    fn first_time(&mut self, step: &Step, planned: Option<&Planned>) -> Run {
        self.device.perform(step, planned)?;
        if self.counting(step, 0) { self.counted(0) } else { Ok(()) }
    }

    /// What follows a cut: power returns, the device starts and is judged, and what was interrupted is
    /// done again. The next cut falls into this.
    pub(super) fn after(
        &mut self,
        step: &Step,
        last: &Cut,
        after: &AfterCut,
        planned: Option<&Planned>,
    ) -> Run {
        let made = self.device.progress.cuts_made;
        self.device.plan_any(planned)?;
        self.device.start(last.off)?;
        let running = self.device.wait_for_start(START)?;
        self.device.progress.boots.push(BootRecord {
            image: running.image.clone().unwrap_or_else(|other| other),
            slot: running.slot.clone(),
            expected: after.boots.clone(),
            after_cuts: self.device.progress.cuts.len(),
        });
        let image = match running.image {
            Ok(image) if after.boots.contains(&image) => image,
            Ok(other) | Err(other) => {
                let expected = after.boots.join(" or ");
                return fail(format!("after the cut {other} runs, expected {expected}"));
            }
        };
        self.device.never(&after.never)?;
        if let Some(otadata) = &after.otadata {
            self.device.judge_otadata(otadata)?;
        }
        if planned.is_none() {
            self.device.keep_entries()?;
        }
        if after.then == Then::Again {
            self.again(step, &image)?;
        }
        if self.counting(step, made) { self.counted(made) } else { Ok(()) }
    }

    /// Does again what was interrupted, as far as it is not done.
    fn again(&mut self, step: &Step, runs: &str) -> Run {
        match &step.action {
            Action::Update { image, .. } | Action::Select { image } if image == runs => Ok(()),
            Action::Boot { images, .. } if images.iter().any(|image| image == runs) => Ok(()),
            Action::RollBack { image } if image != runs => Ok(()),
            Action::Confirm { image } if image == runs => self.device.perform(step, None),
            Action::Boot { .. } | Action::Confirm { .. } => self.redo_from_last_update(step),
            _ => self.device.perform(step, None),
        }
    }

    /// Carries out the steps from the last update or selection on, up to this one, without cuts.
    fn redo_from_last_update(&mut self, step: &Step) -> Run {
        let now = self.device.progress.step;
        let steps = self.device.case.steps.get(..now).unwrap_or_default();
        let brings =
            |step: &Step| matches!(step.action, Action::Update { .. } | Action::Select { .. });
        let from = steps.iter().rposition(brings).unwrap_or(now);
        for step in steps.iter().skip(from).chain([step]) {
            self.device.perform(step, None)?;
        }
        Ok(())
    }

    /// Whether the operations of this part of the step have to be counted first.
    fn counting(&self, step: &Step, made: usize) -> bool {
        let last = step
            .cuts
            .get(made)
            .is_some_and(|cut| matches!(cut.place, Place::Operation { which: Which::Last, .. }));
        last && !self.shared.counts.contains_key(&(self.device.progress.step, made))
    }

    fn counted(&mut self, made: usize) -> Run {
        let count = u32::try_from(self.device.operations().len()).unwrap_or(u32::MAX);
        self.shared.counts.insert((self.device.progress.step, made), count);
        Err(Stop::Counted)
    }

    /// Where a cut is to fall. Keeps the device as it is before it, if there are several places.
    fn choose(&mut self, cut: &Cut) -> Run<Planned> {
        let mut record = false;
        let point = match &cut.place {
            Place::Text { text, plus } => CutPoint::Text { text: text.clone(), plus: *plus },
            Place::Operation { which, into } => {
                let number = match which {
                    Which::Number(number) => *number,
                    // Until they are counted: one that never comes.
                    Which::Last => {
                        let key = (self.device.progress.step, self.device.progress.cuts_made);
                        self.shared.counts.get(&key).copied().unwrap_or(u32::MAX)
                    }
                    Which::Every => {
                        record = true;
                        self.every()
                    }
                };
                CutPoint::Operation { number, into: *into }
            }
        };
        let record = record && self.shared.kept.len() == self.device.progress.choices;
        let moment = (self.device.progress.step, self.device.progress.cuts_made);
        let instead = match (&point, &mut self.shared.landings) {
            (CutPoint::Operation { number, .. }, Some(landings)) => landings.aimed(moment, *number),
            _ => None,
        };
        let plan = CutPlan { kind: cut.kind, point };
        Ok(Planned { plan, instead, during: cut.during, record })
    }

    fn every(&mut self) -> u32 {
        let index = self.device.progress.choices;
        if index == self.shared.choices.len() {
            self.shared.choices.push(1);
        }
        if self.shared.kept.len() == index
            && let Some(checkpoint) = self.device.board.checkpoint()
        {
            let progress = self.device.kept();
            self.shared.kept.push(Kept { progress, checkpoint, recording: None });
        }
        self.device.progress.choices += 1;
        self.shared.choices.get(index).copied().unwrap_or(1)
    }
}
