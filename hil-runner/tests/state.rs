//! Crash states on the virtual board, against what the model of the bootloader says of them.

use hil_runner::board::virtual_board::{VirtualBoard, VirtualConfig};
use hil_runner::board::{Board, ModelBoard};
use hil_runner::run::{Boots, CrashState, Options, Replay, StateError, run_case};
use hil_runner::scenario::{Sources, load};
use sim::flash::Part;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Sources {
    Sources { family: root().join("target/fw") }
}

fn options() -> Options {
    Options {
        bootloader: virtual_board::stock_bootloader().unwrap(),
        rollback_bootloader: None,
        attempts: 1,
        dumps: None,
        only: None,
        sample: 1,
        finished: Vec::new(),
    }
}

fn board() -> VirtualBoard {
    VirtualBoard::virtual_board(VirtualConfig {
        name: "virtual".into(),
        part: Part::by_name("W25Q32JV").unwrap(),
        seed: 0,
        rollback_bootloader: false,
    })
    .unwrap()
}

/// Boots a state on the virtual board: what was predicted and what came.
fn boot(state: &CrashState) -> (Boots, Boots) {
    let (shown, console) = state.boot(&mut board()).unwrap();
    let predicted = state.predicted();
    assert!(predicted.agrees(&shown), "predicted {predicted}, came {shown}:\n{console}");
    (predicted, shown)
}

fn refusal(file: &Path) -> String {
    match CrashState::read(file, &sources(), &options()) {
        Err(StateError::File(path, what)) => {
            assert_eq!(path, file);
            what
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn torn_chains_of_a_case_boot_as_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = load(&root().join("scenarios/second-cut.toml"), &sources()).unwrap();
    let case = scenario.cases.iter().find(|case| !case.device.rollback).unwrap();
    let mut versions = Vec::new();
    for at in [[1, 1], [2, 1], [3, 1]] {
        let options = Options { only: Some(at.to_vec()), ..options() };
        let mut outcomes = Vec::new();
        let mut board = ModelBoard::new("model", &case.device.flash, false);
        let mut give = |outcome| outcomes.push(outcome);
        run_case(&mut board, &scenario, case, &options, &AtomicBool::new(false), &mut give);
        let Some(outcome) = outcomes.first() else { continue };
        assert_eq!(outcome.cuts.iter().filter(|cut| cut.fired).count(), 2, "{outcome:?}");
        let file = folder.path().join("chain.json");
        Replay::of(outcome, case).unwrap().write(&file).unwrap();
        let state = CrashState::read(&file, &sources(), &options).unwrap();
        let (_, shown) = boot(&state);
        versions.push(shown.version.expect("the firmware reports"));
    }
    assert!(versions.len() > 1, "{versions:?}");
}

#[test]
fn counterexamples_of_sim_boot_as_predicted() {
    let mut tried = 0;
    for name in ["esp-idf-v5.5-H1", "esp-idf-v5.5-H3", "esp-idf-v5.5-H8"] {
        let file = root().join(format!("sim/tests/replays/{name}.json"));
        match CrashState::read(&file, &sources(), &options()) {
            Ok(state) => {
                assert!(!state.summary.is_empty());
                let (_, shown) = boot(&state);
                assert!(shown.version.is_some(), "the fixtures say what they are");
                tried += 1;
            }
            Err(StateError::File(_, what)) => {
                assert!(what.contains("--rollback-bootloader"), "{what}")
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(tried > 0);
}

#[test]
fn a_dump_boots_as_predicted_and_a_wrong_prediction_shows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flash.bin");
    let mut flash = vec![0xFF; 0x40_0000];
    let image = std::fs::read(root().join("target/fw/v1.0.0.flash.bin")).unwrap();
    flash[..image.len()].copy_from_slice(&image);
    std::fs::write(&file, &flash).unwrap();
    let state = CrashState::read(&file, &sources(), &options()).unwrap();
    let (predicted, shown) = boot(&state);
    assert_eq!(shown.version.as_deref(), Some("1.0.0"));
    assert!(predicted.offset.is_some());
    // What is compared: place and version.
    let other = Boots { offset: shown.offset.map(|offset| offset + 0x1000), ..shown.clone() };
    assert!(!other.agrees(&shown));
    assert!(!Boots { version: Some("9".into()), ..shown.clone() }.agrees(&shown));
    assert!(!Boots { offset: None, version: None }.agrees(&shown));

    // The only application is damaged: nothing boots.
    let offset = predicted.offset.unwrap() as usize;
    flash[offset] = 0;
    std::fs::write(&file, &flash).unwrap();
    let state = CrashState::read(&file, &sources(), &options()).unwrap();
    let (_, shown) = boot(&state);
    assert_eq!(shown, Boots { offset: None, version: None });
}

#[test]
fn what_is_no_state_is_refused_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let short = refusal(&write("short.bin", &[0xFF; 100]));
    assert!(short.contains("no whole flash") && short.contains("0x400000"), "{short}");
    let noise = refusal(&write("noise.json", b"\xFF\x00"));
    assert!(noise.contains("neither a replay nor a dump"), "{noise}");
    let other = refusal(&write("other.json", b"{}"));
    assert!(other.contains("`case`") && other.contains("`device`"), "{other}");
    let gone = refusal(&folder.path().join("gone.json"));
    assert!(gone.contains("No such file"), "{gone}");
    // The board is not touched for any of them.
    assert_eq!(board().read_flash(0..16).unwrap(), [0xFF; 16]);
}
