//! Firmware for ESP32 chips that takes an update over its serial console.
//!
//! Board glue and nothing else: clock, flash, console, watchdog, boot report and self-test around the
//! update agent. What it does with an update is in `update-agent` and `ota-core`; what it prints is
//! in `docs/firmware.md`.
#![no_std]
#![no_main]

mod boot;
mod chip;
mod console;
mod device;
mod flash;
mod policy;
mod watchdog;

use core::cell::RefCell;
use core::fmt::Write;
use core::hint;
use core::panic::PanicInfo;

use esp_hal::clock::CpuClock;
use esp_hal::delay::Delay;
use esp_storage::FlashStorage;
use ota_core::image::Requirements;
use ota_core::table::{DEFAULT_OFFSET, PartitionTable};
use ota_core::{Config, Confirmation, Ota, Recovery};
use static_cell::StaticCell;
use update_agent::{Agent, FirmwareInfo, Trace, Traced};

use crate::boot::BootReport;
use crate::chip::Parts;
use crate::console::Console;
use crate::device::Device;
use crate::flash::Flash;
use crate::policy::Policy;
use crate::watchdog::Watchdog;

/// Version in the application description.
const VERSION: &str = env!("FW_VERSION");

/// Name of the application in the application description.
const NAME: &str = "cutpoint";

/// Largest request of a client, in bytes.
const REQUEST_LEN: usize = 2048;

// Fixed time and date: two builds of one source must be alike to the byte.
esp_bootloader_esp_idf::esp_app_desc!(
    VERSION,
    NAME,
    "00:00:00",
    "Jan  1 2026",
    "esp-hal",
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    0
);

/// Prints what happened and resets the chip. Exceptions of the processor end up here too.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    esp_println::println!("\npanic: {info}");
    // A reset drops what still stands in the transmit FIFO: 128 bytes take 11 ms at 115200 baud.
    Delay::new().delay_millis(20);
    esp_hal::system::software_reset()
}

#[esp_hal::main]
fn main() -> ! {
    let clock = esp_hal::Config::default().with_cpu_clock(CpuClock::max());
    let parts = Parts::take(esp_hal::init(clock));
    let watchdog = RefCell::new(Watchdog::start(parts.timer));
    let port = RefCell::new(parts.port);
    let mut console = Console(&port);

    // A device whose table or flash is unfit cannot take updates. If an update brought it here, the
    // reset behind the panic rolls that back.
    let mut storage = FlashStorage::new(parts.flash);
    let mapped = boot::mapped_offset(&mut storage).expect("partition of the mapped image");
    let mut flash = Flash::new(storage, &watchdog);
    let table = PartitionTable::load(&mut flash, DEFAULT_OFFSET).expect("partition table");
    let layout = table.validate(&mut flash).expect("partition table that allows updates");
    let running = layout.app_at(mapped).expect("application partition");

    let trace = Trace::new();
    let config = Config {
        requirements: Requirements::for_chip(chip::ID),
        // Harmless under a bootloader that does not roll back: images start as new, and once they
        // are confirmed they are valid to both kinds.
        rollback: true,
        min_secure_version: 0,
    };
    let mut ota = Ota::new(Traced::new(flash, console, &trace), layout, running, config)
        .expect("flash that allows updates");

    let mac = boot::mac();
    let reset_reason = boot::reset_reason();
    let report = BootReport {
        version: VERSION,
        chip: chip::NAME,
        mac,
        running,
        selected: ota.boot_app().ok(),
        otadata: ota.select_entries().ok(),
        reset: reset_reason.name,
    };
    let _ = writeln!(console, "{report}");

    let _ = match ota.recover() {
        Ok(Recovery { repaired: 0, .. }) => Ok(()),
        Ok(Recovery { repaired, .. }) => writeln!(console, "recover: repaired {repaired}"),
        Err(error) => writeln!(console, "recover: failed: {error}"),
    };
    let checked = ota.verify(running).map(drop);
    let _ = match &checked {
        Ok(()) => writeln!(console, "self-test: passed"),
        Err(error) => writeln!(console, "self-test: failed: {error}"),
    };
    match Policy::BUILT {
        Policy::AtOnce if checked.is_ok() => {
            let _ = match ota.confirm() {
                Ok(Confirmation::Confirmed) => writeln!(console, "confirm: done"),
                Ok(Confirmation::NotOnTrial) => writeln!(console, "confirm: not on trial"),
                Err(error) => writeln!(console, "confirm: failed: {error}"),
            };
        }
        Policy::AtOnce | Policy::WhenTold | Policy::Never => {}
        Policy::Crash => panic!("built to crash before it is confirmed"),
        Policy::Hang => loop {
            hint::spin_loop();
        },
    }

    static AGENT: StaticCell<Agent<REQUEST_LEN>> = StaticCell::new();
    let agent = AGENT.init_with(|| {
        Agent::new(FirmwareInfo {
            name: NAME,
            version: VERSION,
            build: "",
            node: mac,
            machine: chip::MACHINE,
            platform: chip::NAME,
            chip: chip::ID,
            table_offset: DEFAULT_OFFSET,
        })
    });
    let may_confirm = checked.is_ok() && Policy::BUILT != Policy::Never;
    let mut device = Device { ota, console, trace: &trace, may_confirm, reset_reason };
    let mut input = [0; 128];
    loop {
        watchdog.borrow_mut().feed();
        let length = console.read(&mut input);
        agent.receive(input.get(..length).unwrap_or_default(), &mut device);
    }
}
