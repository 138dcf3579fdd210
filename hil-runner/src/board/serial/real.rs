//! Real boards.
//!
//! What a pseudo-terminal can carry is tested with the virtual board behind one: the marker on the console,
//! the command to the switch, the flash. It has no control lines and never vanishes, so these have been run
//! by no test: resets with DTR and RTS, and the wait for a port that comes back with the power of its board.
//!
//! A board on its own USB (USB-Serial-JTAG) loses its port with its power. What its firmware sends before the
//! host has found the port again is lost; one behind an adapter with power of its own is heard from the
//! first byte.

use super::control::{Clock, Control, Found, RealTime, Watcher};
use super::ports;
use super::text::TextWatch;
use super::trigger::{CutTimes, Power, Shared, Trigger, hold, lock};
use super::{CONSOLE_BAUD, SerialBoard, open};
use crate::bench::PortSelector;
use crate::board::{CutPlan, CutReport, Operation, RigError};
use crate::power::PowerSwitch;
use crate::scenario::{BoardKind, Capability, ChipName, CutKind, ResetKind};
use serialport::{SerialPort, TTYPort};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long EN is pulled low: the tools of the chip's maker take as long.
const RESET: Duration = Duration::from_millis(100);

/// A real board.
pub type RealBoard = SerialBoard<RealControl>;

/// Which real board, and how it is connected.
#[derive(Clone, Debug)]
pub struct RealConfig {
    /// Its name in reports.
    pub name: String,
    /// Its serial port.
    pub port: PortSelector,
    /// The chip that is on it.
    pub chip: ChipName,
    /// Whether DTR and RTS reach its EN and boot pins, as on boards of the chip's maker. Without them
    /// somebody else must start its serial loader.
    pub lines: bool,
    /// The rate at which flash is written and read, in baud; 115200 at least.
    pub baud: u32,
}

/// Power, resets and cuts of a real board.
pub struct RealControl {
    config: RealConfig,
    power: Shared,
    /// What the switch can do; empty without one.
    kinds: Vec<CutKind>,
    clock: Arc<RealTime>,
    /// Power came when the port was looked for: the device starts.
    started: bool,
}

impl RealBoard {
    /// A board on that port, with that switch for its power if it has one. Nothing happens to it yet.
    pub fn real(config: RealConfig, switch: Option<Box<dyn PowerSwitch>>) -> Self {
        Self::new(RealControl::new(config, switch))
    }
}

impl RealControl {
    /// What [`RealBoard::real`] gives the board.
    pub fn new(config: RealConfig, switch: Option<Box<dyn PowerSwitch>>) -> Self {
        let kinds = switch.as_ref().map_or_else(Vec::new, |switch| switch.kinds());
        // Nobody knows better than that there is power.
        let power = Power { switch, on: true, ..Power::default() };
        let power = Arc::new(Mutex::new(power));
        let clock = Arc::new(RealTime(Instant::now()));
        Self { config, power, kinds, clock, started: false }
    }

    /// The moments of the last cut.
    pub fn cut_times(&self) -> Option<CutTimes> {
        lock(&self.power).times
    }

    fn cuts_power(&self) -> bool {
        self.kinds.iter().any(|kind| kind.stops_flash())
    }

    fn find(&self) -> Result<Found, RigError> {
        self.complete(ports::wait(&self.config.port, self.config.chip)?)
    }

    fn complete(&self, found: Found) -> Result<Found, RigError> {
        let RealConfig { lines, baud, .. } = self.config;
        Ok(Found { lines, baud, ..found })
    }
}

impl Control for RealControl {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> BoardKind {
        if self.cuts_power() { BoardKind::SwitchedSerial } else { BoardKind::Serial }
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        let chip = self.config.chip;
        match capability {
            Capability::Chip(other) if other != chip => Some(format!("it is an {}", chip.id())),
            Capability::Chip(_) => None,
            Capability::Cut(kind) if self.kinds.contains(&kind) => None,
            Capability::Cut(CutKind::Rail | CutKind::UsbPort | CutKind::BrownOut)
            | Capability::PowerCycle
                if !self.cuts_power() =>
            {
                Some("it has no switch for its power".into())
            }
            Capability::Cut(CutKind::Rail | CutKind::UsbPort | CutKind::BrownOut) => {
                Some("its switch makes no such cut".into())
            }
            Capability::Cut(CutKind::EnReset) | Capability::Reset(ResetKind::EnReset)
                if !self.config.lines =>
            {
                Some("the lines of its port do not reach its EN pin".into())
            }
            Capability::Cut(CutKind::DebugReset) | Capability::Reset(ResetKind::DebugReset) => {
                let what = "it takes a `[board.probe]` and a runner built with `--features probe`";
                Some(format!("no debug probe can be attached to it: {what}"))
            }
            other if self.kind().offers(other) => None,
            _ => Some("nothing here can do that to a real board".into()),
        }
    }

    fn download(&mut self) -> Result<Found, RigError> {
        {
            let mut power = lock(&self.power);
            if !power.on {
                power.switch_on()?;
            }
        }
        self.find()
    }

    fn console(&mut self, off: Duration) -> Result<Found, RigError> {
        if let Some(failure) = lock(&self.power).failure.take() {
            return Err(failure);
        }
        self.started = false;
        let since = {
            let power = lock(&self.power);
            if power.on { None } else { power.off_since }
        };
        if let Some(rest) = since.and_then(|since| off.checked_sub(since.elapsed())) {
            std::thread::sleep(rest);
        }
        if since.is_some() && ports::find(&self.config.port, self.config.chip)?.is_none() {
            // The port gets its power with the board.
            lock(&self.power).switch_on()?;
            self.started = true;
        }
        self.find()
    }

    fn start(&mut self, console: &mut TTYPort) -> Result<(), RigError> {
        let mut power = lock(&self.power);
        power.held = None;
        power.aim.restart();
        if !power.on {
            return power.switch_on();
        }
        drop(power);
        if std::mem::take(&mut self.started) {
            return Ok(());
        }
        if !self.config.lines {
            let what = "it is on, and neither a power switch nor DTR and RTS can start it anew";
            return Err(RigError::new(format!("{}: {what}", self.config.name)));
        }
        hold(console)?;
        std::thread::sleep(RESET);
        let released = console.write_request_to_send(false);
        released.map_err(|error| RigError::new(format!("EN cannot be released: {error}")))
    }

    fn stop(&mut self) -> Result<(), RigError> {
        let mut power = lock(&self.power);
        if self.cuts_power() {
            return power.switch_off();
        }
        if self.config.lines && power.held.is_none() {
            let mut lines = open(&self.find()?.path, CONSOLE_BAUD)?;
            power.held = Some(hold(&mut lines)?);
        }
        Ok(())
    }

    fn reset(&mut self, kind: ResetKind) -> Result<(), RigError> {
        match kind {
            // Each start is one.
            ResetKind::EnReset if self.config.lines => Ok(()),
            _ => Err(RigError::new("nothing here can reset the board in that way")),
        }
    }

    fn watcher(&mut self, console: &TTYPort) -> Result<Box<dyn Watcher>, RigError> {
        let lines = console.try_clone_native().map_err(|error| RigError::new(error.to_string()))?;
        Ok(Box::new(Trigger { power: Arc::clone(&self.power), lines, over: false }))
    }

    fn held_port(&mut self) -> Option<TTYPort> {
        lock(&self.power).held.take()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::<RealTime>::clone(&self.clock)
    }

    fn plan_cut(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>) -> Result<(), RigError> {
        if let Some((plan, _)) = &plan
            && let Some(reason) = self.lacks(Capability::Cut(plan.kind))
        {
            return Err(RigError::new(format!("{}: {reason}", self.config.name)));
        }
        lock(&self.power).plan(plan);
        Ok(())
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        lock(&self.power).cut.take()
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        lock(&self.power).take_operations()
    }

    fn moments(&mut self) -> Vec<Duration> {
        let power = lock(&self.power);
        power.moments.iter().map(|at| at.saturating_duration_since(self.clock.0)).collect()
    }
}
