//! The board: how long a boot takes, and what a snapshot costs.
//!
//! `cargo bench -p virtual-board --bench board`. Uses the firmware that `just fw` has made if it is there.

use std::path::Path;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use esp_idf_part::PartitionTable;
use sim::flash::{Memory, Part};
use virtual_board::{Board, Config, Stop, Ticks, stock_bootloader};

fn main() {
    let what = if firmware().is_some() { "the firmware" } else { "the fixture (no target/fw)" };
    println!("boots {what}");
    divan::main();
}

fn part() -> &'static Part {
    Part::by_name("W25Q32JV").expect("a known part")
}

fn firmware() -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read(root.join("target/fw/v1.0.0.flash.bin")).ok()
}

/// A board without power, and the text that shows that its application runs.
fn board() -> (Board, &'static str) {
    let (flash, text) = match firmware() {
        Some(bytes) => (Memory::with_contents(part().capacity, &bytes), " reset="),
        None => (fixture(), "fixture 1.0.0"),
    };
    (Board::new(Config::new(part(), flash)).expect("a board"), text)
}

fn fixture() -> Memory {
    let csv = include_str!("../../sim/fixtures/two_ota.csv");
    let table =
        PartitionTable::try_from_str(csv).and_then(|table| table.to_bin()).expect("a table");
    let mut flash = Memory::erased(part().capacity);
    flash.set(0, &stock_bootloader().expect("a bootloader"));
    flash.set(0x8000, &table);
    flash.set(0x1_0000, include_bytes!("../../sim/fixtures/app-1.0.0.bin"));
    flash
}

fn boot(board: &mut Board, text: &str) {
    board.power_on();
    board.watch_console(Some(text.as_bytes()));
    assert_eq!(board.run(board.now() + Ticks::PER_SECOND), Stop::ConsoleText);
    board.uart0_output();
}

/// From power-on to the first line of the application; items are instructions.
#[divan::bench]
fn boot_to_application(bencher: Bencher<'_, '_>) {
    let (mut board, text) = board();
    boot(&mut board, text);
    let before = board.instructions();
    boot(&mut board, text);
    let instructions = board.instructions() - before;
    bencher.counter(ItemsCount::new(instructions)).bench_local(|| boot(&mut board, text));
}

/// A snapshot of a board that has run for 100 us since the last one.
#[divan::bench]
fn snapshot(bencher: Bencher<'_, '_>) {
    let (mut board, text) = board();
    boot(&mut board, text);
    let step = Duration::from_micros(100);
    let mut board = std::cell::RefCell::new(board);
    let first = board.get_mut().snapshot();
    bencher
        .with_inputs(|| {
            let mut board = board.borrow_mut();
            board.restore(&first);
            let limit = board.now() + Ticks::from_duration(step).0;
            board.run(limit);
        })
        .bench_local_values(|()| black_box(board.borrow_mut().snapshot()));
}

/// Back to a snapshot after 100 us.
#[divan::bench]
fn restore(bencher: Bencher<'_, '_>) {
    let (mut board, text) = board();
    boot(&mut board, text);
    let first = board.snapshot();
    let step = Duration::from_micros(100);
    let board = std::cell::RefCell::new(board);
    bencher
        .with_inputs(|| {
            let mut board = board.borrow_mut();
            let limit = board.now() + Ticks::from_duration(step).0;
            board.run(limit);
        })
        .bench_local_values(|()| board.borrow_mut().restore(&first));
}
