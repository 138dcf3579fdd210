//! Cuts count for where they fell: the flash model as a board that does not know where it cuts, and cuts
//! beside the operation that was asked for.

#![allow(missing_docs)]

use hil_runner::board::{
    Board, Contents, CutPlan, CutPoint, CutReport, Landing, ModelBoard, Operation, Port, RigError,
};
use hil_runner::report::{cut_points_line, exit_code};
use hil_runner::run::{Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{BoardKind, Capability, ResetKind, Scenario, Sources, parse};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A board whose cuts fall so many operations later than they were asked for, one after the other; later ones
/// hit.
struct Blurred {
    model: ModelBoard,
    late: VecDeque<i32>,
    /// It fails when flash is read after so many more cuts.
    fails: Option<u32>,
}

impl Board for Blurred {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn kind(&self) -> BoardKind {
        self.model.kind()
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        self.model.lacks(capability)
    }

    fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        self.model.provision(contents)
    }

    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        self.model.read_flash(range)
    }

    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.model.write_flash(offset, bytes)
    }

    fn start(&mut self, off: Duration) -> Result<Box<dyn Port>, RigError> {
        match &mut self.fails {
            // The cut has been found, and the device is to be judged.
            Some(0) => {
                self.fails = None;
                Err(RigError::new("the port is gone"))
            }
            _ => self.model.start(off),
        }
    }

    fn stop(&mut self) -> Result<(), RigError> {
        self.model.stop()
    }

    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        self.model.reset(kind)
    }

    fn plan_cut(&mut self, mut plan: Option<CutPlan>) -> Result<(), RigError> {
        if let Some(CutPoint::Operation { number, .. }) = plan.as_mut().map(|plan| &mut plan.point)
        {
            *number = number.saturating_add_signed(self.late.pop_front().unwrap_or(0));
        }
        self.model.plan_cut(plan)
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        let cut = self.model.take_cut()?;
        self.fails = self.fails.map(|left| left.saturating_sub(1));
        Some(CutReport { operation: None, landing: Landing::Unknown, ..cut })
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        self.model.take_operations()
    }
}

/// An update whose selection is cut at every operation: an erase and two writes.
fn scenario() -> Scenario {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/fixtures");
    let text = format!(
        "[scenario]\nname = \"test\"\nwhy = \"To see it.\"\n\
         [device]\nchip = \"esp32c3\"\npartitions = \"2-slots\"\nrollback = true\n\
         [images.v1]\nfile = \"{0}/app-1.0.0.bin\"\n[images.v2]\nfile = \"{0}/app-2.0.0.bin\"\n\
         [[step]]\ninstall = \"v1\"\n[[step]]\nboot = \"v1\"\n[[step]]\nupdate = \"v2\"\n\
         cut = {{ kind = \"rail\", during = \"select\", operation = \"every\" }}\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n",
        fixtures.display()
    );
    parse(Path::new("test.toml"), &text, &Sources { family: "nowhere".into() }).unwrap()
}

struct Session {
    late: Vec<i32>,
    fails: Option<u32>,
    attempts: u32,
    only: Option<Vec<u32>>,
    finished: Vec<Outcome>,
}

impl Session {
    fn new(late: &[i32]) -> Self {
        let late = late.to_vec();
        Self { late, fails: None, attempts: 1, only: None, finished: Vec::new() }
    }

    fn run(self) -> Vec<Outcome> {
        let scenario = scenario();
        let case = &scenario.cases[0];
        let model = ModelBoard::new("model", &case.device.flash, case.device.rollback);
        let mut board = Blurred { model, late: self.late.into(), fails: self.fails };
        let options = Options {
            bootloader: virtual_board::stock_bootloader().unwrap(),
            rollback_bootloader: None,
            attempts: self.attempts,
            dumps: None,
            only: self.only,
            sample: 1,
            finished: self.finished,
        };
        let mut outcomes = Vec::new();
        let never = AtomicBool::new(false);
        let mut give = |outcome| outcomes.push(outcome);
        run_case(&mut board, &scenario, case, &options, &never, &mut give);
        outcomes
    }
}

/// The runs with their verdicts.
fn verdicts(outcomes: &[Outcome]) -> Vec<(&str, Verdict)> {
    outcomes.iter().map(|outcome| (outcome.run.as_str(), outcome.verdict)).collect()
}

/// The operations that were covered, and those that were not.
fn points(outcomes: &[Outcome]) -> [Vec<u64>; 2] {
    let line: serde_json::Value =
        serde_json::from_str(&cut_points_line(outcomes).unwrap()).unwrap();
    let group = &line["cut-points"][0];
    let list = |key: &str| group[key].as_array().unwrap().clone();
    let covered = list("covered").iter().map(|it| it.as_u64().unwrap()).collect();
    let missed = list("missed").iter().map(|it| it["operation"].as_u64().unwrap()).collect();
    [covered, missed]
}

use Verdict::{MissedWindow, Pass, RigError as Rig};

#[test]
fn what_was_asked_for_is_found() {
    let outcomes = Session::new(&[]).run();
    assert_eq!(verdicts(&outcomes), [("cut 1", Pass), ("cut 2", Pass), ("cut 3", Pass)]);
    assert!(outcomes.iter().all(|outcome| outcome.cuts[0].hit()), "{outcomes:#?}");
    assert_eq!(points(&outcomes), [vec![1, 2, 3], vec![]]);
}

#[test]
fn a_run_that_missed_passes_once_its_place_is_hit() {
    let outcomes = Session::new(&[1, -1, 0]).run();
    let again = ("cut 1", Pass);
    let first = ("cut 1", MissedWindow);
    assert_eq!(verdicts(&outcomes), [first, ("cut 2", Pass), ("cut 3", Pass), again]);
    assert_eq!(points(&outcomes), [vec![1, 2, 3], vec![]]);
    assert_eq!(exit_code(&outcomes), 0);
}

#[test]
fn what_nothing_hits_stays_missed() {
    let outcomes = Session::new(&[1, 0, 0]).run();
    assert_eq!(verdicts(&outcomes)[0], ("cut 1", MissedWindow));
    assert_eq!(outcomes.len(), 3);
    assert_eq!(points(&outcomes), [vec![2, 3], vec![1]]);
    assert_eq!(exit_code(&outcomes), 3);
}

#[test]
fn attempts_are_kept_with_the_outcome() {
    let outcomes = Session { attempts: 3, ..Session::new(&[2, 1, 0, 0, -2]) }.run();
    let first = &outcomes[0];
    assert_eq!((first.verdict, first.attempt, first.earlier.len()), (Pass, 3, 2));
    let fell: Vec<_> = first.earlier.iter().map(|cuts| cuts[0].counts_for).collect();
    assert_eq!(fell, [Some(3), Some(2)]);
    // The last one fell at 1, and its place had been hit before.
    assert_eq!((outcomes[2].verdict, outcomes[2].attempt), (Pass, 1));
    assert!(!outcomes[2].cuts[0].hit());
}

#[test]
fn a_resumed_run_knows_what_was_hit_before() {
    let before = Session { only: Some(vec![1]), ..Session::new(&[1]) }.run();
    assert_eq!(verdicts(&before), [("cut 1", MissedWindow)]);
    let late = [0, -1, 0];
    let alone = Session::new(&late).run();
    assert_eq!(verdicts(&alone)[1], ("cut 2", MissedWindow));
    let resumed = Session { finished: before.clone(), ..Session::new(&late) }.run();
    assert_eq!(verdicts(&resumed), [("cut 1", Pass), ("cut 2", Pass), ("cut 3", Pass)]);
    assert_eq!(points(&[before, resumed].concat()), [vec![1, 2, 3], vec![]]);
}

#[test]
fn a_cut_after_which_nothing_was_judged_covers_nothing() {
    // The first cut falls at 2, and the bench fails before the device was judged; then the cut at 2 misses.
    let outcomes = Session { fails: Some(1), ..Session::new(&[1, 1, 0]) }.run();
    assert_eq!(verdicts(&outcomes), [("cut 1", Rig), ("cut 2", MissedWindow), ("cut 3", Pass)]);
    assert_eq!(points(&outcomes), [vec![3], vec![1, 2]]);
}
