//! The flash as the software on the device sees it: each operation is counted, and one may be cut.

use crate::board::{Operation, OperationKind};
use crate::scenario::CutKind;
use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use sim::flash::fault::Tear;
use sim::flash::{self, Chip, CutPlan, EraseSize, FlashError};
use virtual_board::CutOutcome;

/// Bytes of a program command of the mask ROM's driver, which bootloader and firmware use (ESP-IDF
/// `ESP_ROM_SPIFLASH_BUFF_BYTE_WRITE_NUM`).
pub(super) const PROGRAM_BYTES: u32 = 32;

/// A cut that waits for its operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Operations to come, that one included.
    pub(super) countdown: u32,
    /// How far into it.
    pub(super) into: f64,
    pub(super) kind: CutKind,
}

/// Counts operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    pub(super) log: Vec<Operation>,
    /// The operations of a recording, each with the number of its first command in it.
    pub(super) recorded: Option<Vec<(Operation, u64)>>,
    pub(super) pending: Option<Pending>,
    /// The operation that the cut was made in, and what kind of cut it was.
    pub(super) cut: Option<(Operation, CutKind)>,
}

impl Counter {
    /// Notes an operation that comes next, and plans the cut in it if its turn has come.
    fn count(&mut self, operation: Operation, chip: &mut Chip) {
        self.log.push(operation);
        if let Some(recorded) = &mut self.recorded {
            recorded.push((operation, chip.operations()));
        }
        let Some(pending) = &mut self.pending else {
            return;
        };
        pending.countdown -= 1;
        if pending.countdown > 0 {
            return;
        }
        let Pending { into, kind, .. } = *pending;
        self.pending = None;
        self.cut = Some((operation, kind));
        let (index, fraction) = split(&operation, into);
        let command = match operation.kind {
            OperationKind::Erase => flash::Operation::erase(operation.address, EraseSize::Sector4K),
            OperationKind::Write => {
                let length = command_length(&operation, index);
                flash::Operation::program(operation.address, vec![0; length])
            }
        };
        let tear = tear(&command, fraction, kind);
        chip.plan_cut(CutPlan { operation: chip.operations() + u64::from(index), tear });
    }
}

/// How a command ends that is cut after a fraction of its time.
pub(super) fn tear(command: &flash::Operation, fraction: f64, kind: CutKind) -> Tear {
    if kind.stops_flash() || fraction <= 0.0 {
        CutOutcome::Fraction { fraction, seed: 0 }.tear(command, 0.0, false)
    } else {
        // The chip keeps its power and ends the command under way.
        Tear::Complete
    }
}

/// The command of an operation that a cut falls into, and how far into that.
pub(super) fn split(operation: &Operation, into: f64) -> (u32, f64) {
    let commands = commands(operation);
    let at = into * f64::from(commands);
    // The end of the last command is its end, not the start of one more.
    let index = (at as u32).min(commands - 1);
    (index, at - f64::from(index))
}

/// Program commands for a write, or 1.
fn commands(operation: &Operation) -> u32 {
    match operation.kind {
        OperationKind::Erase => 1,
        OperationKind::Write => operation.length.div_ceil(PROGRAM_BYTES).max(1),
    }
}

/// Bytes of one of the program commands of a write.
fn command_length(operation: &Operation, index: u32) -> usize {
    operation.length.saturating_sub(index * PROGRAM_BYTES).min(PROGRAM_BYTES) as usize
}

/// A chip whose operations are counted.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    pub(super) chip: &'a mut Chip,
    pub(super) counter: &'a mut Counter,
}

impl ErrorType for Counted<'_> {
    type Error = FlashError;
}

impl ReadNorFlash for Counted<'_> {
    const READ_SIZE: usize = <Chip as ReadNorFlash>::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.chip.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.chip.capacity()
    }
}

impl NorFlash for Counted<'_> {
    const WRITE_SIZE: usize = <Chip as NorFlash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <Chip as NorFlash>::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        for address in (from..to).step_by(Self::ERASE_SIZE) {
            let length = (Self::ERASE_SIZE as u32).min(to - address);
            let operation = Operation { kind: OperationKind::Erase, address, length };
            self.counter.count(operation, self.chip);
            self.chip.erase(address, address + length)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let length = bytes.len() as u32;
        let operation = Operation { kind: OperationKind::Write, address: offset, length };
        self.counter.count(operation, self.chip);
        self.chip.write(offset, bytes)
    }
}

impl MultiwriteNorFlash for Counted<'_> {}
