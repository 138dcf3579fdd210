//! Blocks that are storage: software sets them up and does not wait for what they do.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

/// Bits of a register that always read the same.
struct Fixed {
    address: u32,
    /// Bits that read 1.
    ones: u32,
    /// Bits that read 0.
    zeroes: u32,
}

const FIXED: [Fixed; 6] = [
    // SPI0 is idle whenever software looks.
    Fixed { address: 0x6000_3054, ones: 0, zeroes: u32::MAX },
    // The analog bus is never busy, and its calibrations are done.
    Fixed { address: 0x6000_E000, ones: 0, zeroes: 1 << 25 },
    Fixed { address: 0x6000_E004, ones: 0, zeroes: 1 << 25 },
    Fixed { address: 0x6000_E040, ones: 1 << 24, zeroes: 0 },
    Fixed { address: 0x6000_E044, ones: 1 << 24, zeroes: 0 },
    // No program counter was recorded.
    Fixed { address: 0x600C_E048, ones: 0, zeroes: u32::MAX },
];

/// Size of the address range of a block.
const BLOCK_SIZE: u32 = 0x1000;

/// All blocks of plain registers. The offset of a register is its address.
///
/// Registers and reset values are those of ESP-IDF, `components/soc/esp32c3/register/soc`, and of the
/// register crate `esp32c3`.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    /// Blocks with their addresses, in their order.
    blocks: Vec<(u32, Registers)>,
}

impl Storage {
    /// The blocks after power-on.
    pub(crate) fn new() -> Self {
        let one = |offset| Registers::new(&[(offset, 0)]);
        let blocks = vec![
            (0x6000_3000, spi0()),
            // FE2 and FE, the radio's front end.
            (0x6000_5000, one(0xF0)),
            (0x6000_6000, one(0x90)),
            // IO_MUX.
            (0x6000_9000, Registers::new(&[(0x00, 0x7FF), (0xFC, 0)]).with_array(0x04, 22, 0xB00)),
            // The master of the internal bus to the analog blocks. What is behind it does not exist.
            (0x6000_E000, Registers::new(&[]).with_array(0x00, 0x4C / 4, 0)),
            // NRX and BB, the radio's receiver and baseband.
            (0x6001_C000, one(0xCD4)),
            (0x6001_D000, one(0x54)),
            (0x6002_4000, spi2()),
            (0x6004_0000, apb_saradc()),
            (0x600C_1000, sensitive()),
            // ASSIST_DEBUG, which watches nothing.
            (0x600C_E000, Registers::new(&[(0x1FC, 0)]).with_array(0x00, 0x9C / 4, 0)),
        ];
        Self { blocks }
    }

    /// The block of a register, and the register's offset there.
    fn block(&mut self, address: u32) -> Option<(&mut Registers, u32)> {
        let offset = address % BLOCK_SIZE;
        let base = address - offset;
        let index = self.blocks.binary_search_by_key(&base, |&(base, _)| base).ok()?;
        Some((&mut self.blocks[index].1, offset))
    }
}

/// SPI0, which reads flash for the cache.
fn spi0() -> Registers {
    Registers::new(&[(0x08, 0x002C_2000), (0x0C, 0), (0x10, 0x21), (0x14, 0x0003_0103), (0x18, 0)])
        .with(&[(0x1C, 0x5C00_0007), (0x20, 0x7000_0000), (0x24, 0), (0x28, 0), (0x2C, 0)])
        .with(&[(0x34, 0), (0x3C, 0)])
        .with(&[(0x54, 0), (0xA8, 1), (0xAC, 0), (0xB0, 0), (0xB4, 0), (0xDC, 1), (0xE0, 0)])
        .with(&[(0x3FC, 0)])
}

/// SPI2, with nothing connected.
fn spi2() -> Registers {
    Registers::new(&[(0x00, 0), (0x04, 0), (0x08, 0x003C_0000), (0x0C, 0x8000_3043)])
        .with(&[(0x10, 0x8000_00C0), (0x14, 0xB841_0007), (0x18, 0x7800_0000), (0x1C, 0)])
        .with(&[(0x20, 0x3E), (0x24, 0), (0x28, 0), (0xE0, 0x0280_0000), (0xE4, 0), (0xE8, 0)])
        .with(&[(0xF0, 0)])
        .with_array(0x2C, 6, 0)
        .with_array(0x98, 16, 0)
}

/// The controller of the analog-digital converters. They convert nothing.
fn apb_saradc() -> Registers {
    Registers::new(&[])
        .with_array(0x00, 0x64 / 4, 0)
        .with(&[(0x00, 0x4003_8240), (0x04, 0xA1FE), (0x0C, 0x00FF_0808), (0x20, 0x1A00_0000)])
        .with(&[(0x24, 0x900), (0x28, 0x0374_0000), (0x34, 0x003F_FFED), (0x38, 0x003F_FFED)])
        .with(&[(0x50, 0xFF), (0x54, 4), (0x58, 0x0001_8000), (0x5C, 0x4002), (0x60, 0x8000)])
        .with(&[(0x3FC, 0)])
}

/// Permission control. Permissions are not enforced.
fn sensitive() -> Registers {
    Registers::new(&[])
        .with_array(0x00, 0x150 / 4, 0)
        .with(&[(0x14, 1), (0x1C, 0xF), (0x2C, 0xF), (0x34, 3), (0x60, 3), (0x94, 3), (0xA8, 3)])
        .with(&[(0x88, 0x001C_7FFF), (0x8C, 0x001C_7FFF), (0xA0, 0x0F0F_F0FF)])
        .with(&[(0xB8, 0xCF0F_FFFF), (0xBC, 0xFCC3_0CF3), (0xC0, 0x3CC0_CC33)])
        .with(&[(0xC4, 0xFFFF_F3FC), (0xC8, 0xCF0F_FFFF), (0xCC, 0xFCC3_0CF3)])
        .with(&[(0xD0, 0x3CC0_CC33), (0xD4, 0xFFFF_F3FC), (0xD8, 0x003F_FFFF), (0xDC, 0xFFF)])
        .with(&[(0xE4, 0x3FFF), (0xE8, 0x3FFF), (0x110, 3), (0x11C, 3), (0x12C, 0xCF0F_FFFF)])
        .with(&[(0x130, 0xFCC3_0CF3), (0x134, 0x3CC0_CC33), (0x138, 0xF3FC), (0x140, 3)])
        .with(&[(0x14C, 1), (0xFD8, 0)])
}

impl Peripheral for Storage {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        let (registers, register) = self.block(offset)?;
        let value = registers.read(register)?;
        Some(match FIXED.iter().find(|fixed| fixed.address == offset) {
            Some(fixed) => (value | fixed.ones) & !fixed.zeroes,
            None => value,
        })
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        let (registers, register) = self.block(offset)?;
        registers.write(register, value)
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.blocks.iter_mut().for_each(|(_, registers)| registers.reset());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);

    #[test]
    fn keeps_what_was_written_until_a_digital_reset() {
        let mut storage = Storage::new();
        storage.write(0x600C_10B8, 1, NOW).expect("known");
        storage.reset(ResetCause::SoftwareCpu, NOW);
        assert_eq!(storage.read(0x600C_10B8, NOW), Some(1));
        storage.reset(ResetCause::Software, NOW);
        assert_eq!(storage.read(0x600C_10B8, NOW), Some(0xCF0F_FFFF));
        for unknown in [0x600C_1150, 0x6000_A000, 0x6000_50F4, 0] {
            assert_eq!(storage.read(unknown, NOW), None);
            assert_eq!(storage.write(unknown, 0, NOW), None);
        }
    }

    #[test]
    fn every_block_is_found() {
        let mut storage = Storage::new();
        assert!(storage.blocks.is_sorted_by_key(|&(base, _)| base));
        for address in [
            0x6000_3008,
            0x6000_50F0,
            0x6000_6090,
            0x6000_9004,
            0x6000_E044,
            0x6001_CCD4,
            0x6001_D054,
            0x6002_4008,
            0x6004_0000,
            0x600C_1014,
            0x600C_E000,
        ] {
            assert!(storage.read(address, NOW).is_some(), "{address:#x}");
        }
    }

    #[test]
    fn nobody_has_to_wait() {
        let mut storage = Storage::new();
        storage.write(0x6000_E000, 1 << 25 | 0x6B_04_66, NOW).expect("known");
        assert_eq!(storage.read(0x6000_E000, NOW), Some(0x6B_04_66));
        assert_eq!(storage.read(0x6000_E040, NOW), Some(1 << 24));
        storage.write(0x6000_3054, 0x200, NOW).expect("known");
        assert_eq!(storage.read(0x6000_3054, NOW), Some(0));
    }

    #[test]
    fn nothing_was_recorded_before_power_on() {
        let mut storage = Storage::new();
        storage.write(0x600C_E044, 1, NOW).expect("known");
        storage.write(0x600C_E048, 1, NOW).expect("known");
        assert_eq!(storage.read(0x600C_E048, NOW), Some(0));
        // The ROM's download loop takes this value for an SPI host.
        assert_ne!(storage.read(0x6002_40A4, NOW), Some(0xA5));
    }
}
