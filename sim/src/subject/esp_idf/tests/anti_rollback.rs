//! Anti-rollback.

use super::*;

/// The image of another security version.
fn secure(version: u32) -> Vec<u8> {
    ImageBuilder::new(IMAGE_SIZE).seed(99).secure_version(version).build()
}

/// The slot is erased, and otadata stays as it is.
#[test]
fn under_anti_rollback_an_old_image_is_not_selected() {
    for (version, result, entries) in [
        (1, Err("ESP_ERR_OTA_SMALL_SEC_VER (0x1504)".into()), "[1/VALID | -]"),
        (2, Ok(()), "[1/VALID | 2/NEW]"),
    ] {
        let mut bench =
            Bench::two_slots(ota(0), [entry(1, State::VALID), BLANK]).with_anti_rollback(2);
        let (updated, _) = bench.call(|device| EspIdf::default().update(device, &secure(version)));
        let slot = bench.layout.apps().slots().nth(1).expect("two slots");
        let mut head = [0; 1];
        bench.chip.memory().read(slot.offset, &mut head);
        assert_eq!(head == [0xFF], updated.is_err());
        assert_eq!((updated, bench.entries().as_str()), (result, entries));
    }
}

#[test]
fn under_anti_rollback_confirming_burns_the_version_after_the_entry_is_written() {
    for (version, burnt, result) in [
        (2, 2, Ok(())),
        (16, 16, Ok(())),
        (17, 1, Err("ESP_ERR_INVALID_ARG (0x102)".into())),
        (0, 1, Ok(())),
    ] {
        let mut bench = Bench::two_slots(ota(0), [entry(1, State::PENDING_VERIFY), BLANK])
            .with_anti_rollback(1);
        let mut memory = bench.chip.memory().clone();
        memory.set(bench.layout.apps().slots().next().expect("a slot").offset, &secure(version));
        bench.chip = Chip::with_memory(Part::W25Q32JV, memory).with_driver(Driver::ESP_IDF_APP);
        let (confirmed, operations) = bench.call(|device| EspIdf::default().confirm(device));
        assert_eq!((confirmed, operations.len()), (result, 2), "{version}");
        assert_eq!((bench.secure_version, bench.entries().as_str()), (burnt, "[1/VALID | -]"));
    }
}

#[test]
fn under_anti_rollback_an_old_image_and_factory_are_nothing_to_return_to() {
    let both = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    let only = [BLANK, entry(2, State::PENDING_VERIFY)];
    for (entries, burnt, possible) in [(both, 0, true), (both, 1, false), (only, 0, false)] {
        let mut bench = Bench::factory_and_two_slots(ota(1), entries).with_anti_rollback(burnt);
        let (rejected, _) = bench.call(|device| EspIdf::default().reject(device));
        assert_eq!(rejected.is_ok(), possible, "{entries:?}, {burnt} in eFuse");
    }
}
