//! The chip on its bus: time, operations under way and power.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use sim::flash::{Chip, FlashError, LogEntry, Memory, Operation, fault::Tear};

use super::{
    Command, CutOutcome, CutTrigger, PowerCut, PowerLoss, command::Decoder, status::StatusRegisters,
};
use crate::time::Ticks;

/// How long programs and erases take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// The part's typical times.
    #[default]
    Typical,
    /// No simulated time: software never finds the chip busy.
    Instant,
}

/// A program or erase under way or suspended.
#[derive(Clone, Debug)]
struct Work {
    operation: Operation,
    duration: Duration,
    /// In time of the chip. Suspended: the time that is left.
    ends: Duration,
}

/// A serial NOR flash chip as its SPI bus sees it.
///
/// Opcodes are those that all parts of [`sim::flash::Part::ALL`] have in common (datasheets of
/// W25Q32JV, GD25Q32C, XM25QH32C), with 3-byte addresses; addresses behind the end wrap around.
/// Commands that a real part ignores have no effect. A reset of the microcontroller does not reach the
/// chip: it ends what it is doing.
///
/// Clones share what is large and cost little.
#[derive(Clone, Debug)]
pub struct FlashDevice {
    pub(super) chip: Chip,
    pub(super) status: StatusRegisters,
    pub(super) decoder: Decoder,
    pub(super) unknown: BTreeMap<u8, u64>,
    speed: Speed,
    /// By how much the chip's clock is ahead of the board's: the sum of times that passed at
    /// [`Speed::Instant`].
    ahead: Duration,
    running: Option<Work>,
    suspended: Option<Work>,
    commands: u64,
    cut: Option<PowerCut>,
    loss: Option<PowerLoss>,
    changed: Option<Range<u32>>,
    log: Option<Vec<LogEntry>>,
}

impl FlashDevice {
    /// Puts a chip on the bus. The chip has to be idle and powered; its own operation log and planned
    /// cut are not to be used.
    #[must_use]
    pub fn new(chip: Chip) -> Self {
        Self {
            status: StatusRegisters::new(chip.part()),
            decoder: Decoder::default(),
            unknown: BTreeMap::new(),
            speed: Speed::default(),
            ahead: Duration::ZERO,
            running: None,
            suspended: None,
            commands: 0,
            cut: None,
            loss: None,
            changed: None,
            log: None,
            chip,
        }
    }

    /// Sets how long operations take that start from now on.
    pub fn set_speed(&mut self, speed: Speed) {
        self.speed = speed;
    }

    /// The contents now; an operation under way shows when it is done.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.chip.memory()
    }

    /// Number of programs and erases started since the chip was made: the number of the next one.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.chip.operations()
    }

    /// Number of SPI commands of any kind since the chip was made: the number of the next one.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Opcodes that the chip does not know or that came without their address, and how often.
    #[must_use]
    pub fn unknown_commands(&self) -> &BTreeMap<u8, u64> {
        &self.unknown
    }

    /// Starts the log of programs and erases.
    pub fn log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// Ends the log and returns it; empty if it was not started. Times are those of the board.
    pub fn take_log(&mut self) -> Vec<LogEntry> {
        self.log.take().unwrap_or_default()
    }

    /// When the chip will be ready, if it is busy.
    #[must_use]
    pub fn busy_until(&self) -> Option<Ticks> {
        let ends = self.running.as_ref()?.ends.saturating_sub(self.ahead);
        let ticks = (ends.as_nanos() * u128::from(Ticks::PER_SECOND)).div_ceil(1_000_000_000);
        Some(Ticks(ticks as u64))
    }

    /// The addresses that may have changed since the last call; `None` is none.
    pub(crate) fn take_changed(&mut self) -> Option<Range<u32>> {
        self.changed.take()
    }

    /// Plans a power cut, in place of one planned before; `None` plans none.
    pub(crate) fn plan_cut(&mut self, cut: Option<PowerCut>) {
        self.cut = cut;
    }

    /// The power loss that holds now.
    #[must_use]
    pub fn power_loss(&self) -> Option<&PowerLoss> {
        self.loss.as_ref()
    }

    /// Lets time pass: an operation whose time is up at `now` completes.
    pub(crate) fn advance(&mut self, now: Ticks) {
        let Some(time) = (now.duration() + self.ahead).checked_sub(self.chip.now()) else {
            return;
        };
        self.chip.advance(time);
        let done = |work: &mut Work| work.ends <= self.chip.now();
        if let Some(work) = self.running.take_if(done) {
            self.note_change(work.operation.range(self.chip.part().capacity));
        }
    }

    /// One command. `input` takes the bytes that the chip returns; where it returns nothing, an idle
    /// bus reads as ones. A planned power cut may strike: see [`power_loss`](Self::power_loss).
    pub(crate) fn transact(&mut self, command: &Command<'_>, input: &mut [u8], now: Ticks) {
        input.fill(0xFF);
        if self.loss.is_some() {
            return;
        }
        self.advance(now);
        let (number, operation) = (self.commands, self.operations());
        self.commands += 1;
        let listens = self.listens(command.opcode);
        if listens {
            self.execute(command, input);
        }
        let started = self.operations() > operation;
        let capacity = self.chip.part().capacity;
        let strikes = |cut: &mut PowerCut| match &cut.trigger {
            CutTrigger::Operation(n) => started && operation == *n,
            CutTrigger::Command(n) => number == *n,
            CutTrigger::Touch(watched) => {
                let range = command.range(capacity, input.len()).filter(|_| listens);
                range.is_some_and(|r| r.start < watched.end && watched.start < r.end)
            }
        };
        if let Some(cut) = self.cut.take_if(strikes) {
            self.power_off(&cut.outcome, now);
        } else if started && self.speed == Speed::Instant {
            self.finish(now);
        }
    }

    /// Cuts power. Operations under way or suspended end as `outcome` says.
    pub(crate) fn power_off(&mut self, outcome: &CutOutcome, now: Ticks) {
        if self.loss.is_some() {
            return;
        }
        self.advance(now);
        let operation = self.interrupted().map(|work| work.operation.clone());
        let tear = self.tear(outcome);
        let tear = match self.chip.power_off(&tear) {
            Ok(()) => Ok(tear),
            Err(FlashError::TearMismatch(mismatch)) => Err(mismatch),
            // A chip that loses power has no other objection.
            Err(_) => Ok(tear),
        };
        self.forget_work();
        self.loss = Some(PowerLoss { time: now, commands: self.commands, operation, tear });
    }

    /// Restores power after a loss; without one, nothing happens.
    pub(crate) fn power_on(&mut self) {
        if self.loss.take().is_some() {
            self.chip.power_on();
            self.decoder = Decoder::default();
            self.status.reload();
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Starts an operation, unless the chip refuses it.
    pub(super) fn start(&mut self, command: impl FnOnce(&mut Chip) -> Result<(), FlashError>) {
        self.chip.log();
        let accepted = command(&mut self.chip);
        let entry = self.chip.take_log().pop();
        let (Ok(()), Some(entry)) = (accepted, entry) else {
            return;
        };
        let (operation, duration) = (entry.operation.clone(), entry.duration);
        self.running = Some(Work { operation, duration, ends: entry.started + duration });
        if let Some(log) = &mut self.log {
            log.push(LogEntry { started: entry.started.saturating_sub(self.ahead), ..entry });
        }
    }

    pub(super) fn suspend(&mut self) {
        if self.chip.suspend().is_ok() {
            self.suspended = self.running.take();
            self.suspended.iter_mut().for_each(|work| work.ends -= self.chip.now());
        }
    }

    pub(super) fn resume(&mut self) {
        if self.chip.resume().is_ok() {
            self.running = self.suspended.take();
            self.running.iter_mut().for_each(|work| work.ends += self.chip.now());
        }
    }

    /// Ends operations under way or suspended where they are, power staying on.
    pub(super) fn abort(&mut self) {
        if self.interrupted().is_some() {
            let tear = self.tear(&CutOutcome::Elapsed { seed: self.commands });
            // The chip offers no other way to end an operation early. This tear fits all.
            _ = self.chip.power_off(&tear);
            self.chip.power_on();
            self.forget_work();
        } else {
            _ = self.chip.write_disable();
        }
    }

    /// Makes the time pass that the running operation needs, for the chip alone.
    fn finish(&mut self, now: Ticks) {
        self.ahead += self.running.as_ref().map_or(Duration::ZERO, |work| work.duration);
        self.advance(now);
    }

    fn interrupted(&self) -> Option<&Work> {
        self.running.as_ref().or(self.suspended.as_ref())
    }

    fn tear(&self, outcome: &CutOutcome) -> Tear {
        let Some(work) = self.interrupted() else {
            return Tear::Untouched;
        };
        let clock = if self.is_busy() { self.chip.now() } else { Duration::ZERO };
        let left = work.ends.saturating_sub(clock);
        let elapsed = 1.0 - left.as_secs_f64() / work.duration.as_secs_f64();
        outcome.tear(&work.operation, elapsed, self.is_busy() && self.suspended.is_some())
    }

    fn forget_work(&mut self) {
        if self.running.take().is_some() | self.suspended.take().is_some() {
            // A tear may reach beyond the operation.
            self.note_change(0..self.chip.part().capacity);
        }
    }

    fn note_change(&mut self, range: Range<u32>) {
        let old = self.changed.take().unwrap_or_else(|| range.clone());
        self.changed = Some(old.start.min(range.start)..old.end.max(range.end));
    }
}

#[cfg(test)]
mod tests;
