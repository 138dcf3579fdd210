//! The chip: commands, simulated time and counters.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    BLOCK_SIZE, CutPlan, Driver, Encryption, EraseSize, FlashError, LogEntry, Memory, Operation,
    OperationKind, PAGE_SIZE, Part, SECTOR_SIZE,
    fault::{Fault, FaultInjector, Tear},
    memory::sectors,
    noise::Noise,
};

/// What a status read (command 05h) tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// A program or erase is under way.
    pub busy: bool,
    /// The write enable latch is set: the next program or erase will be executed.
    pub write_enabled: bool,
    /// An operation is suspended.
    pub suspended: bool,
    /// The last operation failed; real parts have such a bit or none (fault F10).
    pub failed: bool,
}

/// Totals since the chip was made. Operations count when they start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read commands.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Program commands.
    pub programs: u64,
    /// Bytes in program commands.
    pub program_bytes: u64,
    /// Erase commands of any size.
    pub erases: u64,
    /// Programs of cells that were not erased, and lost nothing: bits cleared again or further.
    pub overwrites: u64,
    /// Programs that needed a bit to go from 0 to 1, and so lost data.
    pub lossy_programs: u64,
    /// Power-ons after the first.
    pub power_ons: u64,
}

/// One flash operation as it happened. Both memories are shared, not copied.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The contents when it started.
    pub before: Memory,
    /// The operation.
    pub operation: Operation,
    /// The contents when it ended.
    pub after: Memory,
}

#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) operation: Operation,
    fault: Option<Fault>,
    ends: Duration,
}

/// A NOR flash chip on a board: what it stores, what it does and whether it has power.
///
/// Commands take simulated time: [`program_page`](Self::program_page) and [`erase_unit`](Self::erase_unit)
/// return at once and leave the chip busy until [`advance`](Self::advance) or
/// [`wait_ready`](Self::wait_ready) has moved the clock far enough. The embedded-storage traits
/// are implemented on top, through a [`Driver`] that waits.
#[derive(Clone, Debug)]
pub struct Chip {
    pub(super) part: Part,
    pub(super) memory: Memory,
    pub(super) powered: bool,
    pub(super) write_enabled: bool,
    pub(super) running: Option<Running>,
    pub(super) suspended: Option<Running>,
    pub(super) cut: Option<CutPlan>,
    pub(super) driver: Driver,
    pub(super) encryption: Option<Arc<Encryption>>,
    pub(super) seed: u64,
    /// Made at the first unstable read: most chips never need it.
    noise: Option<Noise>,
    clock: Duration,
    failed: bool,
    strict: bool,
    protected: Option<Range<u32>>,
    faults: Option<FaultInjector>,
    operations: u64,
    /// Blocks of 64 KiB that were read, programmed or erased, one bit each.
    accessed: [u64; ACCESS_WORDS],
    pub(super) counters: Counters,
    log: Option<Vec<LogEntry>>,
    recording: Option<Vec<Recorded>>,
}

impl Chip {
    /// An erased chip with power on.
    #[must_use]
    pub fn new(part: Part) -> Self {
        Self::with_memory(part, Memory::erased(part.capacity))
    }

    /// A chip with these contents and power on. The memory's capacity replaces the part's.
    #[must_use]
    pub fn with_memory(part: Part, memory: Memory) -> Self {
        Self {
            part: part.with_capacity(memory.capacity()),
            memory,
            powered: true,
            write_enabled: false,
            running: None,
            suspended: None,
            cut: None,
            driver: Driver::default(),
            encryption: None,
            seed: 0,
            noise: None,
            clock: Duration::ZERO,
            failed: false,
            strict: false,
            protected: None,
            faults: None,
            operations: 0,
            accessed: [0; ACCESS_WORDS],
            counters: Counters::default(),
            log: None,
            recording: None,
        }
    }

    /// Sets how the embedded-storage traits split accesses into commands.
    #[must_use]
    pub fn with_driver(self, driver: Driver) -> Self {
        Self { driver, ..self }
    }

    /// Encrypts what the embedded-storage traits write to the partitions that `encryption` covers, and
    /// decrypts what they read there. An access lies in one partition.
    #[must_use]
    pub fn with_encryption(self, encryption: Arc<Encryption>) -> Self {
        Self { encryption: Some(encryption), ..self }
    }

    /// Strict mode: refuses a program that needs a bit to go from 0 to 1, with
    /// [`FlashError::NeedsErase`]. Off, such a program loses data as on silicon and is counted.
    ///
    /// A check of healthy update code: after faults, silicon gives no such error.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Faults while power is on. Their seed also drives unstable and weak cells.
    #[must_use]
    pub fn with_faults(self, faults: FaultInjector) -> Self {
        Self { seed: faults.seed(), noise: None, faults: Some(faults), ..self }
    }

    /// Seed of what unstable and weak cells show; 0 unless set.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, noise: None, ..self }
    }

    /// Write protects a range, or nothing: operations that touch it are refused.
    pub fn protect(&mut self, range: Option<Range<u32>>) {
        self.protected = range;
    }

    /// The part.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Another chip on the same board with these contents, as it leaves the factory otherwise.
    pub(crate) fn fork(&self, memory: Memory) -> Self {
        Self { encryption: self.encryption.clone(), ..Self::with_memory(self.part, memory) }
    }

    /// The contents now; an operation under way shows when it is done. Clone it to keep it.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Takes the contents out of the chip, power lost or not.
    #[must_use]
    pub fn into_memory(self) -> Memory {
        self.memory
    }

    /// How often the sector at an address was erased.
    #[must_use]
    pub fn erase_count(&self, address: u32) -> u32 {
        self.memory.erase_count(address / SECTOR_SIZE as u32)
    }

    /// Simulated time since the chip was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock
    }

    /// Number of operations started since the chip was made: the number of the next one.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether anything was read, programmed or erased in the 64 KiB blocks that a range touches since
    /// the chip was made.
    #[must_use]
    pub(crate) fn accessed(&self, range: Range<u32>) -> bool {
        access_bits(&range).any(|(word, bit)| self.accessed[word] & bit != 0)
    }

    /// Totals since the chip was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Starts the operation log.
    pub fn log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// Ends the operation log and returns it; empty if it was not started.
    pub fn take_log(&mut self) -> Vec<LogEntry> {
        self.log.take().unwrap_or_default()
    }

    /// Starts recording every operation with the contents before and after it. A record shares
    /// what did not change and costs the same whatever the size of the chip.
    pub fn record(&mut self) {
        self.recording.get_or_insert_default();
    }

    /// Ends recording and returns the completed operations; empty if it was not started. An
    /// operation that power stopped is not among them.
    pub fn take_recording(&mut self) -> Vec<Recorded> {
        self.recording.take().unwrap_or_default()
    }

    /// Lets simulated time pass; an operation whose time is up completes.
    pub fn advance(&mut self, time: Duration) {
        self.clock += time;
        if self.running.as_ref().is_some_and(|running| running.ends <= self.clock) {
            self.complete();
        }
    }

    /// Lets time pass until the chip is ready.
    pub fn wait_ready(&mut self) {
        if let Some(running) = &self.running {
            self.clock = self.clock.max(running.ends);
            self.complete();
        }
    }

    /// The status register.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`].
    pub fn status(&self) -> Result<Status, FlashError> {
        self.check_power()?;
        Ok(Status {
            busy: self.running.is_some(),
            write_enabled: self.write_enabled,
            suspended: self.suspended.is_some(),
            failed: self.failed,
        })
    }

    /// Write enable, command 06h.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::Busy`].
    pub fn write_enable(&mut self) -> Result<(), FlashError> {
        self.check_ready()?;
        self.write_enabled = true;
        Ok(())
    }

    /// Write disable, command 04h.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::Busy`].
    pub fn write_disable(&mut self) -> Result<(), FlashError> {
        self.check_ready()?;
        self.write_enabled = false;
        Ok(())
    }

    /// Read, command 03h. Unstable cells give other bits at each read.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::Busy`], [`FlashError::OutOfBounds`],
    /// [`FlashError::Suspended`], [`FlashError::ReadFault`].
    pub fn read_bytes(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.check_ready()?;
        let range = self.bounded(address, bytes.len())?;
        if let Some(suspended) = &self.suspended
            && overlap(&range, &suspended.operation.range(self.part.capacity))
        {
            return Err(FlashError::Suspended { address });
        }
        let number = self.counters.reads;
        self.counters.reads += 1;
        self.counters.read_bytes += bytes.len() as u64;
        if self.faults.as_mut().is_some_and(|faults| faults.read(number)) {
            return Err(FlashError::ReadFault { address });
        }
        access_bits(&range).for_each(|(word, bit)| self.accessed[word] |= bit);
        self.memory.read(address, bytes);
        if self.memory.has_conditions() {
            self.shake(range, bytes);
        }
        Ok(())
    }

    /// Page program, command 02h: starts to clear bits so that cells become `old & data`. As on
    /// silicon, data that reaches the end of the 256-byte page goes on at its start, and of more
    /// than 256 bytes the last 256 count.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`] also when a planned cut strikes, and as [`FlashError`] describes:
    /// `Busy`, `WriteDisabled`, `OutOfBounds`, `Suspended`, `Protected`, `NeedsErase`,
    /// `TearMismatch`.
    pub fn program_page(&mut self, address: u32, data: &[u8]) -> Result<(), FlashError> {
        self.check_ready()?;
        self.bounded(address, usize::from(!data.is_empty()))?;
        let start = address as usize % PAGE_SIZE;
        let mut page = [0xFF; PAGE_SIZE];
        let (offset, data) = if start + data.len() <= PAGE_SIZE {
            (address, data)
        } else {
            let skipped = data.len().saturating_sub(PAGE_SIZE);
            for (i, &byte) in data.iter().enumerate().skip(skipped) {
                page[(start + i) % PAGE_SIZE] = byte;
            }
            (address - start as u32, page.as_slice())
        };
        let mut old = [0; PAGE_SIZE];
        let old = &mut old[..data.len()];
        self.memory.read(offset, old);
        let cells = || old.iter().zip(data);
        let lost = cells().position(|(old, new)| new & !old != 0);
        let lossy = lost.filter(|_| self.strict);
        let overwrite = lost.is_none() && cells().any(|(&old, &new)| old != 0xFF && new != 0xFF);
        let operation = Operation::program(offset, data);
        self.start(operation, lossy)?;
        self.counters.lossy_programs += u64::from(lost.is_some());
        self.counters.overwrites += u64::from(overwrite);
        Ok(())
    }

    /// Erase, commands 20h, 52h, D8h, C7h: starts to set all bits of the unit that contains
    /// `address`.
    ///
    /// # Errors
    /// As [`program_page`](Self::program_page), without `NeedsErase`. `OutOfBounds` also when the
    /// chip is too small for the unit.
    pub fn erase_unit(&mut self, size: EraseSize, address: u32) -> Result<(), FlashError> {
        self.check_ready()?;
        let bytes = size.bytes(self.part.capacity);
        let start = address / bytes * bytes;
        self.bounded(start, bytes as usize)?;
        self.start(Operation::erase(start, size), None)
    }

    /// Suspend, command 75h: stops the running operation so that other units can be read.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`]; [`FlashError::NothingToSuspend`] when nothing runs that can be
    /// suspended: a chip erase can't, nor can two operations at once.
    pub fn suspend(&mut self) -> Result<(), FlashError> {
        self.check_power()?;
        let chip = OperationKind::Erase(EraseSize::Chip);
        let can = |running: &mut Running| running.operation.kind != chip;
        if self.suspended.is_some() {
            return Err(FlashError::NothingToSuspend);
        }
        let mut running = self.running.take_if(can).ok_or(FlashError::NothingToSuspend)?;
        running.ends -= self.clock;
        self.suspended = Some(running);
        Ok(())
    }

    /// Resume, command 7Ah: goes on with the suspended operation.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::Busy`], [`FlashError::NothingToSuspend`].
    pub fn resume(&mut self) -> Result<(), FlashError> {
        self.check_ready()?;
        let mut running = self.suspended.take().ok_or(FlashError::NothingToSuspend)?;
        running.ends += self.clock;
        self.running = Some(running);
        Ok(())
    }

    /// Common part of all operations. `lossy`: index of the first byte of a program that strict
    /// mode refuses.
    fn start(&mut self, operation: Operation, lossy: Option<usize>) -> Result<(), FlashError> {
        let range = operation.range(self.part.capacity);
        access_bits(&range).for_each(|(word, bit)| self.accessed[word] |= bit);
        let address = range.start;
        if !self.write_enabled {
            return Err(FlashError::WriteDisabled);
        }
        if let Some(suspended) = &self.suspended {
            let erasing = matches!(suspended.operation.kind, OperationKind::Erase(_));
            let program = matches!(operation.kind, OperationKind::Program { .. });
            let other = !overlap(&range, &suspended.operation.range(self.part.capacity));
            if !(erasing && program && other) {
                return Err(FlashError::Suspended { address });
            }
        }
        if self.protected.as_ref().is_some_and(|protected| overlap(protected, &range)) {
            self.write_enabled = false;
            return Err(FlashError::Protected { address });
        }
        if let Some(index) = lossy {
            return Err(FlashError::NeedsErase { address: address + index as u32 });
        }
        let number = self.operations;
        self.operations += 1;
        match &operation.kind {
            OperationKind::Program { data } => {
                self.counters.programs += 1;
                self.counters.program_bytes += data.len() as u64;
            }
            OperationKind::Erase(_) => self.counters.erases += 1,
        }
        let duration = self.part.timing.of(&operation.kind).typ;
        if let Some(log) = &mut self.log {
            let operation = operation.clone();
            log.push(LogEntry { sequence: number, started: self.clock, duration, operation });
        }
        let worn = matches!(operation.kind, OperationKind::Erase(_))
            && sectors(&range).any(|index| self.memory.erase_count(index) >= self.part.endurance);
        let fault =
            self.faults.as_mut().and_then(|faults| faults.operation(number, &operation, worn));
        self.failed = false;
        self.running = Some(Running { operation, fault, ends: self.clock + duration });
        match self.cut.take_if(|cut| cut.operation == number) {
            Some(cut) => {
                self.power_off(&cut.tear)?;
                Err(FlashError::PowerLost)
            }
            None => Ok(()),
        }
    }

    /// Brings about the result of the running operation.
    pub(super) fn complete(&mut self) {
        let Some(Running { operation, fault, .. }) = self.running.take() else {
            return;
        };
        self.write_enabled = false;
        let before = self.recording.is_some().then(|| self.memory.clone());
        let tear = match fault {
            None => {
                let range = operation.range(self.part.capacity);
                match &operation.kind {
                    OperationKind::Program { data } => self.memory.program(operation.offset, data),
                    OperationKind::Erase(_) => self.memory.erase(range),
                }
                None
            }
            Some(Fault::Silent(tear)) => Some(tear),
            Some(Fault::Weak) => Some(Tear::Weak { landed: Box::new(Tear::Complete) }),
            Some(Fault::Failed(tear)) => {
                self.failed = true;
                Some(tear)
            }
            Some(Fault::Stuck { seed }) => {
                self.stick(operation.range(self.part.capacity), seed);
                Some(Tear::Complete)
            }
        };
        // A scheduled fault that does not fit its operation lets it do nothing.
        if let Some(memory) = tear.and_then(|tear| tear.apply(&self.memory, &operation).ok()) {
            self.memory = memory;
        }
        if let (Some(recording), Some(before)) = (&mut self.recording, before) {
            recording.push(Recorded { before, operation, after: self.memory.clone() });
        }
    }

    /// Makes about one bit in 256 of each sector of the range stick at 0.
    fn stick(&mut self, range: Range<u32>, seed: u64) {
        for index in sectors(&range) {
            let mut noise = Noise::new(seed, u64::from(index));
            let bits: Vec<u32> =
                (0..SECTOR_SIZE / 32).map(|_| noise.below(8 * SECTOR_SIZE as u32)).collect();
            self.memory.change_condition(index, |condition| {
                bits.iter().for_each(|bit| condition.stuck[*bit as usize / 8] |= 1 << (bit % 8));
            });
        }
    }

    /// Replaces what unstable cells show in this read.
    fn shake(&mut self, range: Range<u32>, bytes: &mut [u8]) {
        let seed = self.seed;
        for index in sectors(&range) {
            let Some(condition) = self.memory.sector(index).condition() else {
                continue;
            };
            let start = index * SECTOR_SIZE as u32;
            let part = range.start.max(start)..range.end.min(start + SECTOR_SIZE as u32);
            let mask = &condition.unstable[(part.start - start) as usize..][..part.len()];
            if mask.iter().all(|&mask| mask == 0) {
                continue;
            }
            let mut random = vec![0; part.len()];
            self.noise.get_or_insert_with(|| Noise::new(seed, 0xF4)).fill(&mut random);
            let bytes = &mut bytes[(part.start - range.start) as usize..][..part.len()];
            for ((byte, mask), random) in bytes.iter_mut().zip(mask).zip(random) {
                *byte = (*byte & !mask) | (random & mask);
            }
        }
    }

    pub(super) fn check_power(&self) -> Result<(), FlashError> {
        if self.powered { Ok(()) } else { Err(FlashError::PowerLost) }
    }

    fn check_ready(&self) -> Result<(), FlashError> {
        self.check_power()?;
        if self.running.is_some() { Err(FlashError::Busy) } else { Ok(()) }
    }

    fn bounded(&self, address: u32, length: usize) -> Result<Range<u32>, FlashError> {
        u32::try_from(length)
            .ok()
            .and_then(|length| address.checked_add(length))
            .filter(|&end| end <= self.part.capacity)
            .map(|end| address..end)
            .ok_or(FlashError::OutOfBounds)
    }
}

/// Words of [`Chip::accessed`]: enough for 16 MiB. All that lies behind shares the last bit.
const ACCESS_WORDS: usize = 4;

/// The bits of [`Chip::accessed`] that stand for a range.
fn access_bits(range: &Range<u32>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let block = BLOCK_SIZE as u32;
    (range.start / block..range.end.div_ceil(block)).map(|block| {
        let block = (block as usize).min(64 * ACCESS_WORDS - 1);
        (block / 64, 1 << (block % 64))
    })
}

fn overlap(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
#[path = "chip_tests.rs"]
mod tests;
