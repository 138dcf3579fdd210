use super::*;
use crate::board::OperationKind;
use crate::board::probe::Call;
use crate::scenario::{ChipName, CutKind};

/// Entries of the ROM of the ESP32-C3.
const ERASE_SECTOR: u32 = 0x4000_0128;
const WRITE: u32 = 0x4000_012C;
/// Where the functions return to.
const RETURNS: u32 = 0x4038_0010;

/// What was asked of a core, and what it does.
#[derive(Default)]
struct Core {
    halted: bool,
    pc: u32,
    breakpoints: Vec<u32>,
    asked: Vec<&'static str>,
    dead: bool,
}

struct Fake(Arc<Mutex<Core>>);

impl Fake {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap()
    }
}

impl Target for Fake {
    fn is_halted(&mut self) -> Result<bool, RigError> {
        let core = self.core();
        if core.dead { Err(RigError::new("the probe is gone")) } else { Ok(core.halted) }
    }

    fn halt(&mut self) -> Result<(), RigError> {
        let mut core = self.core();
        core.asked.push("halt");
        core.halted = true;
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), RigError> {
        let mut core = self.core();
        core.asked.push("go on");
        core.halted = false;
        Ok(())
    }

    fn set_breakpoints(&mut self, addresses: &[u32]) -> Result<(), RigError> {
        self.core().breakpoints = addresses.to_vec();
        Ok(())
    }

    fn reset_and_halt(&mut self) -> Result<(), RigError> {
        let mut core = self.core();
        core.asked.push("reset");
        (core.halted, core.breakpoints) = (true, Vec::new());
        Ok(())
    }

    fn call(&mut self) -> Result<Call, RigError> {
        let core = self.core();
        // The erase of a sector, or a write.
        let first = if core.pc == ERASE_SECTOR { 0x110 } else { 0x11_0000 };
        Ok(Call { function: core.pc, returns: RETURNS, arguments: [first, 0, 32] })
    }

    fn registers(&mut self) -> Result<Vec<(String, u64)>, RigError> {
        assert!(self.core().halted, "registers of a running core are not to be read");
        Ok(vec![("pc".into(), self.core().pc.into())])
    }

    fn read_memory(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        assert!(self.core().halted, "memory of a running core changes");
        Ok(vec![0x5A; range.len()])
    }
}

fn attached() -> (Debugger, Arc<Mutex<Core>>) {
    let memory = std::iter::once(0x3FC8_0000..0x3FC8_0004).collect();
    let mut debugger = Debugger::new(Routines::of(ChipName::Esp32c3), memory).unwrap();
    let core = Arc::new(Mutex::new(Core::default()));
    debugger.attach(Box::new(Fake(Arc::clone(&core)))).unwrap();
    (debugger, core)
}

fn plan(debugger: &mut Debugger, number: u32, into: f64) {
    let point = CutPoint::Operation { number, into };
    debugger.plan(Some((CutPlan { kind: CutKind::DebugReset, point }, None))).unwrap();
}

/// The core comes to that place. Whether it was reset there.
fn comes_to(debugger: &mut Debugger, core: &Mutex<Core>, place: u32) -> bool {
    let stops = core.lock().unwrap().breakpoints.contains(&place);
    assert!(stops, "it does not stop at {place:#x}");
    {
        let mut core = core.lock().unwrap();
        (core.halted, core.pc) = (true, place);
        core.asked.clear();
    }
    assert!(!debugger.attend(false), "the console may have more to say");
    assert!(core.lock().unwrap().asked.is_empty());
    debugger.attend(true)
}

#[test]
fn the_core_is_reset_at_the_nth_operation() {
    let (mut debugger, core) = attached();
    assert!(core.lock().unwrap().breakpoints.is_empty(), "nothing is planned");
    plan(&mut debugger, 3, 0.0);
    assert!(!comes_to(&mut debugger, &core, ERASE_SECTOR));
    assert!(!comes_to(&mut debugger, &core, WRITE));
    assert_eq!(core.lock().unwrap().asked, ["go on"]);
    assert!(comes_to(&mut debugger, &core, WRITE));
    assert_eq!(core.lock().unwrap().asked, ["reset"], "it does not go on before");
    assert!(debugger.is_held());
    let report = debugger.take_cut().unwrap();
    let operation = Operation { kind: OperationKind::Write, address: 0x11_0000, length: 32 };
    assert_eq!((report.operation, report.landing), (Some(operation), Landing::Exact));
    assert_eq!(debugger.take_operations().len(), 3);
    debugger.leave();
    assert!(core.lock().unwrap().halted, "it waits to be started");
    debugger.begin().unwrap();
    debugger.let_go().unwrap();
    assert!(!core.lock().unwrap().halted && !debugger.attend(true));
}

#[test]
fn the_core_is_reset_where_an_operation_returns() {
    let (mut debugger, core) = attached();
    plan(&mut debugger, 1, 1.0);
    assert!(!comes_to(&mut debugger, &core, ERASE_SECTOR));
    assert_eq!(core.lock().unwrap().breakpoints.len(), 4);
    assert!(comes_to(&mut debugger, &core, RETURNS));
    assert_eq!(debugger.take_cut().unwrap().landing, Landing::Exact);
}

#[test]
fn inside_an_operation_nothing_is_claimed() {
    let (mut debugger, core) = attached();
    plan(&mut debugger, 1, 0.5);
    assert!(comes_to(&mut debugger, &core, WRITE));
    assert_eq!(core.lock().unwrap().asked, ["go on", "reset"]);
    assert_eq!(debugger.take_cut().unwrap().landing, Landing::Unknown);
}

#[test]
fn nobody_leaves_a_core_behind_that_stands_still() {
    let (mut debugger, core) = attached();
    plan(&mut debugger, 7, 0.0);
    core.lock().unwrap().halted = true;
    debugger.leave();
    let core = core.lock().unwrap();
    assert!(!core.halted && core.breakpoints.is_empty());
}

#[test]
fn a_panic_is_kept_as_it_was() {
    let (mut debugger, core) = attached();
    core.lock().unwrap().pc = 0x4200_1234;
    debugger
        .console(b"I (12) app: fine\n\r\n====== PANIC ======\npanicked at src/ma", Instant::now());
    assert_eq!(core.lock().unwrap().asked, ["halt", "go on"]);
    core.lock().unwrap().pc = 0;
    let text = |debugger: &mut Debugger| {
        let folder = tempfile::tempdir().unwrap();
        let taken = debugger.post_mortem().unwrap().expect("a probe");
        let paths = taken.write(folder.path(), "case").unwrap();
        assert_eq!(std::fs::read(&paths[1]).unwrap(), [0x5A; 4]);
        std::fs::read_to_string(&paths[0]).unwrap()
    };
    assert_eq!(text(&mut debugger), "pc       0x42001234\n", "not what came afterwards");
    assert_eq!(text(&mut debugger), "pc       0x00000000\n", "without a panic, as it is");
    debugger.detach();
    assert_eq!(debugger.post_mortem(), Ok(None));
}

#[test]
fn a_probe_that_fails_ends_the_start_and_is_told_at_the_next() {
    let (mut debugger, core) = attached();
    plan(&mut debugger, 1, 0.0);
    core.lock().unwrap().dead = true;
    assert!(debugger.attend(true), "the device cannot be cut any more");
    assert_eq!(debugger.take_cut(), None);
    assert_eq!(debugger.begin().unwrap_err().to_string(), "the probe is gone");
    assert_eq!(debugger.begin(), Ok(()), "it is told once");
}

#[test]
fn without_a_probe_nothing_can_be_reset() {
    let mut debugger = Debugger::new(None, Vec::new()).unwrap();
    let error = debugger.reset().unwrap_err().to_string();
    assert!(error.contains("only while the device runs"), "{error}");
    assert!(!debugger.attend(true));
}
