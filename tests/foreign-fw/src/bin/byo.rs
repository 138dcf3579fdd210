//! A product on the published crate `esp-bootloader-esp-idf` that does not speak SMP: it carries the next
//! version inside, and is driven by lines on UART0.
//!
//! | line | what happens | answers |
//! |---|---|---|
//! | `version` | nothing | `byo: version 1.0.0` |
//! | `update` | the image inside is written to the next slot, then selected | `byo: selecting`, then `byo: update done`; or `byo: update failed: ...` |
//!
//! The calls of an update and their order are those of esp-hal's example `examples/ota/update`. Image states
//! are not used: the product is for a bootloader without rollback, which takes no notice of them. It has to
//! be delivered with a select entry: while none is selected, the crate takes `ota_0` for the next slot, also
//! if the firmware runs there.
//!
//! The crate gives up if one of the two select entries is torn. `BYO_TORN_ENTRY` says at build time what is
//! done about that at start-up: `mend` erases that entry alone, `reset` erases both, as the example does.
#![no_std]
#![no_main]

use core::fmt::{self, Display, Formatter};
use esp_backtrace as _;
use esp_bootloader_esp_idf::ota_updater::OtaUpdater;
use esp_bootloader_esp_idf::partitions::{
    DataPartitionSubType, Error, FlashRegion, PARTITION_TABLE_MAX_LEN, PartitionType,
    read_partition_table,
};
use esp_hal::main;
use esp_hal::rom::crc::crc32_le;
use esp_hal::uart::{Config, Uart};
use esp_println::println;
use esp_storage::FlashStorage;

/// Version in the application description; `FW_VERSION` at build time.
const VERSION: &str = match option_env!("FW_VERSION") {
    Some(version) => version,
    None => "0.0.0",
};

/// The application image that an update installs; empty in the last version.
static NEXT: &[u8] = include_bytes!(env!("BYO_NEXT"));

/// What is done about a torn select entry: `mend` or `reset`.
const TORN_ENTRY: &str = match option_env!("BYO_TORN_ENTRY") {
    Some(policy) => policy,
    None => "mend",
};

/// Size of a flash sector, in bytes. Each of the two holds one select entry.
const SECTOR: u32 = 4096;

esp_bootloader_esp_idf::esp_app_desc!(
    VERSION,
    "byo",
    "00:00:00",
    "Jan  1 2026",
    "esp-hal",
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    0
);

/// Why there was no update.
enum Failure {
    /// The firmware carries no other version.
    NothingInside,
    /// The crate says so.
    Flash(Error),
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingInside => f.write_str("there is no other version inside"),
            Self::Flash(error) => write!(f, "{error:?}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Flash(error)
    }
}

#[main]
fn main() -> ! {
    let peripherals = esp_hal::init(esp_hal::Config::default());
    let mut uart = Uart::new(peripherals.UART0, Config::default())
        .unwrap()
        .with_rx(peripherals.GPIO20)
        .with_tx(peripherals.GPIO21);
    let mut flash = FlashStorage::new(peripherals.FLASH);
    let mut buffer = [0; PARTITION_TABLE_MAX_LEN];
    if TORN_ENTRY == "mend" {
        mend(&mut flash, &mut buffer).unwrap();
    }
    let mut ota = OtaUpdater::new(&mut flash, &mut buffer).unwrap();
    if ota.selected_partition().is_err() {
        ota.reset_data().unwrap();
        println!("byo: otadata reset");
    }
    println!("byo: version {VERSION}");

    loop {
        let mut line = [0; 16];
        match read_line(&mut uart, &mut line) {
            b"version" => println!("byo: version {VERSION}"),
            b"update" => match update(&mut ota) {
                Ok(()) => println!("byo: update done"),
                Err(failure) => println!("byo: update failed: {failure}"),
            },
            _ => println!("byo: unknown command"),
        }
    }
}

/// Writes the image inside to the next slot and selects it.
fn update(ota: &mut OtaUpdater<'_, '_>) -> Result<(), Failure> {
    if NEXT.is_empty() {
        return Err(Failure::NothingInside);
    }
    let (mut slot, name) = ota.next_partition()?;
    println!("byo: writing to {name:?}");
    for (chunk, start) in NEXT.chunks(SECTOR as usize).zip((0..).step_by(SECTOR as usize)) {
        slot.write(start, chunk)?;
    }
    println!("byo: selecting");
    ota.activate_next_partition()?;
    Ok(())
}

/// Erases the select entries that a cut has torn. The other one is still what the bootloader goes by.
fn mend(
    flash: &mut FlashStorage<'_>,
    buffer: &mut [u8; PARTITION_TABLE_MAX_LEN],
) -> Result<(), Error> {
    let table = read_partition_table(flash, buffer)?;
    let otadata = table.find_partition(PartitionType::Data(DataPartitionSubType::Ota))?;
    let mut otadata = otadata.ok_or(Error::Invalid)?.as_flash_region(flash);
    for start in [0, SECTOR] {
        if is_torn(&mut otadata, start)? {
            otadata.erase(start, start + SECTOR)?;
            println!("byo: select entry erased, it was torn");
        }
    }
    Ok(())
}

/// Whether a select entry is neither blank nor one that the bootloader accepts: sequence number at 0, state
/// at 24, CRC-32 of the sequence number at 28 (ESP-IDF, `esp_ota_select_entry_t`).
fn is_torn(otadata: &mut FlashRegion<'_, '_>, start: u32) -> Result<bool, Error> {
    let mut entry = [0; 32];
    otadata.read(start, &mut entry)?;
    let blank = entry.iter().all(|&byte| byte == 0xFF);
    let crc = crc32_le(u32::MAX, &entry[..4]).to_le_bytes();
    Ok(!blank && entry[28..] != crc)
}

/// Reads up to the end of a line; what is too long for `line` is dropped, as are bytes that were garbled.
fn read_line<'a>(uart: &mut Uart<'_, esp_hal::Blocking>, line: &'a mut [u8]) -> &'a [u8] {
    let mut length = 0;
    loop {
        let mut byte = [0];
        if uart.read(&mut byte).unwrap_or(0) == 0 {
            continue;
        }
        match byte[0] {
            b'\n' => return &line[..length],
            b'\r' => {}
            byte if length < line.len() => {
                line[length] = byte;
                length += 1;
            }
            _ => {}
        }
    }
}
