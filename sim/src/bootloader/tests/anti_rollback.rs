//! Anti-rollback.

use super::super::{AntiRollback, NoBoot};
use super::{Device, factory_and_slots, slots};
use crate::synthetic::{Fault, ImageBuilder, MIN_SIZE};

/// A device whose slots hold images of these security versions.
fn device(versions: &[u32], fuse: u32) -> Device {
    let images = versions.iter().enumerate();
    let mut device = images.fold(slots(versions.len() as u8), |device, (slot, &version)| {
        device.image(&format!("ota_{slot}"), &image(version))
    });
    device.bootloader.anti_rollback = Some(AntiRollback { field_bits: 16 });
    device.input.secure_version = fuse;
    device.rollback()
}

fn image(secure_version: u32) -> ImageBuilder {
    ImageBuilder::new(MIN_SIZE).secure_version(secure_version)
}

#[test]
fn an_entry_of_an_old_image_is_not_active() {
    let mut device = device(&[2, 1], 2).otadata("[1/VALID | 2/NEW]");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | 2/NEW]", "no trial for the old image");
}

#[test]
fn old_images_are_no_fallback() {
    let mut device = device(&[1, 2], 2).otadata("[- | 2/VALID]").without_image("ota_1");
    assert_eq!(device.boots(), NoBoot::NothingLoads.to_string());
}

#[test]
fn a_confirmed_image_raises_the_version() {
    for (state, expected) in [("VALID", 3), ("UNDEFINED", 1), ("NEW", 1)] {
        let mut device = device(&[3, 1], 1).otadata(&format!("[1/{state} | -]"));
        assert_eq!(device.boots(), "ota_0");
        assert_eq!(device.input.secure_version, expected, "{state}");
    }
}

/// The version is raised by the description of an image that was not verified.
#[test]
fn the_version_rises_before_the_image_is_verified() {
    let spoilt = image(3).fault(Fault::Hash);
    let mut device = device(&[1, 1], 1).image("ota_0", &spoilt).otadata("[1/VALID | -]");
    assert_eq!(device.boots(), NoBoot::NothingLoads.to_string(), "ota_1 is too old by now");
    assert_eq!(device.input.secure_version, 3);
}

#[test]
fn a_version_that_does_not_fit_is_not_burnt() {
    for (version, fuse) in [(16, 16), (17, 0)] {
        let mut device = device(&[version, 0], 0).otadata("[1/VALID | -]");
        assert_eq!(device.boots(), "ota_0");
        assert_eq!(device.input.secure_version, fuse);
    }
}

#[test]
fn the_first_boot_tries_factory_and_then_the_slots() {
    let mut device = device(&[2, 2], 1).otadata("[- | -]").without_image("ota_0");
    assert_eq!(device.boots(), "ota_1");
    assert_eq!(device.entries(), "[2/VALID | -]");
    assert_eq!(device.input.secure_version, 2, "the initial entry raises it too");

    let mut device = factory_and_slots(2).rollback().otadata("[- | -]");
    device.bootloader.anti_rollback = Some(AntiRollback { field_bits: 16 });
    assert_eq!(device.boots(), "factory");
    assert_eq!(device.entries(), "[- | -]");
}

/// Unlike without anti-rollback, a wrong CRC is as good as a blank sector.
#[test]
fn broken_entries_are_initial_contents() {
    let mut device = device(&[0, 0], 0).otadata("[- | 2/NEW (bad crc)]");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | 2/NEW (bad crc)]");
}

#[test]
fn rejected_entries_leave_everything_to_the_fallback() {
    let mut device = device(&[0, 0], 0).otadata("[1/ABORTED | 2/INVALID]");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/ABORTED | 2/INVALID]");
}

#[test]
fn a_valid_entry_without_slots_stops_the_boot() {
    let mut device = device(&[], 0).otadata("[1/VALID | -]");
    assert_eq!(device.boots(), NoBoot::NoSlots.to_string());
}

#[test]
fn an_image_without_description_is_too_old() {
    let mut device = device(&[0, 0], 0).otadata("[1/VALID | 2/VALID]").without_image("ota_1");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | 2/VALID]");
}
