//! Where software asks the mask ROM for flash operations.

use super::Call;
use crate::board::{Operation, OperationKind};
use crate::scenario::ChipName;

/// What the functions count in, in bytes.
const SECTOR: u32 = 4096;
const BLOCK: u32 = 64 * 1024;

/// Addresses of the mask ROM's functions `esp_rom_spiflash_erase_block`, `_erase_sector` and `_write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Routines {
    erase_block: u32,
    erase_sector: u32,
    write: u32,
}

impl Routines {
    /// Those of that chip, in all its revisions (ESP-IDF, `esp_rom/CHIP/ld/CHIP.rom.ld`). `None` for Xtensa:
    /// there, arguments are in other registers for each kind of call.
    pub(super) fn of(chip: ChipName) -> Option<Self> {
        let (erase_block, erase_sector, write) = match chip {
            ChipName::Esp32c3 => (0x4000_0124, 0x4000_0128, 0x4000_012C),
            ChipName::Esp32c6 => (0x4000_0148, 0x4000_0144, 0x4000_014C),
            ChipName::Esp32h2 => (0x4000_0140, 0x4000_013C, 0x4000_0144),
            ChipName::Esp32 | ChipName::Esp32s3 => return None,
        };
        Some(Self { erase_block, erase_sector, write })
    }

    /// The places to stop at.
    pub(super) fn addresses(&self) -> [u32; 3] {
        [self.erase_block, self.erase_sector, self.write]
    }

    /// The operation that this call asks for, if it is one of these functions.
    pub(super) fn operation(&self, call: &Call) -> Option<Operation> {
        let [first, _, third] = call.arguments;
        let (kind, address, length) = match call.function {
            it if it == self.erase_block => {
                (OperationKind::Erase, first.wrapping_mul(BLOCK), BLOCK)
            }
            it if it == self.erase_sector => {
                (OperationKind::Erase, first.wrapping_mul(SECTOR), SECTOR)
            }
            it if it == self.write => (OperationKind::Write, first, third),
            _ => return None,
        };
        Some(Operation { kind, address, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_numbers_of_blocks_or_sectors_or_bytes() {
        let routines = Routines::of(ChipName::Esp32c6).unwrap();
        for (function, first, third, expected) in [
            (0x4000_0144, 0x110, 7, "erase of 4096 bytes at 0x110000"),
            (0x4000_0148, 0x11, 7, "erase of 65536 bytes at 0x110000"),
            (0x4000_014C, 0xD000, 28, "write of 28 bytes at 0xd000"),
            // Nonsense from a firmware is no reason to fail.
            (0x4000_0144, u32::MAX, 0, "erase of 4096 bytes at 0xfffff000"),
        ] {
            let call = Call { function, returns: 0, arguments: [first, 0, third] };
            assert_eq!(routines.operation(&call).unwrap().to_string(), expected);
        }
        let elsewhere = Call { function: 0x4000_0000, returns: 0, arguments: [0; 3] };
        assert_eq!(routines.operation(&elsewhere), None);
    }

    #[test]
    fn all_fit_into_the_triggers_of_a_chip() {
        // The return of an operation is one more; the C6 and the H2 have four triggers.
        for chip in [ChipName::Esp32c3, ChipName::Esp32c6, ChipName::Esp32h2] {
            assert!(Routines::of(chip).unwrap().addresses().len() < 4, "{chip:?}");
        }
        assert_eq!(Routines::of(ChipName::Esp32s3), None);
    }
}
