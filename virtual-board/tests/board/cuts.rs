//! Power cuts and resets.

use crate::common::{board, console, fixture, run, run_until};
use virtual_board::{Board, Cut, CutOutcome, CutPoint, CutTrigger, ResetCause, Stop, Ticks};

const RTC_RAM: u32 = 0x5000_0000;
const SRAM: u32 = 0x3FCA_0000;

fn cut(board: &mut Board, point: CutPoint) {
    board.plan_cut(Some(Cut { point, outcome: CutOutcome::Elapsed { seed: 1 } }));
}

/// A board that has booted and been cut, and its console.
fn booted_with(point: CutPoint) -> (Board, String) {
    let mut board = board(fixture());
    board.power_on();
    cut(&mut board, point);
    assert_eq!(run(&mut board, 5_000), Stop::PowerOff);
    assert!(!board.is_powered());
    assert_eq!(run(&mut board, 1), Stop::PowerOff, "stays off");
    let console = console(&mut board);
    (board, console)
}

#[test]
fn power_goes_at_a_time() {
    let time = Ticks(5_000 * Ticks::PER_MICROSECOND);
    let (board, _) = booted_with(CutPoint::Time(time));
    let late = board.now() - time;
    assert!(board.now() >= time && late < Ticks::PER_MICROSECOND, "{late} ticks late");
}

#[test]
fn power_goes_behind_a_text() {
    let (_, console) = booted_with(CutPoint::Console(b"2nd stage".to_vec()));
    assert!(console.ends_with("2nd stage"), "{console}");
}

#[test]
fn a_cut_that_is_replaced_leaves_nothing_behind() {
    let mut board = board(fixture());
    board.power_on();
    cut(&mut board, CutPoint::Console(b"Build:".to_vec()));
    board.plan_cut(None);
    run_until(&mut board, "SPIWP");
    assert!(board.is_powered());
    // One text in place of another.
    cut(&mut board, CutPoint::Console(b"entry".to_vec()));
    cut(&mut board, CutPoint::Console(b"2nd stage".to_vec()));
    assert_eq!(run(&mut board, 5_000), Stop::PowerOff);
    let console = console(&mut board);
    assert!(console.ends_with("2nd stage"), "{console}");
}

#[test]
fn power_goes_before_an_instruction() {
    let mut board = board(fixture());
    board.power_on();
    let console = run_until(&mut board, "entry 0x");
    run(&mut board, 1);
    let entry = console.clone() + &self::console(&mut board);
    let entry = entry.split("entry ").nth(1).unwrap();
    let entry = u32::from_str_radix(entry.trim_start_matches("0x").get(..8).unwrap(), 16).unwrap();
    let (board, console) = booted_with(CutPoint::Instruction(entry));
    assert_eq!(board.cpu().pc, entry);
    assert!(!console.contains("2nd stage"), "{console}");
}

#[test]
fn power_goes_at_a_flash_command() {
    let (board, _) = booted_with(CutPoint::Flash(CutTrigger::Command(3)));
    assert_eq!(board.flash().commands(), 4);
}

#[test]
fn after_a_cut_the_board_boots_again() {
    let (mut board, _) = booted_with(CutPoint::Console(b"Loaded app".to_vec()));
    board.power_on();
    let console = run_until(&mut board, "fixture 1.0.0");
    assert!(console.contains("rst:0x1 (POWERON)"), "{console}");
}

#[test]
fn power_loss_and_resets_reach_as_far_as_on_the_chip() {
    // What SRAM and RTC RAM hold behind the event.
    let after = |event: fn(&mut Board)| {
        let mut board = board(fixture());
        board.power_on();
        run_until(&mut board, "fixture 1.0.0");
        for address in [RTC_RAM, SRAM] {
            board.poke(address, 0x5A).unwrap();
            board.poke(address + 1, 0xA5).unwrap();
        }
        event(&mut board);
        [RTC_RAM, SRAM].map(|at| board.peek(at) == Some(0x5A) && board.peek(at + 1) == Some(0xA5))
    };
    assert_eq!(after(|board| board.reset(ResetCause::Software)), [true, true]);
    assert_eq!(after(|board| board.reset(ResetCause::RtcWatchdogChip)), [true, true]);
    assert_eq!(after(|board| board.reset(ResetCause::PowerOn)), [false, false]);
    assert_eq!(after(Board::power_on), [false, false]);
}

#[test]
fn the_rom_reports_the_cause_of_a_reset() {
    let mut board = board(fixture());
    board.power_on();
    run_until(&mut board, "fixture 1.0.0");
    for (cause, text) in [
        (ResetCause::Software, "rst:0x3 (RTC_SW_SYS_RST)"),
        (ResetCause::RtcWatchdogChip, "rst:0x10 (RTCWDT_RTC_RST)"),
        (ResetCause::BrownOut, "rst:0xf (BROWNOUT_RST)"),
        (ResetCause::PowerOn, "rst:0x1 (POWERON)"),
    ] {
        board.reset(cause);
        let console = run_until(&mut board, "fixture 1.0.0");
        assert!(console.contains(text), "{text}; console:\n{console}");
    }
}
