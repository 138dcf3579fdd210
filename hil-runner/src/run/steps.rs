//! What each verb does to the device.
use super::device::{Device, START};
use super::flip;
use super::host;
use super::images::fit;
use super::otadata;
use super::outcome::BootRecord;
use super::smp::Answer;
use super::stop::{Run, fail};
use crate::board::{CutPlan, CutPoint};
use crate::scenario::{Action, Commands, Phase, ResetKind, Step};
use std::time::Duration;

/// A cut that waits for its part of the step.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) plan: CutPlan,
    /// The point that is to hit the one of the plan, where the board needs another.
    pub(super) instead: Option<CutPoint>,
    pub(super) during: Option<Phase>,
    /// Record the operations instead, if the board can.
    pub(super) record: bool,
}

impl Device<'_> {
    /// Does what a step says, once. A cut is planned where its part of the step begins.
    pub(super) fn perform(&mut self, step: &Step, cut: Option<&Planned>) -> Run {
        match &step.action {
            // Flash has its first contents before the run begins.
            Action::Install { .. } => Ok(()),
            Action::Boot { images, app, text, never } => {
                self.boot(step, images, cut)?;
                let slot = app.map(|app| app.to_string());
                if let Some(running) = &self.progress.running
                    && slot.as_ref().is_some_and(|slot| *slot != running.slot)
                {
                    let slot = slot.unwrap_or_default();
                    return fail(format!("it runs from {}, expected {slot}", running.slot));
                }
                self.judge_texts(step.limit, text, never)
            }
            Action::Update { image, refused, break_link } => {
                self.update(step, image, *refused, *break_link, cut)
            }
            Action::Select { image } => self.select(step, image, cut),
            Action::Confirm { image } => self.confirm(step, image, cut),
            Action::RollBack { .. } => self.roll_back(step, cut),
            Action::Reset { kind } => self.reset_step(*kind),
            Action::PowerCycle { off } => {
                self.stop()?;
                self.start(*off)
            }
            Action::Send { line, until } => {
                self.ready(step)?;
                self.plan(cut, None)?;
                self.touch();
                let console = self.console()?;
                let from = console.next();
                console.send(line)?;
                self.await_text(until.as_ref(), from, step.limit)
            }
            Action::Run { program, until } => {
                self.ready(step)?;
                self.plan(cut, None)?;
                self.touch();
                let from = self.console()?.next();
                let status = host::run(program, step.limit, &[], &self.console()?)?;
                if !status.success {
                    return fail(format!("{} ended with {}", status.name, status.end));
                }
                self.await_text(until.as_ref(), from, step.limit)
            }
            Action::WaitFor { text, never } => self.wait_for(text, never, step.limit),
            Action::FlipBits { place, count, seed } => {
                let change = flip::choose(self, *place, *count, *seed)?;
                self.stop()?;
                for (offset, byte) in change {
                    self.board.write_flash(offset, &[byte])?;
                }
                Ok(())
            }
            Action::Expect(expectation) => self.expect(expectation),
            Action::ExpectStable { time, boots, never } => {
                self.expect_stable(*time, *boots, never, step.limit)
            }
            Action::OfferOlder { image } => self.offer_older(step, image),
            Action::StillUpdatable { image } => self.still_updatable(step, image),
        }
    }

    /// Something was done to the device since it started.
    pub(super) fn touch(&mut self) {
        self.progress.unjudged = false;
        self.progress.fresh = false;
    }

    /// Has the device run.
    fn ready(&mut self, step: &Step) -> Run {
        self.running(START.max(step.limit)).map(drop)
    }

    /// Plans a cut if this is the part of the step that it belongs to; `None` is the step as a whole.
    fn plan(&mut self, cut: Option<&Planned>, part: Option<Phase>) -> Run {
        match cut {
            Some(cut) if cut.during == part => self.plan_any(Some(cut)),
            _ => Ok(()),
        }
    }

    /// Plans a cut in a step that has but one part.
    pub(super) fn plan_any(&mut self, cut: Option<&Planned>) -> Run {
        self.forget_operations();
        self.part = None;
        self.recording = None;
        self.aimed = cut.is_some();
        match cut {
            Some(Planned { record: true, plan, .. }) if matches!(plan.point, CutPoint::Operation { into, .. } if self.board.record(into)) => {
                Ok(())
            }
            Some(Planned { plan, instead, .. }) => {
                let point = instead.as_ref().unwrap_or(&plan.point).clone();
                Ok(self.board.plan_cut(Some(CutPlan { point, ..plan.clone() }))?)
            }
            None => Ok(()),
        }
    }

    fn boot(&mut self, step: &Step, images: &[String], cut: Option<&Planned>) -> Run {
        let resets_itself = self.resets_itself();
        self.plan_any(cut)?;
        let running = if !self.progress.on {
            self.start(Duration::ZERO)?;
            self.wait_for_start(step.limit)?
        } else if self.progress.unjudged {
            match self.progress.running.clone() {
                Some(running) => running,
                None => self.wait_for_start(step.limit)?,
            }
        } else {
            if !resets_itself {
                self.restart()?;
            }
            self.wait_for_start(step.limit)?
        };
        self.progress.unjudged = false;
        self.progress.fresh = true;
        self.progress.boots.push(BootRecord {
            image: running.image.clone().unwrap_or_else(|other| other),
            slot: running.slot.clone(),
            expected: images.to_vec(),
            after_cuts: self.progress.cuts.len(),
        });
        match &running.image {
            Ok(image) if images.contains(image) => Ok(()),
            Ok(other) | Err(other) => {
                fail(format!("{other} runs, expected {}", images.join(" or ")))
            }
        }
    }

    fn update(
        &mut self,
        step: &Step,
        image: &str,
        refused: bool,
        break_link: Option<u32>,
        cut: Option<&Planned>,
    ) -> Run {
        self.ready(step)?;
        let command = |it: &Commands| Some(it.update.clone());
        if let Some(answer) = self.by_command(command, "update", image, step.limit, cut)? {
            return expect_answer(answer, refused, image);
        }
        let bytes = self.images.get(image)?.bytes.clone();
        let smp = self.smp()?;
        if cut.is_some() || self.aimed {
            smp.trace()?;
        }
        self.touch();
        self.plan(cut, None)?;
        self.plan(cut, Some(Phase::Upload))?;
        if let Some(after) = break_link {
            smp.upload_broken(&bytes, after)?;
        }
        let mut answer = smp.upload(&bytes, false)?;
        self.end_of_part(cut, Phase::Upload)?;
        if answer == Answer::Done {
            self.plan(cut, Some(Phase::Select))?;
            answer = smp.select(&bytes)?;
        }
        expect_answer(answer, refused, image)
    }

    /// Ends the part of the step that a cut was planned for.
    fn end_of_part(&mut self, cut: Option<&Planned>, part: Phase) -> Run {
        match cut {
            Some(cut) if cut.during == Some(part) => {
                self.part = Some(self.operations());
                self.recording = self.board.take_recording();
                Ok(self.board.plan_cut(None)?)
            }
            _ => Ok(()),
        }
    }

    fn select(&mut self, step: &Step, image: &str, cut: Option<&Planned>) -> Run {
        self.ready(step)?;
        let command = |it: &Commands| it.select.clone();
        if let Some(answer) = self.by_command(command, "select", image, step.limit, cut)? {
            return expect_answer(answer, false, image);
        }
        let bytes = self.images.get(image)?.bytes.clone();
        let smp = self.smp()?;
        if cut.is_some() || self.aimed {
            smp.trace()?;
        }
        self.touch();
        self.plan_any(cut)?;
        expect_answer(smp.select(&bytes)?, false, image)
    }

    fn confirm(&mut self, step: &Step, image: &str, cut: Option<&Planned>) -> Run {
        let running = self.running(START)?;
        if running.image.as_deref() != Ok(image) {
            let other = running.image.unwrap_or_else(|other| other);
            return fail(format!("{other} runs, so {image} cannot be confirmed"));
        }
        let command = |it: &Commands| it.confirm.clone();
        if let Some(answer) = self.by_command(command, "confirm", image, step.limit, cut)? {
            return expect_answer(answer, false, image);
        }
        let smp = self.smp()?;
        if cut.is_some() || self.aimed {
            smp.trace()?;
        }
        self.touch();
        self.plan_any(cut)?;
        expect_answer(smp.confirm()?, false, image)
    }

    fn roll_back(&mut self, step: &Step, cut: Option<&Planned>) -> Run {
        self.ready(step)?;
        let commands = self.case.device.commands.as_ref();
        if let Some(command) = commands.and_then(|commands| commands.roll_back.clone()) {
            self.plan_any(cut)?;
            self.touch();
            let answer = self.command(&command, "", step.limit)?;
            return expect_answer(answer, false, "the roll-back");
        }
        let resets_itself = self.resets_itself();
        self.plan_any(cut)?;
        if resets_itself {
            self.progress.running = None;
            self.progress.unjudged = true;
        } else {
            self.restart()?;
        }
        self.wait_for_start(step.limit).map(drop)
    }

    fn reset_step(&mut self, kind: ResetKind) -> Run {
        self.running(START)?;
        if self.resets_itself() {
            // It is on its way already; the reset that was asked for comes first where the board makes it.
            self.progress.running = None;
            self.progress.unjudged = true;
            return match kind {
                ResetKind::Software => Ok(()),
                kind => self.reset(kind),
            };
        }
        self.reset(kind)
    }

    fn offer_older(&mut self, step: &Step, image: &str) -> Run {
        self.ready(step)?;
        let bytes = self.images.get(image)?.bytes.clone();
        if self.case.device.commands.is_some() {
            return self.update(step, image, true, None, None);
        }
        let smp = self.smp()?;
        let before = smp.entries()?;
        let answer = smp.upload(&bytes, true)?;
        if answer == Answer::Done {
            return fail(format!("{image}, which is older, was taken as an upgrade"));
        }
        if smp.entries()? != before {
            return fail(format!("{image} was refused, and otadata changed"));
        }
        Ok(())
    }

    fn still_updatable(&mut self, step: &Step, image: &str) -> Run {
        let running = self.running(START)?;
        if running.image.as_deref() == Ok(image) && !self.case.images.get(image).is_some_and(fit) {
            return fail(format!("{image} runs already, and is unfit"));
        }
        if self.speaks_smp() && otadata::on_trial(&self.entries()?) {
            // An image on trial takes no update (ESP-IDF `esp_ota_begin`), and it was good enough so far.
            expect_answer(self.smp()?.confirm()?, false, "the image on trial")?;
        }
        self.update(step, image, false, None, None)?;
        self.boot(step, &[image.to_owned()], None)?;
        if self.speaks_smp() || self.has_confirm() {
            self.confirm(step, image, None)?;
        }
        Ok(())
    }

    fn has_confirm(&self) -> bool {
        self.case.device.commands.as_ref().is_some_and(|commands| commands.confirm.is_some())
    }
}

fn expect_answer(answer: Answer, refused: bool, image: &str) -> Run {
    match (answer, refused) {
        (Answer::Done, false) | (Answer::Refused(_), true) => Ok(()),
        (Answer::Done, true) => fail(format!("{image} was accepted, and must be refused")),
        (Answer::Refused(why), false) => fail(format!("{image} was refused: {why}")),
    }
}
