//! SPI commands: opcodes and what the chip answers.

use std::ops::Range;

use sim::flash::{EraseSize, PAGE_SIZE};

use super::{FlashDevice, sfdp};

/// One transfer to the chip, chip select low to high, without the bytes that the chip returns. Dummy
/// cycles and mode bits are not part of it: the controller adds and drops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command<'a> {
    /// The first byte.
    pub(crate) opcode: u8,
    /// The address phase, if there is one.
    pub(crate) address: Option<u32>,
    /// Bytes to the chip after that.
    pub(crate) data: &'a [u8],
}

impl Command<'_> {
    /// The addresses that a read of `length` bytes, a program or an erase touches.
    pub(super) fn range(&self, capacity: u32, length: usize) -> Option<Range<u32>> {
        let address = self.address? % capacity;
        match self.opcode {
            READ | FAST_READ | DUAL_OUTPUT_READ | QUAD_OUTPUT_READ | DUAL_IO_READ
            | QUAD_IO_READ => Some(address..address.saturating_add(length as u32)),
            PAGE_PROGRAM | QUAD_PROGRAM => {
                let page = address / PAGE_SIZE as u32 * PAGE_SIZE as u32;
                let end = address + self.data.len().min(PAGE_SIZE) as u32;
                // Data that reaches the end of the page goes on at its start.
                let wraps = end > page + PAGE_SIZE as u32;
                Some(if wraps { page..page + PAGE_SIZE as u32 } else { address..end })
            }
            opcode => {
                let bytes = erase_size(opcode)?.bytes(capacity);
                let start = address / bytes * bytes;
                Some(start..start + bytes)
            }
        }
    }
}

const WRITE_STATUS: u8 = 0x01;
const PAGE_PROGRAM: u8 = 0x02;
const READ: u8 = 0x03;
const WRITE_DISABLE: u8 = 0x04;
const READ_STATUS: u8 = 0x05;
const WRITE_ENABLE: u8 = 0x06;
const FAST_READ: u8 = 0x0B;
const WRITE_STATUS_3: u8 = 0x11;
const READ_STATUS_3: u8 = 0x15;
const SECTOR_ERASE: u8 = 0x20;
const WRITE_STATUS_2: u8 = 0x31;
const QUAD_PROGRAM: u8 = 0x32;
const READ_STATUS_2: u8 = 0x35;
const DUAL_OUTPUT_READ: u8 = 0x3B;
const VOLATILE_WRITE_ENABLE: u8 = 0x50;
const HALF_BLOCK_ERASE: u8 = 0x52;
const READ_PARAMETERS: u8 = 0x5A;
const CHIP_ERASE: [u8; 2] = [0x60, 0xC7];
const RESET_ENABLE: u8 = 0x66;
const QUAD_OUTPUT_READ: u8 = 0x6B;
/// Two opcodes each: Winbond's and GigaDevice's, and the older one that XMC parts know as well.
const SUSPEND: [u8; 2] = [0x75, 0xB0];
const RESUME: [u8; 2] = [0x7A, 0x30];
const MANUFACTURER_AND_DEVICE: u8 = 0x90;
const RESET: u8 = 0x99;
const JEDEC_ID: u8 = 0x9F;
const RELEASE_POWER_DOWN: u8 = 0xAB;
const POWER_DOWN: u8 = 0xB9;
const DUAL_IO_READ: u8 = 0xBB;
const BLOCK_ERASE: u8 = 0xD8;
const QUAD_IO_READ: u8 = 0xEB;

fn erase_size(opcode: u8) -> Option<EraseSize> {
    match opcode {
        SECTOR_ERASE => Some(EraseSize::Sector4K),
        HALF_BLOCK_ERASE => Some(EraseSize::Block32K),
        BLOCK_ERASE => Some(EraseSize::Block64K),
        _ if CHIP_ERASE.contains(&opcode) => Some(EraseSize::Chip),
        _ => None,
    }
}

/// State of the command decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    powered_down: bool,
    /// Command 66h was the last one.
    reset_enabled: bool,
    /// Command 50h: the next status write is volatile.
    volatile: bool,
}

impl FlashDevice {
    /// Whether the chip takes `opcode` now. A busy chip listens to status reads, suspend and software
    /// reset, a chip in power-down to its release.
    pub(super) fn listens(&self, opcode: u8) -> bool {
        if self.decoder.powered_down {
            return opcode == RELEASE_POWER_DOWN;
        }
        let always = [READ_STATUS, READ_STATUS_2, READ_STATUS_3, RESET_ENABLE, RESET];
        !self.is_busy() || always.contains(&opcode) || SUSPEND.contains(&opcode)
    }

    /// Carries out a command that the chip listens to. Refused ones have no effect, as on silicon.
    /// `input` comes filled with ones, what an idle bus reads as.
    pub(super) fn execute(&mut self, command: &Command<'_>, input: &mut [u8]) {
        let Command { opcode, address, data } = *command;
        let id = self.chip.part().jedec_id;
        // Older identification, and what a chip says on its release: capacity code - 1.
        let device = id[2].wrapping_sub(1);
        let reset = std::mem::take(&mut self.decoder.reset_enabled);
        let quad = self.status.quad_enabled();
        match (opcode, address) {
            (READ_STATUS, _) => self.read_status(0, input),
            (READ_STATUS_2, _) => self.read_status(1, input),
            (READ_STATUS_3, _) => self.read_status(2, input),
            (WRITE_STATUS, _) => self.write_status(0, &data[..data.len().min(2)]),
            (WRITE_STATUS_2, _) => self.write_status(1, &data[..data.len().min(1)]),
            (WRITE_STATUS_3, _) => self.write_status(2, &data[..data.len().min(1)]),
            // The chip refuses these for lack of power or time alone, and has both here.
            (WRITE_ENABLE, _) => _ = self.chip.write_enable(),
            (WRITE_DISABLE, _) => _ = self.chip.write_disable(),
            (VOLATILE_WRITE_ENABLE, _) => self.decoder.volatile = true,
            (JEDEC_ID, _) => fill(input, &id),
            (MANUFACTURER_AND_DEVICE, _) => fill(input, &[id[0], device]),
            (RELEASE_POWER_DOWN, _) => {
                self.decoder.powered_down = false;
                fill(input, &[device]);
            }
            (POWER_DOWN, _) => self.decoder.powered_down = true,
            (READ_PARAMETERS, Some(address)) => {
                let area = sfdp::parameters(self.chip.part());
                let from = address as usize % area.len();
                let bytes = area[from..].iter().chain(&area);
                input.iter_mut().zip(bytes).for_each(|(byte, value)| *byte = *value);
            }
            (READ | FAST_READ | DUAL_OUTPUT_READ | DUAL_IO_READ, Some(address)) => {
                self.read(address, input);
            }
            (QUAD_OUTPUT_READ | QUAD_IO_READ, Some(address)) if quad => self.read(address, input),
            (PAGE_PROGRAM, Some(address)) => self.program(address, data),
            (QUAD_PROGRAM, Some(address)) if quad => self.program(address, data),
            (RESET_ENABLE, _) => self.decoder.reset_enabled = true,
            (RESET, _) if reset => self.software_reset(),
            (QUAD_OUTPUT_READ | QUAD_IO_READ | QUAD_PROGRAM | RESET, _) => {}
            (opcode, _) if SUSPEND.contains(&opcode) => self.suspend(),
            (opcode, _) if RESUME.contains(&opcode) => self.resume(),
            (opcode, _) if CHIP_ERASE.contains(&opcode) => self.erase(EraseSize::Chip, 0),
            (opcode, address) => match (erase_size(opcode), address) {
                (Some(size), Some(address)) => self.erase(size, address),
                _ => *self.unknown.entry(opcode).or_default() += 1,
            },
        }
    }

    fn read_status(&self, index: usize, input: &mut [u8]) {
        // Without power the bus stays idle.
        if let Ok(state) = self.chip.status() {
            input.fill(self.status.read(index, state));
        }
    }

    /// Takes no simulated time: the few milliseconds of a real part are no operation on its cells.
    fn write_status(&mut self, index: usize, values: &[u8]) {
        let volatile = std::mem::take(&mut self.decoder.volatile);
        let enabled = self.chip.status().is_ok_and(|state| state.write_enabled);
        if volatile || enabled {
            self.status.write(index, values, !volatile);
            _ = self.chip.write_disable();
        }
    }

    /// Reads go on at address 0 behind the last byte.
    fn read(&mut self, address: u32, input: &mut [u8]) {
        let capacity = self.chip.part().capacity;
        let mut at = address % capacity;
        let mut rest = input;
        while !rest.is_empty() {
            let (head, tail) = rest.split_at_mut(rest.len().min((capacity - at) as usize));
            if self.chip.read_bytes(at, head).is_err() {
                head.fill(0xFF);
            }
            at = 0;
            rest = tail;
        }
    }

    fn program(&mut self, address: u32, data: &[u8]) {
        let address = address % self.chip.part().capacity;
        if !data.is_empty() {
            self.start(|chip| chip.program_page(address, data));
        }
    }

    fn erase(&mut self, size: EraseSize, address: u32) {
        let address = address % self.chip.part().capacity;
        self.start(|chip| chip.erase_unit(size, address));
    }

    /// Commands 66h and 99h: as power-on, and an operation under way is torn (fault class F9).
    fn software_reset(&mut self) {
        self.abort();
        self.decoder = Decoder::default();
        self.status.reload();
    }
}

/// Repeats `answer` over `input`.
fn fill(input: &mut [u8], answer: &[u8]) {
    input.iter_mut().zip(answer.iter().cycle()).for_each(|(byte, value)| *byte = *value);
}
