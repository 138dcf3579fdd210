//! What a board does with its debug probe: stop at flash operations, reset, look.

use super::post_mortem::PostMortem;
use super::routines::Routines;
use super::target::Target;
use crate::board::qemu::cutter::{Cutter, Decision};
use crate::board::serial::TextWatch;
use crate::board::{CutPlan, CutPoint, CutReport, Landing, Operation, RigError};
use crate::scenario::Text;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a firmware writes when it panics: Rust's, and ESP-IDF's.
const PANICS: [&str; 2] = ["panicked at", "Guru Meditation"];

/// The probe of a board and the cut that is planned for it.
pub(super) struct Debugger {
    target: Option<Box<dyn Target>>,
    routines: Option<Routines>,
    cutter: Cutter,
    /// How far into its operation the cut falls; `None` when none is planned at an operation.
    into: Option<f64>,
    /// The operation under way and where it returns to, if the core is to stop there.
    returns: Option<(Operation, u32)>,
    /// The device stands still where it starts.
    held: bool,
    /// Since the cut was planned, the device has run without the probe.
    unseen: bool,
    /// The device was interrupted.
    over: bool,
    failure: Option<RigError>,
    /// The memory to keep of a device that fails.
    memory: Vec<Range<u32>>,
    panics: Vec<TextWatch>,
    /// The device as it was when it panicked.
    panic: Option<PostMortem>,
}

impl Debugger {
    pub(super) fn new(
        routines: Option<Routines>,
        memory: Vec<Range<u32>>,
    ) -> Result<Self, RigError> {
        let watch = |text: &&str| TextWatch::new(&Text::Plain((*text).into()));
        Ok(Self {
            target: None,
            routines,
            cutter: Cutter::new(),
            into: None,
            returns: None,
            held: false,
            unseen: false,
            over: false,
            failure: None,
            memory,
            panics: PANICS.iter().map(watch).collect::<Result<_, _>>()?,
            panic: None,
        })
    }

    /// A device has started anew, and has run without the probe up to now.
    pub(super) fn attach(&mut self, target: Box<dyn Target>) -> Result<(), RigError> {
        self.unseen = self.into.is_some();
        self.target = Some(target);
        self.arrange()
    }

    /// Gives the probe away.
    pub(super) fn detach(&mut self) {
        self.target = None;
        (self.held, self.returns) = (false, None);
    }

    /// Whether the device stands still where it starts.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// A start begins. Why the one before has failed, if nobody has heard of it.
    pub(super) fn begin(&mut self) -> Result<(), RigError> {
        self.over = false;
        self.panic = None;
        self.cutter.restart();
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Lets a device go on that stands still where it starts.
    pub(super) fn let_go(&mut self) -> Result<(), RigError> {
        self.arrange()?;
        self.held = false;
        self.target()?.go_on()
    }

    /// Resets the device; it stands still where it starts.
    pub(super) fn reset(&mut self) -> Result<(), RigError> {
        self.returns = None;
        self.target()?.reset_and_halt()?;
        self.held = true;
        Ok(())
    }

    /// Plans a cut in place of the one before.
    pub(super) fn plan(
        &mut self,
        plan: Option<(CutPlan, Option<TextWatch>)>,
    ) -> Result<(), RigError> {
        self.into = match &plan {
            Some((CutPlan { point: CutPoint::Operation { into, .. }, .. }, _)) => Some(*into),
            _ => None,
        };
        (self.unseen, self.returns) = (false, None);
        self.cutter.plan(plan);
        self.arrange()
    }

    /// See [`Board::take_cut`](crate::board::Board::take_cut).
    pub(super) fn take_cut(&mut self) -> Option<CutReport> {
        let report = self.cutter.take_report()?;
        let landing = if self.unseen { Landing::Unknown } else { report.landing };
        Some(CutReport { landing, ..report })
    }

    /// See [`Board::take_operations`](crate::board::Board::take_operations).
    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        self.cutter.take_operations()
    }

    /// The console shows this.
    pub(super) fn console(&mut self, bytes: &[u8], at: Instant) {
        self.cutter.console(bytes, at);
        // All of them look at all bytes.
        let panics = self.panics.iter_mut().map(|watch| watch.sees(bytes)).filter(|it| *it).count();
        if let (1.., false, Some(target)) = (panics, self.held, &mut self.target) {
            match PostMortem::take(target.as_mut(), &self.memory) {
                Ok(taken) => self.panic = Some(taken),
                Err(error) => self.fail(error),
            }
        }
    }

    /// Does what the device and its cut ask for. `idle`: all that the device has sent has been read. Whether
    /// the device was interrupted.
    pub(super) fn attend(&mut self, idle: bool) -> bool {
        if !self.over
            && let Err(error) = self.look(idle)
        {
            self.fail(error);
        }
        self.over && idle
    }

    /// Nobody looks any more: the device is not to stand still for ever.
    pub(super) fn leave(&mut self) {
        if !self.held {
            self.into = None;
            if let Err(error) = self.arrange() {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// The device as it was when it panicked, else as it is.
    pub(super) fn post_mortem(&mut self) -> Result<Option<PostMortem>, RigError> {
        if let Some(taken) = self.panic.take() {
            return Ok(Some(taken));
        }
        let Some(target) = &mut self.target else { return Ok(None) };
        PostMortem::take(target.as_mut(), &self.memory).map(Some)
    }

    fn fail(&mut self, error: RigError) {
        self.failure.get_or_insert(error);
        self.over = true;
    }

    fn target(&mut self) -> Result<&mut dyn Target, RigError> {
        match &mut self.target {
            Some(target) => Ok(target.as_mut()),
            None => Err(RigError::new("the debug probe is attached only while the device runs")),
        }
    }

    /// Has the core stop where it is to.
    fn arrange(&mut self) -> Result<(), RigError> {
        let Some(target) = &mut self.target else { return Ok(()) };
        let mut places = Vec::new();
        if let (Some(_), Some(routines)) = (self.into, &self.routines) {
            places.extend(routines.addresses());
            places.extend(self.returns.map(|(_, place)| place));
        }
        target.set_breakpoints(&places)?;
        // It may stand at a breakpoint that is no more.
        if places.is_empty() && !self.held && target.is_halted()? {
            target.go_on()?;
        }
        Ok(())
    }

    fn look(&mut self, idle: bool) -> Result<(), RigError> {
        // What the device has said before it stopped may announce the operation, so it comes first.
        let stops = self.into.is_some() && idle && !self.held;
        if stops && self.target.is_some() && self.target()?.is_halted()? {
            self.halted()?;
        }
        if !self.over && self.cutter.is_due(Instant::now()) {
            self.cut()?;
        }
        Ok(())
    }

    /// The core stands at a breakpoint.
    fn halted(&mut self) -> Result<(), RigError> {
        let call = self.target()?.call()?;
        if let Some((operation, _)) = self.returns.filter(|(_, place)| *place == call.function) {
            self.returns = None;
            return match self.cutter.ends(operation) {
                Decision::Cut => self.cut(),
                _ => {
                    self.arrange()?;
                    self.target()?.go_on()
                }
            };
        }
        let operation = self.routines.as_ref().and_then(|it| it.operation(&call));
        let decision = operation.map_or(Decision::GoOn, |it| self.cutter.begins(it));
        match (decision, self.into) {
            (Decision::Cut, _) => self.cut(),
            // Inside: somewhere in the time that the probe takes.
            (Decision::StopAtReturn, Some(into)) if into < 1.0 => {
                self.target()?.go_on()?;
                self.cut()
            }
            (Decision::StopAtReturn, _) => {
                self.returns = operation.map(|operation| (operation, call.returns));
                self.arrange()?;
                self.target()?.go_on()
            }
            (Decision::GoOn, _) => self.target()?.go_on(),
        }
    }

    /// Makes the cut that is planned.
    fn cut(&mut self) -> Result<(), RigError> {
        if self.cutter.cut(Instant::now()).is_some() {
            self.into = None;
            self.reset()?;
            self.over = true;
        }
        Ok(())
    }
}

/// A [`Debugger`] for the thread that reads the console and for who plans.
pub(super) type Shared = Arc<Mutex<Debugger>>;

pub(super) fn lock(debugger: &Shared) -> MutexGuard<'_, Debugger> {
    debugger.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
