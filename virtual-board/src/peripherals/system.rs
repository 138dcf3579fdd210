//! SYSTEM: the CPU clock, clock and reset gates of the devices, software interrupts.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const CPU_PER_CONF: u32 = 0x08;
const CPU_INTR_FROM_CPU: u32 = 0x28;
const SYSCLK_CONF: u32 = 0x58;

/// Software interrupts, from this source number on.
const FIRST_SOFTWARE_SOURCE: u32 = 50;
const SOFTWARE_INTERRUPTS: u32 = 4;

/// Bits of `SYSCLK_CONF` that software can write: the divider and the clock source.
const SYSCLK_WRITABLE: u32 = 0xFFF;
const CRYSTAL_MHZ: u32 = 40;

/// Ticks of the 40 MHz crystal.
const CRYSTAL_TICKS: u64 = Ticks::PER_SECOND / 40_000_000;
/// Ticks of the internal oscillator of 17.5 MHz, rounded.
const FAST_RC_TICKS: u64 = (Ticks::PER_SECOND + 8_750_000) / 17_500_000;
const PLL_80_MHZ_TICKS: u64 = Ticks::PER_SECOND / 80_000_000;
const PLL_160_MHZ_TICKS: u64 = Ticks::PER_SECOND / 160_000_000;

/// The SYSTEM block at `0x600C_0000` (ESP-IDF, `system_reg.h`).
///
/// Clock and reset gates of the devices are storage: a device answers with its clock off as well, and
/// its registers survive its own reset bit.
#[derive(Clone, Debug)]
pub(crate) struct System {
    registers: Registers,
}

impl System {
    /// The block after power-on: the CPU runs from the crystal.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(&[])
            .with_array(0x00, 0x9C / 4, 0)
            .with(&[(0x04, 0xC0), (CPU_PER_CONF, 0x0C), (0x0C, 1), (0x10, 0xF9C1_E06F)])
            .with(&[(0x14, 0x200), (0x1C, 0x1FE), (0x20, 0xFF), (0x24, 0x0200_1001), (0x38, 1)])
            .with(&[(0x3C, 1), (0x40, 5), (0x48, 0x7FF0_0000), (0x54, 1)])
            .with(&[(SYSCLK_CONF, CRYSTAL_MHZ << 12 | 1), (0x5C, 3), (0x60, 3), (0x64, 3)])
            .with(&[(0x68, 3), (0xFFC, 0)]);
        Self { registers }
    }

    /// Length of a CPU clock cycle.
    pub(crate) fn cpu_ticks_per_cycle(&self) -> u64 {
        let sysclk = self.registers.get(SYSCLK_CONF);
        let divider = u64::from(sysclk & 0x3FF) + 1;
        match sysclk >> 10 & 3 {
            0 => CRYSTAL_TICKS * divider,
            1 if self.registers.get(CPU_PER_CONF) & 3 == 0 => PLL_80_MHZ_TICKS,
            1 => PLL_160_MHZ_TICKS,
            _ => FAST_RC_TICKS * divider,
        }
    }
}

impl Peripheral for System {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        self.registers.read(offset)
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        let value = match offset {
            SYSCLK_CONF => value & SYSCLK_WRITABLE | CRYSTAL_MHZ << 12,
            _ => value,
        };
        self.registers.write(offset, value)
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
        }
    }

    fn interrupts(&self) -> u64 {
        (0..SOFTWARE_INTERRUPTS)
            .filter(|index| self.registers.get(CPU_INTR_FROM_CPU + 4 * index) & 1 != 0)
            .fold(0, |sources, index| sources | 1 << (FIRST_SOFTWARE_SOURCE + index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);

    #[test]
    fn the_clock_follows_source_and_divider() {
        let mut system = System::new();
        assert_eq!(system.cpu_ticks_per_cycle(), 24, "crystal by 2, as reset leaves it");
        for (sysclk, per_conf, ticks) in [
            (0x000, 0x0C, 12),
            (0x001, 0x0C, 24),
            (0x003, 0x0C, 48),
            (0x400, 0x04, 6),
            (0x400, 0x05, 3),
            (0x401, 0x05, 3),
            (0x800, 0x05, 27),
            (0x801, 0x05, 54),
        ] {
            system.write(SYSCLK_CONF, sysclk, NOW).expect("known");
            system.write(CPU_PER_CONF, per_conf, NOW).expect("known");
            assert_eq!(system.cpu_ticks_per_cycle(), ticks, "{sysclk:#x} {per_conf:#x}");
        }
    }

    #[test]
    fn the_crystal_frequency_cannot_be_overwritten() {
        let mut system = System::new();
        assert_eq!(system.read(SYSCLK_CONF, NOW), Some(0x0002_8001));
        system.write(SYSCLK_CONF, 0x400, NOW).expect("known");
        assert_eq!(system.read(SYSCLK_CONF, NOW), Some(0x0002_8400));
    }

    #[test]
    fn software_interrupts_stay_until_cleared() {
        let mut system = System::new();
        assert_eq!(system.interrupts(), 0);
        system.write(CPU_INTR_FROM_CPU, 1, NOW).expect("known");
        system.write(CPU_INTR_FROM_CPU + 12, 1, NOW).expect("known");
        assert_eq!(system.interrupts(), 1 << 50 | 1 << 53);
        system.write(CPU_INTR_FROM_CPU, 0, NOW).expect("known");
        assert_eq!(system.interrupts(), 1 << 53);
        system.reset(ResetCause::RtcWatchdog, NOW);
        assert_eq!(system.interrupts(), 0);
    }
}
