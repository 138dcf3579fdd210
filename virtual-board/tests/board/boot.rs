//! From power-on to the application.

use crate::common::{board, console, erased, fixture, run, run_until};
use virtual_board::{Board, Config, ResetCause, RomRevision, Stop, Strap};

#[test]
fn the_console_shows_rom_bootloader_and_application() {
    let mut board = board(fixture());
    board.power_on();
    let console = run_until(&mut board, "fixture 1.0.0");
    insta::assert_snapshot!(console);
}

#[test]
fn nothing_in_a_boot_is_unimplemented() {
    let mut board = board(fixture());
    board.power_on();
    run_until(&mut board, "fixture 1.0.0");
    // Pad control and analog registers without a published name, which the ROM sets.
    let known = [0x6000_4F20, 0x6001_CCD4];
    let unknown: Vec<_> = board.unimplemented().keys().filter(|it| !known.contains(it)).collect();
    assert!(unknown.is_empty(), "{unknown:#x?}");
    assert!(board.flash().unknown_commands().is_empty());
}

#[test]
fn every_rom_boots() {
    for rom in [RomRevision::Rev0, RomRevision::Rev3, RomRevision::Rev101] {
        let config = Config { rom, ..Config::new(crate::common::part(), fixture()) };
        let mut board = Board::new(config).unwrap();
        board.power_on();
        run_until(&mut board, "fixture 1.0.0");
    }
}

#[test]
fn an_erased_flash_ends_in_the_watchdog_of_the_rom() {
    let mut board = board(erased());
    board.power_on();
    run(&mut board, 1_500);
    let console = console(&mut board);
    assert!(console.contains("invalid header: 0xffffffff"), "{console}");
    assert!(console.contains("rst:0x7 (TG0WDT_SYS_RST)"), "{console}");
    assert!(board.boots() > 1);
}

#[test]
fn the_strap_selects_download() {
    let mut board = board(fixture());
    board.set_strap(Strap::Download);
    board.power_on();
    let console = run_until(&mut board, "waiting for download");
    assert!(console.contains("boot:0x4 (DOWNLOAD(USB/UART0/1))"), "{console}");
    // It counts at the next reset, not before.
    board.set_strap(Strap::FlashBoot);
    assert_eq!(run(&mut board, 100), Stop::Limit);
    board.reset(ResetCause::PowerOn);
    run_until(&mut board, "fixture 1.0.0");
}

#[test]
fn a_chip_that_is_too_old_for_the_bootloader_is_refused_by_it() {
    let mut config = Config::new(crate::common::part(), fixture());
    config.identity.revision = (0, 2);
    let mut board = Board::new(config).unwrap();
    board.power_on();
    run(&mut board, 300);
    let console = console(&mut board);
    assert!(!console.contains("fixture"), "{console}");
}
