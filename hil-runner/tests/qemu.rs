//! QEMU as a board. Each test runs on the program that `$CUTPOINT_QEMU` names, if there is one, and on a
//! stand-in, so that the runner's side is tested where there is no QEMU.

mod link;
#[path = "qemu/stand_in.rs"]
mod stand_in;

use hil_runner::board::qemu::{self, QemuBoard, QemuConfig};
use hil_runner::board::{
    Board, Contents, CutPlan, CutPoint, CutReport, Landing, Operation, OperationKind, Port,
};
use hil_runner::run::{CrashState, Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{Capability, ChipName, CutKind, ResetKind, Sources, parse};
use link::Link;
use mcumgr_toolkit::MCUmgrClient;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a start may take.
const BOOT: Duration = Duration::from_secs(60);

/// Makes two tests of a function that takes the path of the program.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        mod on_qemu {
            $(#[test]
            fn $test() {
                match std::env::var_os("CUTPOINT_QEMU") {
                    Some(program) => super::$test(program.as_ref()),
                    None => eprintln!(
                        "NOT TESTED: {} in QEMU; set $CUTPOINT_QEMU to Espressif's qemu-system-riscv32",
                        stringify!($test)
                    ),
                }
            })*
        }

        mod on_the_stand_in {
            $(#[test]
            fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(&super::stand_in::program(folder.path(), ""));
            })*
        }
    };
}

tests![
    boots_and_is_started_again,
    a_scenario_with_cuts_at_every_operation,
    a_scenario_with_a_cut_at_a_text,
    operations_are_cut_before_and_behind,
    resets,
    a_state_boots_as_predicted,
    flash_is_what_it_was_given,
    the_program_boots_a_dump,
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the firmware family.
fn firmware(name: &str) -> Vec<u8> {
    let path = root().join("target/fw").join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; build the firmware first: `just fw`", path.display())
    })
}

/// A device as it is delivered, with version 1.
fn factory() -> Contents {
    let mut contents = Contents::erased(4 << 20);
    contents.put(0, firmware("v1.0.0.flash.bin"));
    contents
}

fn config(program: &Path) -> QemuConfig {
    QemuConfig {
        name: "qemu".into(),
        program: program.into(),
        capacity: 4 << 20,
        rollback_bootloader: false,
    }
}

fn board(program: &Path) -> QemuBoard {
    QemuBoard::qemu(config(program)).unwrap()
}

/// Reads the console up to a text.
fn read_until(port: &mut dyn Port, text: &str) -> String {
    let mut console = String::new();
    port.set_timeout(BOOT);
    while !console.contains(text) {
        let mut buffer = [0; 256];
        match port.read(&mut buffer) {
            Ok(count) => console += &String::from_utf8_lossy(&buffer[..count]),
            Err(error) => panic!("no {text:?}: {error}; console:\n{console}"),
        }
    }
    console
}

fn boots_and_is_started_again(program: &Path) {
    let mut board = board(program);
    board.provision(&factory()).unwrap();
    for _ in 0..2 {
        let mut port = board.start(Duration::ZERO).unwrap();
        let console = read_until(port.as_mut(), "self-test: passed");
        assert!(console.starts_with("ESP-ROM:esp32c3"), "{console}");
        assert!(console.contains("boot: fw=1.0.0 chip=esp32c3"), "{console}");
        // A port of a start that has ended says so.
        board.stop().unwrap();
        let mut buffer = [0; 256];
        let error = loop {
            if let Err(error) = port.read(&mut buffer) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }
}

fn options() -> Options {
    Options {
        bootloader: virtual_board::stock_bootloader().unwrap(),
        rollback_bootloader: None,
        attempts: 1,
        dumps: None,
        only: None,
        sample: 1,
        finished: Default::default(),
    }
}

/// Runs an update from version 1 to version 2 with these further steps.
fn run(program: &Path, steps: &str, options: &Options) -> Vec<Outcome> {
    let text = format!(
        "[scenario]\nname = \"test\"\nwhy = \"To see it.\"\n\
         [device]\nchip = \"esp32c3\"\npartitions = \"factory-2-slots\"\nrollback = false\n\
         [images.v1]\nfamily = \"v1.0.0\"\n[images.v2]\nfamily = \"v2.0.0\"\n\
         [[step]]\ninstall = \"v1\"\n[[step]]\nboot = \"v1\"\n{steps}"
    );
    let sources = Sources { family: root().join("target/fw") };
    let scenario = parse(Path::new("test.toml"), &text, &sources).unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n"))
    });
    let mut outcomes = Vec::new();
    run_case(
        &mut board(program),
        &scenario,
        &scenario.cases[0],
        options,
        &AtomicBool::new(false),
        &mut |outcome| outcomes.push(outcome),
    );
    outcomes
}

fn a_scenario_with_cuts_at_every_operation(program: &Path) {
    // An upload takes QEMU as long as its serial line: some of the operations will do.
    for (into, at) in [("0", 1), ("1", 2)] {
        let steps = format!(
            "[[step]]\nupdate = \"v2\"\n\
             cut = {{ kind = \"rail\", during = \"select\", operation = \"every\", into = {into} }}\n\
             after-cut = {{ boots = [\"v1\", \"v2\"] }}\n[[step]]\nboot = \"v2\"\n"
        );
        let outcomes = run(program, &steps, &Options { only: Some(vec![at]), ..options() });
        let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert_eq!(outcome.verdict, Verdict::Pass, "{outcome:?}");
        let [cut] = outcome.cuts.as_slice() else { panic!("{outcome:?}") };
        assert!(cut.fired && cut.landing == Some(Landing::Exact), "{cut:?}");
        assert_eq!(cut.number, Some(at));
    }
    // What the board cannot do is not run, and says why.
    let steps = "[[step]]\nupdate = \"v2\"\ncut = { kind = \"rail\", operation = 3 }\n\
                 after-cut = { boots = [\"v1\"] }\n[[step]]\nboot = \"v2\"\n";
    let outcomes = run(program, steps, &options());
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(outcome.verdict, Verdict::NotRun);
    assert!(outcome.reason.as_ref().unwrap().contains("there is no inside"), "{outcome:?}");
}

fn a_scenario_with_a_cut_at_a_text(program: &Path) {
    let steps = "[[step]]\nupdate = \"v2\"\n\
                 cut = { kind = \"rail\", text = \"addr=0x114000\", plus = \"1 ms\" }\n\
                 after-cut = { boots = [\"v1\"] }\n[[step]]\nboot = \"v2\"\n";
    let outcomes = run(program, steps, &options());
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(outcome.verdict, Verdict::Pass, "{outcome:?}");
    assert!(outcome.cuts.iter().any(|cut| cut.fired), "{outcome:?}");
}

fn at(number: u32, into: f64, kind: CutKind) -> Option<CutPlan> {
    Some(CutPlan { kind, point: CutPoint::Operation { number, into } })
}

/// A device that was cut while it took version 2, with the operations up to there.
fn cut_upload(program: &Path, plan: Option<CutPlan>) -> (QemuBoard, CutReport, Vec<Operation>) {
    let mut board = board(program);
    board.provision(&factory()).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: passed");
    let client = MCUmgrClient::new_from_serial(Link(port));
    client.set_timeout(BOOT).unwrap();
    client.set_retries(0);
    client.use_auto_frame_size().unwrap();
    board.take_operations();
    board.plan_cut(plan).unwrap();
    client.image_upload(firmware("v2.0.0.app.bin"), None, None, false, None).unwrap_err();
    let report = board.take_cut().expect("a cut");
    assert_eq!(board.take_cut(), None, "it is told once");
    let operations = board.take_operations();
    (board, report, operations)
}

fn operations_are_cut_before_and_behind(program: &Path) {
    // Where an upload to a device as it is delivered goes.
    let slot = 0x11_0000;
    let image = firmware("v2.0.0.app.bin");
    for (number, into) in [(1, 0.0), (1, 1.0), (45, 0.0), (45, 1.0)] {
        let (mut board, report, operations) = cut_upload(program, at(number, into, CutKind::Rail));
        let operation = report.operation.expect("known");
        assert_eq!(operations.last(), Some(&operation));
        assert_eq!((operations.len(), report.landing), (number as usize, Landing::Exact));
        let Operation { kind, address, length } = operation;
        let there = board.read_flash(address..address + length).unwrap();
        let expected = match (kind, into == 1.0) {
            (OperationKind::Write, true) => {
                image[(address - slot) as usize..][..length as usize].to_vec()
            }
            _ => vec![0xFF; length as usize],
        };
        assert_eq!(kind == OperationKind::Write, number == 45, "{operations:?}");
        assert!(there == expected, "{number} {into}: {operation}");
        // Power comes back to what is left.
        let mut port = board.start(Duration::ZERO).unwrap();
        read_until(port.as_mut(), "boot: fw=1.0.0");
    }
}

fn resets(program: &Path) {
    let plan = at(3, 0.0, CutKind::EnReset);
    let (mut board, report, _) = cut_upload(program, plan);
    assert_eq!(report.landing, Landing::Exact);
    // The device has started by itself; its console is there from the first byte.
    let mut port = board.start(Duration::ZERO).unwrap();
    let console = read_until(port.as_mut(), "self-test: passed");
    assert!(console.starts_with("ESP-ROM:esp32c3"), "{console}");
    let mut port = board.reset(ResetKind::EnReset).unwrap();
    let console = read_until(port.as_mut(), "self-test: passed");
    assert!(console.starts_with("ESP-ROM:esp32c3"), "{console}");
    assert!(board.reset(ResetKind::Watchdog).is_err());
    board.stop().unwrap();
    assert!(board.reset(ResetKind::EnReset).is_err(), "it does not run");
}

fn a_state_boots_as_predicted(program: &Path) {
    // Found by the explorer; its name says the hazard.
    let file = root().join("sim/tests/replays/esp-idf-v5.5-H1.json");
    let sources = Sources { family: root().join("target/fw") };
    let state = CrashState::read(&file, &sources, &options()).unwrap();
    let (shown, console) = state.boot(&mut board(program)).unwrap();
    let predicted = state.predicted();
    assert!(predicted.agrees(&shown), "predicted {predicted}, came {shown}:\n{console}");
    assert!(shown.version.is_some(), "the fixtures say what they are");
}

fn flash_is_what_it_was_given(program: &Path) {
    let mut board = board(program);
    board.provision(&factory()).unwrap();
    board.write_flash(0x30_0001, &[1, 2, 3]).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "self-test: passed");
    assert_eq!(board.read_flash(0x30_0000..0x30_0005).unwrap(), [0xFF, 1, 2, 3, 0xFF]);
    let image = firmware("v1.0.0.flash.bin");
    assert!(board.read_flash(0..image.len() as u32).unwrap() == image);
}

#[test]
fn what_it_cannot_do_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut board = board(&stand_in::program(folder.path(), ""));
    for (capability, expected) in [
        (Capability::CutInsideOperation, "there is no inside"),
        (Capability::Cut(CutKind::BrownOut), "nothing can do that"),
        (Capability::Cut(CutKind::Watchdog), "nothing can do that"),
        (Capability::Reset(ResetKind::DebugReset), "nothing can do that"),
        (Capability::RollbackBootloader, "no bootloader for it"),
        (Capability::Chip(ChipName::Esp32s3), "it is an ESP32-C3"),
    ] {
        let reason = board.lacks(capability).unwrap_or_else(|| panic!("{capability}"));
        assert!(reason.contains(expected), "{reason}");
    }
    for capability in [
        Capability::Chip(ChipName::Esp32c3),
        Capability::Cut(CutKind::Rail),
        Capability::Cut(CutKind::EnReset),
        Capability::CountOperations,
        Capability::CutAtText,
        Capability::ReadFlash,
    ] {
        assert_eq!(board.lacks(capability), None, "{capability}");
    }
    assert!(board.plan_cut(at(1, 0.5, CutKind::Rail)).is_err());
    assert!(board.plan_cut(at(1, 0.0, CutKind::Watchdog)).is_err());
}

#[test]
fn a_qemu_that_ends_by_itself_is_an_error_of_the_bench() {
    let folder = tempfile::tempdir().unwrap();
    let mut board = board(&stand_in::program(folder.path(), "Loaded app"));
    board.provision(&factory()).unwrap();
    let mut port = board.start(Duration::ZERO).unwrap();
    port.set_timeout(BOOT);
    let mut buffer = [0; 256];
    let error = loop {
        if let Err(error) = port.read(&mut buffer) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    let error = board.stop().unwrap_err().to_string();
    assert!(error.contains("it has ended by itself (exit status: 9)"), "{error}");
    assert!(error.contains("a fatal error, as they come"), "{error}");
    // It can be started anew.
    let mut port = board.start(Duration::ZERO).unwrap();
    read_until(port.as_mut(), "ESP-ROM:");
}

#[test]
fn a_program_that_is_no_qemu() {
    for (program, expected) in [
        ("/nowhere/qemu-system-riscv32", "give the path of Espressif's `qemu-system-riscv32`"),
        ("true", "true has no machine `esp32c3`"),
    ] {
        let error = qemu::check(Path::new(program)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let program = stand_in::program(folder.path(), "");
    assert_eq!(qemu::check(&program), Ok(()));
    let error = QemuBoard::qemu(QemuConfig { capacity: 1 << 20, ..config(&program) });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("it has 2, 4, 8, 16 MiB"), "{error}");
}

/// The program with these arguments, in a folder with a dump of a device as it is delivered: its exit status
/// and what it tells.
fn runner(program: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut flash = firmware("v1.0.0.flash.bin");
    flash.resize(4 << 20, 0xFF);
    std::fs::write(folder.path().join("flash.bin"), flash).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hil-runner"));
    command.current_dir(folder.path()).env("CUTPOINT_QEMU", program).args(arguments);
    command.env("XDG_STATE_HOME", folder.path()).env_remove("GITHUB_STEP_SUMMARY");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn the_program_boots_a_dump(program: &Path) {
    let (status, told) = runner(program, &["state", "flash.bin", "--to", "qemu"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("qemu: version 1.0.0 boots from 0x10000\nthey agree"), "{told}");
}

#[test]
fn the_program_says_which_qemu_it_cannot_use() {
    let scenario = root().join("scenarios/clean-update.toml");
    let scenario = scenario.canonicalize().unwrap();
    let scenario = scenario.to_str().unwrap();
    for arguments in [
        ["state", "flash.bin", "--to", "qemu", "--qemu", "true"],
        ["run", scenario, "--board", "qemu", "--qemu", "true"],
    ] {
        let (status, told) = runner(Path::new("/nowhere"), &arguments);
        assert_eq!(status, Some(2), "{told}");
        assert!(told.contains("true has no machine `esp32c3`"), "{told}");
        // The path in the environment is taken when none is given.
        let (status, told) = runner(Path::new("/nowhere"), &arguments[..4]);
        assert_eq!(status, Some(2), "{told}");
        assert!(told.contains("/nowhere: "), "{told}");
    }
}
