//! The firmware that `just fw` has made, on the virtual board, with a client that nobody here wrote.
//!
//! `just fw-test` runs these; they are ignored otherwise, because they need the images.

use std::path::{Path, PathBuf};

use cutpoint_tests::full_stack::{Device, Images, Phase, Recording, sweep};
use virtual_board::{Stop, Ticks};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fw")
}

fn images() -> Images {
    Images::load(&folder()).unwrap()
}

/// A device that left the factory with a member of the family.
fn device(member: &str) -> Device {
    let path = folder().join(format!("{member}.flash.bin"));
    let factory =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let device = Device::new(&Images { factory, ..images() }).unwrap();
    device.board().power_on();
    device
}

/// What the console shows in so many seconds.
fn console(device: &Device, seconds: u64) -> String {
    let mut board = device.board();
    let limit = board.now() + seconds * Ticks::PER_SECOND;
    assert_eq!(board.run(limit), Stop::Limit);
    String::from_utf8_lossy(&board.uart0_output()).replace('\r', "")
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn the_console_shows_rom_bootloader_and_boot_report() {
    let console = console(&device("v1.0.0"), 1);
    // How long code and data are depends on the compiler.
    let lines = console.lines().filter(|line| !line.contains("esp_image: segment"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn an_update_is_uploaded_selected_booted_and_confirmed() {
    let (recording, device) = Recording::make(&images()).unwrap();
    let phases: Vec<_> = recording.phases().iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Upload, Phase::Select, Phase::Reboot, Phase::Confirm]);
    let state = device.client().unwrap().image_get_state().unwrap();
    let running = state.iter().find(|image| image.active).unwrap();
    assert_eq!((running.version.as_str(), running.confirmed), ("2.0.0", true));
    device.board().power_on();
    assert_eq!(device.boot().unwrap().to_string(), "2.0.0 in ota_0");
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn no_cut_in_selection_and_confirmation_breaks_the_device() {
    let images = images();
    let (recording, device) = Recording::make(&images).unwrap();
    let result =
        sweep(&recording, &device, &images, 2, |phase, _| phase != Phase::Upload, |_, _| true);
    let failures: Vec<_> = result.failures().map(|(cut, it)| format!("{cut}: {it}")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(result.outcomes.len() >= 40, "{} cuts", result.outcomes.len());
    assert!(result.outcomes.iter().all(|outcome| outcome.completed.is_some()));
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn the_watchdog_ends_a_firmware_that_hangs() {
    let console = console(&device("v2-hanging"), 30);
    assert!(console.matches("boot: fw=").count() > 1, "{console}");
    assert!(console.contains("rst:0x10 (RTCWDT_RTC_RST)"), "{console}");
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn a_firmware_that_panics_says_so_and_resets() {
    let console = console(&device("v2-crashing"), 3);
    assert!(console.contains("panic: "), "{console}");
    assert!(console.contains("rst:0x3 (RTC_SW_SYS_RST)"), "{console}");
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn a_firmware_that_must_not_be_confirmed_refuses_the_client() {
    let device = device("v2-never-confirms");
    device.boot().unwrap();
    let operations = device.board().flash().operations();
    let client = device.client().unwrap();
    assert!(device.confirm(&client).is_err());
    assert_eq!(device.board().flash().operations(), operations);
}

#[test]
#[ignore = "needs the images of `just fw`: run `just fw-test`"]
fn images_that_cannot_run_here_are_never_selected() {
    let device = device("v1.0.0");
    device.boot().unwrap();
    let client = device.client().unwrap();
    for member in ["v2-broken-hash", "v2-esp32c6"] {
        let image = std::fs::read(folder().join(format!("{member}.app.bin"))).unwrap();
        let sent = device.upload(&client, &image);
        assert!(sent.and_then(|()| device.select(&client)).is_err(), "{member}");
    }
    device.board().power_on();
    assert_eq!(device.boot().unwrap().to_string(), "1.0.0 in factory");
}
