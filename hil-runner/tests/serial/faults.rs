//! What goes wrong on a bench.

use super::*;
use std::sync::Arc;
use std::thread;

#[test]
fn a_port_that_vanishes_during_a_transfer() {
    let mut board = provisioned();
    // The next contents differ: flash is written for a while.
    let mut contents = factory();
    contents.put(0x11_0000, firmware("v2.0.0.app.bin"));
    let served = Arc::clone(board.control().served());
    let before = served.with(|board| board.flash().operations()).unwrap();
    let pull = thread::spawn(move || {
        loop {
            let operations = served.with(|board| board.flash().operations()).unwrap();
            if operations > before + 100 {
                return served.replug();
            }
            thread::yield_now();
        }
    });
    let error = board.provision(&contents).unwrap_err();
    pull.join().unwrap().unwrap();
    assert!(error.to_string().starts_with("/dev/pts/"), "{error}");
    board.provision(&contents).unwrap();
    let image = firmware("v2.0.0.app.bin");
    let read = board.read_flash(0x11_0000..0x11_0000 + image.len() as u32).unwrap();
    assert!(read == image);
}

#[test]
fn a_port_that_vanishes_while_the_firmware_runs() {
    let mut board = provisioned();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: ");
    board.control().served().replug().unwrap();
    read_to_the_cut(port.as_mut());
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: ");
}

#[test]
fn garbage_on_the_console() {
    let mut board = provisioned();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: ");
    let garbage: Vec<u8> = (0..=255).cycle().take(5000).collect();
    port.write_all(&garbage).unwrap();
    let (console, client) = update::client(&mut board);
    assert!(console.contains("boot: fw=1.0.0"), "{console}");
    drop(client);
    board.provision(&factory()).unwrap();
}

#[test]
fn a_board_that_never_boots() {
    let mut board = board();
    board.provision(&Contents::erased(part().capacity)).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    let console = read_until(port.as_mut(), "invalid header: 0xffffffff");
    assert!(console.starts_with("ESP-ROM:"), "{console}");
    drop(port);
    board.provision(&factory()).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: ");
}

#[test]
fn a_board_that_restarts_for_ever() {
    let mut board = provisioned();
    // The application's first bytes of code are zeros, and its digest is wrong: nothing boots.
    board.write_flash(0x1_0000, &[0; 64]).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    for _ in 0..3 {
        let console = read_until(port.as_mut(), "rst:");
        assert!(!console.contains("boot: fw="), "{console}");
    }
    board.stop().unwrap();
    board.provision(&factory()).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: ");
}

#[test]
fn a_port_that_another_program_has() {
    let mut board = provisioned();
    let path = board.control().served().port();
    let port = board.start(Duration::ZERO).unwrap();
    let taken = serialport::new(path.to_string_lossy(), 115_200).open_native();
    assert!(taken.is_err(), "two have the port");
    // Who has done with a port gives it to others.
    drop(port);
    // Who opens a pseudo-terminal while the board resets its settings finds that its own do not apply.
    board.control().served().with(|_| ()).unwrap();
    let other = serialport::new(path.to_string_lossy(), 115_200).open_native().unwrap();
    let error = board.start(Duration::ZERO).err().expect("two have the port").to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    assert!(error.contains("in use by another program"), "{error}");
    let error = board.provision(&factory()).unwrap_err().to_string();
    assert!(error.contains("in use by another program"), "{error}");
    drop(other);
    board.provision(&factory()).unwrap();
}
