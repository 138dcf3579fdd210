mod anti_rollback;
mod confirmation;
mod releases;

use super::ota_ops::{Session, next_seq};
use super::*;
use crate::bootloader::AntiRollback;
use crate::flash::{Chip, Driver, EraseSize, Memory, Operation, OperationKind, Part};
use crate::layout::Layout;
use crate::subject::Unobserved;
use crate::synthetic::ImageBuilder;
use ::ota_core::image::{ChipId, Requirements};
use ::ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE, SelectEntry, State};
use ::ota_core::partition::{Region, Slot};

/// One sector and a bit: the last of the six chunks is short.
const IMAGE_SIZE: u32 = 0x1410;

const BLANK: SelectEntry = SelectEntry::BLANK;

fn entry(seq: u32, state: State) -> SelectEntry {
    SelectEntry::new(seq, state)
}

fn ota(index: u8) -> App {
    App::Ota(slot(index))
}

fn slot(index: u8) -> Slot {
    Slot::new(index).expect("a slot number")
}

fn image(seed: u64) -> Vec<u8> {
    ImageBuilder::new(IMAGE_SIZE).seed(seed).build()
}

/// What erases a sector of otadata and programs an entry, in bytes.
fn rewrite(address: u32, seq: u8, label: [u8; 20], state: u8, crc: [u8; 4]) -> Vec<Operation> {
    let entry = [&[seq, 0, 0, 0][..], &label, &[state, 0, 0, 0], &crc].concat();
    vec![Operation::erase(address, EraseSize::Sector4K), Operation::program(address, entry)]
}

const NO_LABEL: [u8; 20] = [0xFF; 20];
const CRC_OF_1: [u8; 4] = [0x9A, 0x98, 0x43, 0x47];
const CRC_OF_2: [u8; 4] = [0x74, 0x37, 0xF6, 0x55];

/// A device on the desk, with an image in every application partition.
struct Bench {
    chip: Chip,
    layout: Layout,
    requirements: Requirements,
    running: App,
    rollback: bool,
    anti_rollback: Option<AntiRollback>,
    secure_version: u32,
}

impl Bench {
    /// A rollback build.
    fn new(layout: &str, running: App, entries: [SelectEntry; 2]) -> Self {
        let layout = Layout::stock()
            .into_iter()
            .find(|stock| stock.name() == layout)
            .expect("a stock layout");
        let mut memory = Memory::erased(Part::W25Q32JV.capacity);
        let apps = layout.apps();
        for region in apps.slots().chain(apps.factory()) {
            memory.set(region.offset, &image(region.offset.into()));
        }
        for (sector, entry) in (0..).zip(entries) {
            memory.set(apps.otadata().offset + sector * SECTOR_SIZE, &entry.emit());
        }
        let chip = Chip::with_memory(Part::W25Q32JV, memory).with_driver(Driver::ESP_IDF_APP);
        let requirements = Requirements::for_chip(ChipId::ESP32C3);
        Self {
            chip,
            layout,
            requirements,
            running,
            rollback: true,
            anti_rollback: None,
            secure_version: 0,
        }
    }

    fn factory_and_two_slots(running: App, entries: [SelectEntry; 2]) -> Self {
        Self::new("factory-2-slots", running, entries)
    }

    fn two_slots(running: App, entries: [SelectEntry; 2]) -> Self {
        Self::new("2-slots", running, entries)
    }

    fn without_rollback(self) -> Self {
        Self { rollback: false, ..self }
    }

    /// A build with anti-rollback, and what is in eFuse.
    fn with_anti_rollback(self, secure_version: u32) -> Self {
        let anti_rollback = Some(AntiRollback { field_bits: 16 });
        Self { anti_rollback, secure_version, ..self }
    }

    /// Spoils the first byte of an application.
    fn without_image(mut self, app: App) -> Self {
        let region = self.layout.apps().app(app).expect("a partition");
        let mut memory = self.chip.memory().clone();
        memory.set(region.offset, &[0]);
        self.chip = Chip::with_memory(Part::W25Q32JV, memory).with_driver(Driver::ESP_IDF_APP);
        self
    }

    /// Makes a call and returns its result and its flash operations.
    fn call<T>(&mut self, call: impl FnOnce(Device<'_>) -> T) -> (T, Vec<Operation>) {
        self.chip.log();
        let result = call(Device {
            chip: &mut self.chip,
            layout: &self.layout,
            requirements: &self.requirements,
            running: self.running,
            rollback: self.rollback,
            anti_rollback: self.anti_rollback,
            secure_version: &mut self.secure_version,
            observer: &mut Unobserved,
        });
        let log = self.chip.take_log();
        (result, log.into_iter().map(|entry| entry.operation).collect())
    }

    fn update(&mut self) -> (Result<(), Failure>, Vec<Operation>) {
        self.call(|device| EspIdf::default().update(device, &image(99)))
    }

    /// Both entries, such as `[1/VALID | -]`.
    fn entries(&self) -> String {
        let offset = self.layout.apps().otadata().offset;
        let [first, second] = [offset, offset + SECTOR_SIZE].map(|at| {
            let mut bytes = [0; ENTRY_SIZE];
            self.chip.memory().read(at, &mut bytes);
            SelectEntry::parse(&bytes)
        });
        format!("[{first} | {second}]")
    }
}

/// Operations in words; programs that continue each other make one line.
fn trace(operations: &[Operation]) -> Vec<String> {
    let mut lines: Vec<Operation> = Vec::new();
    for operation in operations {
        if let OperationKind::Program { data } = &operation.kind
            && let Some(last) = lines.last_mut()
            && let OperationKind::Program { data: before } = &last.kind
            && last.offset + before.len() as u32 == operation.offset
        {
            *last = Operation::program(last.offset, [&before[..], data].concat());
        } else {
            lines.push(operation.clone());
        }
    }
    lines.iter().map(ToString::to_string).collect()
}

/// Flash offsets of the erases.
fn erases(operations: &[Operation]) -> Vec<u32> {
    let erase = |operation: &&Operation| matches!(operation.kind, OperationKind::Erase(_));
    operations.iter().filter(erase).map(|operation| operation.offset).collect()
}

#[test]
fn an_update_erases_as_it_writes_and_selects_last() {
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let (result, operations) = bench.update();
    assert_eq!(result, Ok(()));
    assert_eq!(
        trace(&operations),
        [
            "erase 4K 0x00110000",
            "program 0x00110000 +4096",
            "erase 4K 0x00111000",
            "program 0x00111000 +1040",
            "erase 4K 0x0000d000",
            "program 0x0000d000 +32",
        ]
    );
    let slot = bench.layout.apps().slot(slot(0)).expect("ota_0");
    let Region { offset, .. } = slot;
    assert_eq!(bench.chip.memory().to_vec(offset..offset + IMAGE_SIZE), image(99));
}

#[test]
fn the_first_selection_goes_to_sector_0() {
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let (_, operations) = bench.update();
    assert!(operations.ends_with(&rewrite(0xD000, 1, NO_LABEL, 0, CRC_OF_1)));
    assert_eq!(bench.entries(), "[1/NEW | -]");
}

#[test]
fn the_second_selection_goes_to_sector_1_with_its_old_label() {
    let label = [0x5A; 20];
    // A rejected entry for the running slot, which begin leaves alone.
    let rejected = SelectEntry { label, ..entry(3, State::ABORTED) };
    let mut bench = Bench::factory_and_two_slots(ota(0), [entry(1, State::VALID), rejected]);
    let (result, operations) = bench.update();
    assert_eq!(result, Ok(()));
    assert!(operations.ends_with(&rewrite(0xE000, 2, label, 0, CRC_OF_2)));
    assert_eq!(bench.entries(), "[1/VALID | 2/NEW]");
}

#[test]
fn without_rollback_a_selection_is_final() {
    let mut bench = Bench::two_slots(ota(1), [entry(1, State::UNDEFINED), entry(2, State::VALID)])
        .without_rollback();
    let (result, operations) = bench.update();
    assert_eq!(result, Ok(()));
    assert_eq!(erases(&operations), [0x2_0000, 0x2_1000, 0xF000], "nothing is revoked");
    assert_eq!(bench.entries(), "[3/UNDEFINED | 2/VALID]");
}

#[test]
fn selecting_the_selected_slot_repeats_its_number_in_the_other_sector() {
    // The image in ota_0 did not load, so factory runs.
    let mut bench = Bench::factory_and_two_slots(App::Factory, [entry(1, State::VALID), BLANK]);
    let (result, operations) = bench.update();
    assert_eq!(result, Ok(()));
    assert!(operations.ends_with(&rewrite(0xE000, 1, NO_LABEL, 0, CRC_OF_1)));
    assert_eq!(bench.entries(), "[1/VALID | 1/NEW]");
}

#[test]
fn a_session_revokes_the_inactive_entry_before_or_after_the_slot_is_erased() {
    for (extent, expected) in [
        (Some(Extent::Sequential), vec![0xF000, 0x2_0000, 0x2_1000, 0xF000]),
        (None, vec![0x2_0000, 0x2_1000, 0xF000, 0xF000]),
        (Some(Extent::Known(1)), vec![0x2_0000, 0xF000]),
    ] {
        let entries = [entry(1, State::VALID), entry(2, State::VALID)];
        let mut bench = Bench::two_slots(ota(1), entries);
        let (result, operations) = bench
            .call(|device| EspIdf { release: Release::V5_5, extent }.update(device, &image(99)));
        assert_eq!(erases(&operations), expected, "{extent:?}");
        if extent == Some(Extent::Known(1)) {
            assert!(result.unwrap_err().starts_with("ESP_ERR_OTA_VALIDATE_FAILED (0x1503): "));
            assert_eq!(bench.entries(), "[- | 2/VALID]");
        } else {
            assert_eq!(result, Ok(()));
            assert_eq!(bench.entries(), "[3/NEW | 2/VALID]");
        }
    }
}

#[test]
fn an_unknown_size_erases_the_whole_slot() {
    let begin = |mut device: Device<'_>| {
        Session::begin(&mut device, slot(0), Extent::Unknown, true).map(drop)
    };
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let (result, operations) = bench.call(begin);
    assert_eq!(result, Ok(()));
    let blocks: Vec<u32> = (0..16).map(|block| 0x11_0000 + block * 0x1_0000).collect();
    assert_eq!(erases(&operations), blocks);
}

#[test]
fn only_a_good_entry_of_another_slot_is_revoked() {
    let bad_crc = SelectEntry { crc: 0, ..entry(1, State::VALID) };
    for (running, entries, revoked) in [
        (1, [entry(2, State::VALID), entry(1, State::ABORTED)], true),
        // A new Arduino device: number 0 selects ota_1.
        (0, [entry(1, State::UNDEFINED), entry(0, State::UNDEFINED)], true),
        (0, [entry(1, State::VALID), entry(3, State::ABORTED)], false),
        (0, [entry(1, State::VALID), BLANK], false),
        (1, [entry(2, State::VALID), bad_crc], false),
        (0, [entry(1, State::INVALID), entry(2, State::ABORTED)], false),
    ] {
        let mut bench = Bench::two_slots(ota(running), entries);
        let target = slot(1 - running);
        let (result, operations) = bench.call(|mut device| {
            Session::begin(&mut device, target, Extent::Sequential, true).map(drop)
        });
        assert_eq!(result, Ok(()));
        let expected: &[u32] = if revoked { &[0x1_0000] } else { &[] };
        assert_eq!(erases(&operations), expected, "{entries:?}");
    }
}

#[test]
fn a_sector_is_erased_when_its_first_byte_arrives() {
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let ((), operations) = bench.call(|mut device| {
        let mut session = Session::begin(&mut device, slot(0), Extent::Sequential, true).unwrap();
        for chunk in image(99).chunks(4000) {
            session.write(&mut device, chunk).unwrap();
        }
        session.write(&mut device, &[]).unwrap();
        session.end(&mut device).unwrap();
    });
    assert_eq!(
        trace(&operations),
        [
            "erase 4K 0x00110000",
            "program 0x00110000 +4000",
            "erase 4K 0x00111000",
            "program 0x00110fa0 +1136",
        ]
    );
}

#[test]
fn a_wrong_first_byte_is_noticed_after_the_erase() {
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let (result, operations) =
        bench.call(|device| EspIdf::default().update(device, &[0x7F, b'E', b'L', b'F']));
    assert_eq!(result.unwrap_err(), "ESP_ERR_OTA_VALIDATE_FAILED (0x1503)");
    assert_eq!(erases(&operations), [0x11_0000]);
    let (result, _) = bench.call(|device| EspIdf::default().update(device, &[]));
    assert_eq!(result.unwrap_err(), "ESP_ERR_INVALID_ARG (0x102)");
}

#[test]
fn an_image_larger_than_the_slot_fails_where_it_ends() {
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let large = ImageBuilder::new(0x10_0010).build();
    let (result, operations) = bench.call(|device| EspIdf::default().update(device, &large));
    assert_eq!(result.unwrap_err(), "ESP_ERR_INVALID_SIZE (0x104)");
    let end = operations.iter().map(|operation| operation.range(0x40_0000).end).max();
    assert_eq!(end, Some(0x21_0000));
    let (result, operations) =
        bench.call(|device| EspIdf { release: Release::V5_5, extent: None }.update(device, &large));
    assert_eq!(result.unwrap_err(), "ESP_ERR_INVALID_SIZE (0x104)");
    assert_eq!(operations, []);
}

#[test]
fn an_image_needs_no_hash() {
    let mut bench = Bench::factory_and_two_slots(App::Factory, [BLANK, BLANK]);
    let image = ImageBuilder::new(IMAGE_SIZE).without_hash().build();
    let (result, _) = bench.call(|device| EspIdf::default().update(device, &image));
    assert_eq!(result, Ok(()));
}

#[test]
fn an_image_on_trial_cannot_update() {
    let entries = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    let mut bench = Bench::two_slots(ota(1), entries);
    let (result, operations) = bench.update();
    assert_eq!(result.unwrap_err(), "ESP_ERR_OTA_ROLLBACK_INVALID_STATE (0x1506)");
    assert_eq!(operations, []);

    // Of two entries of the running slot, the first counts.
    let entries = [entry(1, State::VALID), entry(3, State::PENDING_VERIFY)];
    assert_eq!(Bench::two_slots(ota(0), entries).update().0, Ok(()));
    // Without rollback nobody looks.
    let entries = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    assert_eq!(Bench::two_slots(ota(1), entries).without_rollback().update().0, Ok(()));
}

#[test]
fn the_only_slot_cannot_update_itself() {
    let csv = "otadata,data,ota,0xf000,0x2000,\nota_0,app,ota_0,0x20000,0x10000,\n";
    let mut bench = Bench::two_slots(ota(0), [entry(1, State::VALID), BLANK]);
    bench.layout = Layout::from_csv("1-slot", csv, 0x40_0000).expect("a layout");
    let (result, operations) = bench.update();
    assert_eq!(result.unwrap_err(), "ESP_ERR_OTA_PARTITION_CONFLICT (0x1501)");
    assert_eq!(operations, []);
}

#[test]
fn updates_go_round_the_slots() {
    for (running, next) in [(ota(0), 1), (ota(1), 2), (ota(2), 0), (App::Test, 0)] {
        let mut bench = Bench::new("3-slots", running, [BLANK, BLANK]);
        let (next_slot, _) = bench.call(|device| ota_ops::next_update_partition(&device));
        assert_eq!(next_slot, Ok(slot(next)), "{running}");
    }
}

/// The next slot may be one that the application does not count, and then cannot be selected.
#[test]
fn slots_count_up_to_the_first_gap() {
    let layouts = Layout::gaps();
    let bench = |layout: usize, running, entries: [SelectEntry; 2]| {
        let layout = layouts[layout].clone();
        let mut bench = Bench::two_slots(running, [BLANK, BLANK]);
        let mut memory = Memory::erased(Part::W25Q32JV.capacity);
        for (sector, entry) in (0..).zip(entries) {
            memory.set(layout.apps().otadata().offset + sector * SECTOR_SIZE, &entry.emit());
        }
        bench.chip = Chip::with_memory(Part::W25Q32JV, memory).with_driver(Driver::ESP_IDF_APP);
        Bench { layout, ..bench }
    };
    for (layout, running, next) in
        [(0, App::Factory, 0), (0, ota(0), 2), (0, ota(2), 0), (1, ota(1), 3), (2, ota(2), 1)]
    {
        let mut bench = bench(layout, running, [BLANK, BLANK]);
        let (next_slot, _) = bench.call(|device| ota_ops::next_update_partition(&device));
        assert_eq!(next_slot, Ok(slot(next)), "{running}");
    }

    let mut with_gap = bench(0, ota(0), [entry(1, State::VALID), BLANK]);
    let (result, operations) = with_gap.update();
    assert_eq!(result.unwrap_err(), "ESP_ERR_INVALID_ARG (0x102)");
    let slots = with_gap.layout.apps().slot(slot(2)).expect("ota_2");
    assert!(!operations.is_empty());
    assert!(operations.iter().all(|it| it.offset >= slots.offset), "otadata stays as it is");

    // 3 is ota_0 among the two slots that it counts.
    let entries = [entry(3, State::PENDING_VERIFY), BLANK];
    let mut with_gap = bench(1, ota(0), entries);
    let (state, _) = with_gap.call(|mut device| ota_ops::running_state(&mut device));
    assert_eq!(state, Some(State::PENDING_VERIFY));

    // It counts none, and so has no entry either.
    let mut without = bench(2, ota(1), [entry(2, State::PENDING_VERIFY), BLANK]);
    let (result, operations) = without.call(|device| EspIdf::default().confirm(device));
    assert_eq!((result.unwrap_err().as_str(), operations), ("ESP_FAIL (-0x1)", vec![]));
}

#[test]
fn selecting_factory_erases_both_entries_in_order() {
    let entries = [entry(3, State::VALID), entry(2, State::VALID)];
    let mut bench = Bench::factory_and_two_slots(ota(0), entries);
    let (result, operations) = bench.call(|device| EspIdf::default().select_factory(device));
    assert_eq!(result, Ok(()));
    let sectors = [0xD000, 0xE000].map(|at| Operation::erase(at, EraseSize::Sector4K));
    assert_eq!(operations, sectors);

    let mut bench = Bench::factory_and_two_slots(ota(0), entries).without_image(App::Factory);
    let (result, operations) = bench.call(|device| EspIdf::default().select_factory(device));
    assert!(result.unwrap_err().starts_with("ESP_ERR_OTA_VALIDATE_FAILED (0x1503): "));
    assert_eq!(operations, []);

    let mut bench = Bench::two_slots(ota(0), entries);
    let (result, _) = bench.call(|device| EspIdf::default().select_factory(device));
    assert_eq!(result.unwrap_err(), "ESP_ERR_INVALID_ARG (0x102)");
}

#[test]
fn startup_touches_nothing() {
    let torn = SelectEntry { crc: 0, ..entry(2, State::NEW) };
    let mut bench = Bench::two_slots(ota(0), [entry(1, State::VALID), torn]);
    let outcome = bench.call(|device| EspIdf::default().startup(device));
    assert_eq!(outcome, (Ok(()), vec![]));
}

#[test]
fn sequence_numbers_follow_the_loop_of_the_original() {
    for count in 1..=16u8 {
        for index in 0..count {
            for current in 0..40 {
                let base = u32::from((index + 1) % count);
                let expected =
                    (0..).map(|i| base + i * u32::from(count)).find(|&seq| seq >= current);
                assert_eq!(next_seq(current, slot(index), count).ok(), expected);
            }
        }
    }
    // Reads as blank, and is reported as a success.
    assert_eq!(next_seq(0xFFFF_FFFE, slot(0), 2), Ok(u32::MAX));
    assert!(next_seq(0xFFFF_FFFE, slot(0), 4).is_err());
}
