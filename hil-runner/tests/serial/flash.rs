//! Flash through the serial loader.

use super::*;
use hil_runner::board::serial::SerialBoard;

/// Programs and erases that the board's flash has seen.
fn operations(board: &VirtualBoard) -> u64 {
    board.control().served().with(|board| board.flash().operations()).unwrap()
}

#[test]
fn flash_holds_exactly_what_it_was_given() {
    let mut board = board();
    let mut contents = Contents::erased(part().capacity);
    let noise: Vec<u8> =
        (0..20_000_u32).flat_map(|it| (it.wrapping_mul(0x9E37_79B9)).to_le_bytes()).collect();
    contents.put(0x1_0100, noise.clone());
    contents.put(0x3F_F000, vec![0; 4096]);
    board.provision(&contents).unwrap();
    let end = 0x1_0100 + noise.len() as u32;
    assert!(board.read_flash(0x1_0100..end).unwrap() == noise);
    assert!(board.read_flash(0x3F_F000..0x40_0000).unwrap().iter().all(|&byte| byte == 0));
    assert!(board.read_flash(0..0x1_0100).unwrap().iter().all(|&byte| byte == 0xFF));
    assert!(board.read_flash(5..5).unwrap().is_empty());

    // Other contents: what is not in them is gone.
    let mut contents = Contents::erased(part().capacity);
    contents.put(0x2_0000, noise.clone());
    board.provision(&contents).unwrap();
    let all = board.read_flash(0..0x4_0000).unwrap();
    assert!(all[0x2_0000..][..noise.len()] == noise);
    assert!(all[..0x2_0000].iter().all(|&byte| byte == 0xFF));
    assert!(all[0x2_0000 + noise.len()..].iter().all(|&byte| byte == 0xFF));

    board.write_flash(0x2_0FFE, &[1, 2, 3, 4]).unwrap();
    let mut expected = noise;
    expected[0xFFE..][..4].copy_from_slice(&[1, 2, 3, 4]);
    let read = board.read_flash(0x2_0000..0x2_0000 + expected.len() as u32).unwrap();
    assert!(read == expected);
}

#[test]
fn what_is_there_is_not_written_again() {
    let mut board = provisioned();
    let before = operations(&board);
    let fingerprint = board.fingerprint();
    board.provision(&factory()).unwrap();
    assert_eq!((operations(&board), board.fingerprint()), (before, fingerprint));

    // The same after the firmware ran, in a loader that is started anew.
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: ");
    board.provision(&factory()).unwrap();
    assert_eq!(board.fingerprint(), fingerprint);
}

#[test]
fn contents_that_do_not_fit_are_refused() {
    let mut contents = Contents::erased(part().capacity);
    contents.put(part().capacity - 1, vec![0; 2]);
    let error = board().provision(&contents).unwrap_err();
    assert!(error.to_string().contains("0x3fffff"), "{error}");
    let error = board().write_flash(part().capacity - 1, &[0; 2]).unwrap_err();
    assert!(error.to_string().contains("0x3ff000"), "{error}");
}

#[test]
fn the_loader_of_another_chip_is_refused() {
    use hil_runner::bench::PortSelector;
    use hil_runner::board::serial::{Control, RealConfig};
    use hil_runner::scenario::ChipName;
    let mut virtual_board = board();
    // The chip waits in its loader; somebody takes it for another one.
    let path = {
        virtual_board.provision(&Contents::erased(part().capacity)).unwrap();
        let served = std::sync::Arc::clone(virtual_board.control().served());
        drop(virtual_board.start(Duration::ZERO));
        served
            .with(|board| {
                board.set_strap(::virtual_board::Strap::Download);
                board.power_on();
            })
            .unwrap();
        served.port()
    };
    let config = RealConfig {
        name: "real".into(),
        port: PortSelector::Path(path),
        chip: ChipName::Esp32s3,
        lines: false,
        baud: 115_200,
    };
    let mut real = SerialBoard::real(config, None);
    assert_eq!(real.control().kind(), hil_runner::scenario::BoardKind::Serial);
    let error = real.read_flash(0..4096).unwrap_err().to_string();
    assert!(error.contains("esp32s3") && error.contains("esp32c3"), "{error}");
}
