//! Boot selection and fallback on complete flash contents.

use super::super::{Choice, Event, NoBoot, Rewrite, Why};
use super::{device, factory_and_slots, slots};
use crate::synthetic::{Fault, ImageBuilder, MIN_SIZE};
use ota_core::partition::{App, Region};

#[test]
fn sequence_0_selects_the_last_remainder() {
    let expected = [0, 1, 0, 3, 0, 3, 3, 7, 3, 5, 3, 3, 8, 3, 0, 15];
    for (count, slot) in (1..=16).zip(expected) {
        let mut device = slots(count).otadata("[- | 0/UNDEFINED]");
        assert_eq!(device.boots(), format!("ota_{slot}"), "{count} slots");
    }
}

#[test]
fn sector_0_wins_a_tie() {
    let mut first = slots(2).rollback().otadata("[1/NEW | 1/VALID]");
    assert_eq!(first.boots(), "ota_0");
    assert_eq!(first.entries(), "[1/PENDING_VERIFY | 1/VALID]");

    let mut second = slots(2).rollback().otadata("[1/VALID | 1/NEW]");
    assert_eq!(second.boots(), "ota_0");
    assert_eq!(second.entries(), "[1/VALID | 1/NEW]");
}

#[test]
fn sequence_numbers_compare_unsigned() {
    let mut device = slots(2).otadata("[4294967294/VALID | 1/VALID]");
    assert_eq!(device.boots(), "ota_1");
}

#[test]
fn fallback_goes_down_to_factory_and_then_up() {
    let mut device = factory_and_slots(3).otadata("[2/VALID | -]");
    let order = ["ota_1", "ota_0", "factory", "ota_2"];
    for app in order {
        assert_eq!(device.boots(), app);
        device = device.without_image(app);
    }
    assert_eq!(device.boots(), NoBoot::NothingLoads.to_string());
}

#[test]
fn the_test_application_comes_last() {
    let mut device = slots(2).with_test_app().otadata("[1/VALID | -]");
    device = device.without_image("ota_0").without_image("ota_1");
    assert_eq!(device.boots(), "test");
}

/// A stale slot runs although the last confirmed image is intact.
#[test]
fn fallback_ignores_history() {
    let device = factory_and_slots(3).rollback().otadata("[1/VALID | 3/NEW]");
    assert_eq!(device.without_image("ota_2").boots(), "ota_1");

    let device = factory_and_slots(2).rollback().otadata("[3/NEW | 2/VALID]");
    assert_eq!(device.without_image("ota_0").boots(), "factory");
}

#[test]
fn fallback_ignores_rejection() {
    let device = slots(3).rollback().otadata("[2/ABORTED | 3/NEW]");
    assert_eq!(device.without_image("ota_2").boots(), "ota_1");
}

/// Without factory application and usable entry, slot 0 runs even if it is the rejected one.
#[test]
fn both_entries_rejected() {
    for otadata in ["[1/ABORTED | -]", "[1/ABORTED | 2/INVALID]", "[3/INVALID | 2/ABORTED]"] {
        let mut device = slots(2).rollback().otadata(otadata);
        assert_eq!(device.boots(), "ota_0");
        assert_eq!(device.entries(), otadata, "nothing is written");
    }
}

#[test]
fn an_image_gets_one_trial() {
    let mut device = slots(2).rollback().otadata("[1/VALID | 2/NEW]");
    assert_eq!(device.boots(), "ota_1");
    assert_eq!(device.entries(), "[1/VALID | 2/PENDING_VERIFY]");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | 2/ABORTED]");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.writes(), []);
}

#[test]
fn without_rollback_states_stay() {
    let mut device = slots(2).otadata("[1/PENDING_VERIFY | 2/NEW]");
    assert_eq!(device.boots(), "ota_1");
    assert_eq!(device.entries(), "[1/PENDING_VERIFY | 2/NEW]");
}

#[test]
fn odd_states_are_bootable_and_not_tracked() {
    let mut device = slots(2).rollback().otadata("[1/VALID | 2/0x5]");
    assert_eq!(device.boots(), "ota_1");
    assert_eq!(device.entries(), "[1/VALID | 2/0x5]");
}

/// Three rewrites, the most one boot can do. The first two make the entries `invalid`, and that
/// arms the third.
#[test]
fn broken_entries_on_trial_are_aborted_and_replaced() {
    let mut device =
        slots(2).rollback().otadata("[1/PENDING_VERIFY (bad crc) | 2/PENDING_VERIFY (bad crc)]");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.writes(), [(0, Rewrite::Abort), (1, Rewrite::Abort), (0, Rewrite::Initial)]);
    assert_eq!(device.entries(), "[1/VALID | 2/ABORTED (bad crc)]");
}

#[test]
fn broken_entries_in_other_states_get_no_replacement() {
    for otadata in ["[- | 2/NEW (bad crc)]", "[1/UNDEFINED (bad crc) | -]"] {
        let mut device = slots(2).rollback().otadata(otadata);
        assert_eq!(device.boots(), "ota_0");
        assert_eq!(device.entries(), otadata);
    }
}

#[test]
fn the_initial_entry_names_the_slot_that_loaded() {
    let mut device = slots(2).otadata("[- | -]").without_image("ota_0");
    assert_eq!(device.boots(), "ota_1");
    assert_eq!(device.entries(), "[2/VALID | -]");
}

#[test]
fn with_a_factory_application_there_is_no_initial_entry() {
    let mut device = factory_and_slots(2).otadata("[- | -]").without_image("factory");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[- | -]");
}

#[test]
fn the_trial_begins_before_the_image_is_verified() {
    let mut device = slots(2).rollback().otadata("[1/VALID | 2/NEW]").without_image("ota_1");
    assert_eq!(device.boots(), "ota_0");
    assert_eq!(device.entries(), "[1/VALID | 2/PENDING_VERIFY]");
}

/// The remainder is taken by the number of OTA entries in the table, not of slots it fills.
#[test]
fn duplicate_entries_count() {
    let mut device = slots(17).otadata("[17/VALID | -]");
    assert_eq!(device.boots(), "ota_15", "slot 16 does not exist");
    let choice = Event::Selected { choice: Choice::Slot(16), why: Why::Active { sector: 0 } };
    assert!(device.events().contains(&choice), "{:?}", device.events());
}

#[test]
fn small_otadata_stops_the_boot() {
    let mut device = factory_and_slots(2).otadata_region(Region { offset: 0xD000, size: 0x1FFF });
    assert_eq!(device.boots(), NoBoot::OtadataTooSmall.to_string());
}

#[test]
fn a_partition_beyond_the_assumed_flash_size_stops_the_boot() {
    let mut device = factory_and_slots(2).with_test_app(); // which ends at 2 MB
    device.bootloader.spi_size = 1;
    assert_eq!(device.boots(), "factory");
    device.bootloader.spi_size = 0;
    assert_eq!(device.boots(), NoBoot::PartitionTable.to_string());
}

#[test]
fn a_write_protected_sector_keeps_its_entry_and_the_image_its_trial() {
    let mut device = slots(2).rollback().otadata("[1/VALID | 2/NEW]");
    device.protect_otadata();
    for _ in 0..2 {
        assert_eq!(device.boots(), "ota_1");
        assert_eq!(device.entries(), "[1/VALID | 2/NEW]");
        assert!(device.events().contains(&Event::WriteFailed));
    }
}

#[test]
fn a_spoilt_image_is_passed_over() {
    use Fault::*;
    for fault in
        [Magic, Chip, MinRevision, SegmentCount, MmuAlignment, Checksum, Hash, HeaderBit, Torn]
    {
        let image = ImageBuilder::new(MIN_SIZE).fault(fault);
        let mut device = slots(2).image("ota_0", &image).otadata("[1/VALID | -]");
        assert_eq!(device.boots(), "ota_1", "{fault:?}");
        assert!(device.events().contains(&Event::Rejected(App::Ota(device::slot(0)))));
    }
    let image = ImageBuilder::new(MIN_SIZE).fault(HeaderBitUnhashed);
    let mut device = slots(2).image("ota_0", &image).otadata("[1/VALID | -]");
    assert_eq!(device.boots(), "ota_0");
}

#[test]
fn otadata_need_not_start_at_a_sector() {
    let region = Region { offset: 0x1F_0800, size: 0x2000 };
    let mut device = slots(2).rollback().otadata_region(region).otadata("[1/VALID | 2/NEW]");
    device.fill(Region { offset: 0x1F_2000, size: 4 });
    assert_eq!(device.boots(), "ota_1");
    assert_eq!(device.entries(), "[1/VALID | 2/PENDING_VERIFY]");
    let erased = Region { offset: 0x1F_1000, size: 0x800 };
    assert!(device.is_blank(erased), "the sector is erased from its start");
    assert!(!device.is_blank(Region { offset: 0x1F_2000, size: 4 }), "and no further");
}

/// What a replay tells about a boot.
#[test]
fn the_events_tell_the_story() {
    let mut device =
        factory_and_slots(2).rollback().otadata("[3/NEW | 2/VALID]").without_image("ota_0");
    assert_eq!(device.boots(), "factory");
    let story: Vec<_> = device.events().iter().map(Event::to_string).collect();
    assert_eq!(
        story,
        [
            "otadata reads [3/NEW | 2/VALID]",
            "writes 3/PENDING_VERIFY to otadata sector 0: the image gets its only trial",
            "selects ota_0: the select entry in sector 0 is active",
            "ota_0 does not hold a valid image",
            "starts factory, 0x200 bytes",
        ]
    );
}
