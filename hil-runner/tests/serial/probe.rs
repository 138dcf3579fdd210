//! A debug probe at a board, with the virtual board as what it is attached to.

use super::cuts::{after, at, expected, trace};
use super::update::client;
use super::*;
use ::virtual_board::ResetCause;
use ::virtual_board::serve::Served;
use hil_runner::board::probe::{Call, ProbeBoard, ProbeConfig, ProbeControl, Target};
use hil_runner::board::serial::SerialBoard;
use hil_runner::board::virtual_board::VirtualControl;
use hil_runner::board::{CutPlan, CutReport, Landing, Operation, OperationKind, RigError};
use hil_runner::scenario::{Capability, ChipName, CutKind, ResetKind, Text};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of a write in an upload: those before are the erases of the sectors, and some writes.
const WRITE: u32 = 44;
/// The stack of the firmware is in this memory.
const SRAM: Range<u32> = 0x3FC8_0000..0x3FC8_0400;

/// The virtual board as seen through a debug port.
struct Core(Arc<Served>);

impl Target for Core {
    fn is_halted(&mut self) -> Result<bool, RigError> {
        Ok(self.0.is_held())
    }

    fn halt(&mut self) -> Result<(), RigError> {
        Ok(self.0.hold()?)
    }

    fn go_on(&mut self) -> Result<(), RigError> {
        Ok(self.0.release()?)
    }

    fn set_breakpoints(&mut self, addresses: &[u32]) -> Result<(), RigError> {
        assert!(addresses.len() <= 4, "the smallest chips have four triggers");
        let addresses = addresses.iter().copied().collect();
        Ok(self.0.with(move |board| board.set_breakpoints(addresses))?)
    }

    fn reset_and_halt(&mut self) -> Result<(), RigError> {
        self.halt()?;
        self.set_breakpoints(&[])?;
        Ok(self.0.with(|board| board.reset(ResetCause::Software))?)
    }

    fn call(&mut self) -> Result<Call, RigError> {
        Ok(self.0.with(|board| {
            let state = board.cpu();
            let arguments = [state.x[10], state.x[11], state.x[12]];
            Call { function: state.pc, returns: state.x[1], arguments }
        })?)
    }

    fn registers(&mut self) -> Result<Vec<(String, u64)>, RigError> {
        Ok(vec![("pc".into(), self.0.with(|board| board.cpu().pc.into())?)])
    }

    fn read_memory(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        let bytes = self.0.with(|board| range.map(|at| board.peek(at)).collect::<Option<_>>())?;
        bytes.ok_or_else(|| RigError::new("there is no memory"))
    }
}

type Probed = ProbeBoard<VirtualControl>;

/// A board with a probe, and how often that was attached.
fn probed(chip: ChipName) -> (Probed, Arc<AtomicU32>) {
    let inner = board().into_control();
    let served = Arc::clone(inner.served());
    let attached = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&attached);
    let attach = move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Core(Arc::clone(&served))) as Box<dyn Target>)
    };
    let config = ProbeConfig { chip, memory: vec![SRAM] };
    let control = ProbeControl::new(inner, config, Box::new(attach)).unwrap();
    (SerialBoard::new(control), attached)
}

fn provisioned() -> Probed {
    let (mut board, _) = probed(ChipName::Esp32c3);
    board.provision(&factory()).unwrap();
    board
}

/// Has the device take version 2 until it is cut.
fn upload(board: &mut Probed, plan: Option<CutPlan>) -> CutReport {
    let (_, client) = client(board);
    trace(&client);
    if let Some(plan) = plan {
        board.take_operations();
        board.plan_cut(Some(plan)).unwrap();
    }
    client.image_upload(firmware("v2.0.0.app.bin"), None, None, false, None).unwrap_err();
    board.take_cut().expect("a cut")
}

fn there(board: &mut Probed, operation: Operation) -> Vec<u8> {
    board.read_flash(operation.address..operation.address + operation.length).unwrap()
}

/// The device starts where the probe has left it, from its first byte.
fn starts_by_debug_reset(board: &mut Probed) {
    let mut port = board.start(Duration::ZERO).unwrap();
    let console = read_until(port.as_mut(), " reset=");
    assert!(console.starts_with("ESP-ROM:esp32c3"), "{console}");
    assert!(console.contains("rst:0x3"), "no power-on: {console}");
    assert!(console.contains("boot: fw=1.0.0"), "{console}");
}

#[test]
fn a_cut_falls_exactly_before_or_behind_an_operation() {
    for (into, done) in [(0.0, false), (1.0, true)] {
        let mut board = provisioned();
        let cut = upload(&mut board, at(WRITE, into, CutKind::DebugReset));
        let operations = board.take_operations();
        assert_eq!(operations.len(), WRITE as usize, "{operations:?}");
        let operation = cut.operation.expect("known");
        assert_eq!(operations.last(), Some(&operation));
        assert_eq!(operation.kind, OperationKind::Write);
        assert_eq!(cut.landing, Landing::Exact);
        assert_eq!(board.take_cut(), None, "it is told once");
        let bytes = if done { operation.length as usize } else { 0 };
        assert_eq!(there(&mut board, operation), expected(operation, bytes), "{operation}");
        let before = operations[WRITE as usize - 2];
        let whole = expected(before, before.length as usize);
        assert_eq!(there(&mut board, before), whole, "{before}");
    }
}

#[test]
fn the_device_starts_where_it_was_reset() {
    let (mut board, attached) = probed(ChipName::Esp32c3);
    board.provision(&factory()).unwrap();
    upload(&mut board, at(WRITE, 0.0, CutKind::DebugReset));
    starts_by_debug_reset(&mut board);
    assert_eq!(attached.load(Ordering::Relaxed), 1, "the probe stays attached");
    drop(board.reset(ResetKind::DebugReset).unwrap());
    board.stop().unwrap();
    drop(board.start(Duration::ZERO).unwrap());
    assert_eq!(attached.load(Ordering::Relaxed), 2);
}

#[test]
fn a_cut_inside_an_operation_claims_nothing() {
    let mut board = provisioned();
    let cut = upload(&mut board, at(WRITE, 0.5, CutKind::DebugReset));
    assert_eq!(cut.landing, Landing::Unknown);
    assert_eq!(board.take_operations().last(), cut.operation.as_ref());
}

#[test]
fn a_cut_that_was_planned_before_an_unseen_start_claims_nothing() {
    let mut board = provisioned();
    board.plan_cut(at(WRITE, 0.0, CutKind::DebugReset)).unwrap();
    assert_eq!(upload(&mut board, None).landing, Landing::Unknown);
    // The next start is seen from its reset on.
    board.plan_cut(at(WRITE, 0.0, CutKind::DebugReset)).unwrap();
    assert_eq!(upload(&mut board, None).landing, Landing::Exact);
}

#[test]
fn a_cut_comes_after_a_text() {
    let mut board = provisioned();
    let text = after(Text::Plain("boot: fw=".into()), Duration::ZERO).unwrap();
    board.plan_cut(Some(CutPlan { kind: CutKind::DebugReset, ..text })).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    let console = read_to_the_cut(port.as_mut());
    assert!(console.contains("boot: fw="), "{console}");
    assert_eq!(board.take_cut().expect("a cut").landing, Landing::Unknown);
    starts_by_debug_reset(&mut board);
}

#[test]
fn other_cuts_are_those_of_the_board() {
    let mut board = provisioned();
    let cut = upload(&mut board, at(WRITE, 0.5, CutKind::Rail));
    assert_eq!(cut.landing, Landing::Exact, "the virtual board's own");
    let operations = board.take_operations();
    assert_eq!((operations.len(), operations.last()), (WRITE as usize, cut.operation.as_ref()));
}

#[test]
fn a_cut_that_is_taken_back_lets_the_device_go_on() {
    let mut board = provisioned();
    let (_, client) = client(&mut board);
    board.plan_cut(at(100_000, 0.0, CutKind::DebugReset)).unwrap();
    client.image_upload(firmware("v2.0.0.app.bin"), None, None, false, None).unwrap();
    let seen = board.take_operations();
    assert!(
        seen.len() > 50 && seen.len() < 100_000,
        "the device went on at each of {}",
        seen.len()
    );
    board.plan_cut(None).unwrap();
    assert!(client.image_get_state().is_ok());
    assert_eq!(board.take_cut(), None);
}

#[test]
fn what_needs_a_watchdog_is_refused() {
    let (board, _) = probed(ChipName::Esp32c3);
    for refused in [
        Capability::Cut(CutKind::Watchdog),
        Capability::Reset(ResetKind::Watchdog),
        Capability::SelfReset,
    ] {
        let reason = board.lacks(refused).expect("a reason");
        assert!(reason.contains("disables the chip's watchdogs"), "{reason}");
    }
    for offered in [
        Capability::Cut(CutKind::DebugReset),
        Capability::Reset(ResetKind::DebugReset),
        Capability::CountOperations,
        Capability::Cut(CutKind::Rail),
    ] {
        assert_eq!(board.lacks(offered), None, "{offered}");
    }
    let mut board = provisioned();
    let error = board.plan_cut(at(1, 0.0, CutKind::Watchdog)).unwrap_err().to_string();
    assert!(error.contains("watchdogs"), "{error}");
    let (board, _) = probed(ChipName::Esp32s3);
    assert!(board.lacks(Capability::CountOperations).unwrap().contains("RISC-V"));
}

#[test]
fn a_failed_device_is_looked_into() {
    let mut board = provisioned();
    let folder = tempfile::tempdir().unwrap();
    assert!(board.post_mortem(folder.path(), "case").unwrap().is_empty(), "it is off");
    let (_, client) = client(&mut board);
    let paths = board.post_mortem(folder.path(), "case").unwrap();
    let [registers, memory] = paths.as_slice() else { panic!("{paths:?}") };
    assert!(std::fs::read_to_string(registers).unwrap().starts_with("pc       0x4"));
    assert!(memory.ends_with("case-1.3fc80000.bin"), "{}", memory.display());
    assert_eq!(std::fs::read(memory).unwrap().len(), SRAM.len());
    assert!(client.image_get_state().is_ok(), "the device goes on");
}

#[test]
fn a_probe_that_cannot_be_attached_is_named() {
    let config = ProbeConfig { chip: ChipName::Esp32c3, memory: Vec::new() };
    let attach = Box::new(|| Err(RigError::new("nothing is plugged in")));
    let control = ProbeControl::new(board().into_control(), config, attach).unwrap();
    let mut board = SerialBoard::new(control);
    board.provision(&factory()).unwrap();
    let error = board.start(Duration::ZERO).err().expect("an error").to_string();
    assert_eq!(error, "virtual: debug probe: nothing is plugged in");
}
