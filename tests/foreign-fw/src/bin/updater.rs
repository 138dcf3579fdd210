//! Firmware that updates itself with the published crate `esp-bootloader-esp-idf`.
//!
//! Every call to that crate, their order and what is done about their errors is that of esp-hal's example
//! `examples/ota/update`; the image comes over UART0 instead of out of the program, and the running
//! firmware is confirmed at a command instead of at once.
//!
//! | command | what happens | answers |
//! |---|---|---|
//! | `update` | an image is received into the next slot | `ready`, then dots, then `written` |
//! | `activate` | the image is selected, and the chip starts again | `activated` |
//! | `confirm` | the running image is marked as valid | `confirmed` |
//!
//! An image is its length in four bytes, the lowest first, and then its bytes: 64 at a time, each time
//! followed by a dot from this side. The receive FIFO holds 128 bytes.
#![no_std]
#![no_main]

use esp_backtrace as _;
use esp_bootloader_esp_idf::ota::OtaImageState;
use esp_bootloader_esp_idf::ota_updater::OtaUpdater;
use esp_bootloader_esp_idf::partitions::{
    AppPartitionSubType, PARTITION_TABLE_MAX_LEN, read_partition_table,
};
use esp_hal::delay::Delay;
use esp_hal::uart::{Config, Uart};
use esp_hal::{Blocking, main};
use esp_println::{print, println};
use esp_storage::FlashStorage;

/// Version in the application description; `FW_VERSION` at build time.
const VERSION: &str = match option_env!("FW_VERSION") {
    Some(version) => version,
    None => "0.0.0",
};

/// Bytes that come between two dots.
const CHUNK: usize = 64;

esp_bootloader_esp_idf::esp_app_desc!(
    VERSION,
    "foreign-updater",
    "00:00:00",
    "Jan  1 2026",
    "esp-hal",
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    0
);

#[main]
fn main() -> ! {
    let peripherals = esp_hal::init(esp_hal::Config::default());
    let mut uart = Uart::new(peripherals.UART0, Config::default())
        .unwrap()
        .with_rx(peripherals.GPIO20)
        .with_tx(peripherals.GPIO21);

    let mut flash = FlashStorage::new(peripherals.FLASH);

    let mut buffer = [0u8; PARTITION_TABLE_MAX_LEN];
    let pt = read_partition_table(&mut flash, &mut buffer).unwrap();
    let booted = pt.booted_partition().unwrap().unwrap();
    println!("boot: fw={VERSION} running={}", booted.label_as_str());

    let mut ota = OtaUpdater::new(&mut flash, &mut buffer).unwrap();

    let current = if let Ok(current) = ota.selected_partition() {
        current
    } else {
        ota.reset_data().unwrap();
        println!("otadata reset");
        AppPartitionSubType::Factory
    };
    println!("current image state {:?}", ota.current_ota_state());
    println!("currently selected partition {:?}", current);
    println!("listening");

    loop {
        let mut line = [0; 16];
        match read_line(&mut uart, &mut line) {
            b"update" => update(&mut ota, &mut uart),
            b"activate" => {
                ota.activate_next_partition().unwrap();
                ota.set_current_ota_state(OtaImageState::New).unwrap();
                println!("activated");
                // A reset drops what still stands in the transmit FIFO.
                Delay::new().delay_millis(20);
                esp_hal::system::software_reset()
            }
            b"confirm" => {
                if let Ok(state) = ota.current_ota_state() {
                    if state == OtaImageState::New || state == OtaImageState::PendingVerify {
                        ota.set_current_ota_state(OtaImageState::Valid).unwrap();
                    }
                }
                println!("confirmed");
            }
            _ => println!("unknown command"),
        }
    }
}

/// Receives an image into the next slot.
fn update(ota: &mut OtaUpdater<'_, '_>, uart: &mut Uart<'_, Blocking>) {
    let (mut next_app_partition, part_type) = ota.next_partition().unwrap();
    println!("Flashing image to {:?}", part_type);
    println!("ready");

    let mut length = [0; 4];
    read_all(uart, &mut length);
    let length = u32::from_le_bytes(length) as usize;

    let mut sector = [0; 4096];
    let mut start = 0;
    while start < length {
        let chunk = &mut sector[..(length - start).min(4096)];
        let mut pieces = chunk.chunks_mut(CHUNK).peekable();
        while let Some(piece) = pieces.next() {
            read_all(uart, piece);
            // The last piece is answered when the sector is written.
            if pieces.peek().is_some() {
                print!(".");
            }
        }
        next_app_partition.write(start as u32, chunk).unwrap();
        start += chunk.len();
        print!(".");
    }
    println!("written");
}

/// Reads until `bytes` is full. A byte that was garbled on the line is lost.
fn read_all(uart: &mut Uart<'_, Blocking>, bytes: &mut [u8]) {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        done += uart.read(rest).unwrap_or(0);
    }
}

/// Reads up to the end of a line; what is too long for `line` is dropped.
fn read_line<'a>(uart: &mut Uart<'_, Blocking>, line: &'a mut [u8]) -> &'a [u8] {
    let mut length = 0;
    loop {
        let mut byte = [0];
        read_all(uart, &mut byte);
        match byte[0] {
            b'\n' => return &line[..length],
            byte if length < line.len() => {
                line[length] = byte;
                length += 1;
            }
            _ => {}
        }
    }
}
