//! The second-stage bootloader that the `espflash` crate carries.

use espflash::flasher::{FlashData, FlashSettings, FlashSize};
use espflash::image_format::idf::IdfBootloaderFormat;
use espflash::target::{Chip, XtalFrequency};

/// Espressif's second-stage bootloader for a flash chip of 4 MiB as `espflash` 4.7 writes it to the start
/// of flash: ESP-IDF v6.1 with default options, without rollback.
///
/// # Errors
/// When `espflash` has none.
pub fn stock_bootloader() -> Result<Vec<u8>, espflash::Error> {
    let settings = FlashSettings::new(None, Some(FlashSize::_4Mb), None);
    let data = FlashData::new(settings, 0, None, Chip::Esp32c3, XtalFrequency::_40Mhz);
    // espflash hands out its bootloader only together with an application; an empty one will do.
    let format = IdfBootloaderFormat::new(&EMPTY_PROGRAM, &data, None, None, None, None)?;
    Ok(format.flash_segments().next().map(|segment| segment.data().to_vec()).unwrap_or_default())
}

/// The header of an ELF file for 32-bit RISC-V, and nothing else.
const EMPTY_PROGRAM: [u8; 52] = {
    let mut elf = [0; 52];
    let header = [0x7F, b'E', b'L', b'F', 1, 1, 1];
    let mut at = 0;
    while at < header.len() {
        elf[at] = header[at];
        at += 1;
    }
    elf[16] = 2; // an executable
    elf[18] = 0xF3; // RISC-V
    elf[20] = 1;
    elf[40] = 52; // size of this header
    elf
};
