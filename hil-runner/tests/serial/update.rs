//! The firmware and its client.

use super::link::Link;
use super::*;
use mcumgr_toolkit::MCUmgrClient;

/// Lets the device start, and talks to its firmware once it listens.
pub(crate) fn client(board: &mut dyn Board) -> (String, MCUmgrClient) {
    let mut port = board.start(Duration::from_millis(500)).unwrap();
    let console = read_until_it_listens(port.as_mut());
    let client = MCUmgrClient::new_from_serial(Link(port));
    client.set_timeout(Duration::from_secs(30)).unwrap();
    client.set_retries(0);
    client.use_auto_frame_size().unwrap();
    (console, client)
}

#[test]
fn the_console_is_there_from_the_first_byte() {
    let mut board = provisioned();
    for _ in 0..3 {
        let mut port = board.start(Duration::ZERO).unwrap();
        let console = read_until(port.as_mut(), " reset=");
        assert!(console.starts_with("ESP-ROM:esp32c3"), "{console}");
        assert!(console.contains("boot: fw=1.0.0"), "{console}");
        // A port of a start that has ended says so, and does not keep the next start from its own.
        board.stop().unwrap();
        let error = port.read(&mut [0; 4096]).and_then(|_| port.read(&mut [0; 4096])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(port.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionAborted);
    }
}

#[test]
fn an_update_from_end_to_end() {
    let mut board = provisioned();
    let (_, client) = client(&mut board);
    client.image_upload(firmware("v2.0.0.app.bin"), None, None, false, None).unwrap();
    let images = client.image_get_state().unwrap();
    let new = images.iter().find(|image| image.version == "2.0.0").unwrap();
    client.image_set_state(new.hash.as_deref(), false).unwrap();
    drop(client);
    let (console, client) = self::client(&mut board);
    assert!(console.contains("boot: fw=2.0.0"), "{console}");
    client.image_set_state(None, true).unwrap();
}

#[test]
fn a_silent_device_is_waited_for_in_its_own_time() {
    let mut board = provisioned();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until_it_listens(port.as_mut());
    let served = std::sync::Arc::clone(board.control().served());
    let before = served.now();
    port.set_timeout(Duration::from_secs(2));
    assert_eq!(port.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::TimedOut);
    let waited = ::virtual_board::Ticks(served.now() - before).duration();
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[test]
fn resets_give_a_console_of_their_own() {
    use hil_runner::scenario::ResetKind;
    let mut board = provisioned();
    assert!(board.reset(ResetKind::EnReset).is_err(), "it does not run");
    let mut first = board.start(Duration::ZERO).unwrap();
    read_until(first.as_mut(), "self-test: ");
    for (kind, cause) in [(ResetKind::EnReset, "rst:0x1 "), (ResetKind::Watchdog, "rst:0x9 ")] {
        let mut port = board.reset(kind).unwrap();
        let console = read_until(port.as_mut(), "self-test: ");
        assert!(console.starts_with("ESP-ROM:"), "{console}");
        assert!(console.contains(cause), "{console}");
    }
    assert!(board.reset(ResetKind::DebugReset).is_err());
}

#[test]
fn a_checkpoint_is_returned_to() {
    let mut board = provisioned();
    let (_, before) = client(&mut board);
    let checkpoint = board.checkpoint().unwrap();
    let fingerprint = board.fingerprint();
    before.image_upload(firmware("v2.0.0.app.bin"), None, None, false, None).unwrap();
    assert_ne!(board.fingerprint(), fingerprint);
    for _ in 0..2 {
        let port = board.rewind(&checkpoint).unwrap();
        assert_eq!(board.fingerprint(), fingerprint);
        // It answers as if nothing had been.
        let client = MCUmgrClient::new_from_serial(Link(port));
        client.set_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(client.image_get_state().unwrap().len(), 1);
        client.image_erase(None).unwrap();
    }
    let foreign: hil_runner::board::Checkpoint = Box::new(5);
    assert!(board.rewind(&foreign).is_err());
}
