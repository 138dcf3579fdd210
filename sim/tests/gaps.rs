//! Layouts with gaps in the numbers of their slots: what happens on them to update code that takes them, and
//! what `ota-core` says to them.

use ota_core::Generation;
use ota_core::image::ChipId;
use sim::certificate::{self, Certificate};
use sim::explore::{Counterexample, Hazard, Limits, Report, Usage, What, Writer, explore};
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::layout::Layout;
use sim::replay::{FirmwareSource, Replay};
use sim::setup::{FIXTURES, Fixture, Setup, subjects};
use std::ops::ControlFlow;

fn setup(layout: &str, rollback: bool, subject: &str) -> Setup {
    let layout = Layout::gaps().into_iter().find(|it| it.name() == layout).unwrap();
    Setup {
        generation: Generation::V6_1,
        rollback: rollback.into(),
        firmware: FIXTURES.iter().map(Fixture::firmware).collect(),
        subject: subjects().into_iter().find(|it| it.name() == subject).unwrap(),
        part: layout.part().unwrap(),
        chip: ChipId::ESP32C3,
        encrypted: false,
        layout,
    }
}

fn limits(max_cuts: u32) -> Limits {
    Limits {
        profile: FaultProfile::enumerable(1).without(FaultClass::Collateral),
        cut_bootloader: false,
        usage: Usage::Usual,
        max_states: u64::MAX,
        max_cuts,
        remember: true,
    }
}

fn explored(setup: &Setup, max_cuts: u32) -> Report {
    explore(&setup.world().unwrap(), &limits(max_cuts), |_| ControlFlow::Continue(()))
}

/// A finding such as `durable H13, 0 cuts` or `updatable H13, 0 cuts, update: message`.
fn told(example: &Counterexample) -> String {
    let finding = example.finding;
    assert_eq!(finding.during, Writer::Application);
    let hazard = finding.hazard.map_or_else(String::new, |hazard| format!(" {hazard}"));
    let message = match &example.what {
        What::Failed(call, message) => format!(", {call}: {message}"),
        _ => String::new(),
    };
    format!("{}{hazard}, {} cuts{message}", finding.invariant, example.cuts())
}

/// Nothing is cut, and yet updates are lost.
#[test]
fn updates_are_lost_without_any_cut() {
    let beyond = "updatable H13, 0 cuts, update: ESP_ERR_INVALID_ARG (0x102)";
    let unconfirmed = "durable H13, 0 cuts, confirm: ESP_FAIL (-0x1)";
    for (layout, subject, expected) in [
        // The image in ota_0 takes an update to ota_2, which cannot be selected.
        ("gap-0-2", "esp-idf-v5.4", &[beyond][..]),
        ("gap-0-2", "esp-idf-v5.5", &[beyond]),
        ("gap-0-2", "esp-idf-v6.1-sequential", &[beyond]),
        ("gap-0-2", "ruuvi-1283", &[beyond]),
        // ota_1 is not there.
        ("gap-0-2", "esp-idf-v5.5-named-slots", &[beyond]),
        // The first update comes through, the second is for ota_3.
        ("gap-0-1-3", "esp-idf-v5.5", &[beyond]),
        ("gap-0-1-3", "esp-idf-v6.1", &[beyond]),
        // The second is for ota_0, and reports success. The bootloader takes its number for ota_2, and starts
        // the old image.
        ("gap-0-1-3", "esp-idf-v5.5-named-slots", &["durable H13, 0 cuts"]),
        // The application counts no slots at all.
        ("gap-1-2", "esp-idf-v5.5", &[unconfirmed]),
        ("gap-1-2", "esp-idf-v6.1", &[unconfirmed]),
        ("gap-1-2", "ruuvi-1283", &[beyond]),
        // Counts as the bootloader does, and takes the first slots for all of them.
        (
            "gap-0-2",
            "esp-hal",
            &["updatable H13, 0 cuts, update: Invalid: there is no such partition"],
        ),
        (
            "gap-1-2",
            "esp-hal",
            &["updatable H13, 0 cuts, update: Invalid: there is no such partition"],
        ),
        ("gap-0-2", "esp-hal-last-slot", &["updatable H13, 0 cuts, update: InvalidArgument"]),
    ] {
        for rollback in [false, true] {
            let report = explored(&setup(layout, rollback, subject), 0);
            let found: Vec<_> = report.counterexamples.iter().map(told).collect();
            assert_eq!(found, expected, "{layout}, rollback {rollback}, {subject}");
        }
    }
}

/// Where there is no fallback, the slot that is not there is the end of the device: without any cut.
#[test]
fn the_second_update_bricks_a_device_with_a_bootloader_of_v2_1() {
    let mut setup = setup("gap-0-1-3", false, "esp-idf-v5.5-named-slots");
    setup.generation = Generation::V2_1;
    setup.layout = setup.layout.for_bootloader(setup.generation);
    let report = explored(&setup, 0);
    assert_eq!(
        report.counterexamples.iter().map(told).collect::<Vec<_>>(),
        ["bootable H13, 0 cuts"]
    );
}

/// With a bootloader that keeps the image on trial, it is the old image that is on trial, and confirms.
#[test]
fn an_update_that_reports_success_boots_the_old_image_and_replays() {
    for rollback in [false, true] {
        let setup = setup("gap-0-1-3", rollback, "esp-idf-v5.5-named-slots");
        let report = explored(&setup, u32::MAX);
        assert!(report.complete);
        let sources = FIXTURES.map(|fixture| FirmwareSource::Builtin(fixture.name.into()));
        for example in &report.counterexamples {
            Replay::new(&setup, &sources, 1, example).unwrap();
        }
        let mut shown = report.counterexamples.iter();
        let lost = shown.find(|it| it.finding.hazard == Some(Hazard::H13)).unwrap();
        assert!(matches!(lost.what, What::Booted(..)), "{:?}", lost.what);
        let replay = Replay::new(&setup, &sources, 1, lost).unwrap();
        // The table travels in the file.
        let trace = replay.run(&replay.setup().unwrap()).unwrap();
        assert!(trace.violation(&replay.finding).is_some());
    }
}

#[test]
fn a_certificate_names_what_breaks() {
    let setup = setup("gap-0-1-3", false, "esp-idf-v5.5-named-slots");
    let sources = FIXTURES.map(|fixture| FirmwareSource::Builtin(fixture.name.into()));
    let watch = |_: &_| ControlFlow::Continue(());
    let (made, _) = certificate::prove(&setup, &sources, &limits(u32::MAX), watch).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.certificate");
    made.write(&path).unwrap();
    let read = Certificate::read(&path).unwrap();
    let again = read.header.device.setup().unwrap();
    certificate::check(&read, &again.world().unwrap()).unwrap();
    assert!(!read.header.exceptions.is_empty());
    let mut other = read.header.device;
    other.subject = "ota-core".into();
    let error = other.setup().unwrap().world().unwrap_err().to_string();
    assert!(error.starts_with("ota-core refuses the partition table of gap-0-1-3: "), "{error}");
}

/// Before it takes any update: a device with such a table keeps what it runs.
#[test]
fn ota_core_refuses_each() {
    for (layout, missing, highest) in [("gap-0-2", 1, 2), ("gap-0-1-3", 2, 3), ("gap-1-2", 0, 2)] {
        let reason = format!(
            "no ota_{missing}, but ota_{highest}: slots must be numbered without gaps from ota_0"
        );
        for subject in ["ota-core", "ota-core-bulk", "update-agent"] {
            let error = setup(layout, true, subject).world().unwrap_err().to_string();
            let expected = format!("{subject} refuses the partition table of {layout}: {reason}");
            assert_eq!(error, expected);
        }
    }
}

/// A gap does not hide what else is wrong with a table.
#[test]
fn a_table_with_a_gap_is_checked_like_any_other() {
    let table = |last: &str| {
        let csv = format!(
            "otadata, data, ota, 0x9000, 0x2000\nota_0, app, ota_0, 0x10000, 64K\nota_2, app, {last}\n"
        );
        Layout::from_csv("gap", &csv, 0x20_0000)
    };
    assert!(table("ota_2, 0x20000, 64K").unwrap().validated().is_err());
    for (last, expected) in [
        ("ota_0, 0x20000, 64K", "is a second app/ota_0"),
        ("ota_2, 0x1f0000, 128K", "must end within the flash"),
        ("ota_2, 0x21000, 64K", "misaligned"),
    ] {
        let error = table(last).unwrap_err().to_string();
        assert!(error.contains(expected), "{last}: {error}");
    }
}
