//! What is left of select entries in encrypted flash, and what boots then.

use crate::bootloader::{Bootloader, Event, Why};
use crate::explore::{Content, World, WorldError};
use crate::firmware::Firmware;
use crate::flash::{Memory, Part};
use crate::layout::Layout;
use crate::setup::{FIXTURES, Fixture, subjects};
use crate::subject::EspIdf;
use ota_core::image::{ChipId, Requirements};
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::{App, Slot};

const TWO_SLOTS: &str = "otadata,data,ota,0xd000,0x2000\n\
    ota_0,app,ota_0,0x10000,64K\nota_1,app,ota_1,0x20000,64K\n";
const WITH_FACTORY: &str = "otadata,data,ota,0xd000,0x2000\nfactory,app,factory,0x10000,64K\n\
    ota_0,app,ota_0,0x20000,64K\nota_1,app,ota_1,0x30000,64K\n";
const CAPACITY: u32 = 256 * 1024;
const OTADATA: u32 = 0xD000;

fn with_world(layout: &str, rollback: bool, run: impl FnOnce(&World<'_>)) {
    let layout = Layout::from_csv("small", layout, CAPACITY).unwrap();
    let firmware: Vec<Firmware> = FIXTURES.iter().map(Fixture::firmware).collect();
    let bootloader = Bootloader { rollback, spi_size: 0, ..Bootloader::default() };
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    let part = Part::W25Q32JV.with_capacity(CAPACITY);
    let subject = EspIdf::default();
    let world = World::new(&layout, bootloader, requirements, &firmware, &subject, part).unwrap();
    run(&world.encrypted().unwrap());
}

/// A device with these entries and an image in every partition.
fn device(world: &World<'_>, entries: [SelectEntry; 2]) -> Memory {
    let mut flash = world.initial().flash;
    let count = world.partitions().count();
    for (index, (content, region)) in flash.contents.iter_mut().zip(world.partitions()).enumerate()
    {
        if region.is_some() {
            *content = Content::Firmware((count - 1 - index) as u8 % 3);
        }
    }
    flash.entries = entries;
    world.memory(&flash)
}

fn boots(world: &World<'_>, memory: &Memory) -> (Option<App>, Option<Why>, usize) {
    let run = world.boot(memory.clone(), 0, true);
    let why = run.events.iter().find_map(|event| match event {
        Event::Selected { why, .. } => Some(*why),
        _ => None,
    });
    (run.boot.app(), why, run.recorded.len())
}

fn slot(index: u8) -> Option<App> {
    Slot::new(index).map(App::Ota)
}

fn is_noise(entry: &SelectEntry) -> bool {
    !entry.crc_ok() && entry.state.is_odd() && entry.seq != SelectEntry::SEQ_BLANK
}

#[test]
fn a_new_device_reads_blank_and_an_erased_entry_does_not() {
    with_world(TWO_SLOTS, false, |world| {
        let mut memory = world.memory(&world.initial().flash);
        assert_eq!(world.raw_entries(&memory), [SelectEntry::BLANK; 2]);
        memory.erase(OTADATA..OTADATA + 0x2000);
        let erased = world.raw_entries(&memory);
        assert!(erased.iter().all(is_noise), "{erased:?}");
        let zeros = Memory::with_contents(CAPACITY, &[0; CAPACITY as usize]);
        assert!(world.raw_entries(&zeros).iter().all(is_noise));
        // Whatever the noise, it counts as one.
        assert_eq!(world.entries(&memory), world.entries(&zeros));
    });
}

#[test]
fn without_factory_two_lost_entries_boot_the_first_slot_and_no_entry_is_written() {
    with_world(TWO_SLOTS, false, |world| {
        let mut memory = device(world, [3, 2].map(|seq| SelectEntry::new(seq, State::VALID)));
        memory.erase(OTADATA..OTADATA + 0x2000);
        assert_eq!(boots(world, &memory), (slot(0), Some(Why::NoneActive), 0));
        // Blank entries get one.
        let blank = device(world, [SelectEntry::BLANK; 2]);
        assert_eq!(boots(world, &blank), (slot(0), Some(Why::BothInvalid), 2));
    });
    with_world(WITH_FACTORY, false, |world| {
        let mut memory = device(world, [3, 2].map(|seq| SelectEntry::new(seq, State::VALID)));
        memory.erase(OTADATA..OTADATA + 0x2000);
        assert_eq!(boots(world, &memory), (Some(App::Factory), Some(Why::NoneActive), 0));
    });
}

#[test]
fn a_bit_torn_in_either_block_loses_the_entry() {
    with_world(TWO_SLOTS, true, |world| {
        let entries = [SelectEntry::new(1, State::VALID), SelectEntry::new(2, State::VALID)];
        let memory = device(world, entries);
        assert_eq!(world.raw_entries(&memory), entries);
        assert_eq!(boots(world, &memory).0, slot(1));
        for byte in [0x1003, 0x1015] {
            let mut torn = memory.clone();
            let old = torn.to_vec(OTADATA + byte..OTADATA + byte + 1)[0];
            torn.set(OTADATA + byte, &[old ^ 0x10]);
            let [first, second] = world.raw_entries(&torn);
            assert_eq!(first, entries[0]);
            assert!(!second.crc_ok());
            // The state stands in the second block.
            assert_eq!(second.state.is_odd(), byte == 0x1015, "{second:?}");
            assert_eq!(boots(world, &torn).0, slot(0));
        }
    });
}

#[test]
fn an_entry_on_trial_with_a_torn_first_block_is_given_up_without_a_look_at_its_crc() {
    with_world(TWO_SLOTS, true, |world| {
        let pending = SelectEntry::new(2, State::PENDING_VERIFY);
        let mut memory = device(world, [SelectEntry::new(1, State::VALID), pending]);
        memory.set(OTADATA + 0x1000, &[0; 16]);
        let run = world.boot(memory.clone(), 0, false);
        assert_eq!(run.recorded.len(), 2);
        let [_, after] = world.raw_entries(&run.memory);
        assert_eq!((after.state, after.crc_ok()), (State::ABORTED, false));
    });
}

#[test]
fn images_stand_on_flash_encrypted_and_are_told_apart_all_the_same() {
    with_world(TWO_SLOTS, false, |world| {
        let memory = world.memory(&world.initial().flash);
        let region = world.layout.apps().slot(Slot::new(0).unwrap()).unwrap();
        let start = memory.to_vec(region.offset..region.offset + 32);
        assert_ne!(start, world.firmware[0].bytes[..32]);
        assert_eq!(world.content(&memory, region), Content::Firmware(0));
        let mut torn = memory.clone();
        torn.set(region.offset + 0x1000, &[0]);
        assert_eq!(world.content(&torn, region), Content::Junk);
        // The same ciphertext elsewhere is noise.
        let other = world.layout.apps().slot(Slot::new(1).unwrap()).unwrap();
        let mut moved = memory.clone();
        moved.set(other.offset, &memory.to_vec(region.offset..region.offset + region.size));
        assert_eq!(world.content(&moved, other), Content::Junk);
    });
}

#[test]
fn update_code_that_writes_words_is_refused() {
    let layout = Layout::from_csv("small", TWO_SLOTS, CAPACITY).unwrap();
    let firmware: Vec<Firmware> = FIXTURES.iter().map(Fixture::firmware).collect();
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    let part = Part::W25Q32JV.with_capacity(CAPACITY);
    let mut refused = Vec::new();
    for subject in subjects() {
        let bootloader = Bootloader { spi_size: 0, ..Bootloader::default() };
        let world = World::new(&layout, bootloader, requirements, &firmware, subject, part);
        match world.unwrap().encrypted() {
            Ok(_) => {}
            Err(WorldError::PlainOnly { subject, reason }) => {
                assert!(reason.contains("blocks of 16"), "{reason}");
                refused.push(subject);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, ["ota-core", "ota-core-bulk", "update-agent"]);
}
