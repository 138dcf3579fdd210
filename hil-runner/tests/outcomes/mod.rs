//! Outcomes as runs make them, for the tests of reports.

#![allow(dead_code, reason = "not every test uses all of it")]

use hil_runner::board::{Landing, Operation, OperationKind};
use hil_runner::run::{
    BootRecord, CutRecord, EntryRecord, Header, OperationRecord, Outcome, StepRecord, Verdict,
};
use hil_runner::scenario::{BoardKind, CutKind};
use std::collections::BTreeMap;

/// Where the first update slot begins.
const OTA_0: u32 = 0x11_0000;

/// The name of the update scenario's case.
pub(crate) const CASE: &str = "cut-update[layout=factory-2-slots]";

/// A header with fixed contents.
pub(crate) fn header() -> Header {
    Header {
        journal: Header::FORMAT,
        version: "0.1.0".into(),
        command: ["hil-runner", "run", "--board", "virtual"].map(String::from).into(),
        seed: 7,
        started: "2026-01-02T03:04:05Z".into(),
        files: BTreeMap::from([("scenarios/cut-update.toml".into(), "5e".repeat(32))]),
    }
}

/// A run of the update that is cut at operation `number`, and passes.
pub(crate) fn passed(number: u32) -> Outcome {
    let step = StepRecord { number: 3, line: 31, verb: "update".into() };
    let run = format!("cut {number}");
    let last = operation(number);
    Outcome {
        scenario: "cut-update".into(),
        file: "scenarios/cut-update.toml".into(),
        case: CASE.into(),
        replay: format!(
            "hil-runner run scenarios/cut-update.toml --case '{CASE}' --at {number} --board virtual"
        ),
        run,
        board: "virtual-1".into(),
        kind: BoardKind::Virtual,
        verdict: Verdict::Pass,
        attempt: 1,
        reason: None,
        step: None,
        cuts: vec![CutRecord {
            step,
            kind: CutKind::Rail,
            asked: format!("operation {number}, 0.5 into it"),
            number: Some(number),
            into: Some(0.5),
            fired: true,
            landing: Some(Landing::Exact),
            landed: None,
            counts_for: None,
            operation: Some(last),
            latency: None,
        }],
        earlier: Vec::new(),
        boots: vec![boot("v1", "factory", 0), boot("v1", "factory", 1), boot("v2", "ota_0", 1)],
        otadata: vec![[erased(), erased()], [entry(1, "NEW", true), erased()]],
        operations: Vec::new(),
        console: Vec::new(),
        seconds: 0.75,
    }
}

/// A run with all that reports show in full.
pub(crate) fn in_full(number: u32) -> Outcome {
    let operations = (1..=number).map(|it| OperationRecord {
        number: it,
        operation: operation(it),
        cut: it == number,
    });
    let console = [
        (1.5, "ESP-ROM:esp32c3-api1-20210207"),
        (2.25, "rst:0x1 (POWERON),boot:0xc (SPI_FAST_FLASH_BOOT)"),
        (48.0, "I (20) boot: Loaded app from partition at offset 0x10000"),
        (95.125, "boot: fw=1.0.0 chip=esp32c3 running=factory selected=factory otadata=[-|-]"),
        (96.0, "self-test: passed"),
    ];
    Outcome {
        operations: operations.collect(),
        console: console.map(|(time, line)| (time, line.to_string())).into(),
        ..passed(number)
    }
}

/// A run after which the wrong image booted.
pub(crate) fn failed(number: u32) -> Outcome {
    Outcome {
        verdict: Verdict::Fail,
        reason: Some("after the cut no image booted within 15 s; allowed are v1 and v2".into()),
        step: Some(StepRecord { number: 3, line: 31, verb: "update".into() }),
        boots: vec![boot("v1", "factory", 0), boot("nothing", "-", 1)],
        otadata: vec![[erased(), erased()], [entry(1, "NEW", false), erased()]],
        ..in_full(number)
    }
}

/// A case that the board cannot run.
pub(crate) fn not_run(case: &str, board: &str) -> Outcome {
    Outcome {
        scenario: case.split('[').next().unwrap().into(),
        file: format!("scenarios/{}.toml", case.split('[').next().unwrap()).into(),
        case: case.into(),
        run: String::new(),
        board: board.into(),
        kind: BoardKind::Model,
        verdict: Verdict::NotRun,
        reason: Some("it cannot be cut at a text on the console".into()),
        cuts: Vec::new(),
        boots: Vec::new(),
        otadata: Vec::new(),
        seconds: 0.0,
        ..passed(1)
    }
}

/// A run that the bench spoiled.
pub(crate) fn rig_error(number: u32) -> Outcome {
    let mut run = in_full(number);
    run.verdict = Verdict::RigError;
    run.attempt = 3;
    run.reason = Some("/dev/ttyUSB0: the port is gone; is the cable plugged in?".into());
    run.cuts[0].fired = false;
    run.cuts[0].landing = None;
    run
}

/// A cut that fell elsewhere.
pub(crate) fn missed(number: u32) -> Outcome {
    let mut run = in_full(number);
    run.verdict = Verdict::MissedWindow;
    run.reason = Some("the cut fell 3.2 ms after the operation that it was aimed at".into());
    run.cuts[0].landing = Some(Landing::Unknown);
    run
}

/// A real board that was to be cut in four operations: one was hit at once, one at the second attempt, and one
/// by a cut that was aimed at another; one was hit by nothing.
pub(crate) fn late() -> Vec<Outcome> {
    let cut = |asked: u32, fell: u32| {
        let landing = Some(Landing::Torn);
        let operation = Some(operation(fell));
        let (landed, counts_for) = (Some(fell), Some(fell));
        CutRecord { landing, landed, counts_for, operation, ..passed(asked).cuts.remove(0) }
    };
    let run = |number: u32, fell: &[u32]| {
        let mut cuts: Vec<_> = fell.iter().map(|fell| vec![cut(number, *fell)]).collect();
        let cuts_of_last = cuts.pop().unwrap();
        let replay = passed(number).replay.replace("virtual", "desk");
        Outcome {
            board: "desk".into(),
            kind: BoardKind::SwitchedSerial,
            attempt: fell.len() as u32,
            cuts: cuts_of_last,
            earlier: cuts,
            replay,
            ..passed(number)
        }
    };
    let reason = "the cut was to fall at operation 22 and fell into operation 21";
    let missed = Outcome {
        verdict: Verdict::MissedWindow,
        reason: Some(reason.into()),
        ..run(22, &[24, 20, 21])
    };
    vec![run(20, &[20]), run(21, &[23, 21]), missed, run(23, &[25])]
}

/// A suite with every verdict, chains of cuts, two boards, and hostile text.
pub(crate) fn suite() -> Vec<Outcome> {
    let mut all = vec![in_full(1)];
    all.extend((2..=58).map(passed));
    all.extend([failed(59), passed(60), missed(61), rig_error(62)]);
    all.push(Outcome { attempt: 2, ..passed(63) });
    for (first, second) in (1..=12).flat_map(|first| (1..=9).map(move |second| (first, second))) {
        let mut run = if (first, second) == (1, 1) { in_full(1) } else { passed(first) };
        run.scenario = "second-cut".into();
        run.file = "scenarios/second-cut.toml".into();
        run.case = "second-cut".into();
        run.run = format!("cut {first}, {second}");
        let again = CutRecord { asked: format!("operation {second}"), ..run.cuts[0].clone() };
        run.cuts.push(again);
        all.push(run);
    }
    all.push(not_run("cut-boot-of-new-image", "model"));
    all.push(not_run("odd-otadata[entries=both]", "model"));
    all.push(hostile());
    all
}

/// Text that would break a page, a terminal or a table if it were obeyed.
pub(crate) const HOSTILE: &str = "</pre></style><script>document.title='owned'</script><img src=http://x.invalid/ onerror=alert(1)>\
     \x1b[2J\u{202e}&amp; | `code` ]]> \"' \0 <!--";

/// A run all of whose texts are hostile.
pub(crate) fn hostile() -> Outcome {
    let mut run = failed(3);
    run.case = format!("hostile[{HOSTILE}]");
    run.scenario = "hostile".into();
    run.board = "virtual<2>".into();
    run.reason = Some(HOSTILE.into());
    run.replay = format!("hil-runner run '{HOSTILE}'");
    run.console.push((97.0, HOSTILE.into()));
    run.console.push((98.0, "x".repeat(5000)));
    run.boots[1].image = HOSTILE.into();
    run.otadata[1][0].state = HOSTILE.into();
    run.otadata[1][0].hex = HOSTILE.into();
    run
}

/// So many runs of a few cases on four boards, of which one in a thousand fails.
pub(crate) fn many(runs: u32) -> Vec<Outcome> {
    let one = |index: u32| {
        // A little generator, so that the failures lie anywhere but are the same each time.
        let random = (u64::from(index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let number = index / 40 + 1;
        let mut run = match random % 1000 {
            0 => failed(number.min(150)),
            _ if number == 1 => in_full(100),
            _ => passed(number),
        };
        run.case = format!("cut-update[n={}]", index % 10);
        run.board = format!("virtual-{}", index / 10 % 4 + 1);
        run.run = format!("cut {number}");
        run
    };
    (0..runs).map(one).collect()
}

/// The operations of an update: each sector erased and written, then the select entry.
fn operation(number: u32) -> Operation {
    let sector = OTA_0 + (number - 1) / 2 * 0x1000;
    match number {
        59.. => {
            let kind = [OperationKind::Erase, OperationKind::Write][number as usize % 2];
            let length = if kind == OperationKind::Erase { 4096 } else { 32 };
            Operation { kind, address: 0xd000, length }
        }
        _ if number % 2 == 1 => {
            Operation { kind: OperationKind::Erase, address: sector, length: 4096 }
        }
        _ => Operation { kind: OperationKind::Write, address: sector, length: 4096 },
    }
}

fn boot(image: &str, slot: &str, after_cuts: usize) -> BootRecord {
    let expected = if after_cuts == 0 { vec!["v1".into()] } else { vec!["v1".into(), "v2".into()] };
    BootRecord { image: image.into(), slot: slot.into(), expected, after_cuts }
}

fn erased() -> EntryRecord {
    EntryRecord {
        seq: u32::MAX,
        state: "UNDEFINED".into(),
        crc_ok: false,
        erased: true,
        slot: None,
        hex: "ff".repeat(32),
    }
}

fn entry(seq: u32, state: &str, crc_ok: bool) -> EntryRecord {
    let crc = if crc_ok { "9a98434747" } else { "9a98ff4747" };
    let hex = format!("{:02x}000000{}00000000{}", seq, "ff".repeat(20), &crc[..8]);
    EntryRecord {
        seq,
        state: state.into(),
        crc_ok,
        erased: false,
        slot: crc_ok.then(|| "ota_0".into()),
        hex,
    }
}
