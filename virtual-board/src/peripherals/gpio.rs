//! GPIO: the boot straps, levels of the pins, and pin routing as storage.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const OUT: u32 = 0x04;
const OUT_W1TS: u32 = 0x08;
const OUT_W1TC: u32 = 0x0C;
const ENABLE: u32 = 0x20;
const ENABLE_W1TS: u32 = 0x24;
const ENABLE_W1TC: u32 = 0x28;
const STRAP: u32 = 0x38;
const IN: u32 = 0x3C;
const STATUS: u32 = 0x44;
const STATUS_W1TS: u32 = 0x48;
const STATUS_W1TC: u32 = 0x4C;

/// The GPIO block at `0x6000_4000` (ESP-IDF, `gpio_reg.h`).
#[derive(Clone, Debug)]
pub(crate) struct Gpio {
    registers: Registers,
    strap: u32,
}

impl Gpio {
    /// A block with the given levels at the strapping pins: bit 3 for GPIO9, bit 2 for GPIO8.
    pub(crate) fn new(strap: u32) -> Self {
        let registers = Registers::new(&[(0x00, 0), (OUT, 0), (0x1C, 0), (ENABLE, 0), (STATUS, 0)])
            .with(&[(0x5C, 0), (0x60, 0), (0x64, 0), (0x14C, 0), (0x62C, 1), (0x6FC, 0)])
            .with_array(0x74, 26, 0)
            .with_array(0x154, 128, 0)
            .with_array(0x554, 26, 0x80);
        Self { registers, strap }
    }

    /// Sets the levels at the strapping pins. A chip shows them as they were at its last reset, so the
    /// board calls this together with a reset alone.
    pub(crate) fn set_strap(&mut self, strap: u32) {
        self.strap = strap;
    }

    /// Levels at the pins: what the chip drives where it drives, and the straps elsewhere.
    fn levels(&self) -> u32 {
        let driven = self.registers.get(ENABLE);
        let outside = (self.strap >> 2 & 3) << 8;
        self.registers.get(OUT) & driven | outside & !driven
    }
}

impl Peripheral for Gpio {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            STRAP => Some(self.strap),
            IN => Some(self.levels()),
            OUT_W1TS | OUT_W1TC | ENABLE_W1TS | ENABLE_W1TC | STATUS_W1TS | STATUS_W1TC => Some(0),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        match offset {
            OUT_W1TS | ENABLE_W1TS | STATUS_W1TS => {
                let register = offset - 4;
                self.registers.write(register, self.registers.read(register)? | value)
            }
            OUT_W1TC | ENABLE_W1TC | STATUS_W1TC => {
                let register = offset - 8;
                self.registers.write(register, self.registers.read(register)? & !value)
            }
            STRAP | IN => Some(()),
            _ => self.registers.write(offset, value),
        }
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);

    #[test]
    fn straps_are_the_boards() {
        let mut gpio = Gpio::new(0xC);
        gpio.write(STRAP, 0, NOW).expect("known");
        assert_eq!(gpio.read(STRAP, NOW), Some(0xC));
        gpio.set_strap(0x4);
        gpio.reset(ResetCause::PowerOn, NOW);
        assert_eq!(gpio.read(STRAP, NOW), Some(0x4));
    }

    #[test]
    fn set_and_clear_registers_change_single_bits() {
        let mut gpio = Gpio::new(0xC);
        for register in [OUT, ENABLE, STATUS] {
            gpio.write(register + 4, 0b110, NOW).expect("known");
            gpio.write(register + 8, 0b010, NOW).expect("known");
            assert_eq!(gpio.read(register, NOW), Some(0b100));
            assert_eq!(gpio.read(register + 4, NOW), Some(0));
        }
    }

    #[test]
    fn pins_show_what_drives_them() {
        let mut gpio = Gpio::new(0x8);
        assert_eq!(gpio.read(IN, NOW), Some(1 << 9));
        gpio.write(ENABLE, 1 << 9 | 1 << 3, NOW).expect("known");
        assert_eq!(gpio.read(IN, NOW), Some(0));
        gpio.write(OUT, 1 << 3 | 1 << 4, NOW).expect("known");
        assert_eq!(gpio.read(IN, NOW), Some(1 << 3));
    }

    #[test]
    fn routing_is_storage() {
        let mut gpio = Gpio::new(0xC);
        assert_eq!(gpio.read(0x554 + 4 * 25, NOW), Some(0x80));
        gpio.write(0x554, 6, NOW).expect("known");
        assert_eq!(gpio.read(0x554, NOW), Some(6));
        assert_eq!(gpio.read(0x554 + 4 * 26, NOW), None);
    }
}
