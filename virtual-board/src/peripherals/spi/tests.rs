//! Transactions as the ROM, the bootloader and esptool's stub make them.

use std::time::Duration;

use sim::flash::{Chip, Memory, Part};

use super::*;

const CTRL_RESET: u32 = 0x002C_A000;

/// SPI1 with its clock, 1 us for each access.
struct Bench {
    spi: Spi,
    now: Ticks,
}

impl Bench {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..=255).collect();
        let memory = Memory::with_contents(Part::GD25Q32.capacity, &bytes);
        let spi = Spi::new(FlashDevice::new(Chip::with_memory(Part::GD25Q32, memory)));
        Self { spi, now: Ticks(0) }
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.now = self.now + Ticks::PER_MICROSECOND;
        self.spi.advance(self.now);
        self.spi.write(offset, value, self.now).expect("a known register");
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.now = self.now + Ticks::PER_MICROSECOND;
        self.spi.advance(self.now);
        self.spi.read(offset, self.now).expect("a known register")
    }

    fn fixed(&mut self, bit: u32) {
        self.write(CMD, bit);
        assert_eq!(self.read(CMD), 0);
    }

    fn status(&mut self) -> u32 {
        self.fixed(CMD_RDSR);
        self.read(RD_STATUS)
    }

    /// Polls until the chip is ready; the time that took.
    fn wait_ready(&mut self) -> Duration {
        let start = self.now;
        while self.status() & 1 != 0 {
            self.now = self.spi.next_event().expect("a busy chip says until when");
        }
        Ticks(self.now - start).duration()
    }

    /// A free transaction that reads up to 64 bytes.
    fn user_read(&mut self, opcode: u8, address: Option<(u32, u32)>, bytes: u32) -> [u8; BUFFER] {
        let phases = USER_COMMAND | USER_MISO;
        let addressed = if address.is_some() { USER_ADDR | 1 << 29 } else { 0 };
        self.write(USER, phases | addressed);
        self.write(USER2, 7 << 28 | u32::from(opcode));
        if let Some((value, bits)) = address {
            self.write(USER1, (bits - 1) << 26 | 7);
            self.write(ADDR, value);
        }
        self.write(MISO_DLEN, bytes * 8 - 1);
        self.write(CMD, CMD_USR);
        self.spi.buffer()
    }
}

#[test]
fn identification_by_fixed_and_free_command() {
    let mut bench = Bench::new();
    bench.fixed(CMD_RDID);
    assert_eq!(bench.read(W0), 0x0016_40C8);
    assert_eq!(bench.user_read(0x9F, None, 3)[..3], [0xC8, 0x40, 0x16]);
    // The bootloader looks for XMC's number in the parameters.
    assert_eq!(bench.user_read(0x5A, Some((0x10, 24)), 1)[0], 0xC8);
    bench.fixed(CMD_RES);
    assert_eq!(bench.read(W0) & 0xFF, 0x15);
}

#[test]
fn the_rom_writes_in_chunks_of_32_bytes() {
    let mut bench = Bench::new();
    bench.fixed(CMD_WREN);
    bench.write(ADDR, 0x0000_1234);
    bench.fixed(CMD_SE);
    assert_eq!(bench.status() & 3, 3, "busy and write enabled");
    let busy = bench.wait_ready();
    assert!(Duration::from_millis(50).abs_diff(busy) < Duration::from_micros(50), "{busy:?}");
    assert_eq!(bench.spi.flash_mut().take_changed(), Some(0x1000..0x2000));
    for chunk in 0..2 {
        for word in 0..8 {
            bench.write(W0 + 4 * word, 0x0101_0101 * (chunk * 8 + word));
        }
        bench.fixed(CMD_WREN);
        bench.write(ADDR, 32 << 24 | (0x1000 + chunk * 32));
        bench.fixed(CMD_PP);
        assert_eq!(bench.status() & 1, 1);
        bench.wait_ready();
    }
    let expected: Vec<u8> = (0..16).flat_map(|byte| [byte; 4]).collect();
    assert_eq!(bench.spi.flash().memory().to_vec(0x1000..0x1040), expected);
    // The fixed read has its length where the fixed program has it.
    bench.write(ADDR, 8 << 24 | 0x101C);
    bench.fixed(CMD_READ);
    assert_eq!([bench.read(W0), bench.read(W0 + 4)], [0x0707_0707, 0x0808_0808]);
}

#[test]
fn free_program_and_erases() {
    let mut bench = Bench::new();
    bench.fixed(CMD_WREN);
    bench.write(USER, USER_COMMAND | USER_ADDR | USER_MOSI | USER_MOSI_HIGHPART);
    bench.write(USER1, 23 << 26);
    bench.write(USER2, 7 << 28 | 0x02);
    bench.write(ADDR, 0x2_0000);
    bench.write(MOSI_DLEN, 5 * 8 - 1);
    bench.write(W0, 0x5555_5555);
    bench.write(W0 + 32, 0x4433_2211);
    bench.write(W0 + 36, 0x7766_5500);
    bench.fixed(CMD_USR);
    bench.wait_ready();
    assert_eq!(bench.spi.flash().memory().word(0x2_0000), 0x4433_2211);
    assert_eq!(bench.spi.flash().memory().word(0x2_0004), 0xFFFF_FF00);
    for (bit, busy) in [(CMD_BE, 250), (CMD_CE, 15_000)] {
        bench.fixed(CMD_WREN);
        bench.fixed(bit);
        let took = bench.wait_ready().as_millis();
        assert_eq!(took, busy);
    }
    assert_eq!(bench.spi.flash().memory(), &Memory::erased(Part::GD25Q32.capacity));
}

#[test]
fn reads_drop_mode_bits() {
    let mut bench = Bench::new();
    assert_eq!(bench.user_read(0x03, Some((0x10, 24)), 4)[..4], [0x10, 0x11, 0x12, 0x13]);
    assert_eq!(bench.user_read(0xBB, Some((0x20, 24)), 4)[..4], [0x20, 0x21, 0x22, 0x23]);
    assert_eq!(bench.user_read(0xBB, Some((0x30_A0, 32)), 4)[..4], [0x30, 0x31, 0x32, 0x33]);
    let whole = bench.user_read(0x0B, Some((0x40, 24)), 64);
    assert_eq!(whole.to_vec(), (0x40..0x80).collect::<Vec<u8>>());
    // The upper half alone.
    bench.write(USER, bench.spi.registers.get(USER) | USER_MISO_HIGHPART);
    bench.write(MISO_DLEN, 31);
    bench.write(CMD, CMD_USR);
    assert_eq!(bench.spi.buffer()[32..38], [0x40, 0x41, 0x42, 0x43, 0x64, 0x65]);
    assert_eq!(bench.spi.buffer()[..2], [0x40, 0x41]);
}

#[test]
fn quad_boot_sets_the_enable_bit_first() {
    let mut bench = Bench::new();
    assert_eq!(bench.user_read(0xEB, Some((0x1000, 32)), 1)[0], 0xFF);
    assert_eq!(bench.user_read(0x35, None, 1)[0], 0x00);
    bench.fixed(CMD_WREN);
    bench.write(RD_STATUS, 0x0200);
    bench.write(CTRL, CTRL_RESET | CTRL_WRSR_2B);
    bench.fixed(CMD_WRSR);
    assert_eq!(bench.user_read(0x35, None, 1)[0], 0x02);
    assert_eq!(bench.status() & 0xFF, 0, "the write took the latch back");
    assert_eq!(bench.user_read(0xEB, Some((0x1000, 32)), 1)[0], 0x10);
    // One byte leaves the second register alone.
    bench.fixed(CMD_WREN);
    bench.write(CTRL, CTRL_RESET);
    bench.write(RD_STATUS, 0);
    bench.fixed(CMD_WRSR);
    assert_eq!(bench.user_read(0x35, None, 1)[0], 0x02);
}

#[test]
fn the_controller_suspends_and_resumes() {
    let mut bench = Bench::new();
    bench.fixed(CMD_WREN);
    bench.write(ADDR, 0x8000);
    bench.fixed(CMD_SE);
    bench.write(FLASH_SUS_CTRL, SUS_SUSPEND);
    assert_eq!(bench.status() & 1, 0);
    assert_eq!(bench.user_read(0x35, None, 1)[0] & 0x80, 0x80);
    assert_eq!(bench.user_read(0x03, Some((4, 24)), 1)[0], 4);
    bench.write(FLASH_SUS_CTRL, SUS_RESUME);
    assert_eq!(bench.status() & 1, 1);
    assert_eq!(bench.read(FLASH_SUS_CTRL), 0);
}

#[test]
fn a_chip_reset_leaves_the_flash_working() {
    let mut bench = Bench::new();
    bench.fixed(CMD_WREN);
    bench.write(ADDR, 0);
    bench.fixed(CMD_SE);
    bench.spi.reset(ResetCause::RtcWatchdogChip, bench.now);
    assert_eq!(bench.read(ADDR), 0);
    assert_eq!(bench.spi.flash().memory().word(0), 0x0302_0100);
    bench.wait_ready();
    assert_eq!(bench.spi.flash().memory().word(0), u32::MAX);
}

#[test]
fn unknown_registers_stay_unknown() {
    let mut bench = Bench::new();
    assert_eq!(bench.spi.read(0x50, bench.now), None);
    assert_eq!(bench.spi.write(0x50, 1, bench.now), None);
}
