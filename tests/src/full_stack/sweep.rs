//! A power cut at every flash operation of an update.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use sim::flash::Digest;
use virtual_board::{Cut as BoardCut, CutOutcome, CutPoint, CutTrigger, Snapshot, Stop, Ticks};

use super::device::{Boot, Device, Failure, Images};
use super::recording::{Phase, Recording};

/// The longest that a request may take until its last flash operation, in ticks.
const REQUEST: u64 = 60 * Ticks::PER_SECOND;

/// Operations that one thread works on at a time.
const CHUNK: usize = 16;

/// Fractions of an operation after which power fails.
pub(crate) const FRACTIONS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// A power cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The part of the update.
    pub phase: Phase,
    /// Number of the flash operation since the device was made.
    pub operation: u64,
    /// How much of the operation was done.
    pub fraction: f64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, operation, fraction } = self;
        write!(f, "{phase}, operation {operation}, {:.0} % done", 100.0 * fraction)
    }
}

/// What came of a cut.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The cut.
    pub cut: Cut,
    /// What booted, or why nothing that may.
    pub boot: Result<Boot, Failure>,
    /// Whether the update was completed afterwards; `None` when that was not tried.
    pub completed: Option<Result<(), Failure>>,
}

/// What came of all cuts.
#[derive(Debug)]
pub struct Sweep {
    /// Each cut, in order.
    pub outcomes: Vec<Outcome>,
    /// Number of different flash contents that the cuts left.
    pub states: usize,
}

impl Sweep {
    /// The cuts behind which something was wrong, and what.
    pub fn failures(&self) -> impl Iterator<Item = (Cut, &Failure)> {
        self.outcomes.iter().flat_map(|outcome| {
            let completed = outcome.completed.as_ref().and_then(|result| result.as_ref().err());
            outcome.boot.as_ref().err().into_iter().chain(completed).map(|it| (outcome.cut, it))
        })
    }
}

/// Cuts power in every flash operation of a recorded update for which `at` says so, at five points each;
/// boots, checks what runs, and completes the update from the flash contents for which `complete` says
/// so.
///
/// `device` is that of the recording. `threads` boards work side by side; the result does not depend on
/// their number.
pub fn sweep(
    recording: &Recording,
    device: &Device,
    images: &Images,
    threads: usize,
    at: impl Fn(Phase, u64) -> bool,
    complete: impl Fn(Phase, u64) -> bool + Sync,
) -> Sweep {
    let operations: Vec<_> =
        recording.operations().filter(|&(phase, number)| at(phase, number)).collect();
    // Neighbours share the way to them.
    let chunks: Vec<_> = operations.chunks(CHUNK).collect();
    let results: Vec<_> = chunks.iter().map(|_| Mutex::new(Vec::new())).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let worker = Worker {
                    recording,
                    images,
                    device: Device::with_board(device.board().clone()),
                };
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(chunk) = chunks.get(index)
                {
                    let done = worker.cut_all(chunk, &complete);
                    *results[index].lock().unwrap_or_else(PoisonError::into_inner) = done;
                }
            });
        }
    });
    let results =
        results.into_iter().map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
    let (outcomes, states): (Vec<_>, Vec<_>) = results.flatten().unzip();
    let states: BTreeSet<_> = states.into_iter().flatten().collect();
    Sweep { outcomes, states: states.len() }
}

/// One board, and what it works on.
struct Worker<'a> {
    recording: &'a Recording,
    images: &'a Images,
    device: Device,
}

impl Worker<'_> {
    /// Makes all cuts in some operations, in their order.
    fn cut_all(
        &self,
        operations: &[(Phase, u64)],
        complete: &impl Fn(Phase, u64) -> bool,
    ) -> Vec<(Outcome, Option<Digest>)> {
        let mut results = Vec::new();
        let mut last = None;
        for &(phase, operation) in operations {
            let before = self.advance_to(operation, last.take());
            for fraction in FRACTIONS {
                let cut = Cut { phase, operation, fraction };
                results.push(match &before {
                    Ok(before) => self.try_cut(cut, before, complete(phase, operation)),
                    Err(failure) => {
                        let boot = Err(failure.clone());
                        (Outcome { cut, boot, completed: None }, None)
                    }
                });
            }
            last = before.ok().map(|board| (operation, board));
        }
        results
    }

    /// The board just before an operation: when the one before it has started, or the last request.
    /// `last` is the board before an earlier operation.
    fn advance_to(
        &self,
        operation: u64,
        last: Option<(u64, Snapshot)>,
    ) -> Result<Snapshot, Failure> {
        let frame =
            self.recording.before(operation).ok_or("no moment kept before the operation")?;
        let mut board = self.device.board();
        match last {
            Some((number, before)) if number >= frame.operation => board.restore(&before),
            _ => board.restore(&frame.board),
        }
        if board.flash().operations() < operation {
            board.watch_operation(Some(operation - 1));
            let limit = board.now() + REQUEST;
            let stop = board.run(limit);
            if stop != Stop::FlashOperation {
                return Err(format!("operation {operation} is not reached again: {stop:?}"));
            }
        }
        Ok(board.snapshot())
    }

    fn try_cut(&self, cut: Cut, before: &Snapshot, complete: bool) -> (Outcome, Option<Digest>) {
        if let Err(failure) = self.strike(cut, before) {
            return (Outcome { cut, boot: Err(failure), completed: None }, None);
        }
        let state = self.device.board().flash().memory().digest_all();
        self.device.board().power_on();
        let boot = self.device.boot_report().and_then(|boot| allowed(cut, boot));
        let completed = boot.as_ref().ok().filter(|_| complete).map(|boot| {
            self.device.listen()?;
            self.device.complete(self.images, boot)
        });
        self.device.take_frames();
        (Outcome { cut, boot, completed }, Some(state))
    }

    /// Cuts power in an operation.
    fn strike(&self, cut: Cut, before: &Snapshot) -> Result<(), Failure> {
        let mut board = self.device.board();
        board.restore(before);
        board.plan_cut(Some(BoardCut {
            point: CutPoint::Flash(CutTrigger::Operation(cut.operation)),
            outcome: CutOutcome::Fraction { fraction: cut.fraction, seed: cut.operation },
        }));
        let limit = board.now() + REQUEST;
        let stop = board.run(limit);
        board.uart0_output();
        board.uart0_discard();
        match stop {
            Stop::PowerOff => Ok(()),
            stop => Err(format!("the cut did not strike: {stop:?}")),
        }
    }
}

/// Old or new firmware, never a third: what may boot after a cut.
fn allowed(cut: Cut, boot: Boot) -> Result<Boot, Failure> {
    let old = boot.version == "1.0.0" && boot.running == "factory";
    let new = boot.version == "2.0.0" && boot.running == "ota_0";
    let right = match cut.phase {
        Phase::Upload => old,
        // Until the request is answered either may be selected.
        Phase::Select => old || new,
        // The bootloader that `espflash` carries does not roll back.
        Phase::Reboot | Phase::Confirm => new,
    };
    if right { Ok(boot) } else { Err(format!("{boot} boots")) }
}
