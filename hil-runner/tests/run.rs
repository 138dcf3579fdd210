//! Cases on the flash model: what passes, what fails and why, what is tried again.

use hil_runner::board::{
    Board, Checkpoint, Contents, CutPlan, CutReport, ModelBoard, Operation, Port, Recording,
    RigError,
};
use hil_runner::run::{Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{BoardKind, Capability, ResetKind, Scenario, Sources, parse};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A scenario with two images that come with `sim`, and these steps.
fn scenario(steps: &str) -> Scenario {
    with("rollback = true", steps)
}

fn with(device: &str, steps: &str) -> Scenario {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/fixtures");
    let text = format!(
        "[scenario]\nname = \"test\"\nwhy = \"To see it.\"\n\
         [device]\nchip = \"esp32c3\"\npartitions = \"2-slots\"\n{device}\n\
         [images.v1]\nfile = \"{0}/app-1.0.0.bin\"\n[images.v2]\nfile = \"{0}/app-2.0.0.bin\"\n{steps}",
        fixtures.display()
    );
    let sources = Sources { family: "nowhere".into() };
    parse(Path::new("test.toml"), &text, &sources).unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n"))
    })
}

fn options() -> Options {
    Options {
        bootloader: virtual_board::stock_bootloader().unwrap(),
        rollback_bootloader: None,
        attempts: 3,
        dumps: None,
        only: None,
        sample: 1,
        finished: Vec::new(),
    }
}

fn run_on(board: &mut dyn Board, scenario: &Scenario, options: &Options) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut give = |outcome| outcomes.push(outcome);
    let cancelled = AtomicBool::new(false);
    run_case(board, scenario, &scenario.cases[0], options, &cancelled, &mut give);
    outcomes
}

fn run(scenario: &Scenario) -> Vec<Outcome> {
    let device = &scenario.cases[0].device;
    run_on(&mut ModelBoard::new("model", &device.flash, device.rollback), scenario, &options())
}

/// The only outcome, which is a failure: its step and why.
fn failure(scenario: &Scenario) -> (usize, String) {
    let outcomes = run(scenario);
    assert_eq!(outcomes.len(), 1, "{outcomes:#?}");
    assert_eq!(outcomes[0].verdict, Verdict::Fail);
    (outcomes[0].step.as_ref().unwrap().number, outcomes[0].reason.clone().unwrap())
}

const BEGIN: &str = "[[step]]\ninstall = \"v1\"\n[[step]]\nboot = \"v1\"\n";

#[test]
fn a_cut_at_every_operation_is_a_run_each() {
    let scenario = scenario(&format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\ncut = {{ kind = \"rail\", operation = \"every\" }}\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n\
         [[step]]\nconfirm = \"v2\"\n[[step]]\nstill-updatable = \"v1\"\n"
    ));
    let outcomes = run(&scenario);
    assert!(outcomes.iter().all(|it| it.verdict == Verdict::Pass), "{outcomes:#?}");
    // One after the other, each in an operation of its own.
    for (outcome, number) in outcomes.iter().zip(1..) {
        assert_eq!(outcome.run, format!("cut {number}"));
        assert_eq!(outcome.cuts.len(), 1);
        assert!(outcome.cuts[0].fired && outcome.cuts[0].operation.is_some());
        assert_eq!(outcome.cuts[0].number, Some(number));
    }
    // The first erase of the slot, and the last write to otadata.
    let apps = *scenario.cases[0].device.layout.apps();
    let address = |outcome: &Outcome| outcome.cuts[0].operation.unwrap().address;
    assert_eq!(address(&outcomes[0]), apps.slots().nth(1).unwrap().offset);
    let last = address(outcomes.last().unwrap());
    assert!((apps.otadata().offset..apps.otadata().end().unwrap()).contains(&last));
}

#[test]
fn behind_its_last_operation_an_update_is_done() {
    let scenario = scenario(&format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\n\
         cut = {{ kind = \"rail\", operation = \"every\", into = 1 }}\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n"
    ));
    let outcomes = run(&scenario);
    let (last, before) = outcomes.split_last().unwrap();
    assert_eq!(last.boots[1].image, "v2");
    assert!(before.iter().all(|outcome| outcome.boots[1].image == "v1"), "{before:#?}");
}

#[test]
fn second_cuts_fall_into_what_follows_the_first() {
    let scenario = scenario(&format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\ncut = [\n\
         {{ kind = \"rail\", during = \"select\", operation = \"every\" }},\n\
         {{ kind = \"rail\", operation = \"every\" }},\n]\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n"
    ));
    let outcomes = run(&scenario);
    assert!(outcomes.iter().all(|it| it.verdict == Verdict::Pass), "{outcomes:#?}");
    let runs: Vec<_> = outcomes.iter().map(|it| it.run.as_str()).collect();
    assert!(runs.contains(&"cut 1, 1") && runs.contains(&"cut 2, 1"), "{runs:?}");
    for outcome in &outcomes {
        assert_eq!(outcome.cuts.iter().filter(|cut| cut.fired).count(), 2, "{}", outcome.run);
    }
    let mut different = runs.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), runs.len());
}

#[test]
fn one_of_the_runs_can_be_done_alone() {
    let scenario = scenario(&format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\ncut = {{ kind = \"rail\", operation = \"every\" }}\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n"
    ));
    let all = run(&scenario);
    let device = &scenario.cases[0].device;
    let mut board = ModelBoard::new("model", &device.flash, device.rollback);
    let alone = Options { only: Some(vec![17]), ..options() };
    let one = run_on(&mut board, &scenario, &alone);
    assert_eq!(one.len(), 1);
    assert_eq!((&one[0].run, &one[0].cuts), (&all[16].run, &all[16].cuts));
    // And the others can be left out.
    let finished = all.iter().filter(|outcome| outcome.run != "cut 5").cloned().collect();
    let mut board = ModelBoard::new("model", &device.flash, device.rollback);
    let rest = run_on(&mut board, &scenario, &Options { finished, ..options() });
    let rest: Vec<_> = rest.iter().map(|it| it.run.as_str()).collect();
    assert_eq!(rest, ["cut 5"]);
}

#[test]
fn a_wrong_boot_is_a_failure_of_its_step() {
    let (step, why) =
        failure(&scenario(&format!("{BEGIN}[[step]]\nupdate = \"v2\"\n[[step]]\nboot = \"v1\"\n")));
    assert_eq!((step, why.as_str()), (4, "v2 runs, expected v1"));
}

#[test]
fn a_roll_back_must_come_when_nobody_confirms() {
    let steps = format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\n[[step]]\nboot = \"v2\"\n[[step]]\nreset = \"en-reset\"\n\
         [[step]]\nboot = \"v1\"\n"
    );
    assert_eq!(run(&scenario(&steps))[0].verdict, Verdict::Pass);
    // Without rollback the new image stays, and the same steps fail.
    let (step, why) = failure(&with("rollback = false", &steps));
    assert_eq!((step, why.as_str()), (6, "v2 runs, expected v1"));
}

#[test]
fn a_cut_that_does_not_fire_is_a_failure() {
    let (step, why) = failure(&scenario(&format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\ncut = {{ kind = \"rail\", operation = 9999 }}\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n"
    )));
    assert_eq!(step, 3);
    assert!(why.starts_with("the cut never fired (operation 9999, 0.5 into it)"), "{why}");
}

#[test]
fn what_flash_must_hold_is_judged() {
    let begin = format!("{BEGIN}[[step]]\nupdate = \"v2\"\n");
    let good = format!(
        "{begin}[[step]]\nexpect = {{ selected = \"ota_1\", otadata = \"valid\", \
         holds = {{ ota_0 = \"v1\", ota_1 = \"v2\" }}, untouched = [\"ota_0\"] }}\n"
    );
    let outcomes = run(&scenario(&good));
    assert_eq!(outcomes[0].verdict, Verdict::Pass, "{:?}", outcomes[0].reason);
    for (expectation, said) in [
        ("selected = \"ota_0\"", "the next boot selects ota_1, expected ota_0"),
        ("holds = { ota_1 = \"v1\" }", "ota_1 does not hold v1: byte"),
        ("untouched = [\"ota_1\"]", "ota_1 was written to: byte 0x0 differs"),
        ("otadata = [\"*\", \"-\"]", "expected [* | -]"),
    ] {
        let steps = format!("{begin}[[step]]\nexpect = {{ {expectation} }}\n");
        let (step, why) = failure(&scenario(&steps));
        assert_eq!(step, 4);
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn bits_that_flip_in_the_running_image_are_noticed() {
    let steps = format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\n[[step]]\nboot = \"v2\"\n[[step]]\nconfirm = \"v2\"\n\
         [[step]]\nflip-bits = \"running-slot\"\nseed = 7\n[[step]]\nboot = \"RUNS\"\n"
    );
    assert_eq!(run(&scenario(&steps.replace("RUNS", "v1")))[0].verdict, Verdict::Pass);
    let (step, why) = failure(&scenario(&steps.replace("RUNS", "v2")));
    assert_eq!((step, why.as_str()), (7, "v1 runs, expected v2"));
}

#[test]
fn a_broken_link_is_gone_over() {
    let steps =
        format!("{BEGIN}[[step]]\nupdate = \"v2\"\nbreak-link = 9000\n[[step]]\nboot = \"v2\"\n");
    let outcomes = run(&scenario(&steps));
    assert_eq!(outcomes[0].verdict, Verdict::Pass, "{:?}", outcomes[0].reason);
}

#[test]
fn what_the_board_cannot_do_is_not_run() {
    let scenario =
        scenario(&format!("{BEGIN}[[step]]\nupdate = \"v2\"\n[[step]]\nwait-for = \"never\"\n"));
    let outcomes = run(&scenario);
    assert_eq!(outcomes[0].verdict, Verdict::NotRun);
    assert_eq!(outcomes[0].reason.as_deref(), Some("the flash model cannot show a console"));
}

/// A flash model whose first starts fail, as those of a board with a bad cable.
struct Shaky {
    model: ModelBoard,
    failures: u32,
    provisions: u32,
}

impl Board for Shaky {
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
        self.provisions += 1;
        self.model.provision(contents)
    }
    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        self.model.read_flash(range)
    }
    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.model.write_flash(offset, bytes)
    }
    fn start(&mut self, off: Duration) -> Result<Box<dyn Port>, RigError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(RigError::new("the cable"));
        }
        self.model.start(off)
    }
    fn stop(&mut self) -> Result<(), RigError> {
        self.model.stop()
    }
    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        self.model.reset(kind)
    }
    fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError> {
        self.model.plan_cut(plan)
    }
    fn take_cut(&mut self) -> Option<CutReport> {
        self.model.take_cut()
    }
    fn take_operations(&mut self) -> Vec<Operation> {
        self.model.take_operations()
    }
    fn checkpoint(&mut self) -> Option<Checkpoint> {
        None
    }
    fn take_recording(&mut self) -> Option<Recording> {
        None
    }
}

fn shaky(scenario: &Scenario, failures: u32) -> (Vec<Outcome>, u32) {
    let device = &scenario.cases[0].device;
    let model = ModelBoard::new("shaky", &device.flash, device.rollback);
    let mut board = Shaky { model, failures, provisions: 0 };
    let outcomes = run_on(&mut board, scenario, &options());
    (outcomes, board.provisions)
}

#[test]
fn a_failure_of_the_bench_is_tried_again_and_one_of_the_device_is_not() {
    let good = scenario(&format!("{BEGIN}[[step]]\nupdate = \"v2\"\n[[step]]\nboot = \"v2\"\n"));
    let (outcomes, _) = shaky(&good, 2);
    assert_eq!((outcomes[0].verdict, outcomes[0].attempt), (Verdict::Pass, 3));
    let (outcomes, _) = shaky(&good, 3);
    assert_eq!((outcomes[0].verdict, outcomes[0].attempt), (Verdict::RigError, 3));
    assert_eq!(outcomes[0].reason.as_deref(), Some("the cable"));
    let bad = scenario(&format!("{BEGIN}[[step]]\nupdate = \"v2\"\n[[step]]\nboot = \"v1\"\n"));
    let (outcomes, provisions) = shaky(&bad, 0);
    assert_eq!((outcomes[0].verdict, outcomes[0].attempt, provisions), (Verdict::Fail, 1, 1));
}

#[test]
fn a_board_without_checkpoints_gives_the_same_outcomes() {
    let scenario = scenario(&format!(
        "{BEGIN}[[step]]\nupdate = \"v2\"\ncut = [\n\
         {{ kind = \"rail\", during = \"select\", operation = \"every\" }},\n\
         {{ kind = \"en-reset\", operation = \"every\" }},\n]\n\
         after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n\
         [[step]]\nconfirm = \"v2\"\n[[step]]\nstill-updatable = \"v1\"\n"
    ));
    let key = |it: &Outcome| {
        let cuts: Vec<_> = it.cuts.iter().map(|cut| (cut.number, cut.operation)).collect();
        (it.run.clone(), it.verdict, cuts, it.reason.clone())
    };
    let quick: Vec<_> = run(&scenario).iter().map(key).collect();
    let (outcomes, provisions) = shaky(&scenario, 0);
    let slow: Vec<_> = outcomes.iter().map(key).collect();
    assert_eq!(quick, slow);
    assert!(provisions as usize > slow.len());
}
