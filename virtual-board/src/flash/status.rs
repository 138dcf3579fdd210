//! The three status registers of the chip.

use sim::flash::{Part, Status};

/// Status register 2: the quad pins carry data.
const QUAD_ENABLE: u8 = 1 << 1;
/// Bits that software can write, per register; the rest is reserved or shows the chip's state.
const WRITABLE: [u8; 3] = [0xFC, 0x7B, 0x64];
/// JEDEC manufacturer of the parts that leave the factory with quad I/O enabled.
const WINBOND: u8 = 0xEF;

/// Status registers 1, 2 and 3, with the layout that all parts of [`Part::ALL`] share (Winbond
/// W25Q32JV datasheet, "Status Registers").
///
/// The block protection bits are storage: they protect nothing.
#[derive(Clone, Debug)]
pub(super) struct StatusRegisters {
    /// What power-on and software reset load.
    stored: [u8; 3],
    active: [u8; 3],
}

impl StatusRegisters {
    pub(super) fn new(part: &Part) -> Self {
        let quad = if part.jedec_id[0] == WINBOND { QUAD_ENABLE } else { 0 };
        // Output driver strength 25 %, the factory setting.
        let stored = [0, quad, 0x60];
        Self { stored, active: stored }
    }

    /// Register `index` (0 is status register 1), with the bits that show the chip's state.
    pub(super) fn read(&self, index: usize, chip: Status) -> u8 {
        let state = match index {
            0 => u8::from(chip.busy) | u8::from(chip.write_enabled) << 1,
            1 => u8::from(chip.suspended) << 7,
            _ => 0,
        };
        self.active[index] | state
    }

    /// Writes registers from `index` on; `keep` makes the values last over a power cycle.
    pub(super) fn write(&mut self, index: usize, values: &[u8], keep: bool) {
        let registers = WRITABLE.iter().zip(&mut self.active).zip(&mut self.stored).skip(index);
        for (((mask, active), stored), value) in registers.zip(values) {
            *active = (*active & !mask) | (value & mask);
            if keep {
                *stored = *active;
            }
        }
    }

    /// Power-on or software reset.
    pub(super) fn reload(&mut self) {
        self.active = self.stored;
    }

    pub(super) fn quad_enabled(&self) -> bool {
        self.active[1] & QUAD_ENABLE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatile_values_go_with_the_power() {
        let mut status = StatusRegisters::new(&Part::GD25Q32);
        let idle = Status::default();
        status.write(1, &[QUAD_ENABLE], false);
        assert!(status.quad_enabled());
        status.reload();
        assert!(!status.quad_enabled());
        status.write(0, &[0x1C, QUAD_ENABLE], true);
        status.reload();
        assert_eq!([0, 1, 2].map(|index| status.read(index, idle)), [0x1C, 0x02, 0x60]);
    }

    #[test]
    fn state_bits_cannot_be_written() {
        let mut status = StatusRegisters::new(&Part::W25Q32JV);
        status.write(0, &[0xFF, 0xFF], true);
        assert_eq!(status.read(0, Status::default()), 0xFC);
        assert_eq!(status.read(1, Status::default()), 0x7B);
        let chip = Status { busy: true, write_enabled: true, suspended: true, failed: false };
        assert_eq!([status.read(0, chip), status.read(1, chip)], [0xFF, 0xFB]);
    }
}
