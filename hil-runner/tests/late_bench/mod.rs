//! A virtual board behind a pseudo-terminal with a power switch that is late: to the runner a real board
//! whose serial loader somebody starts by hand.
//!
//! Late is meant in the time of the board. It stands still from the moment at which a trigger has left it
//! until the switch is told to act, so how long this program takes makes no difference; and as the delay of
//! a cut behind its trigger is the switch's matter, too, that of the runner is none. The moments of operations
//! are the board's.

#![allow(dead_code, reason = "not every test uses all of it")]

use hil_runner::bench::PortSelector;
use hil_runner::board::aim::Aim;
use hil_runner::board::serial::{RealBoard, RealConfig, TextWatch};
use hil_runner::board::{Board, Contents, CutPlan, CutPoint, CutReport, Operation, Port, RigError};
use hil_runner::power::PowerSwitch;
use hil_runner::scenario::{BoardKind, Capability, ChipName, CutKind, ResetKind};
use sim::flash::{Memory, Part};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use virtual_board::serve::{Next, Served};
use virtual_board::{Config, Pacing, PowerLoss, Speed, Stop, Strap, Ticks};

/// How long the switch takes for one cut after the other.
pub(crate) type Delays = Box<dyn FnMut() -> Duration + Send>;

/// Those delays, the last one for ever.
pub(crate) fn listed(microseconds: &[u64]) -> Delays {
    let mut delays = microseconds.to_vec();
    Box::new(move || {
        let delay = if delays.len() > 1 { delays.remove(0) } else { delays[0] };
        Duration::from_micros(delay)
    })
}

/// At least the first of these times, and up to the second one more: which is random with that seed.
pub(crate) fn jittering(least: Duration, spread: Duration, mut seed: u64) -> Delays {
    Box::new(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + spread.mul_f64((seed >> 40) as f64 / f64::from(1 << 24))
    })
}

/// A cut on its way.
#[derive(Default)]
struct Shot {
    /// What triggers it: an operation, or a text.
    aim: Option<Aim>,
    text: Option<TextWatch>,
    plus: Duration,
    /// When the operations since the last question were announced.
    seen: Aim,
    moments: Vec<Ticks>,
    /// The trigger has left the board, which stands still since.
    trigger: Option<Ticks>,
    /// When power goes.
    due: Option<Ticks>,
    /// What the virtual board knows of the cuts.
    losses: Vec<Option<PowerLoss>>,
}

#[derive(Default)]
struct Line {
    shot: Mutex<Shot>,
    /// Power has gone.
    off: Condvar,
}

impl Line {
    fn shot(&self) -> MutexGuard<'_, Shot> {
        self.shot.lock().unwrap()
    }

    fn watch(&self, board: &mut virtual_board::Board, stop: Stop, output: &[u8]) -> Next {
        let mut shot = self.shot();
        let now = board.now();
        if let Some(due) = shot.due {
            if now < due {
                return Next::RunTo(due);
            }
            board.power_off();
            board.set_pacing(Pacing::Turbo);
            board.watch_console(None);
            shot.losses.push(board.flash().power_loss().cloned());
            shot.due = None;
            self.off.notify_all();
            return Next::Run;
        }
        if stop == Stop::ConsoleText {
            board.watch_console(Some(b"\n"));
        }
        let Shot { aim, text, seen, moments, trigger, .. } = &mut *shot;
        seen.console(output);
        moments.resize(seen.operations(), now);
        if let Some(aim) = aim {
            aim.console(output);
        }
        let there = aim.as_ref().is_some_and(|aim| aim.on_target().is_some())
            || text.as_mut().is_some_and(|text| text.sees(output));
        if there {
            (*aim, *text, *trigger) = (None, None, Some(now));
            return Next::Hold;
        }
        Next::Run
    }
}

/// The switch.
struct Late {
    served: Arc<Served>,
    line: Arc<Line>,
    delays: Delays,
}

impl PowerSwitch for Late {
    fn name(&self) -> String {
        "late".into()
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![CutKind::Rail]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        if on {
            return Ok(self.served.with(virtual_board::Board::power_on)?);
        }
        let mut shot = self.line.shot();
        let Some(trigger) = shot.trigger.take() else {
            drop(shot);
            return Ok(self.served.with(virtual_board::Board::power_off)?);
        };
        let delay = Ticks::from_duration(shot.plus + (self.delays)());
        let due = Ticks(trigger.0 + delay.0);
        shot.due = Some(due);
        drop(shot);
        self.served.with(move |board| board.watch_time(Some(due)))?;
        self.served.release()?;
        let mut shot = self.line.shot();
        while shot.due.is_some() {
            shot = self.line.off.wait(shot).unwrap();
        }
        Ok(())
    }
}

/// A real board, as far as the runner can tell, on the port of a virtual one.
pub(crate) fn real(served: &Served, switch: impl PowerSwitch + 'static) -> RealBoard {
    let config = RealConfig {
        name: "real".into(),
        port: PortSelector::Path(served.port()),
        chip: ChipName::Esp32c3,
        lines: false,
        baud: 115_200,
    };
    RealBoard::real(config, Some(Box::new(switch)))
}

/// The board, its switch, and somebody who starts the serial loader.
pub(crate) struct LateBench {
    pub(crate) real: RealBoard,
    served: Arc<Served>,
    line: Arc<Line>,
    /// How fast the serial line is while a cut is planned.
    pub(crate) pacing: Pacing,
    /// A byte that changes whenever it is read.
    pub(crate) flips: Option<u32>,
}

impl LateBench {
    /// A board with an erased flash and without power.
    pub(crate) fn new(delays: Delays) -> Self {
        let part = Part::by_name("W25Q32JV").unwrap();
        let config = Config { seed: 5, ..Config::new(part, Memory::erased(part.capacity)) };
        let board = virtual_board::Board::new(config).unwrap();
        let line = Arc::<Line>::default();
        let watch = Arc::clone(&line);
        let served =
            Served::start(board, move |board, stop, output| watch.watch(board, stop, output));
        let served = Arc::new(served.unwrap());
        let late = Late { served: Arc::clone(&served), line: Arc::clone(&line), delays };
        Self { real: real(&served, late), served, line, pacing: Pacing::Turbo, flips: None }
    }

    /// What the virtual board knows of the last cut; `None` when no power was lost.
    pub(crate) fn last_loss(&self) -> Option<PowerLoss> {
        self.line.shot().losses.last().expect("a cut").clone()
    }

    /// Does something with power and the strap for the loader.
    fn strap(&mut self, strap: Strap, speed: Speed) -> Result<(), RigError> {
        // Whatever ran, it is no cut.
        self.served.with(move |board| {
            board.power_off();
            board.set_strap(strap);
            board.flash_mut().set_speed(speed);
        })?;
        self.real.stop()
    }

    fn loader<R>(
        &mut self,
        act: impl FnOnce(&mut RealBoard) -> Result<R, RigError>,
    ) -> Result<R, RigError> {
        self.strap(Strap::Download, Speed::Instant)?;
        let result = act(&mut self.real)?;
        self.strap(Strap::FlashBoot, Speed::Typical)?;
        Ok(result)
    }
}

impl Board for LateBench {
    fn name(&self) -> &str {
        self.real.name()
    }

    fn kind(&self) -> BoardKind {
        self.real.kind()
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        self.real.lacks(capability)
    }

    fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        self.loader(|real| real.provision(contents))
    }

    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        let mut bytes = self.loader(|real| real.read_flash(range.clone()))?;
        if let Some(flips) = self.flips.filter(|flips| range.contains(flips)) {
            bytes[(flips - range.start) as usize] ^= 0x40;
        }
        Ok(bytes)
    }

    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.loader(|real| real.write_flash(offset, bytes))
    }

    fn start(&mut self, off: Duration) -> Result<Box<dyn Port>, RigError> {
        self.real.start(off)
    }

    fn stop(&mut self) -> Result<(), RigError> {
        self.real.stop()
    }

    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        self.real.reset(kind)
    }

    fn plan_cut(&mut self, mut plan: Option<CutPlan>) -> Result<(), RigError> {
        let mut shot = self.line.shot();
        (shot.aim, shot.text, shot.plus) = (None, None, Duration::ZERO);
        match plan.as_mut().map(|plan| &mut plan.point) {
            None => {}
            Some(CutPoint::Operation { number, into }) => {
                shot.aim.insert(Aim::new()).at(*number, *into);
            }
            Some(CutPoint::Text { text, plus }) => {
                shot.text = Some(TextWatch::new(text)?);
                shot.plus = std::mem::take(plus);
            }
        }
        drop(shot);
        let planned = plan.is_some();
        let pacing = if planned { self.pacing } else { Pacing::Turbo };
        self.served.with(move |board| {
            board.set_pacing(pacing);
            board.watch_console(planned.then_some(b"\n"));
        })?;
        self.real.plan_cut(plan)
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        self.real.take_cut()
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        let mut shot = self.line.shot();
        shot.moments.clear();
        shot.seen.take_operations();
        self.real.take_operations()
    }

    fn moments(&mut self) -> Vec<Duration> {
        self.line.shot().moments.iter().map(|at| at.duration()).collect()
    }
}
