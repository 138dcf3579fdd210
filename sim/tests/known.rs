//! Known bugs of other code are found, and not found once they are corrected.

use sim::flash::fault::Tear;
use sim::known::{KnownBug, KnownReplay, Variant};
use sim::machine::{Cut, Cycle};
use std::path::Path;
use std::process::{Command, Output};

fn sim(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("the program runs")
}

#[test]
fn each_bad_variant_is_found_with_few_cuts_and_replays() {
    for bug in KnownBug::ALL {
        let report = bug.bad.explore(100_000);
        let example = report.counterexample.unwrap_or_else(|| panic!("{} is not found", bug.name));
        assert_eq!(example.cuts(), bug.cuts, "{}: {example:?}", bug.name);
        assert!(bug.cuts <= 2, "{}", bug.name);
        let replay = KnownReplay::new(bug, Variant::Bad, &example);
        assert!(replay.run().unwrap().reproduced, "{}", bug.name);
        // The correction is what makes the difference, not the operations that are cut.
        let fixed = KnownReplay { variant: Variant::Fixed.name().into(), ..replay };
        assert!(!fixed.run().is_ok_and(|outcome| outcome.reproduced), "{}", bug.name);
    }
}

fn assert_clean(name: &str) {
    let report = KnownBug::by_name(name).unwrap().fixed.explore(100_000);
    assert_eq!(report.counterexample, None, "{name}");
    assert!(report.complete && !report.sampled, "{name}: {report:?}");
    // States in which power was cut again and again.
    assert!(report.deepest >= 4, "{name}: {report:?}");
}

#[test]
fn swap_move_is_clean_when_corrected() {
    // Also the corrected variant of 2100.
    assert_clean("mcuboot-1966");
}

#[test]
fn swap_move_is_clean_when_corrected_and_images_are_erased() {
    assert_clean("mcuboot-2199");
}

#[test]
fn swap_scratch_is_clean_when_corrected() {
    assert_clean("mcuboot-2109");
}

#[test]
fn swap_offset_is_clean_when_corrected() {
    assert_clean("mcuboot-2169");
}

#[test]
fn the_map_is_clean_when_corrected() {
    assert_clean("sequential-storage-136");
}

#[test]
fn the_two_cuts_of_the_issue_lose_a_value_too() {
    let cycle = |choice: &str, cut| Cycle { choice: choice.into(), cut };
    let cut = |operation, bytes| Some(Cut { operation, tear: Tear::Prefix { bytes } });
    // Seven bytes land each time: the first time a page marker is one of them.
    let cycles = [
        cycle("read and store 0", cut(1, 6)),
        cycle("read and store 0", cut(0, 7)),
        cycle("read and store 141", None),
        cycle("read", None),
    ];
    let bug = KnownBug::by_name("sequential-storage-136").unwrap();
    let bad = bug.bad.rerun(&cycles).unwrap();
    let broken = bad[3].broken.as_ref().expect("the value is gone");
    assert_eq!(
        broken.to_string(),
        "not durable: value 141 was stored with success, the map has no value"
    );
}

#[test]
fn the_program_writes_replay_files_and_runs_them() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["known", "--only", "sequential-storage-136", "--replay-dir", "found"];
    let output = sim(directory.path(), &arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("none, any number of cuts"), "{text}");

    let file = directory.path().join("found/sequential-storage-136-bad.json");
    let output = sim(directory.path(), &["replay", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("power is cut in operation 1") && text.contains("Reproduced"), "{text}");

    // Without its cut the cycles show nothing, and of an unknown bug nothing is known.
    let mut replay = KnownReplay::read(&file).unwrap();
    replay.cycles[0].cut = None;
    std::fs::write(&file, replay.to_json()).unwrap();
    let output = sim(directory.path(), &["replay", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    replay.known_bug = "mcuboot-1".into();
    std::fs::write(&file, replay.to_json()).unwrap();
    let output = sim(directory.path(), &["replay", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("unknown bug \"mcuboot-1\", expected mcuboot-1966"), "{text}");
}
