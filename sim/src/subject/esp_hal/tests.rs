use super::*;
use crate::flash::{Chip, Memory, Operation, OperationKind, PAGE_SIZE, Part};
use crate::layout::Layout;
use crate::subject::Unobserved;
use ::ota_core::image::{ChipId, Requirements};
use ::ota_core::otadata::{ENTRY_SIZE, SelectEntry};

const BLANK: SelectEntry = SelectEntry::BLANK;

fn entry(seq: u32, state: State) -> SelectEntry {
    SelectEntry::new(seq, state)
}

fn slot(index: u8) -> Slot {
    Slot::new(index).expect("a slot number")
}

fn ota(index: u8) -> App {
    App::Ota(slot(index))
}

/// A device on the desk.
struct Bench {
    chip: Chip,
    layout: Layout,
    running: App,
}

impl Bench {
    fn new(layout: &str, running: App, entries: [SelectEntry; 2]) -> Self {
        let stock = Layout::stock().into_iter().find(|stock| stock.name() == layout);
        let layout = stock.expect("a stock layout");
        let mut memory = Memory::erased(Part::W25Q32JV.capacity);
        for (sector, entry) in (0..).zip(entries) {
            memory.set(layout.apps().otadata().offset + sector * SECTOR_SIZE, &entry.emit());
        }
        Self { chip: Chip::with_memory(Part::W25Q32JV, memory), layout, running }
    }

    /// Makes a call and returns its result, its flash operations and the entries then, such as `[1/VALID | -]`.
    fn call(
        &mut self,
        call: impl FnOnce(Device<'_>) -> Result<(), Failure>,
    ) -> (Result<(), Failure>, Vec<Operation>, String) {
        self.chip.log();
        let result = call(Device {
            chip: &mut self.chip,
            layout: &self.layout,
            requirements: &Requirements::for_chip(ChipId::ESP32C3),
            running: self.running,
            rollback: true,
            anti_rollback: None,
            secure_version: &mut 0,
            observer: &mut Unobserved,
        });
        let log = self.chip.take_log().into_iter().map(|entry| entry.operation).collect();
        let offset = self.layout.apps().otadata().offset;
        let [first, second] = [offset, offset + SECTOR_SIZE].map(|at| {
            let mut bytes = [0; ENTRY_SIZE];
            self.chip.memory().read(at, &mut bytes);
            SelectEntry::parse(&bytes)
        });
        (result, log, format!("[{first} | {second}]"))
    }
}

fn erases(operations: &[Operation]) -> Vec<u32> {
    let erases = operations.iter().filter(|it| matches!(it.kind, OperationKind::Erase(_)));
    erases.map(|operation| operation.offset).collect()
}

const IMAGE: [u8; 5000] = [0xE9; 5000];

#[test]
fn an_update_writes_whole_sectors_and_its_entry_twice() {
    let mut bench = Bench::new("factory-2-slots", App::Factory, [BLANK, BLANK]);
    let (result, operations, entries) = bench.call(|device| EspHal::Example.update(device, &IMAGE));
    assert_eq!((result, entries.as_str()), (Ok(()), "[1/NEW | -]"));
    let apps = bench.layout.apps();
    let slot_0 = apps.slots().next().expect("a slot").offset;
    let otadata = apps.otadata().offset;
    assert_eq!(erases(&operations), [slot_0, slot_0 + SECTOR_SIZE, otadata, otadata]);
    // Each erase is followed by all pages of the sector.
    let pages = SECTOR_SIZE as usize / PAGE_SIZE;
    assert_eq!(operations.len(), 4 * (1 + pages));
}

#[test]
fn the_older_entry_is_written_over_and_keeps_its_state_for_a_while() {
    let old = [entry(1, State::ABORTED), entry(2, State::VALID)];
    let mut bench = Bench::new("2-slots", ota(1), old);
    let select = |device: Device<'_>| {
        OtaData::new(device.chip, device.layout)?.set_current_app_partition(slot(0))
    };
    let (result, _, entries) = bench.call(select);
    assert_eq!((result, entries.as_str()), (Ok(()), "[3/ABORTED | 2/VALID]"));
}

#[test]
fn from_factory_the_last_slot_gets_number_0() {
    let mut bench = Bench::new("factory-2-slots", App::Factory, [BLANK, BLANK]);
    let (result, _, entries) = bench.call(|device| EspHal::LastSlot.update(device, &IMAGE));
    assert_eq!((result, entries.as_str()), (Ok(()), "[0/NEW | -]"));
    bench.running = ota(1);
    let (result, operations, _) = bench.call(|device| EspHal::LastSlot.update(device, &IMAGE));
    assert_eq!(result, Err("panicked: attempt to subtract with overflow".into()));
    let first = bench.layout.apps().slots().next().expect("a slot");
    assert!(erases(&operations).iter().all(|&at| at >= first.offset));
}

#[test]
fn blank_otadata_without_factory_panics_in_the_first_slot() {
    let mut bench = Bench::new("2-slots", ota(0), [BLANK, BLANK]);
    let (result, operations, _) = bench.call(|device| EspHal::Example.update(device, &IMAGE));
    assert_eq!(result, Err("panicked: attempt to subtract with overflow".into()));
    assert!(operations.is_empty());
    bench.running = ota(1);
    let (result, _, entries) = bench.call(|device| EspHal::Example.update(device, &IMAGE));
    assert_eq!((result, entries.as_str()), (Ok(()), "[1/NEW | -]"));
}

#[test]
fn a_broken_entry_blocks_everything_until_otadata_is_reset() {
    let broken = SelectEntry { crc: 0, ..entry(2, State::NEW) };
    let mut bench = Bench::new("2-slots", ota(0), [entry(1, State::VALID), broken]);
    let invalid = Err("Invalid".to_string());
    for subject in [EspHal::WithoutReset, EspHal::LastSlot] {
        assert!(bench.call(|device| subject.startup(device)).1.is_empty());
        assert_eq!(bench.call(|device| subject.reject(device)).0, invalid);
    }
    assert_eq!(bench.call(|device| EspHal::WithoutReset.update(device, &IMAGE)).0, invalid);
    let (result, _, entries) = bench.call(|device| EspHal::Example.startup(device));
    assert_eq!((result, entries.as_str()), (Ok(()), "[- | -]"));
}

#[test]
fn confirmation_writes_the_selected_entry_in_place() {
    let pending = [entry(1, State::VALID), entry(2, State::PENDING_VERIFY)];
    let mut bench = Bench::new("2-slots", ota(1), pending);
    let (result, operations, entries) = bench.call(|device| EspHal::Example.confirm(device));
    assert_eq!((result, entries.as_str()), (Ok(()), "[1/VALID | 2/VALID]"));
    let second = bench.layout.apps().otadata().offset + SECTOR_SIZE;
    assert_eq!(erases(&operations), [second]);
    assert!(bench.call(|device| EspHal::Example.confirm(device)).1.is_empty());
}
