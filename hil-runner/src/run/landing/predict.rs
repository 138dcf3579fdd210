//! What the flash model predicts for a part of a step.

use super::compare::Predicted;
use crate::board::{Board, Contents, CutPlan, CutPoint, ModelBoard};
use crate::run::exec::{Exec, Shared};
use crate::run::images::Images;
use crate::run::steps::Planned;
use crate::run::stop::{Run, Stop};
use crate::scenario::{Action, Case, CutKind, Phase};
use std::sync::atomic::AtomicBool;

/// A moment of a run: a step, from 0, after so many of its cuts.
pub(super) type Moment = (usize, usize);

/// From what on the model does what the device did.
pub(super) struct From<'a> {
    /// All of flash.
    pub(super) contents: &'a Contents,
    /// The moment that flash is from.
    pub(super) moment: Moment,
    /// Whether the bootloader was built with rollback.
    pub(super) rollback: bool,
}

/// Does on the flash model what the device did since `from`, and gives what the part of the step at `to`
/// does to flash without a cut.
///
/// # Errors
/// Why the model cannot say.
pub(super) fn predict(
    case: &Case,
    images: &Images,
    from: &From<'_>,
    to: Moment,
    during: Option<Phase>,
) -> Result<Predicted, String> {
    if case.device.commands.is_some() {
        return Err("the flash model runs the firmware of the family only".into());
    }
    let case = quiet(case);
    let mut board = ModelBoard::new("model", &case.device.flash, from.rollback);
    board.provision(from.contents).map_err(|error| error.to_string())?;
    let (mut shared, cancelled) = (Shared::default(), AtomicBool::new(false));
    let mut exec = Exec::new(&mut board, &case, images, &mut shared, &cancelled);
    let point = CutPoint::Operation { number: 1, into: 0.0 };
    let plan = CutPlan { kind: CutKind::Rail, point };
    let part = Planned { plan, instead: None, during, record: true };
    let (mut step, mut made) = from.moment;
    while (step, made) < to {
        act(&mut exec, (step, made), None).map_err(reason)?;
        (step, made) = (step + 1, 0);
    }
    // Whatever comes of it: the operations count.
    let end = act(&mut exec, to, Some(&part));
    let recording = exec.device.recording.take().or_else(|| exec.device.board.take_recording());
    let operations = recording.and_then(|recording| ModelBoard::done(&recording));
    let operations = operations.ok_or_else(|| match end {
        Err(stop) => reason(stop),
        Ok(()) => "this part of the step has no cut".into(),
    })?;
    drop(exec);
    let first = operations.iter().find_map(|operation| operation.commands.first());
    let start = first.map_or_else(|| board.memory(), |command| command.before.clone());
    Ok(Predicted { start, operations })
}

/// A part of a step: the step itself, or what follows one of its cuts.
fn act(exec: &mut Exec<'_, '_>, (step, made): Moment, part: Option<&Planned>) -> Run {
    let case = exec.device.case;
    let Some(step_) = case.steps.get(step) else { return Ok(()) };
    exec.device.progress.step = step;
    exec.device.progress.cuts_made = made;
    let last = made.checked_sub(1).and_then(|made| step_.cuts.get(made));
    match (last, &step_.after_cut) {
        (Some(last), Some(after)) => exec.after(step_, last, after, part),
        _ => exec.device.perform(step_, part),
    }
}

/// The case without what only a real console can show, and without steps that leave flash alone.
fn quiet(case: &Case) -> Case {
    let mut case = case.clone();
    for step in &mut case.steps {
        if let Some(after) = &mut step.after_cut {
            after.never.clear();
        }
        match &mut step.action {
            Action::Boot { text, never, .. } => {
                text.clear();
                never.clear();
            }
            Action::ExpectStable { never, time, .. } => {
                never.clear();
                *time = None;
            }
            _ => {}
        }
    }
    case
}

fn reason(stop: Stop) -> String {
    let what = match stop {
        Stop::Fail(what) => what,
        Stop::Rig(error) => error.to_string(),
        _ => "it ends before this step".into(),
    };
    format!("on the flash model, {what}")
}
