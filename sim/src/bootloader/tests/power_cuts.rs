//! What the next boot does after power failed between two flash operations of an update, and of the
//! bootloader itself.

use super::{Device, factory_and_slots, slots};

/// Boots `before`, expects `app` and `after`.
#[track_caller]
fn check(device: Device, before: &str, app: &str, after: &str) {
    let mut device = device.rollback().otadata(before);
    assert_eq!(device.boots(), app, "from {before}");
    assert_eq!(device.entries(), after, "from {before}");
}

#[test]
fn with_a_factory_application() {
    for (before, app, after) in [
        ("[- | -]", "factory", "[- | -]"),
        ("[1/NEW | -]", "ota_0", "[1/PENDING_VERIFY | -]"),
        ("[1/PENDING_VERIFY | -]", "factory", "[1/ABORTED | -]"),
        ("[1/ABORTED | -]", "factory", "[1/ABORTED | -]"),
        ("[1/INVALID | -]", "factory", "[1/INVALID | -]"),
        ("[1/VALID | -]", "ota_0", "[1/VALID | -]"),
        ("[1/VALID | 2/NEW]", "ota_1", "[1/VALID | 2/PENDING_VERIFY]"),
        ("[1/VALID | 2/PENDING_VERIFY]", "ota_0", "[1/VALID | 2/ABORTED]"),
        ("[- | 2/VALID]", "ota_1", "[- | 2/VALID]"),
        ("[3/VALID | 2/VALID]", "ota_0", "[3/VALID | 2/VALID]"),
    ] {
        check(factory_and_slots(2), before, app, after);
    }
}

#[test]
fn without_factory_application() {
    for (before, app, after) in [
        ("[- | -]", "ota_0", "[1/VALID | -]"),
        ("[1/VALID | -]", "ota_0", "[1/VALID | -]"),
        ("[1/VALID | 2/NEW]", "ota_1", "[1/VALID | 2/PENDING_VERIFY]"),
        ("[- | 2/VALID]", "ota_1", "[- | 2/VALID]"),
        ("[- | 2/NEW (bad crc)]", "ota_0", "[- | 2/NEW (bad crc)]"),
        ("[- | 2/PENDING_VERIFY (bad crc)]", "ota_0", "[1/VALID | 2/ABORTED (bad crc)]"),
        ("[1/ABORTED | -]", "ota_0", "[1/ABORTED | -]"),
    ] {
        check(slots(2), before, app, after);
    }
}

/// Every rewrite is an erase and a program. Between the two the entry is gone.
#[test]
fn power_fails_after_the_erase_of_a_rewrite() {
    for (device, before, cut, app, after) in [
        // The trial is forgotten.
        (factory_and_slots(2), "[1/NEW | -]", "[- | -]", "factory", "[- | -]"),
        (factory_and_slots(2), "[1/VALID | 2/NEW]", "[1/VALID | -]", "ota_0", "[1/VALID | -]"),
        (factory_and_slots(2), "[1/PENDING_VERIFY | -]", "[- | -]", "factory", "[- | -]"),
        // An image that is on trial, or failed it, becomes confirmed.
        (slots(2), "[1/NEW | -]", "[- | -]", "ota_0", "[1/VALID | -]"),
        (slots(2), "[1/PENDING_VERIFY | -]", "[- | -]", "ota_0", "[1/VALID | -]"),
        (slots(2), "[1/VALID | 2/NEW]", "[1/VALID | -]", "ota_0", "[1/VALID | -]"),
        (slots(2), "[1/VALID | 2/PENDING_VERIFY]", "[1/VALID | -]", "ota_0", "[1/VALID | -]"),
        // The initial entry is written again.
        (slots(2), "[- | -]", "[- | -]", "ota_0", "[1/VALID | -]"),
    ] {
        let mut device = device.rollback().otadata(before);
        device.loses_power_after(1);
        assert_eq!(device.entries(), cut, "cut from {before}");
        assert_eq!(device.boots(), app, "after a cut from {before}");
        assert_eq!(device.entries(), after, "after a cut from {before}");
    }
}

/// The order of three rewrites, seen through the cuts between their operations.
#[test]
fn rewrites_happen_one_after_the_other() {
    let before = "[1/PENDING_VERIFY (bad crc) | 2/PENDING_VERIFY (bad crc)]";
    for (operations, cut) in [
        (0, before),
        (1, "[- | 2/PENDING_VERIFY (bad crc)]"),
        (2, "[1/ABORTED (bad crc) | 2/PENDING_VERIFY (bad crc)]"),
        (3, "[1/ABORTED (bad crc) | -]"),
        (4, "[1/ABORTED (bad crc) | 2/ABORTED (bad crc)]"),
        (5, "[- | 2/ABORTED (bad crc)]"),
    ] {
        let mut device = slots(2).rollback().otadata(before);
        device.loses_power_after(operations);
        assert_eq!(device.entries(), cut, "after {operations} operations");
    }
}
