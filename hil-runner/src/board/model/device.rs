//! The modelled device: flash, bootloader, and the firmware that runs.

use super::firmware::{Firmware, Next};
use super::flash::{Counted, Counter, PROGRAM_BYTES, Pending, split, tear};
use crate::board::{Contents, CutPlan, CutPoint, CutReport, Landing, Operation, RigError};
use crate::scenario::CutKind;
use ota_core::image::{ChipId, Requirements};
use sim::bootloader::{BootInput, Bootloader, FullCheck};
use sim::flash::{self, Chip, Driver, Memory, Part};
use std::collections::VecDeque;

/// Restarts in a row after which the model lets a device be that goes on restarting.
const BOOT_LOOP: u32 = 8;

/// Why the firmware started, as its boot report says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    PowerOn,
    Software,
    Watchdog,
    BrownOut,
}

/// A device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    part: Part,
    chip: Chip,
    counter: Counter,
    rollback: bool,
    powered: bool,
    firmware: Option<Firmware>,
    output: VecDeque<u8>,
    starts: u64,
    report: Option<CutReport>,
    /// Flash as the last cut left it.
    at_cut: Option<Memory>,
    /// A reset has cut it, and it has not started since.
    restarts: Option<Cause>,
    /// Number of the first command of the recording that goes on.
    recording_from: u64,
}

/// An operation that was done on the flash model.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) operation: Operation,
    /// Its commands to the flash chip, with the contents before and after each.
    pub(crate) commands: Vec<flash::Recorded>,
}

/// A device at each of its flash operations.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The operations, each with the number of its first command.
    operations: Vec<(Operation, u64)>,
    commands: Vec<flash::Recorded>,
    /// Number of the first command.
    from: u64,
}

impl Recorded {
    /// The operations with their commands, in their order.
    pub(super) fn done(&self) -> Vec<Done> {
        let ends = self.operations.iter().skip(1).map(|(_, first)| *first);
        let ends = ends.chain([self.from + self.commands.len() as u64]);
        let index = |number: u64| number.saturating_sub(self.from) as usize;
        self.operations
            .iter()
            .zip(ends)
            .map(|((operation, first), end)| {
                let commands = self.commands.get(index(*first)..index(end)).unwrap_or_default();
                Done { operation: *operation, commands: commands.to_vec() }
            })
            .collect()
    }
}

impl Device {
    pub(super) fn new(part: &Part, rollback: bool) -> Self {
        Self {
            part: *part,
            chip: chip(part, Memory::erased(part.capacity)),
            counter: Counter::default(),
            rollback,
            powered: false,
            firmware: None,
            output: VecDeque::new(),
            starts: 0,
            report: None,
            at_cut: None,
            restarts: None,
            recording_from: 0,
        }
    }

    /// How often a console of the device became a new one.
    pub(super) fn starts(&self) -> u64 {
        self.starts
    }

    pub(super) fn memory(&self) -> &Memory {
        self.chip.memory()
    }

    pub(super) fn memory_at_cut(&self) -> Option<&Memory> {
        self.at_cut.as_ref()
    }

    pub(super) fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        let (asked, real) = (contents.capacity(), self.part.capacity);
        if asked != real {
            let what = format!("contents for a flash of {asked:#x} bytes; this one has {real:#x}");
            return Err(RigError::new(what));
        }
        self.stop();
        let mut memory = Memory::erased(real);
        for (offset, bytes) in contents.pieces() {
            check(&memory, offset, bytes)?;
            memory.set(offset, bytes);
        }
        self.chip = chip(&self.part, memory);
        self.counter = Counter::default();
        self.report = None;
        Ok(())
    }

    pub(super) fn overwrite(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.stop();
        let mut memory = self.chip.memory().clone();
        check(&memory, offset, bytes)?;
        memory.set(offset, bytes);
        self.chip = chip(&self.part, memory);
        Ok(())
    }

    pub(super) fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError> {
        if plan.is_some() {
            self.report = None;
        }
        self.counter.pending = match plan {
            None => None,
            Some(CutPlan { kind, point: CutPoint::Operation { number, into } }) => {
                Some(Pending { countdown: number.max(1), into, kind })
            }
            Some(CutPlan { point: CutPoint::Text { .. }, .. }) => {
                return Err(RigError::new("the flash model has no console of its own"));
            }
        };
        Ok(())
    }

    pub(super) fn take_cut(&mut self) -> Option<CutReport> {
        self.report.take()
    }

    /// Keeps flash as it is before each command from now on.
    pub(super) fn record(&mut self) {
        self.counter.recorded = Some(Vec::new());
        self.chip.record();
        self.recording_from = self.chip.operations();
    }

    pub(super) fn take_recording(&mut self) -> Option<Recorded> {
        let operations = self.counter.recorded.take()?;
        let commands = self.chip.take_recording();
        Some(Recorded { operations, commands, from: self.recording_from })
    }

    /// Puts the device where the cut would have left it; false when there is no such operation.
    pub(super) fn cut_in(&mut self, recorded: &Recorded, plan: &CutPlan) -> Result<bool, RigError> {
        let CutPoint::Operation { number, into } = plan.point else {
            return Err(RigError::new("the flash model has no console of its own"));
        };
        let index = number.max(1) as usize - 1;
        let Some((operation, first)) = recorded.operations.get(index) else {
            return Ok(false);
        };
        let (command, fraction) = split(operation, into);
        let command = (first - recorded.from) as usize + command as usize;
        // A write may have had fewer commands than its length asks for, if it failed.
        let Some(command) = recorded.commands.get(command) else {
            return Ok(false);
        };
        let torn = tear(&command.operation, fraction, plan.kind)
            .apply(&command.before, &command.operation)
            .map_err(|error| RigError::new(error.to_string()))?;
        self.chip = chip(&self.part, torn);
        let done = recorded.operations.get(..=index).unwrap_or_default();
        self.counter = Counter {
            log: done.iter().map(|(operation, _)| *operation).collect(),
            cut: Some((*operation, plan.kind)),
            ..Counter::default()
        };
        self.cut();
        Ok(true)
    }

    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.counter.log)
    }

    /// Lets another state take this one's place; ports of either stop working.
    pub(super) fn rewind(&mut self, kept: &Self) -> u64 {
        let starts = self.starts.max(kept.starts) + 1;
        *self = Self { starts, ..kept.clone() };
        starts
    }

    pub(super) fn stop(&mut self) {
        self.powered = false;
        self.restarts = None;
        self.firmware = None;
        self.new_console();
    }

    /// Power comes, if it is not there. Gives the number of the console, which a cut may have ended since.
    pub(super) fn start(&mut self) -> u64 {
        let mut console = self.starts;
        if !self.powered {
            self.powered = true;
            self.chip.power_on();
            self.new_console();
            console = self.starts;
            self.boot(Cause::PowerOn);
        } else if let Some(cause) = self.restarts.take() {
            self.boot(cause);
        }
        console
    }

    /// As [`start`](Self::start).
    pub(super) fn reset(&mut self, cause: Cause) -> u64 {
        self.new_console();
        let console = self.starts;
        self.restarts = None;
        if self.powered {
            self.boot(cause);
        }
        console
    }

    fn new_console(&mut self) {
        self.output.clear();
        self.starts += 1;
    }

    /// Takes what the console has; 0 when it has nothing.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let length = buffer.len().min(self.output.len());
        for (to, from) in buffer.iter_mut().zip(self.output.drain(..length)) {
            *to = from;
        }
        length
    }

    /// Sends to the console.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let Some(mut firmware) = self.firmware.take() else {
            return;
        };
        let flash = Counted { chip: &mut self.chip, counter: &mut self.counter };
        let next = firmware.receive(bytes, flash, &mut self.output);
        self.firmware = Some(firmware);
        self.follow(next);
    }

    /// Does what follows from what the firmware did.
    fn follow(&mut self, next: Next) {
        if !self.chip.is_powered() {
            return self.cut();
        }
        match next {
            Next::Listens => {}
            Next::Restarts(cause) => self.boot(cause),
        }
    }

    /// Boots until a firmware listens, power is gone, or the device goes round in circles.
    fn boot(&mut self, mut cause: Cause) {
        for _ in 0..BOOT_LOOP {
            self.firmware = None;
            let Some(next) = self.boot_once(cause) else {
                return;
            };
            match next {
                Next::Listens => return,
                Next::Restarts(again) => cause = again,
            }
        }
    }

    /// The bootloader and the start of the firmware. `None` when nothing follows: power is gone, or the
    /// bootloader found nothing to start.
    fn boot_once(&mut self, cause: Cause) -> Option<Next> {
        let bootloader = Bootloader { rollback: self.rollback, ..Bootloader::default() };
        let mut flash = Counted { chip: &mut self.chip, counter: &mut self.counter };
        let mut check = FullCheck { requirements: Requirements::for_chip(ChipId::ESP32C3) };
        let boot = bootloader.run(&mut flash, &mut check, BootInput::default(), |_| {});
        let started = boot.ok().and_then(|boot| boot.outcome.ok());
        if !self.chip.is_powered() {
            self.cut();
            return None;
        }
        let mut flash = Counted { chip: &mut self.chip, counter: &mut self.counter };
        let (firmware, next) = Firmware::start(&started?, cause, &mut flash, &mut self.output);
        self.firmware = firmware;
        if !self.chip.is_powered() {
            self.cut();
            return None;
        }
        Some(next)
    }

    /// The chip was cut: power is off, or comes back by itself, or it was a reset.
    fn cut(&mut self) {
        let cut = self.counter.cut.take();
        let operation = cut.map(|(operation, _)| operation);
        self.at_cut = Some(self.chip.memory().clone());
        self.report = Some(CutReport { operation, landing: Landing::Exact, latency: None });
        self.firmware = None;
        self.new_console();
        self.restarts = match cut.map(|(_, kind)| kind) {
            None | Some(CutKind::Rail | CutKind::UsbPort) => None,
            Some(CutKind::BrownOut) => Some(Cause::BrownOut),
            Some(CutKind::EnReset) => Some(Cause::PowerOn),
            Some(CutKind::Watchdog | CutKind::DebugReset) => Some(Cause::Watchdog),
        };
        if self.restarts.is_some() {
            // It starts by itself; nothing can see that before somebody looks at its console.
            self.chip.power_on();
        } else {
            self.powered = false;
        }
    }
}

fn check(memory: &Memory, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
    let end = u64::from(offset) + bytes.len() as u64;
    if end <= u64::from(memory.capacity()) {
        return Ok(());
    }
    let what = format!("{} bytes at {offset:#x} exceed the flash", bytes.len());
    Err(RigError::new(what))
}

fn chip(part: &Part, memory: Memory) -> Chip {
    let driver = Driver { program_bytes: PROGRAM_BYTES, block_erase: false };
    Chip::with_memory(*part, memory).with_driver(driver)
}
