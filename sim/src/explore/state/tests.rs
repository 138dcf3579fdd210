use super::*;
use crate::bootloader::Bootloader;
use crate::flash::Part;
use crate::layout::Layout;
use crate::setup::{FIXTURES, Fixture};
use crate::subject::NamedSlots;
use ota_core::image::{ChipId, Requirements};

/// With gaps in the numbers of slots, bootloader and application count them differently; neither may see a
/// difference.
#[test]
fn counting_from_one_changes_no_slot_on_either_side() {
    let firmware: Vec<_> = FIXTURES.iter().map(Fixture::firmware).collect();
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    for (layout, counts) in Layout::gaps().iter().zip([(2, 1), (3, 2), (2, 0)]) {
        let apps = layout.apps();
        assert_eq!((apps.slot_count(), apps.unbroken_count()), counts, "{}", layout.name());
        let bootloader = Bootloader { spi_size: 1, ..Bootloader::default() };
        let world =
            World::new(layout, bootloader, requirements, &firmware, &NamedSlots, Part::W25Q16JV)
                .unwrap();
        let mut greatest = 0;
        for seq in 1..=50 {
            for ahead in 0..7 {
                let entries = [seq + ahead, seq].map(|seq| SelectEntry::new(seq, OtaState::VALID));
                let mut memory = Memory::erased(Part::W25Q16JV.capacity);
                for (index, entry) in (0..).zip(&entries) {
                    let offset = apps.otadata().offset + index * otadata::SECTOR_SIZE;
                    memory.set(offset, &entry.emit());
                }
                let counted = world.entries(&memory);
                assert_eq!(counted[0].seq - counted[1].seq, ahead);
                for count in [apps.slot_count(), apps.unbroken_count()] {
                    let slots = |entries: [SelectEntry; 2]| {
                        entries.map(|entry| entry.slot_index(count.into()))
                    };
                    assert_eq!(slots(counted), slots(entries), "{}, {entries:?}", layout.name());
                }
                greatest = greatest.max(counted[1].seq);
            }
        }
        assert!(greatest <= 6, "numbers do not count from one: {greatest}");
    }
}
