//! Cost of forks, crash states and flash operations.

use divan::{Bencher, black_box, counter::ItemsCount};
use embedded_storage::nor_flash::NorFlash;
use sim::flash::{
    Chip, Driver, EraseSize, Memory, Operation, Part,
    fault::{FaultProfile, Watch, crash_states},
};

fn main() {
    divan::main();
}

const MIB: u32 = 1024 * 1024;
const CAPACITIES: [u32; 3] = [2 * MIB, 4 * MIB, 16 * MIB];

/// A chip full of different bytes, with cached digests.
fn full(capacity: u32) -> Memory {
    let bytes: Vec<u8> = (0..capacity).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
    let memory = Memory::with_contents(capacity, &bytes);
    black_box(memory.digest_all());
    memory
}

#[divan::bench(args = CAPACITIES)]
fn clone(bencher: Bencher<'_, '_>, capacity: u32) {
    let memory = full(capacity);
    bencher.bench(|| memory.clone());
}

#[divan::bench(args = CAPACITIES)]
fn fork_and_write_one_word(bencher: Bencher<'_, '_>, capacity: u32) {
    let memory = full(capacity);
    bencher.bench(|| {
        let mut fork = memory.clone();
        fork.set(0xD000, black_box(&[1, 2, 3, 4]));
        fork
    });
}

#[divan::bench(args = CAPACITIES)]
fn fork_write_and_digest(bencher: Bencher<'_, '_>, capacity: u32) {
    let memory = full(capacity);
    bencher.bench(|| {
        let mut fork = memory.clone();
        fork.set(0xD000, black_box(&[1, 2, 3, 4]));
        fork.digest_all()
    });
}

/// Crash states of a select entry's program, digest of otadata included: items are states.
#[divan::bench]
fn crash_states_of_a_select_entry(bencher: Bencher<'_, '_>) {
    let mut before = full(4 * MIB);
    before.erase(0xD000..0xF000);
    let mut entry = [0xFF; 32];
    entry[..4].copy_from_slice(&2u32.to_le_bytes());
    entry[24..].copy_from_slice(&[0, 0, 0, 0, 0x74, 0x37, 0xF6, 0x55]);
    let operation = Operation::program(0xD000, entry.as_slice());
    explore(bencher, &before, &operation);
}

/// Crash states of an otadata sector erase, digest of otadata included: items are states.
#[divan::bench]
fn crash_states_of_an_otadata_erase(bencher: Bencher<'_, '_>) {
    let mut before = full(4 * MIB);
    before.erase(0xD000..0xF000);
    before.set(0xD000, &2u32.to_le_bytes());
    before.set(0xD018, &[2, 0, 0, 0, 0x74, 0x37, 0xF6, 0x55]);
    explore(bencher, &before, &Operation::erase(0xD000, EraseSize::Sector4K));
}

fn explore(bencher: Bencher<'_, '_>, before: &Memory, operation: &Operation) {
    let profile = FaultProfile::enumerable(1);
    let watch = Watch {
        ranges: &[0xD000..0xD004, 0xD018..0xD020],
        dictionary: &[0, 1, 2, 3, 4],
        ..Watch::default()
    };
    let states = || crash_states(before, operation, &profile, &watch).expect("fits");
    bencher.counter(ItemsCount::new(states().len())).bench(|| {
        states().for_each(|state| {
            black_box(state.memory.digest(0xD000..0xF000));
        });
    });
}

/// 128 KiB through the traits: items are flash operations.
#[divan::bench(args = [32, 64, 256])]
fn erase_and_write_128_kib(bencher: Bencher<'_, '_>, program_bytes: u32) {
    write(bencher, program_bytes, false);
}

/// The same with every operation recorded.
#[divan::bench(args = [32, 64, 256])]
fn erase_and_write_128_kib_recorded(bencher: Bencher<'_, '_>, program_bytes: u32) {
    write(bencher, program_bytes, true);
}

fn write(bencher: Bencher<'_, '_>, program_bytes: u32, record: bool) {
    let image: Vec<u8> = (0..128 * 1024u32).map(|i| (i >> 3) as u8).collect();
    let driver = Driver { program_bytes, block_erase: true };
    let memory = full(4 * MIB);
    let run = || {
        let mut chip = Chip::with_memory(Part::W25Q32JV, memory.clone()).with_driver(driver);
        if record {
            chip.record();
        }
        chip.erase(0x10000, 0x30000).expect("aligned");
        chip.write(0x10000, &image).expect("aligned");
        chip
    };
    let operations = run().operations();
    bencher.counter(ItemsCount::new(operations)).bench(run);
}
