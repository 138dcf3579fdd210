//! Where the cuts of a real board fell: the code for real boards against a virtual board behind a
//! pseudo-terminal, with a power switch that is late. The virtual board knows what power loss did.

use hil_runner::board::serial::{PortSelector, RealBoard, RealConfig};
use hil_runner::board::virtual_board::{VirtualBoard, VirtualConfig};
use hil_runner::board::{
    Board, Contents, CutPlan, CutReport, Landing, Operation, OperationKind, Port, RigError,
};
use hil_runner::power::PowerSwitch;
use hil_runner::run::{CutRecord, Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{
    BoardKind, Capability, ChipName, CutKind, ResetKind, Scenario, Sources, parse,
};
use sim::flash::Part;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use virtual_board::serve::Served;
use virtual_board::{PowerLoss, Speed, Strap, Ticks};

/// What the virtual board knows of the cuts.
type Losses = Arc<Mutex<Vec<Option<PowerLoss>>>>;

/// A switch that takes power away some time after it was told to: the next of these times, the last one
/// for ever. It forgets them when the firmware does not run.
struct Late {
    served: Arc<Served>,
    delays: Arc<Mutex<Vec<Duration>>>,
    losses: Losses,
}

impl PowerSwitch for Late {
    fn name(&self) -> String {
        "late".into()
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![CutKind::Rail]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        if on {
            return Ok(self.served.with(virtual_board::Board::power_on)?);
        }
        let delays = Arc::clone(&self.delays);
        let loss = self.served.with(move |board| {
            if !board.is_powered() || board.flash().operations() == 0 {
                board.power_off();
                return None;
            }
            let mut delays = delays.lock().unwrap();
            let delay = if delays.len() > 1 { delays.remove(0) } else { delays[0] };
            board.run(Ticks(board.now().0 + Ticks::from_duration(delay).0));
            board.power_off();
            Some(board.flash().power_loss().cloned())
        })?;
        if let Some(loss) = loss {
            self.losses.lock().unwrap().push(loss);
        }
        Ok(())
    }
}

/// A real board, as far as the runner can tell, whose serial loader somebody starts by hand.
struct Bench {
    real: RealBoard,
    /// Makes the port, and keeps it.
    _virtual: VirtualBoard,
    served: Arc<Served>,
    losses: Losses,
    /// A byte that changes whenever it is read.
    flips: Option<u32>,
}

impl Bench {
    fn new(delays: &[u64]) -> Self {
        let config = VirtualConfig {
            name: "virtual".into(),
            part: Part::by_name("W25Q32JV").unwrap(),
            seed: 5,
            rollback_bootloader: false,
        };
        let mut virtual_board = VirtualBoard::virtual_board(config).unwrap();
        // It runs, and stays without power until the switch gives it.
        drop(virtual_board.start(Duration::ZERO).unwrap());
        virtual_board.stop().unwrap();
        let served = Arc::clone(virtual_board.control().served());
        let losses = Losses::default();
        let delays = delays.iter().map(|delay| Duration::from_micros(*delay)).collect();
        let switch = Late {
            served: Arc::clone(&served),
            delays: Arc::new(Mutex::new(delays)),
            losses: Arc::clone(&losses),
        };
        let config = RealConfig {
            name: "real".into(),
            port: PortSelector::Path(served.port()),
            chip: ChipName::Esp32c3,
            lines: false,
            baud: 115_200,
        };
        let real = RealBoard::real(config, Some(Box::new(switch)));
        Self { real, _virtual: virtual_board, served, losses, flips: None }
    }

    /// Does something with power and the strap for the loader.
    fn strap(&mut self, strap: Strap, speed: Speed) -> Result<(), RigError> {
        // Whatever ran, it is no cut.
        self.served.with(move |board| {
            board.power_off();
            board.set_strap(strap);
            board.flash_mut().set_speed(speed);
        })?;
        self.real.stop()
    }

    fn loader<R>(
        &mut self,
        act: impl FnOnce(&mut RealBoard) -> Result<R, RigError>,
    ) -> Result<R, RigError> {
        self.strap(Strap::Download, Speed::Instant)?;
        let result = act(&mut self.real)?;
        self.strap(Strap::FlashBoot, Speed::Typical)?;
        Ok(result)
    }
}

impl Board for Bench {
    fn name(&self) -> &str {
        self.real.name()
    }

    fn kind(&self) -> BoardKind {
        self.real.kind()
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        self.real.lacks(capability)
    }

    fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        self.loader(|real| real.provision(contents))
    }

    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        let mut bytes = self.loader(|real| real.read_flash(range.clone()))?;
        if let Some(flips) = self.flips.filter(|flips| range.contains(flips)) {
            bytes[(flips - range.start) as usize] ^= 0x40;
        }
        Ok(bytes)
    }

    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.loader(|real| real.write_flash(offset, bytes))
    }

    fn start(&mut self, off: Duration) -> Result<Box<dyn Port>, RigError> {
        self.real.start(off)
    }

    fn stop(&mut self) -> Result<(), RigError> {
        self.served.with(virtual_board::Board::power_off)?;
        self.real.stop()
    }

    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        self.real.reset(kind)
    }

    fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError> {
        self.real.plan_cut(plan)
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        self.real.take_cut()
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        self.real.take_operations()
    }
}

/// Where an upload to a device as it is delivered goes.
const SLOT: u32 = 0x11_0000;

/// A device with version 1 whose update to version 2 is cut there.
fn scenario(cut: &str) -> Scenario {
    let text = format!(
        "[scenario]\nname = \"test\"\nwhy = \"To see it.\"\n\
         [device]\nchip = \"esp32c3\"\nflash = \"4 MB\"\npartitions = \"factory-2-slots\"\nrollback = false\n\
         [images.v1]\nfamily = \"v1.0.0\"\n[images.v2]\nfamily = \"v2.0.0\"\n\
         [[step]]\ninstall = \"v1\"\n[[step]]\nboot = \"v1\"\n\
         [[step]]\nupdate = \"v2\"\ncut = {{ kind = \"rail\", {cut} }}\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n"
    );
    let family = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fw");
    parse(Path::new("test.toml"), &text, &Sources { family }).unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n"))
    })
}

fn run(bench: &mut Bench, cut: &str, attempts: u32, dumps: Option<PathBuf>) -> Vec<Outcome> {
    let options = Options {
        bootloader: virtual_board::stock_bootloader().unwrap(),
        rollback_bootloader: None,
        attempts,
        dumps,
        only: None,
        sample: 1,
        done: Default::default(),
    };
    let scenario = scenario(cut);
    let mut outcomes = Vec::new();
    let mut give = |outcome: Outcome| {
        for (at, line) in &outcome.console {
            println!("{at:9.1} {line}");
        }
        println!(
            "{} {} attempt {} {:?}",
            outcome.run, outcome.verdict, outcome.attempt, outcome.reason
        );
        println!("  {:?}", outcome.cuts);
        outcomes.push(outcome);
    };
    let never = AtomicBool::new(false);
    run_case(bench, &scenario, &scenario.cases[0], &options, &never, &mut give);
    outcomes
}

/// What the runner found is what the virtual board knows of the last cut.
fn agrees(bench: &Bench, cut: &CutRecord) {
    let losses = bench.losses.lock().unwrap();
    println!("{losses:?}");
    let loss = losses.last().expect("a cut").as_ref().expect("power was lost");
    let operation = cut.operation.expect("known");
    let range = operation.address..operation.address + operation.length;
    match (&loss.operation, cut.landing) {
        (Some(torn), Some(Landing::Torn)) => {
            assert!(range.contains(&torn.offset), "{torn:?} {cut:?}")
        }
        (Some(torn), other) => panic!("{torn:?} was torn, found {other:?}"),
        (None, Some(Landing::Before | Landing::After)) => {}
        // Between two commands of one write.
        (None, Some(Landing::Torn)) => assert_eq!(operation.kind, OperationKind::Write),
        (None, other) => panic!("nothing was torn, found {other:?}"),
    }
}

/// The number of a write of an upload that takes many commands.
const WRITE: u32 = 58;

#[test]
fn the_place_that_is_found_is_the_real_one() {
    // At once, within the write, and later and later.
    for delay in [0, 3_000, 8_000, 100_000] {
        let mut bench = Bench::new(&[delay]);
        let outcomes = run(&mut bench, &format!("operation = {WRITE}, into = 0.5"), 1, None);
        let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        let cut = &outcome.cuts[0];
        assert!(cut.landed >= Some(WRITE), "not before its marker: {cut:?}");
        assert_eq!(cut.hit(), outcome.verdict == Verdict::Pass, "{:?}", outcome.reason);
        agrees(&bench, cut);
    }
}

#[test]
fn a_missed_window_is_told_with_where_the_cut_fell() {
    let mut bench = Bench::new(&[30_000]);
    let outcomes = run(&mut bench, &format!("operation = {WRITE}, into = 0.5"), 1, None);
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(outcome.verdict, Verdict::MissedWindow);
    let cut = &outcome.cuts[0];
    assert!(cut.fired && !cut.hit());
    assert!(cut.landed > Some(WRITE), "{cut:?}");
    assert!(cut.operation.is_some_and(|it| it.address >= SLOT));
    agrees(&bench, cut);
    let reason = outcome.reason.as_deref().unwrap();
    assert!(reason.contains(&format!("operation {WRITE} and fell")), "{reason}");
    assert_eq!(outcome.boots.last().unwrap().image, "v2", "the run went on to its end");
}

#[test]
fn contents_that_nobody_predicts_are_kept() {
    let mut bench = Bench::new(&[0]);
    bench.flips = Some(SLOT + 5);
    let folder = tempfile::tempdir().unwrap();
    let cut = format!("operation = {WRITE}, into = 0.5");
    let outcomes = run(&mut bench, &cut, 3, Some(folder.path().into()));
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!((outcome.verdict, outcome.attempt), (Verdict::MissedWindow, 1));
    assert_eq!(outcome.cuts[0].landing, Some(Landing::Unpredicted));
    assert!(!outcome.cuts[0].hit());
    let dump =
        |kind: &str| std::fs::read(folder.path().join(format!("test-cut.{kind}.bin"))).unwrap();
    let (read, predicted) = (dump("read"), dump("predicted"));
    assert_eq!((read.len(), predicted.len()), (0x40_0000, 0x40_0000));
    let at = SLOT as usize + 5;
    assert_eq!(read[at] ^ predicted[at], 0x40);
    assert!(outcome.reason.as_deref().unwrap().contains("test-cut.read.bin"));
}

#[test]
fn cuts_at_every_operation_count_for_where_they_fell() {
    let mut bench = Bench::new(&[100, 60_000, 5_000, 100]);
    let cut = "during = \"select\", operation = \"every\", into = 0.5";
    let outcomes = run(&mut bench, cut, 2, None);
    assert!(!outcomes.is_empty());
    for (outcome, number) in outcomes.iter().zip(1..) {
        assert_eq!(outcome.run, format!("cut {number}"));
        let cut = &outcome.cuts[0];
        assert_eq!(cut.number, Some(number));
        match outcome.verdict {
            // There, or a cut of another run has fallen there.
            Verdict::Pass => {}
            Verdict::MissedWindow => assert!(!cut.hit(), "{cut:?}"),
            other => panic!("{other}: {:?}", outcome.reason),
        }
    }
}
