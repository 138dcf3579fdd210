//! The scenarios of the library on the flash model.

use hil_runner::board::ModelBoard;
use hil_runner::run::{Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{Sources, load};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_scenario_passes_on_the_model() {
    let sources = Sources { family: root().join("target/fw") };
    let bootloader = virtual_board::stock_bootloader().unwrap();
    let options = Options {
        bootloader,
        attempts: 1,
        rollback_bootloader: None,
        only: None,
        done: Default::default(),
    };
    let filter = std::env::var("SCENARIO").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(root().join("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|it| it == "toml")
                && path.display().to_string().contains(&filter)
        })
        .collect();
    files.sort();
    let mut bad = 0;
    for file in files {
        let scenario = load(&file, &sources).unwrap();
        for case in &scenario.cases {
            let mut board = ModelBoard::new("model", &case.device.flash, case.device.rollback);
            let mut counts = std::collections::BTreeMap::<Verdict, usize>::new();
            let clock = std::time::Instant::now();
            let mut shown = 0;
            let mut give = |outcome: Outcome| {
                *counts.entry(outcome.verdict).or_default() += 1;
                if outcome.verdict != Verdict::Pass && outcome.verdict != Verdict::NotRun {
                    bad += 1;
                    shown += 1;
                    if shown < 3 {
                        println!(
                            "{} {} {:?} {:?} step {:?} boots {:?}",
                            outcome.case,
                            outcome.run,
                            outcome.verdict,
                            outcome.reason,
                            outcome.step,
                            outcome.boots
                        );
                        for (at, line) in outcome.console.iter().rev().take(12).rev() {
                            println!("   {at:.1} {line}");
                        }
                    }
                }
            };
            run_case(&mut board, &scenario, case, &options, &AtomicBool::new(false), &mut give);
            println!("{}: {counts:?} {:?}", case.name, clock.elapsed());
        }
    }
    assert_eq!(bad, 0);
}
