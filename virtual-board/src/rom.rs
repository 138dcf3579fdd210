//! The mask ROM, from the ELF files that the `espflash` crate carries.

use std::sync::Arc;

use espflash::flasher::{DeviceInfo, FlashSize};
use espflash::target::{Chip, XtalFrequency};
use object::{Object, ObjectSection, ObjectSymbol};

/// Size of the ROM in bytes.
pub(crate) const SIZE: usize = 384 * 1024;
/// Start of the ROM on the instruction bus.
const INSTRUCTION_BUS: u64 = 0x4000_0000;
/// Where the part of the ROM that the data bus sees starts.
const DATA_BUS: u64 = 0x3FF0_0000;
/// ROM offset of that part.
const DATA_OFFSET: u64 = 0x4_0000;
/// Size of that part.
const DATA_SIZE: u64 = 0x2_0000;

/// A mask ROM that chips were made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RomRevision {
    /// The first, of September 2020: chip revisions below 0.3.
    Rev0,
    /// Of February 2021: chip revisions from 0.3. Nearly all chips have it.
    #[default]
    Rev3,
    /// Of July 2023: chip revision 1.1.
    Rev101,
}

/// A ROM and where things are in it.
#[derive(Debug)]
pub(crate) struct Rom {
    /// The contents.
    pub(crate) bytes: Box<[u8]>,
    /// The ELF file.
    pub(crate) elf: Vec<u8>,
}

/// Why there is no ROM.
#[derive(Debug, thiserror::Error)]
pub enum RomError {
    /// This version of `espflash` carries none.
    #[error("espflash carries no ROM file for this chip revision")]
    Missing,
    /// The ELF file can't be read.
    #[error("ROM file: {0}")]
    Elf(#[from] object::Error),
    /// A section lies outside the ROM.
    #[error("ROM file: section {name} at {address:#x} lies outside the ROM")]
    Section {
        /// Its name.
        name: String,
        /// Where it would go.
        address: u64,
    },
    /// The table of initial data is not where its symbols should be.
    #[error("ROM file: no table of initial data")]
    DataTable,
}

impl RomRevision {
    /// The number by which `espflash` chooses the file: 100 x major + minor revision of the chip. It
    /// takes the ROM of revision 0.3 for revision 3.0 and up.
    fn selector(self) -> (u32, u32) {
        match self {
            Self::Rev0 => (0, 0),
            Self::Rev3 => (3, 0),
            Self::Rev101 => (1, 1),
        }
    }
}

impl Rom {
    /// Takes the ROM from `espflash`.
    ///
    /// # Errors
    /// When the file is not there or not what it should be.
    pub(crate) fn load(revision: RomRevision) -> Result<Arc<Self>, RomError> {
        let info = DeviceInfo {
            chip: Chip::Esp32c3,
            revision: Some(revision.selector()),
            crystal_frequency: XtalFrequency::_40Mhz,
            flash_size: FlashSize::_4Mb,
            features: Vec::new(),
            mac_address: None,
        };
        let elf = info.rom().ok_or(RomError::Missing)?;
        let bytes = contents(&elf)?;
        Ok(Arc::new(Self { bytes, elf }))
    }
}

/// What stands in the ROM.
///
/// Code and constants have their address in the ELF file. Initial data has the address in SRAM to which
/// the ROM's start-up code copies it; where it stands in the ROM says the table of that code, with
/// entries of four words: start and end in SRAM, source in the ROM, unused.
fn contents(elf: &[u8]) -> Result<Box<[u8]>, RomError> {
    let file = object::File::parse(elf)?;
    let symbol =
        |name: &str| file.symbols().find(|it| it.name() == Ok(name)).map(|it| it.address());
    let mut rom = vec![0; SIZE];
    let mut initial = Vec::new();
    for section in file.sections() {
        // Sections without contents (zeroed data, debug information) have no place in the ROM.
        let data = section.data()?;
        let address = section.address();
        if data.is_empty() || address == 0 {
            continue;
        }
        match rom_offset(address) {
            Some(offset) => {
                let name = || section.name().unwrap_or_default().to_owned();
                let target = rom.get_mut(offset..offset + data.len());
                let target = target.ok_or_else(|| RomError::Section { name: name(), address })?;
                target.copy_from_slice(data);
            }
            None => initial.push((address, data)),
        }
    }
    let (Some(start), Some(end)) = (symbol("_data_start"), symbol("_data_end")) else {
        return Err(RomError::DataTable);
    };
    let table = rom_offset(start).zip(rom_offset(end)).and_then(|(start, end)| rom.get(start..end));
    let table = table.ok_or(RomError::DataTable)?.to_vec();
    for entry in table.chunks_exact(16) {
        let word = |at: usize| {
            u64::from(u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]))
        };
        let (start, end, source) = (word(0), word(4), word(8));
        for &(address, data) in initial.iter().filter(|(at, _)| (start..end).contains(at)) {
            let target = rom_offset(source + (address - start));
            let target = target.and_then(|offset| rom.get_mut(offset..offset + data.len()));
            target.ok_or(RomError::DataTable)?.copy_from_slice(data);
        }
    }
    Ok(rom.into_boxed_slice())
}

/// The offset in the ROM of an address on either bus.
fn rom_offset(address: u64) -> Option<usize> {
    let offset = match address {
        _ if (INSTRUCTION_BUS..INSTRUCTION_BUS + SIZE as u64).contains(&address) => {
            address - INSTRUCTION_BUS
        }
        _ if (DATA_BUS..DATA_BUS + DATA_SIZE).contains(&address) => {
            address - DATA_BUS + DATA_OFFSET
        }
        _ => return None,
    };
    Some(offset as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_revision_has_chip_id_and_start_up_code() {
        for (revision, number) in
            [(RomRevision::Rev0, 0), (RomRevision::Rev3, 3), (RomRevision::Rev101, 101)]
        {
            let rom = Rom::load(revision).unwrap();
            assert_eq!(rom.bytes.len(), SIZE);
            assert_eq!(rom.bytes[0x10], 5, "chip id in {revision:?}");
            // A jump: opcode 1101111.
            assert_eq!(rom.bytes[0] & 0x7F, 0x6F, "reset vector in {revision:?}");
            assert!(
                number == 101 || u32::from(rom.bytes[0x14]) == number,
                "{revision:?}: {}",
                rom.bytes[0x14]
            );
        }
    }
}
