//! Cuts of a real board: what its console shows triggers its power switch.

use super::control::Watcher;
use super::text::TextWatch;
use crate::board::aim::Aim;
use crate::board::{CutPlan, CutPoint, CutReport, Landing, Operation, RigError};
use crate::power::PowerSwitch;
use crate::scenario::CutKind;
use serialport::{SerialPort, TTYPort};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The moments of a cut, in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutTimes {
    /// What triggers it had been read from the port.
    pub marker: Instant,
    /// The command to the switch began. It is later than the marker if the cut was to be.
    pub command: Instant,
    /// The command to the switch had ended.
    pub done: Instant,
}

/// Power of a board and the cut that is planned.
#[derive(Default)]
pub(super) struct Power {
    pub(super) switch: Option<Box<dyn PowerSwitch>>,
    pub(super) on: bool,
    pub(super) off_since: Option<Instant>,
    /// The port whose lines hold the chip in reset.
    pub(super) held: Option<TTYPort>,
    pub(super) aim: Aim,
    /// When the operations were announced that `aim` has seen, up to the cut.
    pub(super) moments: Vec<Instant>,
    pub(super) plan: Option<(CutPlan, Option<TextWatch>)>,
    pub(super) cut: Option<CutReport>,
    pub(super) times: Option<CutTimes>,
    /// Why the planned cut could not be made.
    pub(super) failure: Option<RigError>,
    /// The text of the plan came at the first moment; the cut is due at the second one.
    pub(super) due: Option<(Instant, Instant)>,
}

impl Power {
    pub(super) fn switch_on(&mut self) -> Result<(), RigError> {
        if let Some(switch) = &mut self.switch {
            switch.set(true)?;
        }
        self.on = true;
        Ok(())
    }

    pub(super) fn switch_off(&mut self) -> Result<(), RigError> {
        if let Some(switch) = &mut self.switch {
            switch.set(false)?;
        }
        self.on = false;
        self.off_since = Some(Instant::now());
        Ok(())
    }

    pub(super) fn plan(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>) {
        self.aim.clear();
        if let Some((CutPlan { point: CutPoint::Operation { number, into }, .. }, _)) = &plan {
            self.aim.at(*number, *into);
        }
        if plan.is_some() {
            (self.cut, self.failure) = (None, None);
        }
        (self.plan, self.due) = (plan, None);
    }

    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        self.moments.clear();
        self.aim.take_operations()
    }

    /// Looks at the console. Whether the device was interrupted just now.
    fn see(&mut self, bytes: &[u8], at: Instant, lines: &mut TTYPort) -> bool {
        self.aim.console(bytes);
        self.moments.resize(self.aim.operations(), at);
        let Some((plan, text)) = &mut self.plan else {
            return false;
        };
        let plus = match &plan.point {
            CutPoint::Operation { .. } => {
                let Some(operation) = self.aim.on_target() else {
                    return false;
                };
                return self.cut(at, Some(operation), lines);
            }
            CutPoint::Text { plus, .. } => *plus,
        };
        if self.due.is_none() && text.as_mut().is_some_and(|text| text.sees(bytes)) {
            self.due = Some((at, at + plus));
        }
        self.cut_if_due(lines)
    }

    fn cut_if_due(&mut self, lines: &mut TTYPort) -> bool {
        match self.due {
            Some((marker, due)) if Instant::now() >= due => self.cut(marker, None, lines),
            _ => false,
        }
    }

    fn cut(&mut self, marker: Instant, at: Option<Operation>, lines: &mut TTYPort) -> bool {
        let Some((plan, _)) = self.plan.take() else {
            return false;
        };
        let command = Instant::now();
        let result = match plan.kind {
            CutKind::EnReset => hold(lines).map(|port| self.held = Some(port)),
            _ => self.switch_off(),
        };
        let done = Instant::now();
        match result {
            Ok(()) => {
                self.times = Some(CutTimes { marker, command, done });
                let latency = Some(done - marker);
                self.cut = Some(CutReport { operation: at, landing: Landing::Unknown, latency });
            }
            Err(error) => self.failure = Some(error),
        }
        true
    }
}

/// Pulls EN low with RTS. It stays low until the port, which is given back, says otherwise.
pub(super) fn hold(lines: &mut TTYPort) -> Result<TTYPort, RigError> {
    let pull = |lines: &mut TTYPort| -> serialport::Result<TTYPort> {
        lines.write_data_terminal_ready(false)?;
        lines.write_request_to_send(true)?;
        lines.try_clone_native()
    };
    pull(lines).map_err(|error| RigError::new(format!("EN cannot be pulled over RTS: {error}")))
}

/// [`Power`] for the thread that reads the console and for who plans.
pub(super) type Shared = Arc<Mutex<Power>>;

pub(super) fn lock(power: &Shared) -> MutexGuard<'_, Power> {
    power.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the console of a real board.
pub(super) struct Trigger {
    pub(super) power: Shared,
    pub(super) lines: TTYPort,
    pub(super) over: bool,
}

impl Watcher for Trigger {
    fn saw(&mut self, bytes: &[u8], at: Instant) {
        let mut power = lock(&self.power);
        if self.over {
            // While the switch acted nobody read: what the device announced meanwhile counts, but not when
            // it came.
            power.aim.console(bytes);
        } else {
            self.over = power.see(bytes, at, &mut self.lines);
        }
    }

    fn is_over(&mut self, _: u64, idle: bool) -> bool {
        if !self.over {
            self.over = lock(&self.power).cut_if_due(&mut self.lines);
        }
        // What the device has sent before may still be on its way.
        self.over && idle
    }
}
