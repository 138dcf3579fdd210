//! Confirming and rejecting the running image.

use super::*;

#[test]
fn confirmation_rewrites_the_active_entry_in_place() {
    let label = [0x5A; 20];
    let pending = SelectEntry { label, ..entry(2, State::PENDING_VERIFY) };
    let mut bench = Bench::two_slots(ota(1), [entry(1, State::VALID), pending]);
    let (result, operations) = bench.call(|device| EspIdf::default().confirm(device));
    assert_eq!(result, Ok(()));
    assert_eq!(operations, rewrite(0x1_0000, 2, label, 2, CRC_OF_2));

    let (result, operations) = bench.call(|device| EspIdf::default().confirm(device));
    assert_eq!((result, operations), (Ok(()), vec![]), "confirmed already");
}

#[test]
fn confirmation_takes_the_active_entry_for_the_running_one() {
    let entries = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    for running in [ota(0), App::Factory] {
        let mut bench = Bench::factory_and_two_slots(running, entries);
        let (result, operations) = bench.call(|device| EspIdf::default().confirm(device));
        assert_eq!(result, Ok(()));
        assert_eq!(operations, rewrite(0xE000, 2, NO_LABEL, 2, CRC_OF_2), "{running}");
    }
}

#[test]
fn confirmation_without_an_active_entry_fails_outside_factory() {
    let entries = [entry(1, State::ABORTED), BLANK];
    for (running, expected) in [(App::Factory, Ok(())), (ota(0), Err("ESP_FAIL (-0x1)".into()))] {
        let mut bench = Bench::factory_and_two_slots(running, entries);
        let outcome = bench.call(|device| EspIdf::default().confirm(device));
        assert_eq!(outcome, (expected, vec![]), "{running}");
    }
}

#[test]
fn rejection_rewrites_the_active_entry_in_place() {
    let entries = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    let mut bench = Bench::two_slots(ota(1), entries);
    let (result, operations) = bench.call(|device| EspIdf::default().reject(device));
    assert_eq!(result, Ok(()));
    assert_eq!(operations, rewrite(0x1_0000, 2, NO_LABEL, 3, CRC_OF_2));
}

#[test]
fn rejection_needs_an_image_to_return_to() {
    let lone = [entry(1, State::PENDING_VERIFY), BLANK];
    let both = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    let (slots, factory): (fn(_, _) -> _, fn(_, _) -> _) =
        (Bench::two_slots, Bench::factory_and_two_slots);
    for (mut bench, expected) in [
        (factory(ota(0), lone), None),
        (
            factory(ota(0), lone).without_image(App::Factory),
            Some("ESP_ERR_OTA_ROLLBACK_FAILED (0x1505)"),
        ),
        // Factory does not count while another entry is valid.
        (factory(ota(1), both).without_image(ota(0)), Some("ESP_ERR_OTA_ROLLBACK_FAILED (0x1505)")),
        (slots(ota(0), lone), Some("ESP_ERR_OTA_ROLLBACK_FAILED (0x1505)")),
        (slots(ota(0), [BLANK, BLANK]), Some("ESP_FAIL (-0x1)")),
    ] {
        let (result, operations) = bench.call(|device| EspIdf::default().reject(device));
        assert_eq!(result.err().as_deref(), expected);
        assert_eq!(operations.is_empty(), expected.is_some());
    }
}
