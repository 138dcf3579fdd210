//! Power and resets of the virtual board.

use super::VirtualConfig;
use super::cutter::{Cutter, Recorded, lock};
use crate::board::serial::{Clock, Control, Found, TextWatch, Watcher};
use crate::board::{Checkpoint, CutPlan, CutReport, Operation, Recording, RigError};
use crate::scenario::{BoardKind, Capability, ChipName, CutKind, ResetKind};
use serialport::TTYPort;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use virtual_board::serve::Served;
use virtual_board::{Board, ResetCause, Snapshot, Speed, Strap, Ticks};

/// Size of a flash sector in bytes.
const SECTOR: u32 = sim::flash::SECTOR_SIZE as u32;

/// Power, resets and cuts of a virtual board.
pub struct VirtualControl {
    config: VirtualConfig,
    served: Arc<Served>,
    cutter: Arc<Mutex<Cutter>>,
    /// The device has been interrupted by a reset, or was reset: power is not to come anew.
    reset: bool,
}

/// The board and what was planned for it.
struct State {
    board: Snapshot,
    cutter: Cutter,
}

impl VirtualControl {
    pub(super) fn new(
        config: VirtualConfig,
        served: Arc<Served>,
        cutter: Arc<Mutex<Cutter>>,
    ) -> Self {
        Self { config, served, cutter, reset: false }
    }

    /// The board in its thread, to look into it and to do with it what no case does.
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Does something with the board and what cuts it.
    fn act<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Cutter, &mut Board) -> R + Send + 'static,
    ) -> io::Result<R> {
        let cutter = Arc::clone(&self.cutter);
        self.served.with(move |board| act(&mut lock(&cutter), board))
    }

    fn found(&self) -> Found {
        Found::bare(self.served.port(), ChipName::Esp32c3)
    }

    /// Counts bytes from where the port stands now.
    fn line(&self) -> Arc<Line> {
        Arc::new(Line { served: Arc::clone(&self.served), first: self.served.sent() })
    }
}

impl Control for VirtualControl {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> BoardKind {
        BoardKind::Virtual
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        match capability {
            Capability::RollbackBootloader if !self.config.rollback_bootloader => {
                Some("there is no bootloader for it that was built with rollback".into())
            }
            Capability::Chip(chip) if chip != ChipName::Esp32c3 => {
                Some(format!("it is an {}", ChipName::Esp32c3.id()))
            }
            Capability::Cut(CutKind::DebugReset) | Capability::Reset(ResetKind::DebugReset) => {
                Some("it has no debug probe".into())
            }
            other if self.kind().offers(other) => None,
            _ => Some("it is simulated".into()),
        }
    }

    fn download(&mut self) -> Result<Found, RigError> {
        self.act(|cutter, board| {
            cutter.count(false, board);
            board.power_off();
            board.set_strap(Strap::Download);
            // Nothing is cut while flash is written from outside: nobody has to wait for it.
            board.flash_mut().set_speed(Speed::Instant);
            board.power_on();
        })?;
        self.served.discard()?;
        self.served.release()?;
        Ok(self.found())
    }

    fn rest(&mut self, rests: bool) -> Result<(), RigError> {
        // The loader would keep a core busy.
        let done = if rests { self.served.hold() } else { self.served.release() };
        Ok(done?)
    }

    fn console(&mut self, _: Duration) -> Result<Found, RigError> {
        // The board stands still while nobody listens: no byte is lost, and power that is off has no
        // length.
        self.served.hold()?;
        let cut = self.act(|cutter, board| cutter.is_over() && board.is_powered())?;
        self.reset |= cut;
        Ok(self.found())
    }

    fn start(&mut self, _: &mut TTYPort) -> Result<(), RigError> {
        let started = std::mem::take(&mut self.reset);
        self.act(move |cutter, board| {
            if !started {
                board.set_strap(Strap::FlashBoot);
                board.flash_mut().set_speed(Speed::Typical);
                board.power_on();
            }
            cutter.count(true, board);
        })?;
        Ok(self.served.release()?)
    }

    fn stop(&mut self) -> Result<(), RigError> {
        self.reset = false;
        Ok(self.served.with(Board::power_off)?)
    }

    fn reset(&mut self, kind: ResetKind) -> Result<(), RigError> {
        let cause = match kind {
            ResetKind::EnReset => ResetCause::PowerOn,
            ResetKind::Watchdog => ResetCause::RtcWatchdog,
            ResetKind::Software => {
                return Err(RigError::new("the firmware is to be asked for a software reset"));
            }
            ResetKind::DebugReset => return Err(RigError::new("there is no debug probe")),
        };
        self.served.hold()?;
        self.served.with(move |board| board.reset(cause))?;
        self.reset = true;
        Ok(())
    }

    fn watcher(&mut self, _: &TTYPort) -> Result<Box<dyn Watcher>, RigError> {
        // What the port has been told before it was opened does not count: the board stands still.
        self.served.with(|_| ())?;
        Ok(Box::new(Over { line: self.line(), cutter: Arc::clone(&self.cutter) }))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.line()
    }

    fn plan_cut(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>) -> Result<(), RigError> {
        if let Some((plan, _)) = &plan
            && let Some(reason) = self.lacks(Capability::Cut(plan.kind))
        {
            return Err(RigError::new(format!("{}: {reason}", self.config.name)));
        }
        Ok(self.act(|cutter, board| cutter.plan(plan, board))?)
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        lock(&self.cutter).take_report()
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        lock(&self.cutter).take_operations()
    }

    fn is_erased(&mut self, range: Range<u32>) -> Option<bool> {
        let erased = self.served.with(move |board| {
            let memory = board.flash().memory();
            // Cells that an erase did not reach in full read as erased, and may not stay so.
            let sectors = range.start / SECTOR..range.end.div_ceil(SECTOR);
            let sound = !memory.conditioned().iter().any(|sector| sectors.contains(sector));
            sound && memory.to_vec(range).iter().all(|&byte| byte == 0xFF)
        });
        erased.ok()
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        let state =
            self.act(|cutter, board| State { board: board.snapshot(), cutter: cutter.clone() });
        Some(Box::new(state.ok()?))
    }

    fn rewind(&mut self, checkpoint: &Checkpoint) -> Result<Found, RigError> {
        let state = checkpoint.downcast_ref::<State>();
        let state = state.ok_or_else(|| RigError::new("the checkpoint is of another board"))?;
        let (snapshot, then) = (state.board.clone(), state.cutter.clone());
        self.served.hold()?;
        self.served.discard()?;
        self.act(move |cutter, board| {
            board.restore(&snapshot);
            *cutter = then;
        })?;
        self.reset = false;
        Ok(self.found())
    }

    fn go_on(&mut self) -> Result<(), RigError> {
        Ok(self.served.release()?)
    }

    fn record(&mut self, into: f64) -> bool {
        self.act(move |cutter, board| cutter.record(into, board)).is_ok()
    }

    fn take_recording(&mut self) -> Option<Recording> {
        let recorded = self.act(|cutter, board| cutter.take_recording(board)).ok()??;
        Some(Box::new(Arc::new(recorded)))
    }

    fn cut_in(&mut self, recording: &Recording, plan: &CutPlan) -> Result<bool, RigError> {
        let recorded = recording.downcast_ref::<Arc<Recorded>>();
        let recorded = recorded.ok_or_else(|| RigError::new("a recording of another board"))?;
        let (recorded, plan) = (Arc::clone(recorded), plan.clone());
        self.served.hold()?;
        self.served.discard()?;
        self.reset = false;
        Ok(self.act(move |cutter, board| cutter.cut_in(&recorded, plan, board))?)
    }

    fn fingerprint(&mut self) -> Option<[u8; 16]> {
        self.served.with(|board| board.flash().memory().digest_all().0).ok()
    }
}

/// What of a start has come through the port.
struct Line {
    served: Arc<Served>,
    /// How many bytes had come before.
    first: u64,
}

impl Line {
    fn has_all(&self, received: u64) -> bool {
        self.first + received >= self.served.sent()
    }
}

impl Clock for Line {
    fn now(&self) -> Duration {
        self.served.now().duration()
    }

    fn wait_for_output(&self, received: u64, until: Duration) -> Option<bool> {
        self.served.expedite(Ticks::from_duration(until), self.first + received);
        Some(self.has_all(received))
    }
}

/// Tells when a cut has ended a start.
struct Over {
    line: Arc<Line>,
    cutter: Arc<Mutex<Cutter>>,
}

impl Watcher for Over {
    fn saw(&mut self, _: &[u8], _: Instant) {}

    fn is_over(&mut self, received: u64, idle: bool) -> bool {
        // It stands still once what it has sent before is on its way.
        let over = self.line.served.is_held() && lock(&self.cutter).is_over();
        over && (idle || self.line.has_all(received))
    }
}
