//! The program, as it is called: exit status, journal, replays, and what is left when it is ended.

use hil_runner::run::{Outcome, Recorded, Verdict};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::{fs, str};
use tempfile::{TempDir, tempdir};

const GOOD: &str = r#"
[[step]]
install = "v1"
[[step]]
boot = "v1"
[[step]]
update = "v2"
cut = { kind = "rail", operation = "every", into = "$into" }
after-cut = { boots = ["v1", "v2"] }
[[step]]
boot = "v2"
[[step]]
confirm = "v2"
[[step]]
still-updatable = "v1"
"#;

/// A folder with a scenario in it.
fn folder(steps: &str) -> TempDir {
    let folder = tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/fixtures");
    let fixtures = fixtures.canonicalize().unwrap();
    let text = format!(
        "[scenario]\nname = \"test\"\nwhy = \"To see it.\"\n\
         [parameters]\ninto = {{ from = 0.0, to = 1.0, step = 0.1 }}\n\
         [device]\nchip = \"esp32c3\"\npartitions = \"2-slots\"\nrollback = true\n\
         [images.v1]\nfile = \"{0}/app-1.0.0.bin\"\n[images.v2]\nfile = \"{0}/app-2.0.0.bin\"\n{steps}",
        fixtures.display()
    );
    fs::write(folder.path().join("test.toml"), text).unwrap();
    folder
}

fn runner(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hil-runner"));
    command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path());
    command.env_remove("GITHUB_STEP_SUMMARY").args(arguments).stdin(Stdio::null());
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    let all = [&["run", "test.toml", "--board", "model", "--results", "out"], arguments].concat();
    runner(folder, &all).output().unwrap()
}

fn journal(folder: &TempDir) -> Vec<Outcome> {
    Recorded::read(&folder.path().join("out/journal.jsonl")).unwrap().outcomes
}

/// What tells runs apart, in order.
fn runs(outcomes: &[Outcome]) -> Vec<(String, String)> {
    let mut runs: Vec<_> = outcomes.iter().map(|it| (it.case.clone(), it.run.clone())).collect();
    runs.sort();
    runs
}

#[test]
fn a_good_firmware_ends_with_0_and_leaves_all_reports() {
    let folder = folder(GOOD);
    let output = run(&folder, &["--case", "into=0.5"]);
    let told = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("Passed: 1 case"), "{told}");
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("test[into=0.5]"));
    // The same from the journal alone.
    let arguments = ["report", "out/journal.jsonl", "--results", "anew"];
    assert_eq!(runner(&folder, &arguments).output().unwrap().status.code(), Some(0));
    assert_eq!(fs::read_to_string(folder.path().join("anew/report.html")).unwrap(), page);
    let junit = fs::read_to_string(folder.path().join("out/junit.xml")).unwrap();
    assert!(junit.contains("failures=\"0\""));
    assert!(journal(&folder).iter().all(|outcome| outcome.verdict == Verdict::Pass));
    // A second run does not take the results of the first away.
    run(&folder, &["--case", "into=0.5"]);
    assert!(folder.path().join("out/journal-1.jsonl").exists());
}

#[test]
fn a_failure_ends_with_1_and_can_be_done_again_from_its_file() {
    // Confirmed too early: the steps ask for the old image after the new one was confirmed.
    let bad = GOOD.replace("still-updatable = \"v1\"", "boot = \"v1\"");
    let folder = folder(&bad);
    let output = run(&folder, &["--case", "into=0.5", "--at", "3"]);
    assert_eq!(output.status.code(), Some(1));
    let outcomes = journal(&folder);
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!((outcome.run.as_str(), outcome.step.as_ref().unwrap().number), ("cut 3", 6));
    // The line that tells of it ends with the command.
    let told = str::from_utf8(&output.stderr).unwrap();
    assert!(told.lines().any(|line| line.ends_with(&outcome.replay)), "{told}");
    let command = outcome.replay.strip_prefix("hil-runner ").unwrap();
    let words: Vec<_> = command.split(' ').chain(["--results", "again"]).collect();
    fs::remove_file(folder.path().join("test.toml")).unwrap();
    let again = runner(&folder, &words).output().unwrap();
    let told = str::from_utf8(&again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1), "{told}");
    let replayed = Recorded::read(&folder.path().join("again/journal.jsonl"));
    // The scenario's file is gone, so that only the replay has it.
    let replayed = replayed.unwrap().outcomes;
    assert_eq!(replayed.len(), 1);
    assert_eq!((&replayed[0].cuts, &replayed[0].reason), (&outcome.cuts, &outcome.reason));
}

#[test]
fn mistakes_end_with_2() {
    let folder = folder(&GOOD.replace("\"v2\"", "\"v3\""));
    assert_eq!(run(&folder, &[]).status.code(), Some(2));
    let output = run(&self::folder(GOOD), &["--board", "no-such"]);
    assert_eq!(output.status.code(), Some(2));
    let told = str::from_utf8(&output.stderr).unwrap();
    assert!(told.contains("there are model, virtual"), "{told}");
    let output = run(&self::folder(GOOD), &["--case", "no-such"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_case_that_no_board_can_run_does_not_pass() {
    let folder = folder(&GOOD.replace(
        "still-updatable = \"v1\"",
        "wait-for = \"hello\"\n[[step]]\nstill-updatable = \"v1\"",
    ));
    let output = run(&folder, &["--case", "into=0.5"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(journal(&folder)[0].verdict, Verdict::NotRun);
}

/// Starts a run and reads until so many runs are told of. The program waits until more is read, once the pipe
/// is full, so it does not come to its end before that.
fn started(folder: &TempDir, runs: usize) -> (Child, Lines<BufReader<ChildStdout>>) {
    let arguments =
        ["run", "test.toml", "--board", "model", "--jobs", "1", "--results", "out", "--json"];
    let mut child =
        runner(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..runs {
        lines.next().expect("the run ended too early").unwrap();
    }
    (child, lines)
}

#[test]
fn a_killed_run_loses_nothing_and_goes_on() {
    let whole = folder(GOOD);
    run(&whole, &[]);
    let whole = runs(&journal(&whole));
    for told in [1, 40, 150] {
        let folder = folder(GOOD);
        let (mut child, _unread) = started(&folder, told);
        child.kill().unwrap();
        child.wait().unwrap();
        let before = journal(&folder);
        assert!(before.len() >= told, "{} of {told} runs are kept", before.len());
        assert!(before.len() < whole.len(), "the test does not show what it should");
        let output = run(&folder, &["--resume"]);
        assert_eq!(output.status.code(), Some(0));
        // Every run is there, and none was done twice.
        assert_eq!(runs(&journal(&folder)), whole);
        assert!(journal(&folder).starts_with(&before));
    }
}

#[test]
fn an_interrupted_run_ends_by_itself_and_goes_on() {
    let folder = folder(GOOD);
    let (mut child, unread) = started(&folder, 20);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    unread.for_each(drop);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3), "interrupted is neither passed nor failed");
    assert!(folder.path().join("out/report.html").exists());
    assert!(journal(&folder).iter().all(|outcome| outcome.verdict == Verdict::Pass));
    assert_eq!(run(&folder, &["--resume"]).status.code(), Some(0));
}

#[test]
fn a_journal_of_other_scenarios_is_not_gone_on_with() {
    let folder = folder(GOOD);
    run(&folder, &["--case", "into=0.5"]);
    let path = folder.path().join("test.toml");
    let text = fs::read_to_string(&path).unwrap().replace("To see it.", "To see it again.");
    fs::write(&path, text).unwrap();
    let output = run(&folder, &["--resume"]);
    assert_eq!(output.status.code(), Some(2));
    let told = str::from_utf8(&output.stderr).unwrap();
    assert!(told.contains("test.toml"), "{told}");
}
