//! Same inputs, same run.

use crate::common::{board, console, fixture, part, run, run_until};
use virtual_board::{Board, Config};

/// All that a program can see at the end of a run.
fn trace(board: &mut Board) -> (u64, u64, [u32; 32], u32, String) {
    let (now, instructions) = (board.now().0, board.instructions());
    let cpu = board.cpu();
    let (x, pc) = (cpu.x, cpu.pc);
    (now, instructions, x, pc, console(board))
}

fn boot(seed: u64) -> (u64, u64, [u32; 32], u32, String) {
    let mut board = Board::new(Config { seed, ..Config::new(part(), fixture()) }).unwrap();
    board.power_on();
    run(&mut board, 40);
    trace(&mut board)
}

#[test]
fn a_run_is_the_same_to_the_instruction() {
    assert_eq!(boot(7), boot(7));
}

#[test]
fn the_way_in_which_a_run_is_cut_up_does_not_matter() {
    let mut whole = board(fixture());
    whole.power_on();
    run(&mut whole, 40);
    let mut pieces = board(fixture());
    pieces.power_on();
    let end = whole.now();
    let mut step = 1;
    while pieces.now() < end {
        step = step * 7 % 99_991 + 1;
        pieces.run(end.min(pieces.now() + step));
    }
    assert_eq!(trace(&mut pieces), trace(&mut whole));
}

#[test]
fn a_restored_board_goes_on_as_the_first_time() {
    let mut board = board(fixture());
    board.power_on();
    run(&mut board, 9);
    let snapshot = board.snapshot();
    run(&mut board, 30);
    let first = trace(&mut board);
    board.restore(&snapshot);
    run(&mut board, 30);
    let second = trace(&mut board);
    assert_eq!(first.4, second.4);
    assert_eq!(first, second);
    // On a copy of the board as well.
    let mut copy = board.clone();
    copy.restore(&snapshot);
    run(&mut copy, 30);
    assert_eq!(first, trace(&mut copy));
}

#[test]
fn a_snapshot_survives_a_power_cycle_of_the_board() {
    let mut board = board(fixture());
    board.power_on();
    run(&mut board, 9);
    let snapshot = board.snapshot();
    run_until(&mut board, "fixture 1.0.0");
    let end = board.now();
    board.power_off();
    board.power_on();
    run(&mut board, 13);
    board.restore(&snapshot);
    board.watch_console(Some(b"fixture 1.0.0"));
    run(&mut board, 5_000);
    assert_eq!(board.now(), end);
}
