//! The factory-reset and test pins.

use super::super::{FactoryReset, NoBoot, Reset, Rewrite};
use super::{Device, factory_and_slots, slots};

fn hold_factory_reset(mut device: Device, otadata: bool) -> Device {
    device.bootloader.factory_reset = Some(FactoryReset { labels: vec!["nvs".into()], otadata });
    device.input.hold_factory_reset = true;
    device
}

fn hold_test(mut device: Device) -> Device {
    device.bootloader.test_pin = true;
    device.input.hold_test = true;
    device
}

/// Selection runs twice in one boot: the first pass begins the trial, the second takes it for a
/// failed one. The new image never runs.
#[test]
fn factory_reset_aborts_a_new_image() {
    let device = slots(2).rollback().otadata("[1/VALID | 2/NEW]");
    let mut device = hold_factory_reset(device, false);
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.writes(), [(1, Rewrite::Trial), (1, Rewrite::Abort)]);
    assert_eq!(device.entries(), "[1/VALID | 2/ABORTED]");
}

#[test]
fn factory_reset_erases_what_it_names() {
    for (otadata, entries) in [(false, "[1/VALID | -]"), (true, "[- | -]")] {
        let device = factory_and_slots(2).otadata("[1/VALID | -]");
        let mut device = hold_factory_reset(device, otadata);
        device.fill(Device::NVS);
        device.fill(Device::PHY);
        assert_eq!(device.boots(), if otadata { "factory" } else { "ota_0" });
        assert_eq!(device.entries(), entries);
        assert!(device.is_blank(Device::NVS));
        assert!(!device.is_blank(Device::PHY));
    }
}

#[test]
fn factory_reset_with_otadata_starts_over_without_factory_application() {
    let device = slots(2).rollback().otadata("[1/VALID | 2/VALID]");
    let mut device = hold_factory_reset(device, true);
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | -]");
}

#[test]
fn factory_reset_wins_over_the_test_pin() {
    let device = factory_and_slots(2).with_test_app().otadata("[1/VALID | -]");
    let mut device = hold_test(hold_factory_reset(device, true));
    assert_eq!(device.boots(), "factory");
}

#[test]
fn a_wake_from_deep_sleep_ignores_the_pins() {
    let device = factory_and_slots(2).with_test_app().otadata("[1/VALID | -]");
    let mut device = hold_test(hold_factory_reset(device, true));
    device.input.reset = Reset::DeepSleepWake;
    assert_eq!(device.boots(), "ota_0");
}

#[test]
fn pins_do_nothing_unless_built_in() {
    let mut device = factory_and_slots(2).with_test_app().otadata("[1/VALID | -]");
    device.input.hold_test = true;
    device.input.hold_factory_reset = true;
    assert_eq!(device.boots(), "ota_0");
}

/// The new image is on trial although the test application runs: the next reset aborts it.
#[test]
fn the_test_pin_uses_up_the_trial() {
    let device = slots(2).with_test_app().rollback().otadata("[1/VALID | 2/NEW]");
    let mut device = hold_test(device);
    assert_eq!(device.boots(), "test");
    assert_eq!(device.entries(), "[1/VALID | 2/PENDING_VERIFY]");
    device.input.hold_test = false;
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | 2/ABORTED]");
}

#[test]
fn the_test_pin_knows_no_fallback() {
    let mut device = hold_test(factory_and_slots(2));
    assert_eq!(device.boots(), NoBoot::NoTestApp.to_string());
    let mut device = hold_test(factory_and_slots(2).with_test_app().without_image("test"));
    assert_eq!(device.boots(), NoBoot::TestAppRejected.to_string());
}

#[test]
fn the_test_application_gets_no_initial_entry() {
    let mut device = hold_test(slots(2).with_test_app());
    assert_eq!(device.boots(), "test");
    assert_eq!(device.entries(), "[- | -]");
}
