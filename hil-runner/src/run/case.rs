//! All runs of a case on a board.

use super::blank::blank;
use super::device::{Device, Progress, START};
use super::exec::{Exec, Shared};
use super::images::Images;
use super::landing::Landings;
use super::outcome::{Outcome, StepRecord, Verdict};
use super::point;
use super::stop::Stop;
use crate::board::{Board, Contents, RigError};
use crate::scenario::{BoardKind, Case, Cut, Scenario, needs};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Failed runs of a case of which the console is kept.
const CONSOLES: usize = 10;

/// How cases are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The second-stage bootloader of devices that ask for that of ESP-IDF.
    pub bootloader: Vec<u8>,
    /// The same, built with rollback, for boards that run it; without it, that of ESP-IDF takes its place,
    /// and boards that run it cannot run cases with rollback.
    pub rollback_bootloader: Option<Vec<u8>>,
    /// How often a run is tried at most when the bench fails or a cut misses, at least once.
    pub attempts: u32,
    /// Folder for flash contents that the flash model does not predict; made when there are any.
    pub dumps: Option<PathBuf>,
    /// Only this run: the numbers of the operations for the cuts at `every` operation.
    pub only: Option<Vec<u32>>,
    /// Of a cut at every operation, behind the first [`SHORT`](Self::SHORT) only each n-th; at least 1.
    pub sample: u32,
    /// What earlier sessions made of the case. Runs that came to a verdict are left out, and where their cuts
    /// fell counts.
    pub finished: Vec<Outcome>,
}

impl Options {
    /// A part of a step with so few operations is never sampled: what selects, confirms and boots is as
    /// short as that.
    pub const SHORT: u32 = 8;
}

/// Runs a case on a board: once, or once for each place of its cuts. Each outcome is given away as soon as
/// it is there.
pub fn run_case(
    board: &mut dyn Board,
    scenario: &Scenario,
    case: &Case,
    options: &Options,
    cancelled: &AtomicBool,
    give: &mut dyn FnMut(Outcome),
) {
    let blank = blank(board, scenario, case);
    let lacks: Vec<_> = needs(case).into_iter().filter_map(|need| board.lacks(need)).collect();
    if !lacks.is_empty() {
        let reason = Some(lacks.join("; "));
        return give(Outcome { verdict: Verdict::NotRun, reason, ..blank });
    }
    let prepared = prepare(case, options);
    let (images, contents) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let reason = Some(error.to_string());
            return give(Outcome { verdict: Verdict::RigError, reason, ..blank });
        }
    };
    let bootloader = case.device.bootloader.is_some() || options.rollback_bootloader.is_some();
    let rollback = case.device.rollback && bootloader;
    let landings = Landings::new(contents.clone(), rollback, options.dumps.clone());
    let choices = options.only.clone().unwrap_or_default();
    let mut shared = Shared { choices, landings: Some(landings), ..Shared::default() };
    shared.hit.extend(options.finished.iter().flat_map(point::of_outcome));
    Runs {
        board,
        case,
        images,
        contents,
        options,
        cancelled,
        blank,
        shared,
        done: options.finished.iter().filter_map(Outcome::done).collect(),
        missed: Vec::new(),
        consoles: 0,
        first: true,
    }
    .all(give);
}

/// Leaves a real board as the case found it, and sees it start: whoever comes next finds a board that works.
pub(super) fn leave(board: &mut dyn Board, case: &Case, options: &Options) -> Result<(), RigError> {
    if !matches!(board.kind(), BoardKind::Serial | BoardKind::SwitchedSerial) {
        return Ok(());
    }
    let (images, contents) = prepare(case, options)?;
    board.plan_cut(None)?;
    board.provision(&contents)?;
    match Device::new(board, case, &images).running(START) {
        Ok(_) => Ok(()),
        Err(Stop::Rig(error)) => Err(error),
        Err(_) => Err(RigError::new("the board does not start, though its flash is as it was")),
    }
}

fn prepare(case: &Case, options: &Options) -> Result<(Images, Contents), RigError> {
    let images = Images::load(case)?;
    let contents = match &case.device.bootloader {
        None => {
            let rollback = options.rollback_bootloader.as_ref().filter(|_| case.device.rollback);
            images.contents(case, rollback.unwrap_or(&options.bootloader))?
        }
        Some(path) => {
            let bytes = std::fs::read(path)
                .map_err(|error| RigError::new(format!("{}: {error}", path.display())))?;
            images.contents(case, &bytes)?
        }
    };
    Ok((images, contents))
}

struct Runs<'a> {
    board: &'a mut dyn Board,
    case: &'a Case,
    images: Images,
    contents: Contents,
    options: &'a Options,
    cancelled: &'a AtomicBool,
    blank: Outcome,
    shared: Shared,
    /// Runs that are left out.
    done: BTreeSet<Vec<u32>>,
    /// Runs that were not hit.
    missed: Vec<Outcome>,
    /// Consoles of failed runs that were given away.
    consoles: usize,
    first: bool,
}

/// How one attempt at a run ended.
struct End {
    stop: Option<Stop>,
    progress: Progress,
    console: Vec<(f64, String)>,
    /// All cuts at `every` operation that the run met have fired.
    fired: bool,
    seconds: f64,
}

impl Runs<'_> {
    fn all(mut self, give: &mut dyn FnMut(Outcome)) {
        let mut failed = false;
        loop {
            if self.is_done() {
                self.shared.fired.extend(1..=self.shared.choices.len());
                if self.next(true) {
                    continue;
                }
                break;
            }
            let Some((outcome, fired)) = self.one() else {
                return;
            };
            let run = match outcome {
                None => String::new(),
                Some(outcome) => {
                    failed |= outcome.verdict != Verdict::Pass;
                    let run = outcome.run.clone();
                    give(outcome);
                    run
                }
            };
            if failed {
                self.shared.failed()
            } else {
                self.shared.passed(&run)
            }
            if self.options.only.is_some() || !self.next(fired) {
                break;
            }
        }
        self.hit_later(give);
        if !failed && self.options.only.is_none() {
            self.vacuous(give);
        }
    }

    /// Whether the next run was done before. Then its cuts have fired.
    fn is_done(&mut self) -> bool {
        let done = &self.done;
        let mut choices = self.shared.choices.clone();
        while !done.contains(&choices) {
            // Deeper places are known only to a run that meets them, or to one that did.
            let deeper = |it: &Vec<u32>| it.len() > choices.len() && it.starts_with(&choices);
            if !done.iter().any(deeper) {
                return false;
            }
            choices.push(1);
        }
        self.shared.choices = choices;
        true
    }

    /// Goes on to the next place of the cuts; false when there is none. `fired`: the last place that was
    /// tried exists.
    fn next(&mut self, mut fired: bool) -> bool {
        let shared = &mut self.shared;
        let sample = self.options.sample;
        loop {
            let Some(last) = shared.choices.last_mut() else {
                return false;
            };
            if fired {
                *last += if *last < Options::SHORT { 1 } else { sample.max(1) };
                shared.kept.truncate(shared.choices.len());
                return true;
            }
            shared.choices.pop();
            shared.kept.truncate(shared.choices.len());
            fired = true;
        }
    }

    /// One run, tried again where that is no cheating. `None`: the runner is to end. No outcome: there is
    /// no such place, or operations were only counted.
    fn one(&mut self) -> Option<(Option<Outcome>, bool)> {
        let mut attempt = 1;
        let mut earlier = Vec::new();
        loop {
            let end = self.attempt();
            let cuts = &end.progress.cuts;
            if matches!(end.stop, None | Some(Stop::Missed { .. } | Stop::Fail(_))) {
                self.shared.hit.extend(point::all_fell(cuts));
            }
            let verdict = match &end.stop {
                None | Some(Stop::SameAs(_)) => Verdict::Pass,
                Some(Stop::Cancelled) => return None,
                Some(Stop::NoSuchOperation) => return Some((None, false)),
                Some(Stop::Counted) => {
                    // The same once more, from the last checkpoint or from the start.
                    continue;
                }
                Some(Stop::Fail(_) | Stop::Interrupted) => Verdict::Fail,
                Some(Stop::Rig(_)) => Verdict::RigError,
                // A cut that fell elsewhere counts for where it fell.
                Some(Stop::Missed { .. }) if self.shared.covers(cuts) => Verdict::Pass,
                Some(Stop::Missed { .. }) => Verdict::MissedWindow,
            };
            let may = matches!(end.stop, Some(Stop::Rig(_) | Stop::Missed { again: true, .. }));
            let again = may && verdict != Verdict::Pass && attempt < self.options.attempts;
            if again {
                attempt += 1;
                if verdict == Verdict::MissedWindow {
                    earlier.push(end.progress.cuts);
                }
                self.shared.kept.clear();
                continue;
            }
            let fired = end.fired;
            let outcome = Outcome { earlier, ..self.outcome(end, verdict, attempt) };
            if verdict == Verdict::MissedWindow {
                self.missed.push(outcome.clone());
            }
            return Some((Some(outcome), fired));
        }
    }

    /// Tells again of runs that were missed and whose places the cuts of later runs have hit.
    fn hit_later(&mut self, give: &mut dyn FnMut(Outcome)) {
        for outcome in std::mem::take(&mut self.missed) {
            if self.shared.covers(&outcome.cuts) {
                let console = Vec::new();
                let (reason, step, verdict) = (None, None, Verdict::Pass);
                give(Outcome { verdict, reason, step, console, ..outcome });
            }
        }
    }

    fn attempt(&mut self) -> End {
        let clock = Instant::now();
        if let Some(landings) = &mut self.shared.landings {
            landings.begin();
        }
        let mut exec =
            Exec::new(self.board, self.case, &self.images, &mut self.shared, self.cancelled);
        let contents = &self.contents;
        let result = exec.rewind().and_then(|rewound| {
            if !rewound {
                exec.device.board.provision(contents)?;
                exec.device.forget_operations();
            }
            exec.run()
        });
        if let (Err(Stop::Fail(_)), Some(folder)) = (&result, &self.options.dumps) {
            let choices = exec.shared.choices.iter().map(u32::to_string);
            let name: Vec<_> = std::iter::once(self.case.name.clone()).chain(choices).collect();
            exec.device.look_into(folder, &name.join("-"));
        }
        let all = exec.every_fired >= exec.shared.choices.len();
        let progress = exec.device.kept();
        let console = exec.device.log().lines().collect();
        let seconds = clock.elapsed().as_secs_f64();
        let mut stop = result.err();
        // One that came too late was aimed at an operation that is there.
        let fired = all || matches!(stop, Some(Stop::Missed { .. }));
        if stop == Some(Stop::NoSuchOperation)
            && let Some(landings) = &mut self.shared.landings
            && let Err(missed) = landings.missed()
        {
            // Behind a cut that fell elsewhere there are other operations than those that are meant.
            stop = Some(missed);
        }
        End { stop, progress, console, fired, seconds }
    }

    fn outcome(&mut self, end: End, verdict: Verdict, attempt: u32) -> Outcome {
        let End { stop, progress, console, seconds, .. } = end;
        let reason = match &stop {
            Some(Stop::Fail(what)) => Some(what.clone()),
            Some(Stop::Rig(error)) => Some(error.to_string()),
            Some(Stop::Interrupted) => Some("the device was interrupted".into()),
            Some(Stop::Missed { what, .. }) => Some(what.clone()),
            _ => None,
        };
        let failed = verdict != Verdict::Pass;
        let step = self.case.steps.get(progress.step).filter(|_| failed).map(|step| StepRecord {
            number: progress.step + 1,
            line: step.line,
            verb: step.action.verb().into(),
        });
        let keep = std::mem::take(&mut self.first) || failed && self.consoles < CONSOLES;
        self.consoles += usize::from(failed);
        let choices: Vec<_> = self.shared.choices.iter().map(u32::to_string).collect();
        let run = match choices.as_slice() {
            [] => String::new(),
            choices => format!("cut {}", choices.join(", ")),
        };
        Outcome {
            run,
            verdict,
            attempt,
            reason,
            step,
            cuts: progress.cuts,
            boots: progress.boots,
            otadata: progress.otadata,
            operations: if keep { progress.operations } else { Vec::new() },
            console: if keep { console } else { Vec::new() },
            replay: self.blank.again(&choices),
            seconds,
            ..self.blank.clone()
        }
    }

    /// Fails the case if a cut at `every` operation never met one.
    fn vacuous(&self, give: &mut dyn FnMut(Outcome)) {
        let cuts =
            self.case.steps.iter().flat_map(|step| step.cuts.iter().map(move |cut| (step, cut)));
        for (index, (step, _)) in cuts.filter(|(_, cut)| Cut::is_every(cut)).enumerate() {
            if self.shared.fired.contains(&(index + 1)) {
                continue;
            }
            let number =
                self.case.steps.iter().position(|it| it.line == step.line).unwrap_or(0) + 1;
            let verb = step.action.verb();
            give(Outcome {
                verdict: Verdict::Fail,
                reason: Some("the cut at every operation met no flash operation".into()),
                step: Some(StepRecord { number, line: step.line, verb: verb.into() }),
                replay: self.blank.again(&[]),
                ..self.blank.clone()
            });
        }
    }
}
