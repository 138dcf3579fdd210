//! Boards to test.

use std::time::Duration;

use esp_idf_part::PartitionTable;
use sim::flash::{Memory, Part};
use virtual_board::{Board, Config, Stop, Ticks, stock_bootloader};

/// Where the factory application of `two_ota.csv` stands.
const FACTORY: u32 = 0x1_0000;
const TABLE: u32 = 0x8000;

pub(crate) const PART: &str = "W25Q32JV";

/// An erased flash chip.
pub(crate) fn erased() -> Memory {
    Memory::erased(part().capacity)
}

pub(crate) fn part() -> &'static Part {
    Part::by_name(PART).unwrap()
}

/// Bootloader, partition table and a program that prints "fixture 1.0.0" and idles.
pub(crate) fn fixture() -> Memory {
    with_application(include_bytes!("../../../sim/fixtures/app-1.0.0.bin"))
}

/// Bootloader, partition table and an application.
pub(crate) fn with_application(application: &[u8]) -> Memory {
    let csv = include_str!("../../../sim/fixtures/two_ota.csv");
    let table = PartitionTable::try_from_str(csv).unwrap().to_bin().unwrap();
    let mut flash = erased();
    flash.set(0, &stock_bootloader().unwrap());
    flash.set(TABLE, &table);
    flash.set(FACTORY, application);
    flash
}

/// A board with these flash contents, without power.
pub(crate) fn board(flash: Memory) -> Board {
    Board::new(Config::new(part(), flash)).unwrap()
}

/// Runs for so many milliseconds.
pub(crate) fn run(board: &mut Board, milliseconds: u64) -> Stop {
    board.run(board.now() + Ticks::from_duration(Duration::from_millis(milliseconds)).0)
}

/// Runs until the console has shown a text; all that it has shown.
pub(crate) fn run_until(board: &mut Board, text: &str) -> String {
    board.watch_console(Some(text.as_bytes()));
    let stop = run(board, 5_000);
    let console = console(board);
    assert_eq!(stop, Stop::ConsoleText, "{text:?} is missing; console:\n{console}");
    console
}

pub(crate) fn console(board: &mut Board) -> String {
    String::from_utf8_lossy(&board.uart0_output()).replace('\r', "")
}
