//! Where the cuts of a real board fell: the code for real boards against a virtual board behind a
//! pseudo-terminal, with a power switch that is late. The virtual board knows what power loss did.

#![allow(missing_docs)]

mod late_bench;

use hil_runner::board::{Landing, OperationKind};
use hil_runner::run::{CutRecord, Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{Scenario, Sources, parse};
use late_bench::{LateBench, listed};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

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

fn run(bench: &mut LateBench, cut: &str, attempts: u32, dumps: Option<PathBuf>) -> Vec<Outcome> {
    let options = Options {
        bootloader: virtual_board::stock_bootloader().unwrap(),
        rollback_bootloader: None,
        attempts,
        dumps,
        only: None,
        sample: 1,
        finished: Vec::new(),
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
fn agrees(bench: &LateBench, cut: &CutRecord) {
    let loss = bench.last_loss().expect("power was lost");
    println!("{loss:?}");
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
        let mut bench = LateBench::new(listed(&[delay]));
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
    let mut bench = LateBench::new(listed(&[30_000]));
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
    let mut bench = LateBench::new(listed(&[0]));
    bench.flips = Some(SLOT + 5);
    let folder = tempfile::tempdir().unwrap();
    let cut = format!("operation = {WRITE}, into = 0.5");
    let outcomes = run(&mut bench, &cut, 3, Some(folder.path().into()));
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!((outcome.verdict, outcome.attempt), (Verdict::MissedWindow, 1));
    assert_eq!(outcome.cuts[0].landing, Some(Landing::Unpredicted));
    assert!(!outcome.cuts[0].hit());
    let dump =
        |kind: &str| std::fs::read(folder.path().join(format!("test-cut-1.{kind}.bin"))).unwrap();
    let (read, predicted) = (dump("read"), dump("predicted"));
    assert_eq!((read.len(), predicted.len()), (0x40_0000, 0x40_0000));
    let at = SLOT as usize + 5;
    assert_eq!(read[at] ^ predicted[at], 0x40);
    assert!(outcome.reason.as_deref().unwrap().contains("test-cut-1.read.bin"));
}

#[test]
fn cuts_at_every_operation_count_for_where_they_fell() {
    let mut bench = LateBench::new(listed(&[100, 60_000, 5_000, 100]));
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
