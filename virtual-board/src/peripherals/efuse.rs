//! eFuse: who the chip is.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const RD_WR_DIS: u32 = 0x2C;
const RD_MAC_SYS_0: u32 = 0x44;
const RD_MAC_SYS_1: u32 = 0x48;
const RD_MAC_SYS_3: u32 = 0x50;
const RD_MAC_SYS_5: u32 = 0x58;
const RD_SYS_PART1_4: u32 = 0x6C;
/// Last word of what was read from the fuses, error counts included.
const RD_END: u32 = 0x1C4;
const STATUS: u32 = 0x1D0;
const CMD: u32 = 0x1D4;
const INT_RAW: u32 = 0x1D8;
const INT_ST: u32 = 0x1DC;
const INT_ENA: u32 = 0x1E0;
const INT_CLR: u32 = 0x1E4;

const CMD_READ: u32 = 1 << 0;
const CMD_PROGRAM: u32 = 1 << 1;
const READ_DONE: u32 = 1 << 0;

/// What the factory burns into a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChipIdentity {
    /// Base MAC address, first byte first.
    pub mac: [u8; 6],
    /// Chip revision, major (0 to 3) and minor (0 to 15). The stock bootloader wants 0.3 at least.
    pub revision: (u8, u8),
    /// Version of the eFuse blocks' layout, major (0 to 3) and minor (0 to 7).
    pub block_version: (u8, u8),
}

impl Default for ChipIdentity {
    /// A chip of revision 0.4 with calibration data and an address from Espressif's range.
    fn default() -> Self {
        Self { mac: [0x60, 0x55, 0xF9, 0xC0, 0xFF, 0xEE], revision: (0, 4), block_version: (1, 3) }
    }
}

/// The eFuse block at `0x6000_8800` (ESP-IDF, `esp_efuse_table.csv` of the ESP32-C3).
///
/// Every fuse that the identity does not name is unburnt: a development chip without secure boot and
/// flash encryption. Fuses cannot be burnt.
#[derive(Clone, Debug)]
pub(crate) struct Efuse {
    registers: Registers,
}

impl Efuse {
    /// A chip with this identity.
    pub(crate) fn new(identity: ChipIdentity) -> Self {
        let [mac0, mac1, mac2, mac3, mac4, mac5] = identity.mac;
        let (major, minor) = (u32::from(identity.revision.0), u32::from(identity.revision.1));
        let (block_major, block_minor) =
            (u32::from(identity.block_version.0), u32::from(identity.block_version.1));
        let registers = Registers::new(&[])
            .with_array(0, RD_END / 4 + 1, 0)
            .with(&[
                (RD_MAC_SYS_0, u32::from_be_bytes([mac2, mac3, mac4, mac5])),
                (RD_MAC_SYS_1, u32::from_be_bytes([0, 0, mac0, mac1])),
                (RD_MAC_SYS_3, (minor & 7) << 18 | (block_minor & 7) << 24),
                (RD_MAC_SYS_5, (minor >> 3 & 1) << 23 | (major & 3) << 24),
                (RD_SYS_PART1_4, block_major & 3),
            ])
            .with(&[(0x1C8, 0x02), (0x1CC, 0), (STATUS, 0), (INT_RAW, 0), (INT_ENA, 0)])
            .with(&[(0x1E8, 0x0001_FE1C), (0x1EC, 0x1200_0000), (0x1F0, 0x0028_8000)])
            .with(&[(0x1F4, 0x190), (0x1FC, 0)]);
        Self { registers }
    }
}

impl Peripheral for Efuse {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            CMD | INT_CLR => Some(0),
            INT_ST => Some(self.registers.get(INT_RAW) & self.registers.get(INT_ENA)),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        match offset {
            CMD if value & CMD_PROGRAM != 0 => None,
            CMD => {
                if value & CMD_READ != 0 {
                    self.registers.set(INT_RAW, self.registers.get(INT_RAW) | READ_DONE);
                }
                Some(())
            }
            INT_CLR => {
                self.registers.set(INT_RAW, self.registers.get(INT_RAW) & !value);
                Some(())
            }
            RD_WR_DIS..=RD_END | STATUS | INT_RAW | INT_ST => {
                self.registers.read(offset).map(|_read_only| ())
            }
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
    fn the_identity_is_where_software_looks() {
        let mut efuse = Efuse::new(ChipIdentity {
            mac: [1, 2, 3, 4, 5, 6],
            revision: (0, 4),
            block_version: (1, 3),
        });
        assert_eq!(efuse.read(RD_MAC_SYS_0, NOW), Some(0x0304_0506));
        assert_eq!(efuse.read(RD_MAC_SYS_1, NOW), Some(0x0102));
        assert_eq!(efuse.read(RD_MAC_SYS_3, NOW), Some(0x0310_0000));
        assert_eq!(efuse.read(RD_MAC_SYS_5, NOW), Some(0));
        assert_eq!(efuse.read(RD_SYS_PART1_4, NOW), Some(1));

        let mut efuse = Efuse::new(ChipIdentity { revision: (1, 11), ..ChipIdentity::default() });
        assert_eq!(efuse.read(RD_MAC_SYS_3, NOW), Some(0x030C_0000));
        assert_eq!(efuse.read(RD_MAC_SYS_5, NOW), Some(0x0180_0000));
    }

    #[test]
    fn fuses_are_read_only_and_cannot_be_burnt() {
        let mut efuse = Efuse::new(ChipIdentity::default());
        let before = efuse.read(RD_MAC_SYS_3, NOW);
        efuse.write(RD_MAC_SYS_3, 0, NOW).expect("known");
        assert_eq!(efuse.read(RD_MAC_SYS_3, NOW), before);
        assert_eq!(efuse.write(CMD, CMD_PROGRAM, NOW), None);
        efuse.reset(ResetCause::PowerOn, NOW);
        assert_eq!(efuse.read(RD_MAC_SYS_3, NOW), before);
    }

    #[test]
    fn a_read_command_finishes_at_once() {
        let mut efuse = Efuse::new(ChipIdentity::default());
        efuse.write(INT_ENA, READ_DONE, NOW).expect("known");
        efuse.write(CMD, CMD_READ, NOW).expect("known");
        assert_eq!(efuse.read(CMD, NOW), Some(0));
        assert_eq!(efuse.read(STATUS, NOW), Some(0));
        assert_eq!(efuse.read(INT_ST, NOW), Some(READ_DONE));
        efuse.write(INT_CLR, READ_DONE, NOW).expect("known");
        assert_eq!(efuse.read(INT_ST, NOW), Some(0));
    }
}
