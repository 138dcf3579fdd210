//! `sim prove`, `sim check-certificate` and `sim merge`, as users run them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn sim(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.current_dir(directory).args(arguments).output().expect("sim runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const DEVICES: [&str; 7] =
    ["prove", "--layout", "arduino", "--layout", "2-slots", "--rollback", "off"];

#[test]
fn a_proof_in_parts_is_joined_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let part = |number: &str, to: &str| {
        let rest = ["--partition", number, "--certificates", to];
        sim(directory.path(), &[&DEVICES[..], &rest].concat())
    };
    let first = part("1/2", "one");
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(stdout(&first).contains("3 certificates"), "{}", stdout(&first));
    let half = sim(directory.path(), &["merge", "one"]);
    assert_eq!(half.status.code(), Some(1));
    assert!(stdout(&half).contains("MISSING: arduino-v6.1-plain-ota-core-bulk"));
    assert_eq!(part("2/2", "two").status.code(), Some(0));
    let whole = sim(directory.path(), &["merge", "one", "two"]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(stdout(&whole).contains("6 certificates"), "{}", stdout(&whole));
    assert_eq!(sim(directory.path(), &["merge", "two", "one"]).status.code(), Some(0));

    let file = "one/arduino-v6.1-plain-ota-core.certificate";
    let checked = sim(directory.path(), &["check-certificate", file]);
    assert_eq!(checked.status.code(), Some(0));
    assert!(stdout(&checked).contains("holds") && stdout(&checked).contains("no invariant breaks"));
    let path = directory.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let (last, _) = text.trim_end().rsplit_once('\n').unwrap();
    fs::write(&path, format!("{last}\n")).unwrap();
    let checked = sim(directory.path(), &["check-certificate", file]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(stdout(&checked).contains("DOES NOT HOLD: the header says digest"));
    assert_eq!(sim(directory.path(), &["merge", "one", "two"]).status.code(), Some(2));
    // What was damaged is proven again, and nothing else.
    let kept = directory.path().join("one/2-slots-v6.1-plain-ota-core-bulk.certificate");
    let modified = || fs::metadata(&kept).unwrap().modified().unwrap();
    let before = modified();
    assert_eq!(part("1/2", "one").status.code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(modified(), before);
    // Another program may have had other update code: what it proved is not kept.
    let (header, lines) = text.split_once('\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_str(header).unwrap();
    header["program"] = "00".into();
    fs::write(&path, format!("{header}\n{lines}")).unwrap();
    assert_eq!(part("1/2", "one").status.code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_should_be_safe_and_is_not_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "prove",
        "--layout",
        "2-slots",
        "--rollback",
        "off",
        "--subject",
        "ota-core",
        "--faults",
        "F0,F1,F2,F3,F6",
    ];
    let output = sim(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("atomic"));
}

#[test]
fn bad_input_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["prove", "--partition", "3/2"][..], "such as 1/4"),
        (&["check-certificate", "missing"], "expected a certificate"),
        (&["merge", "missing"], "expected a directory of `sim prove`"),
    ] {
        let output = sim(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected), "{error}");
    }
}
