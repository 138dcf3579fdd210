//! SPI1, the controller through which software commands the flash.

use super::{Peripheral, ResetCause, Scope, registers::Registers};
use crate::{
    flash::{Command, FlashDevice},
    time::Ticks,
};

const CMD: u32 = 0x00;
const ADDR: u32 = 0x04;
const CTRL: u32 = 0x08;
const USER: u32 = 0x18;
const USER1: u32 = 0x1C;
const USER2: u32 = 0x20;
const MOSI_DLEN: u32 = 0x24;
const MISO_DLEN: u32 = 0x28;
const RD_STATUS: u32 = 0x2C;
const FSM: u32 = 0x54;
const W0: u32 = 0x58;
const FLASH_SUS_CTRL: u32 = 0x9C;
const FLASH_SUS_CMD: u32 = 0xA0;

/// CMD: transactions with a fixed opcode, and the one that the USER registers describe.
const CMD_READ: u32 = 1 << 31;
const CMD_WREN: u32 = 1 << 30;
const CMD_WRDI: u32 = 1 << 29;
const CMD_RDID: u32 = 1 << 28;
const CMD_RDSR: u32 = 1 << 27;
const CMD_WRSR: u32 = 1 << 26;
const CMD_PP: u32 = 1 << 25;
const CMD_SE: u32 = 1 << 24;
const CMD_BE: u32 = 1 << 23;
const CMD_CE: u32 = 1 << 22;
const CMD_DP: u32 = 1 << 21;
const CMD_RES: u32 = 1 << 20;
const CMD_HPM: u32 = 1 << 19;
const CMD_USR: u32 = 1 << 18;
const CMD_ALL: u32 = 0xFFFC_0000;
/// CTRL: a status write sends two bytes.
const CTRL_WRSR_2B: u32 = 1 << 22;
/// USER: phases of a transaction, and whether data is in the upper half of the buffer.
const USER_COMMAND: u32 = 1 << 31;
const USER_ADDR: u32 = 1 << 30;
const USER_MISO: u32 = 1 << 28;
const USER_MOSI: u32 = 1 << 27;
const USER_MOSI_HIGHPART: u32 = 1 << 25;
const USER_MISO_HIGHPART: u32 = 1 << 24;
/// FLASH_SUS_CTRL: resume and suspend an operation of the flash.
const SUS_RESUME: u32 = 1 << 0;
const SUS_SUSPEND: u32 = 1 << 1;

/// Bytes in the buffer W0 to W15.
const BUFFER: usize = 64;
/// Bytes in the lower half of the buffer.
const HALF: usize = BUFFER / 2;
/// Address bits of every flash command; further ones are mode bits.
const ADDRESS_BITS: u32 = 24;

/// Registers with their reset values (ESP-IDF `spi_mem_reg.h`; crate `esp32c3`, `spi1`). W0 to W15
/// come on top.
const TABLE: &[(u32, u32)] = &[
    (CMD, 0),
    (ADDR, 0),
    (CTRL, 0x002C_A000),
    (0x0C, 0x0FFC),      // CTRL1
    (0x10, 0),           // CTRL2
    (0x14, 0x0003_0103), // CLOCK
    (USER, 0x8000_0000),
    (USER1, 0x5C00_0007),
    (USER2, 0x7000_0000),
    (MOSI_DLEN, 0),
    (MISO_DLEN, 0),
    (RD_STATUS, 0),
    (0x34, 0x02),        // MISC
    (0x38, 0xFFFF_FFFF), // TX_CRC
    (0x3C, 0),           // CACHE_FCTRL
    (FSM, 0),
    (0x98, 0x14), // FLASH_WAITI_CTRL
    (FLASH_SUS_CTRL, 0x0800_2000),
    (FLASH_SUS_CMD, 0x0005_757A),
    (0xA4, 0),    // SUS_STATUS
    (0xA8, 0),    // TIMING_CALI
    (0xC0, 0),    // INT_ENA
    (0xC4, 0),    // INT_CLR
    (0xC8, 0),    // INT_RAW
    (0xCC, 0),    // INT_ST
    (0xDC, 0x01), // CLOCK_GATE
];

/// SPI1 with the flash chip on it. A transaction is over when the store that started it is: the
/// transfer takes no simulated time, the chip's work does. Its interrupts are not there.
#[derive(Clone, Debug)]
pub(crate) struct Spi {
    registers: Registers,
    flash: FlashDevice,
}

impl Spi {
    pub(crate) fn new(flash: FlashDevice) -> Self {
        Self { registers: Registers::new(TABLE).with_array(W0, BUFFER as u32 / 4, 0), flash }
    }

    pub(crate) fn flash(&self) -> &FlashDevice {
        &self.flash
    }

    pub(crate) fn flash_mut(&mut self) -> &mut FlashDevice {
        &mut self.flash
    }

    /// Carries out the fixed or free command that a store to CMD asks for.
    fn command(&mut self, bits: u32, now: Ticks) {
        let address = self.registers.get(ADDR);
        // Of fixed programs and reads, the upper byte of the address register is the length.
        let (address, length) = (Some(address & 0x00FF_FFFF), (address >> 24) as usize);
        match bits & CMD_ALL {
            CMD_READ => self.read_buffer(0x03, address, length, now),
            CMD_WREN => self.send(0x06, None, now),
            CMD_WRDI => self.send(0x04, None, now),
            CMD_RDID => self.read_buffer(0x9F, None, 3, now),
            CMD_RDSR => {
                let mut status = [0];
                self.transact(0x05, None, 0..0, &mut status, now);
                let other = self.registers.get(RD_STATUS) & 0xFFFF_0000;
                self.registers.set(RD_STATUS, other | u32::from(status[0]));
            }
            CMD_WRSR => {
                let bytes = self.registers.get(RD_STATUS).to_le_bytes();
                let two = self.registers.get(CTRL) & CTRL_WRSR_2B != 0;
                let data = &bytes[..if two { 2 } else { 1 }];
                self.flash.transact(&Command { opcode: 0x01, address: None, data }, &mut [], now);
            }
            CMD_PP => {
                self.transact(0x02, address, 0..length.min(BUFFER), &mut [], now);
            }
            CMD_SE => self.send(0x20, address, now),
            CMD_BE => self.send(0xD8, address, now),
            CMD_CE => self.send(0xC7, None, now),
            CMD_DP => self.send(0xB9, None, now),
            CMD_RES => self.read_buffer(0xAB, None, 3, now),
            // High performance mode: no part here has it.
            CMD_HPM => self.send(0xA3, None, now),
            CMD_USR => self.user(now),
            // Nothing, or several at once.
            _ => {}
        }
    }

    /// The transaction that the USER registers describe.
    fn user(&mut self, now: Ticks) {
        let user = self.registers.get(USER);
        let has = |bit: u32| user & bit != 0;
        // Without a command phase the chip gets clocks that mean nothing to it.
        if !has(USER_COMMAND) {
            return;
        }
        let opcode = self.registers.get(USER2) as u8;
        let address = has(USER_ADDR).then(|| {
            let bits = (self.registers.get(USER1) >> 26) + 1;
            let value = self.registers.get(ADDR);
            let value = value >> bits.saturating_sub(ADDRESS_BITS);
            value & ((1 << bits.min(ADDRESS_BITS)) - 1)
        });
        let length = |register: u32| (self.registers.get(register) & 0x3FF) as usize / 8 + 1;
        let part = |enabled, high, register| {
            let start = if high { HALF } else { 0 };
            let length = if enabled { length(register) } else { 0 };
            start..(start + length).min(BUFFER)
        };
        let output = part(has(USER_MOSI), has(USER_MOSI_HIGHPART), MOSI_DLEN);
        let input = part(has(USER_MISO), has(USER_MISO_HIGHPART), MISO_DLEN);
        let mut bytes = [0; BUFFER];
        let bytes = &mut bytes[..input.len()];
        self.transact(opcode, address, output, bytes, now);
        self.store(input.start, bytes);
    }

    /// A command without data.
    fn send(&mut self, opcode: u8, address: Option<u32>, now: Ticks) {
        self.transact(opcode, address, 0..0, &mut [], now);
    }

    /// A command that returns `length` bytes to the start of the buffer.
    fn read_buffer(&mut self, opcode: u8, address: Option<u32>, length: usize, now: Ticks) {
        let mut bytes = [0; BUFFER];
        let bytes = &mut bytes[..length.min(BUFFER)];
        self.transact(opcode, address, 0..0, bytes, now);
        self.store(0, bytes);
    }

    /// A command with data from a range of the buffer.
    fn transact(
        &mut self,
        opcode: u8,
        address: Option<u32>,
        output: std::ops::Range<usize>,
        input: &mut [u8],
        now: Ticks,
    ) {
        let buffer = self.buffer();
        let command = Command { opcode, address, data: &buffer[output] };
        self.flash.transact(&command, input, now);
    }

    /// W0 to W15. Byte 0 of the wire is the low byte of W0.
    fn buffer(&self) -> [u8; BUFFER] {
        let mut buffer = [0; BUFFER];
        for (offset, bytes) in (W0..).step_by(4).zip(buffer.as_chunks_mut().0) {
            *bytes = self.registers.get(offset).to_le_bytes();
        }
        buffer
    }

    /// Puts received bytes into the buffer.
    fn store(&mut self, start: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut buffer = self.buffer();
        buffer[start..start + bytes.len()].copy_from_slice(bytes);
        for (offset, bytes) in (W0..).step_by(4).zip(buffer.as_chunks().0) {
            self.registers.set(offset, u32::from_le_bytes(*bytes));
        }
    }
}

impl Peripheral for Spi {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        self.registers.read(offset)
    }

    fn write(&mut self, offset: u32, value: u32, now: Ticks) -> Option<()> {
        match offset {
            // Reads as 0 again: the transaction is over.
            CMD => self.command(value, now),
            FLASH_SUS_CTRL => {
                let opcodes = self.registers.get(FLASH_SUS_CMD);
                if value & SUS_SUSPEND != 0 {
                    self.send((opcodes >> 8) as u8, None, now);
                }
                if value & SUS_RESUME != 0 {
                    self.send(opcodes as u8, None, now);
                }
                self.registers.set(offset, value & !(SUS_SUSPEND | SUS_RESUME));
            }
            // State of the transfer: idle.
            FSM => {}
            _ => return self.registers.write(offset, value),
        }
        Some(())
    }

    /// The chip on the bus has no reset line: it goes on.
    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
        }
    }

    fn advance(&mut self, now: Ticks) {
        self.flash.advance(now);
    }

    fn next_event(&self) -> Option<Ticks> {
        self.flash.busy_until()
    }
}

#[cfg(test)]
mod tests;
