//! All runs of a case on a board.

use super::device::{Device, Progress, START};
use super::exec::{Exec, Shared};
use super::images::Images;
use super::landing::Landings;
use super::outcome::{Outcome, StepRecord, Verdict};
use super::stop::Stop;
use crate::board::{Board, Contents, RigError};
use crate::scenario::{BoardKind, Case, Cut, Scenario, needs};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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
    /// Folder for flash contents that the flash model does not predict; it need not exist.
    pub dumps: Option<PathBuf>,
    /// Only this run: the numbers of the operations for the cuts at `every` operation.
    pub only: Option<Vec<u32>>,
    /// Of a cut at every operation, behind the first [`SHORT`](Self::SHORT) only each n-th; at least 1.
    pub sample: u32,
    /// Runs that are left out, by the same numbers.
    pub done: BTreeSet<Vec<u32>>,
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
    let shared = Shared { choices, landings: Some(landings), ..Shared::default() };
    Runs {
        board,
        case,
        images,
        contents,
        options,
        cancelled,
        blank,
        shared,
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

impl Outcome {
    /// The command that does a run of the case again.
    fn again(&self, choices: &[String]) -> String {
        let board = match self.kind {
            BoardKind::Model => "model",
            BoardKind::Virtual => "virtual",
            BoardKind::Qemu => "qemu",
            BoardKind::Serial | BoardKind::SwitchedSerial => &self.board,
        };
        let at = match choices {
            [] => String::new(),
            choices => format!(" --at {}", choices.join(",")),
        };
        let (file, case) = (quoted(&self.file.display().to_string()), quoted(&self.case));
        format!("hil-runner run {file} --case {case}{at} --board {board}")
    }

    /// Of a case whose board cannot be had.
    pub(super) fn without_board(
        scenario: &Scenario,
        case: &Case,
        board: &str,
        error: &RigError,
    ) -> Self {
        let blank = named(board, BoardKind::Serial, scenario, case);
        Self { verdict: Verdict::RigError, reason: Some(error.to_string()), ..blank }
    }
}

/// An outcome with all that is known before the run.
fn blank(board: &dyn Board, scenario: &Scenario, case: &Case) -> Outcome {
    named(board.name(), board.kind(), scenario, case)
}

fn named(board: &str, kind: BoardKind, scenario: &Scenario, case: &Case) -> Outcome {
    let outcome = Outcome {
        scenario: scenario.name.clone(),
        file: relative(&scenario.file),
        case: case.name.clone(),
        run: String::new(),
        board: board.into(),
        kind,
        verdict: Verdict::Pass,
        attempt: 1,
        reason: None,
        step: None,
        cuts: Vec::new(),
        boots: Vec::new(),
        otadata: Vec::new(),
        operations: Vec::new(),
        console: Vec::new(),
        replay: String::new(),
        seconds: 0.0,
    };
    let replay = outcome.again(&[]);
    Outcome { replay, ..outcome }
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
        if !failed && self.options.only.is_none() {
            self.vacuous(give);
        }
    }

    /// Whether the next run was done before. Then its cuts have fired.
    fn is_done(&mut self) -> bool {
        let done = &self.options.done;
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
        loop {
            let end = self.attempt();
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
                Some(Stop::Missed { .. }) if self.shared.covered() => Verdict::Pass,
                Some(Stop::Missed { .. }) => Verdict::MissedWindow,
            };
            let may = matches!(end.stop, Some(Stop::Rig(_) | Stop::Missed { again: true, .. }));
            let again = may && verdict != Verdict::Pass && attempt < self.options.attempts;
            if again {
                attempt += 1;
                self.shared.kept.clear();
                continue;
            }
            let fired = end.fired;
            return Some((Some(self.outcome(end, verdict, attempt)), fired));
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
        let fired = exec.every_fired >= exec.shared.choices.len();
        let progress = exec.device.kept();
        let console = exec.device.log().lines().collect();
        let seconds = clock.elapsed().as_secs_f64();
        End { stop: result.err(), progress, console, fired, seconds }
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

/// A path as seen from the current folder, if it is below that.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).into()
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path.into() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
