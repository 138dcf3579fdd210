//! The board that a probe is attached to.

use super::debugger::{Debugger, Shared, lock};
use super::routines::Routines;
use super::{Attach, ProbeConfig};
use crate::board::serial::{Clock, Control, Found, SerialBoard, TextWatch, Watcher};
use crate::board::{CutPlan, CutReport, Operation, RigError};
use crate::scenario::{BoardKind, Capability, CutKind, ResetKind};
use serialport::TTYPort;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A board behind a serial port with a debug probe.
pub type ProbeBoard<C> = SerialBoard<ProbeControl<C>>;

/// Power, resets and cuts of a board with a debug probe. What the probe does not do, the control of the
/// board does as it would without one.
pub struct ProbeControl<C> {
    inner: C,
    attach: Attach,
    counts: bool,
    debugger: Shared,
    /// The cut that was planned last is the probe's.
    probe_cuts: bool,
}

impl<C: Control> ProbeControl<C> {
    /// The control of a board, and how its probe is attached. Nothing happens to the board yet.
    ///
    /// # Errors
    /// The texts of a panic cannot be looked for.
    pub fn new(inner: C, config: ProbeConfig, attach: Attach) -> Result<Self, RigError> {
        let routines = Routines::of(config.chip);
        let debugger = Debugger::new(routines, config.memory)?;
        Ok(Self {
            inner,
            attach,
            counts: routines.is_some(),
            debugger: Arc::new(Mutex::new(debugger)),
            probe_cuts: false,
        })
    }

    /// The control without the probe.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    fn error(&self, what: impl std::fmt::Display) -> RigError {
        RigError::new(format!("{}: debug probe: {what}", self.inner.name()))
    }
}

impl<C: Control> Control for ProbeControl<C> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn kind(&self) -> BoardKind {
        self.inner.kind()
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        match capability {
            Capability::Cut(CutKind::DebugReset) | Capability::Reset(ResetKind::DebugReset) => None,
            Capability::Cut(CutKind::Watchdog)
            | Capability::Reset(ResetKind::Watchdog)
            | Capability::SelfReset => Some(
                "the case asks for a debug reset, and an attached debug probe disables the chip's \
                 watchdogs"
                    .into(),
            ),
            Capability::CountOperations if !self.counts => {
                Some("its debug probe stops at flash operations of RISC-V chips only".into())
            }
            other => self.inner.lacks(other),
        }
    }

    fn download(&mut self) -> Result<Found, RigError> {
        // Without the probe the core would go on, and flash is not to change any more.
        if lock(&self.debugger).is_held() {
            self.inner.stop()?;
        }
        lock(&self.debugger).detach();
        self.inner.download()
    }

    fn rest(&mut self, rests: bool) -> Result<(), RigError> {
        self.inner.rest(rests)
    }

    fn console(&mut self, off: Duration) -> Result<Found, RigError> {
        let begun = lock(&self.debugger).begin();
        begun.map_err(|error| self.error(error))?;
        self.inner.console(off)
    }

    fn start(&mut self, console: &mut TTYPort) -> Result<(), RigError> {
        if lock(&self.debugger).is_held() {
            self.inner.go_on()?;
            let gone = lock(&self.debugger).let_go();
            return gone.map_err(|error| self.error(error));
        }
        // Its connection does not survive a start.
        lock(&self.debugger).detach();
        self.inner.start(console)?;
        let attached = (self.attach)().and_then(|target| lock(&self.debugger).attach(target));
        attached.map_err(|error| self.error(error))
    }

    fn stop(&mut self) -> Result<(), RigError> {
        // In this order, so that a core that stands still does not go on.
        let stopped = self.inner.stop();
        lock(&self.debugger).detach();
        stopped
    }

    fn reset(&mut self, kind: ResetKind) -> Result<(), RigError> {
        match kind {
            ResetKind::DebugReset => {
                let reset = lock(&self.debugger).reset();
                reset.map_err(|error| self.error(error))
            }
            _ => self.inner.reset(kind),
        }
    }

    fn watcher(&mut self, console: &TTYPort) -> Result<Box<dyn Watcher>, RigError> {
        let inner = self.inner.watcher(console)?;
        Ok(Box::new(Both { inner, debugger: Arc::clone(&self.debugger) }))
    }

    fn held_port(&mut self) -> Option<TTYPort> {
        self.inner.held_port()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn plan_cut(&mut self, plan: Option<(CutPlan, Option<TextWatch>)>) -> Result<(), RigError> {
        let kind = plan.as_ref().map(|(plan, _)| plan.kind);
        if let Some(reason) = kind.and_then(|kind| self.lacks(Capability::Cut(kind))) {
            return Err(RigError::new(format!("{}: {reason}", self.name())));
        }
        let (probe, inner) = match kind {
            Some(CutKind::DebugReset) => (plan, None),
            _ => (None, plan),
        };
        if kind.is_some() {
            self.probe_cuts = probe.is_some();
        }
        self.inner.plan_cut(inner)?;
        let planned = lock(&self.debugger).plan(probe);
        planned.map_err(|error| self.error(error))
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        let cut = lock(&self.debugger).take_cut();
        cut.or_else(|| self.inner.take_cut())
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        let [probe, inner] = [lock(&self.debugger).take_operations(), self.inner.take_operations()];
        if self.probe_cuts { probe } else { inner }
    }

    fn moments(&mut self) -> Vec<Duration> {
        // The probe has operations that nobody announces, and stops the device at each.
        if self.probe_cuts { Vec::new() } else { self.inner.moments() }
    }

    fn is_erased(&mut self, range: Range<u32>) -> Option<bool> {
        self.inner.is_erased(range)
    }

    fn post_mortem(&mut self, folder: &Path, name: &str) -> Result<Vec<PathBuf>, RigError> {
        let taken = lock(&self.debugger).post_mortem();
        match taken.map_err(|error| self.error(error))? {
            Some(taken) => taken.write(folder, name),
            None => Ok(Vec::new()),
        }
    }
}

/// Looks at the console for the board and for the probe.
struct Both {
    inner: Box<dyn Watcher>,
    debugger: Shared,
}

impl Watcher for Both {
    fn saw(&mut self, bytes: &[u8], at: Instant) {
        lock(&self.debugger).console(bytes, at);
        self.inner.saw(bytes, at);
    }

    fn is_over(&mut self, received: u64, idle: bool) -> bool {
        lock(&self.debugger).attend(idle) || self.inner.is_over(received, idle)
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        lock(&self.debugger).leave();
    }
}
