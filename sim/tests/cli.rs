//! The program as its users meet it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sim(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Cuts off the last column of the table, which is as wide as the longest time.
fn without_times(text: &str) -> String {
    let masked = text.lines().map(|line| {
        let line = line.trim_end();
        match line.strip_suffix(" s").and_then(|line| line.rsplit_once(' ')) {
            Some((rest, _)) => rest.trim_end(),
            None => line.strip_suffix("time").unwrap_or(line).trim_end(),
        }
    });
    masked.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_exploration_prints_a_table_and_writes_counterexamples_that_replay() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--layout", "arduino", "--rollback", "off", "--counterexamples", "found"];
    let subjects = ["--subject", "ota-core", "--subject", "esp-idf-v5.5"];
    let output = sim(directory.path(), &[&arguments[..], &subjects].concat());
    insta::assert_snapshot!("table", without_times(&stdout(&output)));
    assert_eq!(output.status.code(), Some(0));

    let files: Vec<_> = fs::read_dir(directory.path().join("found")).unwrap().collect();
    assert!(files.len() >= 4, "H1, H2, H3 and H5");
    for file in files {
        let file = file.unwrap().path();
        let output = sim(directory.path(), &["replay", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    }
}

#[test]
fn an_exploration_of_own_images_can_be_replayed_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let image = |name: &str| {
        fs::copy(fixture(name), directory.path().join(name)).unwrap();
    };
    image("app-1.0.0.bin");
    image("app-3.0.0.bin");
    image("two_ota_no_factory.csv");
    let device = ["--image", "app-1.0.0.bin", "--update", "app-3.0.0.bin"];
    let table = ["--partitions", "two_ota_no_factory.csv", "--rollback", "off"];
    let bounds = ["--subject", "esp-idf-v5.5", "--max-states", "60", "--json"];
    let output = sim(directory.path(), &[&device[..], &table, &bounds].concat());
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results["runs"][0]["verdict"], "incomplete");
    assert_eq!(output.status.code(), Some(1), "an incomplete exploration proves nothing");

    let replay = directory.path().join(results["findings"][0]["replay"].as_str().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let output = sim(elsewhere.path(), &["replay", replay.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));

    image_changes(&directory.path().join("app-3.0.0.bin"));
    let output = sim(elsewhere.path(), &["replay", replay.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("app-3.0.0.bin: the file has changed"), "{error}");
}

#[test]
fn a_table_with_a_gap_is_explored_with_code_that_takes_it() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(fixture("gap_0_1_3.csv"), directory.path().join("gap.csv")).unwrap();
    let table = ["--partitions", "gap.csv", "--flash-part", "W25Q16JV", "--rollback", "off"];
    let run = |arguments: &[&str]| {
        let output = sim(directory.path(), &[arguments, &table].concat());
        let error = String::from_utf8(output.stderr.clone()).unwrap();
        (output.status.code(), stdout(&output), error)
    };
    let why = "refuses the partition table of gap: no ota_2, but ota_3: slots must be numbered without gaps from ota_0";
    let (status, text, _) = run(&["--random", "0"]);
    assert_eq!(status, Some(0), "{text}");
    for subject in ["ota-core", "ota-core-bulk", "update-agent"] {
        assert!(text.contains(&format!("NOT EXPLORED: {subject} {why}\n")), "{text}");
    }
    assert!(text.contains("esp-idf-v5.5: H13, 0 cuts, not updatable"), "{text}");
    let replay = ["replay", "target/counterexamples/esp-idf-v5.5-H13.json"];
    let replayed = stdout(&sim(directory.path(), &replay));
    assert!(replayed.contains("update fails: ESP_ERR_INVALID_ARG"), "{replayed}");

    let (status, text, error) = run(&["--subject", "ota-core"]);
    assert_eq!((status, text.as_str()), (Some(2), ""));
    assert_eq!(error, format!("error: ota-core {why}\n"));
    let (status, _, error) = run(&["prove"]);
    assert_eq!((status, error), (Some(2), format!("error: ota-core {why}\n")));
}

/// Each class of each profile has a source, and each part a profile.
#[test]
fn parts_are_listed_with_what_is_known_of_them() {
    let output = sim(Path::new("."), &["parts"]);
    insta::assert_snapshot!("parts", stdout(&output));
    assert_eq!(output.status.code(), Some(0));
}

fn image_changes(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[100] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Where the stored replay files lie.
fn stored(hazard: &str) -> PathBuf {
    let name = format!("tests/replays/esp-idf-v5.5-{hazard}.json");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn a_replay_tells_the_story_of_each_known_hazard() {
    for hazard in ["H1", "H3", "H5", "H8", "H14"] {
        let output = sim(Path::new("."), &["replay", stored(hazard).to_str().unwrap()]);
        insta::assert_snapshot!(format!("story_{hazard}"), stdout(&output));
        assert_eq!(output.status.code(), Some(0), "{hazard}");
    }
}

#[test]
fn a_replay_that_does_not_break_the_invariant_fails() {
    let directory = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(stored("H1")).unwrap();
    let mut replay: serde_json::Value = serde_json::from_str(&text).unwrap();
    for cycle in replay["cycles"].as_array_mut().unwrap() {
        cycle.as_object_mut().unwrap().remove("cut");
    }
    fs::write(directory.path().join("no-cut.json"), replay.to_string()).unwrap();
    let output = sim(directory.path(), &["replay", "no-cut.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("NOT REPRODUCED"));
}

#[test]
fn encrypted_flash_is_explored_with_what_can_run_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let device = ["--encrypted", "--layout", "2-slots", "--rollback", "off", "--faults", "F0"];
    let output = sim(directory.path(), &[&device[..], &["--subject", "ota-core"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("ota-core cannot run with flash encryption"), "{error}");
    assert!(error.contains("CRC of a select entry"), "{error}");

    let output = sim(directory.path(), &[&device[..], &["--json"]].concat());
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = results["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["encrypted"] == true && run["complete"] == true));
    let subjects: Vec<_> = runs.iter().map(|run| run["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["esp-idf-v5.5", "esp-idf-v5.5-sequential"]);

    let findings = results["findings"].as_array().unwrap();
    let lost = findings.iter().find(|it| it["hazard"] == "H5").unwrap();
    let replay = directory.path().join(lost["replay"].as_str().unwrap());
    let output = sim(directory.path(), &["replay", replay.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    // Entries are told as they are read, bytes as they stand there.
    let story = stdout(&output);
    assert!(story.contains("W25Q32JV encrypted, seed 1"), "{story}");
    assert!(story.contains("otadata sector 0 before: -\n"), "{story}");
    assert!(story.contains("(bad crc)\n    0000f000  ff ff ff ff"), "{story}");

    // On a device without encryption it does not happen.
    let text = fs::read_to_string(&replay).unwrap();
    fs::write(&replay, text.replace("\"encrypted\": true", "\"encrypted\": false")).unwrap();
    let output = sim(directory.path(), &["replay", replay.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}

/// Puts bad files into `directory`.
fn bad_files(directory: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
    let image = fs::read(fixture("app-1.0.0.bin")).unwrap();
    let csv = fs::read_to_string(fixture("two_ota.csv")).unwrap();
    write("app.bin", &image);
    write("good.csv", csv.as_bytes());
    write("empty.bin", &[]);
    write("truncated.bin", &image[..5000]);
    write("header.bin", &image[..10]);
    let mut corrupt = image.clone();
    corrupt[5000] ^= 1;
    write("checksum.bin", &corrupt);
    let mut corrupt = image;
    *corrupt.last_mut().unwrap() ^= 1;
    write("hash.bin", &corrupt);
    write("overlap.csv", csv.replace("0x210000", "0x180000").as_bytes());
    write("misaligned.csv", csv.replace("0x210000", "0x211000").as_bytes());
    write("beyond.csv", csv.replace("0x210000", "0x310000").as_bytes());
    write("syntax.csv", csv.replace("0x210000", "banana").as_bytes());
    write("small.csv", b"otadata,data,ota,0xd000,0x2000,\nota_0,app,ota_0,0x10000,0x2000,\nota_1,app,ota_1,0x20000,0x2000,\n");
    let layout = sim::layout::Layout::stock().remove(0);
    let table = layout.table();
    write("middle.bin", &table[..64]);
    write("odd.bin", &table[..50]);
    write("unknown.json", br#"{"format": 1, "colour": "blue"}"#);
    fs::create_dir(directory.join("folder")).unwrap();
    let sparse = File::create(directory.join("sparse.bin")).unwrap();
    sparse.set_len(4 << 30).unwrap();
}

#[test]
fn bad_input_gets_one_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    bad_files(directory.path());
    let other_chip = fixture("app-esp32c6.bin");
    fs::copy(other_chip, directory.path().join("esp32c6.bin")).unwrap();
    let images = [
        "missing.bin",
        "folder",
        "empty.bin",
        "sparse.bin",
        "header.bin",
        "truncated.bin",
        "checksum.bin",
        "hash.bin",
        "good.csv",
        "esp32c6.bin",
    ];
    let tables = [
        "missing.csv",
        "folder",
        "empty.bin",
        "sparse.bin",
        "app.bin",
        "overlap.csv",
        "misaligned.csv",
        "beyond.csv",
        "syntax.csv",
        "small.csv",
        "middle.bin",
        "odd.bin",
    ];
    let replays = ["missing.json", "folder", "unknown.json", "app.bin"];
    let mut errors = String::new();
    let mut check = |arguments: &[&str]| {
        let output = sim(directory.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(error.lines().count(), 1, "{error}");
        errors += &format!("$ sim {}\n{error}", arguments.join(" "));
    };
    for image in images {
        check(&["--image", "app.bin", "--update", image]);
    }
    check(&["--image", "header.bin", "--update", "app.bin"]);
    for table in tables {
        check(&["--partitions", table]);
    }
    for replay in replays {
        check(&["replay", replay]);
    }
    insta::assert_snapshot!("bad_input", errors);
}
