//! Cuts of the virtual board.

use crate::board::aim::{Aim, Shot};
use crate::board::serial::TextWatch;
use crate::board::{CutPlan, CutPoint, CutReport, Landing, Operation, OperationKind};
use crate::scenario::CutKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use virtual_board::serve::Next;
use virtual_board::{
    Board, Cut, CutOutcome, CutPoint as BoardCutPoint, ResetCause, Snapshot, Stop, Ticks,
};

/// Watches a board that runs, and cuts it.
#[derive(Clone)]
pub(super) struct Cutter {
    seed: u64,
    aim: Aim,
    plan: Option<(CutPlan, Option<TextWatch>)>,
    /// When the cut is due, once its text has come.
    due: Option<Ticks>,
    report: Option<CutReport>,
    /// The device was interrupted and stands still.
    over: bool,
    /// The firmware runs, or what starts it: its flash operations count.
    counts: bool,
    boots: u64,
    recording: Option<Recorder>,
    /// The operations up to a cut in a recording.
    replayed: Vec<Operation>,
}

/// A recording that goes on.
#[derive(Clone)]
struct Recorder {
    into: f64,
    recorded: Recorded,
}

/// The board at the flash command, in each operation, that a cut that far into it falls into.
#[derive(Clone, Default)]
pub(super) struct Recorded {
    kept: Vec<Kept>,
}

#[derive(Clone)]
struct Kept {
    board: Snapshot,
    aim: Aim,
    operation: Option<Operation>,
    /// How far into the command; without it, as far as time has passed.
    fraction: Option<f64>,
}

pub(super) fn lock(cutter: &Mutex<Cutter>) -> MutexGuard<'_, Cutter> {
    cutter.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cutter {
    /// Plans nothing.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            aim: Aim::new(),
            plan: None,
            due: None,
            report: None,
            over: false,
            counts: false,
            boots: 0,
            recording: None,
            replayed: Vec::new(),
        }
    }

    /// Keeps the board that far into each operation from now on.
    pub(super) fn record(&mut self, into: f64, board: &mut Board) {
        self.plan(None, board);
        self.recording = Some(Recorder { into, recorded: Recorded::default() });
        self.aim.at(1, into);
        self.arrange(board);
    }

    /// Ends the recording.
    pub(super) fn take_recording(&mut self, board: &mut Board) -> Option<Recorded> {
        let recorder = self.recording.take()?;
        self.plan(None, board);
        Some(recorder.recorded)
    }

    /// Cuts the board in a recording; false when there is no such operation in it.
    pub(super) fn cut_in(&mut self, recorded: &Recorded, plan: CutPlan, board: &mut Board) -> bool {
        let CutPoint::Operation { number, .. } = plan.point else {
            return false;
        };
        let before = recorded.kept.get(..number as usize).unwrap_or_default();
        let Some(kept) = before.last().filter(|_| number > 0) else {
            return false;
        };
        board.restore(&kept.board);
        (self.aim, self.counts, self.over, self.due) = (kept.aim.clone(), true, false, None);
        self.recording = None;
        self.plan = Some((plan, None));
        self.cut(board, kept.fraction);
        self.aim.take_operations();
        self.replayed = before.iter().filter_map(|kept| kept.operation).collect();
        true
    }

    /// Keeps the board as it is, and aims at the next operation.
    fn keep(&mut self, fraction: Option<f64>, board: &mut Board) {
        if let Some(recorder) = &mut self.recording {
            let operation = self.aim.on_target();
            let aim = self.aim.clone();
            let board = board.snapshot();
            recorder.recorded.kept.push(Kept { board, aim, operation, fraction });
            self.aim.at(1, recorder.into);
        }
    }

    /// Plans a cut in place of the one before.
    pub(super) fn plan(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>, board: &mut Board) {
        self.aim.clear();
        if let Some((CutPlan { point: CutPoint::Operation { number, into }, .. }, _)) = &plan {
            self.aim.at(*number, *into);
        }
        self.plan = plan;
        (self.due, self.report) = (None, None);
        self.arrange(board);
    }

    /// Counts what the firmware does from now on, or nothing.
    pub(super) fn count(&mut self, counts: bool, board: &mut Board) {
        (self.counts, self.over, self.due) = (counts, false, None);
        self.boots = board.boots();
        self.aim.restart();
        self.arrange(board);
    }

    /// Whether the device was interrupted.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The cut that has fired.
    pub(super) fn take_report(&mut self) -> Option<CutReport> {
        self.report.take()
    }

    /// The operations since the last call.
    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        let mut operations = std::mem::take(&mut self.replayed);
        operations.extend(self.aim.take_operations());
        operations
    }

    /// Says where the board has to stop.
    fn arrange(&self, board: &mut Board) {
        let text = self.plan.as_ref().and_then(|(_, text)| text.as_ref());
        let text = text.filter(|_| self.counts && self.due.is_none());
        board.watch_console(text.map(TextWatch::ends_with));
        board.watch_time(self.due.filter(|_| self.counts));
        board.flash_mut().take_log();
        let next = board.flash().operations();
        board.watch_operation(self.counts.then_some(next));
        if self.counts {
            board.flash_mut().log();
        }
    }

    /// Looks at what a run has brought.
    pub(super) fn after(&mut self, board: &mut Board, stop: Stop, output: &[u8]) -> Next {
        if stop == Stop::Breakpoint {
            // Who has set it lets the board go on.
            return Next::Hold;
        }
        if !self.counts {
            return Next::Run;
        }
        self.aim.console(output);
        if self.boots != board.boots() {
            self.boots = board.boots();
            self.aim.restart();
        }
        if stop == Stop::FlashOperation {
            self.operation(board);
        }
        if self.aim.shot() == Some(Shot::Now) && !self.over {
            self.hit(board, None);
        }
        self.look_for_text(board, stop, output);
        match self.due.filter(|_| !self.over) {
            Some(due) if board.now() >= due => self.cut(board, None),
            Some(due) => return Next::RunTo(due),
            None => {}
        }
        if self.over { Next::Hold } else { Next::Run }
    }

    /// The flash chip has just got a command.
    fn operation(&mut self, board: &mut Board) {
        let shot = self.aim.shot();
        let entry = board.flash_mut().take_log().pop();
        if let Some(entry) = entry {
            let range = entry.operation.range(board.flash().memory().capacity());
            self.aim.command(Operation {
                kind: match entry.operation.kind {
                    sim::flash::OperationKind::Erase(_) => OperationKind::Erase,
                    sim::flash::OperationKind::Program { .. } => OperationKind::Write,
                },
                address: range.start,
                length: range.end - range.start,
            });
        }
        if let Some(Shot::In { after: 0, fraction }) = shot {
            self.hit(board, Some(fraction));
        }
        if !self.over {
            self.arrange(board);
        }
    }

    /// The place has come that is aimed at.
    fn hit(&mut self, board: &mut Board, fraction: Option<f64>) {
        match self.recording {
            Some(_) => self.keep(fraction, board),
            None => self.cut(board, fraction),
        }
    }

    fn look_for_text(&mut self, board: &mut Board, stop: Stop, output: &[u8]) {
        let Some((CutPlan { point: CutPoint::Text { plus, .. }, .. }, Some(text))) = &mut self.plan
        else {
            return;
        };
        if self.due.is_none() && text.sees(output) {
            self.due = Some(board.now() + Ticks::from_duration(*plus).0);
            self.arrange(board);
        } else if stop == Stop::ConsoleText {
            self.arrange(board);
        }
    }

    /// Interrupts the device: that far into the command that flash has just got, or, without one, as far as
    /// time has passed.
    fn cut(&mut self, board: &mut Board, fraction: Option<f64>) {
        let Some((plan, _)) = self.plan.take() else {
            return;
        };
        let seed = self.seed;
        let outcome = match fraction {
            Some(fraction) => CutOutcome::Fraction { fraction, seed },
            None => CutOutcome::Elapsed { seed },
        };
        let lose_power = |board: &mut Board| {
            board.plan_cut(Some(Cut { point: BoardCutPoint::Time(board.now()), outcome }));
            board.run(board.now());
        };
        let busy = board.flash().busy_until().is_some();
        // A reset does not stop a command. In place of one that must not begin power goes and comes: to
        // the device that is a reset which also clears its RAM.
        let before = fraction.is_some_and(|fraction| fraction <= 0.0);
        match plan.kind {
            CutKind::EnReset | CutKind::Watchdog if before => {
                lose_power(board);
                board.power_on();
            }
            CutKind::EnReset => board.reset(ResetCause::PowerOn),
            // What is left of the RAM when the supply comes back nobody knows: nothing.
            CutKind::BrownOut => {
                lose_power(board);
                board.power_on();
                board.reset(ResetCause::BrownOut);
            }
            CutKind::Watchdog => {}
            _ => lose_power(board),
        }
        if plan.kind == CutKind::Watchdog {
            board.reset(ResetCause::RtcWatchdog);
        }
        let aimed = matches!(plan.point, CutPoint::Operation { .. });
        let operation = if aimed { self.aim.on_target() } else { self.aim.last().filter(|_| busy) };
        self.report = Some(CutReport { operation, landing: Landing::Exact, latency: None });
        self.over = true;
        self.due = None;
        self.aim.clear();
        self.aim.restart();
        self.boots = board.boots();
        self.arrange(board);
    }
}
