//! Where generations differ, each on flash contents that tell them apart.

use super::super::{AntiRollback, Bootloader, FactoryReset, NoBoot, OptionError, Rewrite};
use super::{Device, factory_and_slots, slots};
use crate::flash::SECTOR_SIZE;
use crate::layout::Layout;
use crate::synthetic::{Fault, ImageBuilder, MIN_SIZE};
use ota_core::Generation::{self, V2_1, V3_0, V3_3, V4_4, V6_1};
use ota_core::SliceFlash;
use ota_core::partition::Region;
use ota_core::table::{BootTable, BootTableError};

fn under(generation: Generation, mut device: Device) -> Device {
    device.bootloader.generation = generation;
    device
}

/// The outcome under each generation, the oldest first.
fn each(device: impl Fn() -> Device) -> Vec<String> {
    Generation::ALL.map(|generation| under(generation, device()).boots()).into()
}

/// As many times as there are generations, `old` for the first `count` and then `new`.
fn first(count: usize, old: &str, new: &str) -> Vec<String> {
    let all = Generation::ALL.iter().enumerate();
    all.map(|(index, _)| if index < count { old } else { new }.to_string()).collect()
}

#[test]
fn all_choose_the_greatest_number() {
    for (otadata, app) in [
        ("[1/UNDEFINED | 2/UNDEFINED]", "ota_1"),
        ("[3/UNDEFINED | 2/UNDEFINED]", "ota_0"),
        ("[- | 2/UNDEFINED]", "ota_1"),
        ("[3/UNDEFINED (bad crc) | 2/UNDEFINED]", "ota_1"),
        ("[- | -]", "factory"),
        ("[1/UNDEFINED (bad crc) | -]", "factory"),
    ] {
        let outcomes = each(|| factory_and_slots(2).otadata(otadata));
        assert_eq!(outcomes, first(0, "", app), "{otadata}");
    }
}

#[test]
fn states_count_from_v3_3_on() {
    let rejected = each(|| slots(2).otadata("[1/VALID | 2/INVALID]"));
    assert_eq!(rejected, first(2, "ota_1", "ota_0"));
    let aborted = each(|| factory_and_slots(2).otadata("[1/ABORTED | 2/INVALID]"));
    assert_eq!(aborted, first(2, "ota_1", "factory"));
}

#[test]
fn v2_1_tries_one_image() {
    let device = || slots(2).otadata("[1/UNDEFINED | 2/UNDEFINED]").without_image("ota_1");
    assert_eq!(each(device), first(1, &NoBoot::NothingLoads.to_string(), "ota_0"));
    let broken = || slots(2).otadata("[1/UNDEFINED (bad crc) | -]");
    assert_eq!(each(broken), first(1, &NoBoot::NothingLoads.to_string(), "ota_0"));
}

#[test]
fn without_otadata_v2_1_starts_the_test_application() {
    let device = || factory_and_slots(0).with_test_app().otadata_region(Region::default());
    assert_eq!(each(device), first(0, "", "factory"));
    // Others start it after everything else has failed.
    let device = || slots(0).with_test_app().otadata_region(Region::default());
    assert_eq!(each(device), first(0, "", "test"));
    let device = || device().without_image("test");
    assert_eq!(each(device), first(0, "", &NoBoot::NothingLoads.to_string()));
}

#[test]
fn first_entries_of_a_device_without_factory() {
    for generation in Generation::ALL {
        let mut device = under(generation, slots(2).otadata("[- | -]"));
        assert_eq!(device.boots(), "ota_0");
        let (entries, writes) = match generation {
            V2_1 => ("[1/UNDEFINED | 0/UNDEFINED]", 2),
            V3_0 => ("[- | -]", 0),
            _ => ("[1/VALID | -]", 1),
        };
        assert_eq!(device.entries(), entries, "{generation}");
        assert_eq!(device.writes().len(), writes, "{generation}");
        assert!(device.writes().iter().all(|&(_, rewrite)| rewrite == Rewrite::Initial));
    }
}

/// v2.1 writes them whatever the slot holds; later ones only for an image that loads.
#[test]
fn v2_1_writes_its_first_entries_before_it_loads() {
    let mut old = under(V2_1, slots(2).otadata("[- | -]").without_image("ota_0"));
    assert_eq!(old.boots(), NoBoot::NothingLoads.to_string());
    assert_eq!(old.entries(), "[1/UNDEFINED | 0/UNDEFINED]");
    let mut new = under(V3_3, slots(2).otadata("[- | -]").without_image("ota_0"));
    assert_eq!(new.boots(), "ota_1");
    assert_eq!(new.entries(), "[2/VALID | -]");
}

/// Both sectors are erased before one is programmed.
#[test]
fn power_fails_while_v2_1_writes_its_first_entries() {
    let blank = || under(V2_1, slots(2).otadata("[- | -]"));
    let after = [(1, "[- | -]"), (2, "[- | -]"), (3, "[1/UNDEFINED | -]")];
    for (operations, entries) in after {
        let mut device = blank();
        device.loses_power_after(operations);
        assert_eq!(device.entries(), entries, "after {operations} operations");
        assert_eq!(device.boots(), "ota_0");
    }
}

#[test]
fn v2_1_stops_when_it_cannot_write() {
    let device = || {
        let mut device = slots(2).otadata("[- | -]");
        device.protect_otadata();
        device
    };
    assert_eq!(each(device), first(1, &NoBoot::OtadataNotWritten.to_string(), "ota_0"));
}

#[test]
fn before_v3_1_an_entry_without_slots_stops_the_boot() {
    let device = || factory_and_slots(0).otadata("[1/UNDEFINED | -]");
    assert_eq!(each(device), first(2, &NoBoot::NoSlots.to_string(), "factory"));
}

#[test]
fn v2_1_does_not_know_the_hash_of_an_image() {
    let spoilt = ImageBuilder::new(MIN_SIZE).fault(Fault::Hash);
    let device = || slots(2).otadata("[1/UNDEFINED | -]").image("ota_0", &spoilt);
    assert_eq!(each(device), first(1, "ota_0", "ota_1"));
}

#[test]
fn tables_with_md5_are_for_v3_1_and_later() {
    let load = |layout: &Layout, generation| {
        BootTable::load(&mut SliceFlash(layout.table()), 0, 0x40_0000, generation)
    };
    for stock in Layout::stock() {
        let new = load(&stock, V3_3).unwrap();
        for old in [V2_1, V3_0] {
            assert!(matches!(load(&stock, old), Err(BootTableError::BadRecord { .. })));
            let table = load(&stock.clone().for_bootloader(old), old).unwrap();
            assert_eq!(table, new, "{}", stock.name());
        }
        assert_eq!(stock.clone().for_bootloader(V3_3).table(), stock.table());
    }
}

#[test]
fn v3_3_starts_a_test_application_that_is_too_old() {
    let device = |generation| {
        let mut device = under(generation, slots(1).with_test_app()).rollback();
        device.bootloader.anti_rollback = Some(AntiRollback { field_bits: 16 });
        device.input.secure_version = 1;
        device.boots()
    };
    assert_eq!(device(V3_3), "test");
    assert_eq!(device(V4_4), NoBoot::NothingLoads.to_string());
}

#[test]
fn options_that_a_generation_lacks_are_refused() {
    let rollback = Bootloader { rollback: true, ..Bootloader::default() };
    for generation in Generation::ALL {
        let bootloader = Bootloader { generation, ..rollback.clone() };
        let result = bootloader.check();
        assert_eq!(result.is_ok(), generation >= V3_3, "{generation}");
        assert_eq!(Bootloader::has_rollback(generation), generation >= V3_3);
        assert_eq!(Bootloader { generation, ..Bootloader::default() }.check(), Ok(()));
    }
    let old = Bootloader { generation: V3_0, ..rollback };
    let error =
        "the bootloader of ESP-IDF v3.0 has no rollback: choose v3.3 or later, or go without";
    assert_eq!(old.check().unwrap_err().to_string(), error);

    let factory_reset = Some(FactoryReset { labels: Vec::new(), otadata: true });
    let pins = Bootloader { generation: V3_0, factory_reset, ..Bootloader::default() };
    assert!(matches!(pins.check(), Err(OptionError::NotYet { since: V3_3, .. })));
    let anti_rollback = Some(AntiRollback { field_bits: 16 });
    let alone = Bootloader { generation: V6_1, anti_rollback, ..Bootloader::default() };
    assert_eq!(alone.check(), Err(OptionError::NeedsRollback));
}

#[test]
fn a_flash_size_that_v5_1_does_not_know_means_two_megabytes() {
    let device = |generation, offset| {
        let mut device =
            under(generation, slots(1)).otadata_region(Region { offset, size: 0x2000 });
        device.bootloader.spi_size = 5;
        device.boots()
    };
    let beyond = 0x20_0000 - SECTOR_SIZE as u32;
    assert_eq!(device(Generation::V5_1, beyond), NoBoot::PartitionTable.to_string());
    assert_eq!(device(Generation::V5_5, beyond), "ota_0");
}
