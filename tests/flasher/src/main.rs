//! `flasher PORT BAUD MODE COMMAND` has the espflash library do something with the chip that waits in its
//! serial loader behind a port. MODE is `stub` or `rom`. Fails with what the library says, or with what is
//! not as it must be.
//!
//! Commands: `info` prints who the chip is; `write CONTENTS` writes what is called so; `check CONTENTS`
//! compares checksum and, with the stub, bytes; `erase` erases a region and then everything; `flash FILE`
//! writes a file to offset 0. Writing ends with a request whose answer the library does not wait for, and
//! the stub loses what follows it at once: leave it a moment before the next command.

use espflash::connection::{Connection, ResetAfterOperation, ResetBeforeOperation};
use espflash::flasher::Flasher;
use espflash::target::DefaultProgressCallback;
use md5::{Digest, Md5};
use serialport::UsbPortInfo;
use std::error::Error;

/// Rate at which the ROM listens at first.
const FIRST_BAUD: u32 = 115_200;
const SECTOR: u32 = 4096;
const START: u32 = 0x20_0000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [port, baud, mode, command @ ..] = arguments.as_slice() else {
        return Err("too few arguments".into());
    };
    let stub = *mode == "stub";
    let baud = baud.parse()?;
    let mut flasher = connect(port, baud, stub)?;
    match *command {
        ["info"] => {
            let info = flasher.device_info()?;
            let mac = info.mac_address.unwrap_or_default();
            let (major, minor) = info.revision.unwrap_or_default();
            println!("{} revision {major}.{minor} flash {} mac {mac}", info.chip, info.flash_size);
        }
        ["write", name] => {
            flasher.write_bin_to_flash(START, &contents(name)?, &mut DefaultProgressCallback)?;
        }
        ["check", name] => {
            let data = contents(name)?;
            expect(&mut flasher, START, &data)?;
            if stub {
                read_back(&mut flasher, &data)?;
            }
        }
        ["erase"] => {
            flasher.erase_region(START + SECTOR, 2 * SECTOR)?;
            expect(&mut flasher, START + SECTOR, &[0xFF; 2 * SECTOR as usize])?;
            flasher.erase_flash()?;
            expect(&mut flasher, START, &[0xFF; SECTOR as usize])?;
        }
        ["flash", file] => {
            let data = std::fs::read(file)?;
            flasher.write_bin_to_flash(0, &data, &mut DefaultProgressCallback)?;
        }
        _ => return Err("no such command".into()),
    }
    Ok(())
}

fn connect(port: &str, baud: u32, stub: bool) -> Result<Flasher, Box<dyn Error>> {
    let serial = serialport::new(port, FIRST_BAUD).open_native()?;
    // A pseudo-terminal is no USB device, and has no lines to reset the chip with.
    let info =
        UsbPortInfo { vid: 0, pid: 0, serial_number: None, manufacturer: None, product: None };
    let (after, before) = (ResetAfterOperation::NoReset, ResetBeforeOperation::NoReset);
    let connection = Connection::new(serial, info, after, before, FIRST_BAUD);
    let baud = Some(baud).filter(|&baud| baud != FIRST_BAUD);
    Ok(Flasher::connect(connection, stub, true, false, None, baud)?)
}

/// Whole sectors: of less, the ROM says that it has not got everything, since the library announces whole
/// sectors and sends no more than the data.
fn contents(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    const LENGTH: usize = 15 * SECTOR as usize;
    Ok(match name {
        "zeros" => vec![0; LENGTH],
        "noise" => (0_u32..).flat_map(|it| Md5::digest(it.to_be_bytes())).take(LENGTH).collect(),
        // What the line protocol has to escape.
        "escapes" => [0xC0, 0xDB, 0xDC, 0xDD].into_iter().cycle().take(LENGTH).collect(),
        _ => return Err("no such contents".into()),
    })
}

fn expect(flasher: &mut Flasher, address: u32, data: &[u8]) -> Result<(), Box<dyn Error>> {
    let sum = flasher.checksum_md5(address, data.len() as u32)?;
    let expected = u128::from_be_bytes(Md5::digest(data).into());
    if sum.to_be_bytes() != expected.to_be_bytes() && sum.to_le_bytes() != expected.to_be_bytes() {
        return Err(format!("checksum {sum:032x} at {address:#x}, not {expected:032x}").into());
    }
    Ok(())
}

fn read_back(flasher: &mut Flasher, data: &[u8]) -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("flasher-{}", std::process::id()));
    let read = flasher.read_flash(START, data.len() as u32, SECTOR, 64, file.clone());
    let bytes = std::fs::read(&file);
    let _ = std::fs::remove_file(file);
    read?;
    if bytes? != data {
        return Err("what was read back differs".into());
    }
    Ok(())
}
