//! Cuts of the virtual board, which are exact, and of a real board by what its console shows.

use super::*;
use crate::late_bench::{LateBench, listed, real};
use hil_runner::board::{
    CutPlan, CutPoint, CutReport, Landing, Operation, OperationKind, RigError,
};
use hil_runner::power::PowerSwitch;
use hil_runner::scenario::{BoardKind, Capability, CutKind, Pattern, Text};
use mcumgr_toolkit::MCUmgrClient;
use mcumgr_toolkit::commands::McuMgrCommand;
use std::sync::Arc;

/// Where an upload to a device as it is delivered goes.
const SLOT: u32 = 0x11_0000;
/// The number of a write in such an upload: those before are the erases of the sectors, and some writes.
const WRITE: u32 = 44;

pub(crate) fn at(number: u32, into: f64, kind: CutKind) -> Option<CutPlan> {
    Some(CutPlan { kind, point: CutPoint::Operation { number, into } })
}

pub(crate) fn after(text: Text, plus: Duration) -> Option<CutPlan> {
    Some(CutPlan { kind: CutKind::Rail, point: CutPoint::Text { text, plus } })
}

/// Switches the firmware's trace: a request of group 67.
struct Trace(serde_json::Value);

impl McuMgrCommand for Trace {
    type Payload = serde_json::Value;
    type Response = serde_json::Value;

    fn is_write_operation(&self) -> bool {
        true
    }

    fn group_id(&self) -> u16 {
        67
    }

    fn command_id(&self) -> u8 {
        3
    }

    fn data(&self) -> &Self::Payload {
        &self.0
    }
}

pub(crate) fn trace(client: &MCUmgrClient) {
    client.raw_command(&Trace(serde_json::json!({ "on": true }))).unwrap();
}

/// A device that has just been asked to take version 2 with this cut planned, and the cut.
fn cut_upload(plan: Option<CutPlan>, traced: bool) -> (VirtualBoard, CutReport) {
    let mut board = provisioned();
    let (_, client) = update::client(&mut board);
    if traced {
        trace(&client);
    }
    board.take_operations();
    board.plan_cut(plan).unwrap();
    assert_eq!(board.take_cut(), None);
    let image = firmware("v2.0.0.app.bin");
    client.image_upload(&image, None, None, false, None).unwrap_err();
    let cut = board.take_cut().expect("a cut");
    assert_eq!(board.take_cut(), None, "it is told once");
    (board, cut)
}

/// What an operation of an upload leaves when so much of it is done.
pub(crate) fn expected(operation: Operation, bytes: usize) -> Vec<u8> {
    let image = firmware("v2.0.0.app.bin");
    let mut expected = vec![0xFF; operation.length as usize];
    let start = (operation.address - SLOT) as usize;
    expected[..bytes].copy_from_slice(&image[start..][..bytes]);
    expected
}

/// The lengths of an operation's commands: at most 32 bytes within a page.
fn pieces(operation: Operation) -> Vec<usize> {
    let end = operation.address + operation.length;
    let mut pieces = Vec::new();
    let mut at = operation.address;
    while at < end {
        let piece = (end - at).min(32).min(256 - at % 256);
        pieces.push(piece as usize);
        at += piece;
    }
    pieces
}

fn there(board: &mut VirtualBoard, operation: Operation) -> Vec<u8> {
    board.read_flash(operation.address..operation.address + operation.length).unwrap()
}

#[test]
fn a_cut_falls_into_the_announced_operation() {
    for (number, into) in [(WRITE, 0.0), (WRITE, 0.5), (WRITE, 1.0), (WRITE + 3, 0.3)] {
        let (mut board, cut) = cut_upload(at(number, into, CutKind::Rail), true);
        let operations = board.take_operations();
        assert_eq!(operations.len(), number as usize, "{operations:?}");
        let operation = cut.operation.expect("known");
        assert_eq!(operations.last(), Some(&operation));
        assert_eq!((cut.landing, cut.latency), (Landing::Exact, None));
        assert_eq!(operation.kind, OperationKind::Write);
        assert!(operation.length > 64, "one command: {operation}");
        // Up to the byte: with seed 0, a torn command leaves a prefix.
        let pieces = pieces(operation);
        let position = pieces.len() as f64 * into;
        let (done, torn) = (position.floor() as usize, position.fract());
        let torn = pieces.get(done).map_or(0, |piece| (*piece as f64 * torn) as usize);
        let bytes = pieces[..done].iter().sum::<usize>() + torn;
        assert!(there(&mut board, operation) == expected(operation, bytes), "{number} {into}");
    }
}

#[test]
fn without_announcement_each_command_is_an_operation() {
    let (mut board, cut) = cut_upload(at(WRITE, 0.5, CutKind::Rail), false);
    let operation = cut.operation.expect("known");
    assert_eq!((operation.kind, operation.length), (OperationKind::Write, 32));
    assert_eq!(board.take_operations().len(), WRITE as usize);
    assert!(there(&mut board, operation) == expected(operation, 16));
}

#[test]
fn a_reset_lets_the_command_end_and_the_device_start_by_itself() {
    let causes = [(CutKind::EnReset, "rst:0x1 "), (CutKind::Watchdog, "rst:0x9 ")];
    for (kind, cause) in causes {
        for into in [0.0, 0.51] {
            let (mut board, cut) = cut_upload(at(WRITE, into, kind), true);
            let operation = cut.operation.expect("known");
            let mut port = board.start(Duration::ZERO).unwrap();
            let console = read_until_it_listens(port.as_mut());
            assert!(console.starts_with("ESP-ROM:"), "{console}");
            assert!(console.contains(cause), "{console}");
            assert_eq!(console.matches("ESP-ROM:").count(), 1, "{console}");
            drop(port);
            // The command that it falls into is done as a whole; that which it falls before is not.
            let pieces = pieces(operation);
            let done = (pieces.len() as f64 * into).ceil() as usize;
            let bytes = pieces[..done].iter().sum();
            assert!(there(&mut board, operation) == expected(operation, bytes), "{into}");
        }
    }
}

#[test]
fn a_brown_out_tears_the_command_and_the_device_starts_by_itself() {
    let (mut board, cut) = cut_upload(at(WRITE, 0.51, CutKind::BrownOut), true);
    let operation = cut.operation.expect("known");
    let mut port = board.start(Duration::ZERO).unwrap();
    let console = read_until_it_listens(port.as_mut());
    assert!(console.contains("rst:0xf "), "{console}");
    assert_eq!(console.matches("ESP-ROM:").count(), 1, "{console}");
    assert!(console.contains(" reset=BROWNOUT"), "{console}");
    drop(port);
    let pieces = pieces(operation);
    let position = pieces.len() as f64 * 0.51;
    let (done, torn) = (position.floor() as usize, position.fract());
    let bytes = pieces[..done].iter().sum::<usize>() + (pieces[done] as f64 * torn) as usize;
    assert!(there(&mut board, operation) == expected(operation, bytes));
}

#[test]
fn a_cut_at_a_text_comes_with_its_last_byte() {
    let mut board = provisioned();
    let mut console = |plan| {
        board.plan_cut(plan).unwrap();
        let mut port = board.start(Duration::ZERO).unwrap();
        let console = read_to_the_cut(port.as_mut());
        let cut = board.take_cut().expect("a cut");
        assert_eq!((cut.operation, cut.landing), (None, Landing::Exact));
        console
    };
    let text = Text::Plain("boot: fw=1.".into());
    let plain = console(after(text.clone(), Duration::ZERO));
    assert!(plain.ends_with("\nboot: fw=1."), "{plain}");
    let pattern = Text::Pattern(Pattern { pattern: "^boot: fw=[0-9.]+ ".into() });
    let line = console(after(pattern, Duration::ZERO));
    assert!(line.ends_with('\n'), "{line}");
    assert!(line.lines().last().unwrap().starts_with("boot: fw="), "{line}");
    let later = console(after(text, Duration::from_secs(1)));
    assert!(later.contains("self-test: "), "{later}");
}

#[test]
fn a_cut_some_time_after_a_text_tears_the_erase_under_way() {
    // A sector takes 45 ms. The firmware does nothing but ask the flash chip whether it is ready.
    let text = Text::Plain("ota-op: begin seq=0 kind=erase".into());
    let (mut board, cut) = cut_upload(after(text, Duration::from_millis(20)), true);
    let operation = cut.operation.expect("an operation under way");
    assert_eq!(operation.kind, OperationKind::Erase);
    let blank = vec![0xFF; operation.length as usize];
    assert!(there(&mut board, operation) != blank, "it was complete, or had not begun");
}

#[test]
fn cuts_that_the_board_has_not_are_refused() {
    let mut board = board();
    assert!(board.plan_cut(at(1, 0.0, CutKind::DebugReset)).is_err());
    let bad = Text::Pattern(Pattern { pattern: "(".into() });
    assert!(board.plan_cut(after(bad, Duration::ZERO)).is_err());
    assert!(board.plan_cut(None).is_ok());
}

#[test]
fn a_marker_on_the_console_cuts_a_real_board() {
    let mut board = LateBench::new(listed(&[0]));
    board.provision(&factory()).unwrap();
    assert_eq!(board.kind(), BoardKind::SwitchedSerial);
    assert_eq!(board.lacks(Capability::Cut(CutKind::Rail)), None);
    assert!(board.lacks(Capability::Cut(CutKind::UsbPort)).is_some());
    assert!(board.lacks(Capability::Cut(CutKind::EnReset)).is_some());
    assert!(board.plan_cut(at(1, 0.0, CutKind::EnReset)).is_err());

    board.stop().unwrap();
    let (_, client) = update::client(&mut board);
    trace(&client);
    board.plan_cut(at(3, 0.5, CutKind::Rail)).unwrap();
    let image = firmware("v2.0.0.app.bin");
    client.image_upload(&image, None, None, false, None).unwrap_err();
    let cut = board.take_cut().expect("a cut");
    let operations = board.take_operations();
    assert_eq!(cut.operation, operations.get(2).copied());
    assert_eq!(cut.landing, Landing::Unknown);
    let times = board.real.control().cut_times().expect("a cut");
    assert!(times.marker <= times.command && times.command <= times.done);
    assert_eq!(cut.latency, Some(times.done - times.marker));
    drop(client);

    // It starts again, and a text cuts it as well.
    board.plan_cut(after(Text::Plain("boot: fw=1.0.0".into()), Duration::ZERO)).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    let console = read_to_the_cut(port.as_mut());
    assert!(console.contains("boot: fw=1.0.0"), "{console}");
    assert_eq!(board.take_cut().expect("a cut").operation, None);
    let (console, _) = update::client(&mut board);
    assert!(console.contains("boot: fw=1.0.0"), "{console}");
}

#[test]
fn a_power_switch_that_fails_is_the_benchs_fault() {
    struct Broken;
    impl PowerSwitch for Broken {
        fn name(&self) -> String {
            "broken".into()
        }

        fn kinds(&self) -> Vec<CutKind> {
            vec![CutKind::Rail]
        }

        fn set(&mut self, on: bool) -> Result<(), RigError> {
            if on { Ok(()) } else { Err(RigError::new("the relay does not answer")) }
        }
    }
    let mut virtual_board = provisioned();
    drop(virtual_board.start(Duration::ZERO).unwrap());
    let served = Arc::clone(virtual_board.control().served());
    let mut board = real(&served, Broken);
    let error = board.stop().unwrap_err().to_string();
    assert!(error.contains("relay"), "{error}");
    // Power is there, and nothing can take it away.
    let error = board.start(Duration::ZERO).err().expect("nothing restarts it").to_string();
    assert!(error.contains("neither a power switch nor DTR and RTS"), "{error}");
}
