//! Programs and flash contents that do not work.

use crate::common::{board, console, erased, fixture, part, run, run_until};
use sim::flash::Memory;
use virtual_board::{Board, Config, Error, Stop};

/// Puts a program in place of the application, in RAM, and starts it.
fn with_program(code: &[u32]) -> Board {
    let mut board = board(fixture());
    board.power_on();
    run_until(&mut board, "fixture 1.0.0");
    let start = 0x4039_0000;
    let bytes = code.iter().flat_map(|word| word.to_le_bytes());
    for (at, byte) in (start..).zip(bytes) {
        board.poke(at, byte).unwrap();
    }
    board.cpu_mut().pc = start;
    board
}

#[test]
fn contents_of_the_wrong_size_are_refused() {
    let error = Board::new(Config::new(part(), Memory::erased(1024 * 1024))).unwrap_err();
    assert!(matches!(error, Error::FlashSize { contents: 0x10_0000, chip: 0x40_0000, .. }));
    assert!(error.to_string().contains("1048576 bytes"), "{error}");
}

#[test]
fn random_contents_do_no_harm() {
    let mut flash = erased();
    let mut bytes = vec![0; 1024 * 1024];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    flash.set(0, &bytes);
    let mut board = board(flash);
    board.power_on();
    assert_eq!(run(&mut board, 1_000), Stop::Limit);
    assert!(console(&mut board).contains("invalid header"));
}

#[test]
fn a_jump_into_nothing_is_an_exception() {
    // lui a0, 0x70000; jr a0
    let mut board = with_program(&[0x7000_0537, 0x0005_0067]);
    assert_eq!(run(&mut board, 2_000), Stop::Limit);
    // mcause: instruction access fault.
    assert_eq!(board.cpu().read_csr(0x342), Some(1));
}

#[test]
fn an_endless_loop_ends_at_the_limit() {
    // 1: addi a0, a0, 1; j 1b
    let mut board = with_program(&[0x0015_0513, 0xFFDF_F06F]);
    let before = board.instructions();
    assert_eq!(run(&mut board, 10), Stop::Limit);
    assert!(board.instructions() > before + 10_000);
}

#[test]
fn a_program_that_hammers_the_uart_fills_no_memory_of_others() {
    // lui a0, 0x60000; 1: sw a0, 0(a0); j 1b
    let mut board = with_program(&[0x6000_0537, 0x00A5_2023, 0xFFDF_F06F]);
    assert_eq!(run(&mut board, 100), Stop::Limit);
    let sent = board.uart0_output().len();
    assert!(sent > 1_000, "{sent} bytes");
    assert!(board.uart0_output().is_empty());
}
