//! A journal loses nothing that is finished, and says what is wrong with it.

#![allow(missing_docs)]

mod outcomes;

use hil_runner::run::{Header, Journal, JournalError, Outcome, Recorded};
use outcomes::{failed, header, hostile, in_full, passed};
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::tempdir;

/// A header without files, which need not be there.
fn bare() -> Header {
    Header { files: Default::default(), ..header() }
}

fn write(path: &Path, outcomes: &[Outcome]) {
    let mut journal = Journal::create(path, &bare()).unwrap();
    outcomes.iter().for_each(|outcome| journal.append(outcome).unwrap());
}

fn append_raw(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn what_is_written_is_read_and_gone_on_with() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("hil.jsonl");
    let all = [in_full(1), failed(2), hostile()];
    write(&path, &all);
    let recorded = Recorded::read(&path).unwrap();
    assert_eq!((recorded.header, recorded.torn), (bare(), 0));
    assert_eq!(recorded.outcomes, all);
    let (mut journal, recorded) = Journal::resume(&path).unwrap();
    assert_eq!(recorded.outcomes, all);
    journal.append(&passed(4)).unwrap();
    assert_eq!(Recorded::read(&path).unwrap().outcomes[3], passed(4));
}

#[test]
fn a_torn_last_line_is_taken_away() {
    let folder = tempdir().unwrap();
    let line = serde_json::to_vec(&in_full(50)).unwrap();
    // Also one that lacks only its end.
    for length in [1, line.len() / 2, line.len()] {
        let path = folder.path().join(format!("{length}.jsonl"));
        write(&path, &[passed(1)]);
        append_raw(&path, &line[..length]);
        assert_eq!(Recorded::read(&path).unwrap().torn, length);
        let (mut journal, recorded) = Journal::resume(&path).unwrap();
        assert_eq!((recorded.outcomes, recorded.torn), (vec![passed(1)], length));
        assert_eq!(Recorded::read(&path).unwrap().torn, 0);
        journal.append(&passed(3)).unwrap();
        let recorded = Recorded::read(&path).unwrap();
        assert_eq!((recorded.outcomes, recorded.torn), (vec![passed(1), passed(3)], 0));
    }
}

#[test]
fn changed_files_are_named() {
    let folder = tempdir().unwrap();
    let names = ["a.toml", "b.toml", "c.toml"].map(|name| folder.path().join(name));
    names.iter().for_each(|name| fs::write(name, "x").unwrap());
    let header = Header::new(vec!["hil-runner".into()], 1, names.clone()).unwrap();
    // SHA-256 of "x".
    assert_eq!(
        header.files[&names[0]],
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    );
    let path = folder.path().join("hil.jsonl");
    drop(Journal::create(&path, &header).unwrap());
    assert!(Journal::resume(&path).is_ok());
    fs::write(&names[1], "y").unwrap();
    fs::remove_file(&names[2]).unwrap();
    match Journal::resume(&path) {
        Err(JournalError::Changed { files, .. }) => assert_eq!(files, names[1..]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_there_is_not_overwritten_and_has_one_writer() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("hil.jsonl");
    let journal = Journal::create(&path, &bare()).unwrap();
    assert!(matches!(Journal::create(&path, &bare()), Err(JournalError::Exists { .. })));
    assert!(matches!(Journal::resume(&path), Err(JournalError::Busy { .. })));
    drop(journal);
    assert!(Journal::resume(&path).is_ok());
}

#[test]
fn what_is_no_journal_is_refused_with_the_line() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("hil.jsonl");
    let refused = |line: usize| {
        let before = fs::read(&path).unwrap();
        match Journal::resume(&path) {
            Err(JournalError::Malformed { line: found, .. }) => assert_eq!(found, line),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), before, "a file that is refused stays as it is");
    };
    for text in ["", "x", "{}\n", "{\"journal\":1}\n"] {
        fs::write(&path, text).unwrap();
        refused(1);
    }
    let other = Header { journal: 2, ..bare() };
    fs::write(&path, serde_json::to_string(&other).unwrap() + "\n").unwrap();
    refused(1);
    fs::remove_file(&path).unwrap();
    write(&path, &[passed(1)]);
    append_raw(&path, b"{\"scenario\":1}\n");
    refused(3);
}

/// How many results the writer that is killed announces before it is.
const ANNOUNCED: usize = 200;

/// Not a test: the runner that [`a_killed_runner_loses_nothing_that_is_finished`] starts and kills.
#[test]
fn writer_to_be_killed() {
    let Some(path) = env::var_os("JOURNAL_TO_WRITE").map(PathBuf::from) else { return };
    let mut journal = Journal::create(&path, &bare()).unwrap();
    for number in 1.. {
        journal.append(&in_full(number % 50 + 1)).unwrap();
        println!("finished");
    }
}

#[test]
fn a_killed_runner_loses_nothing_that_is_finished() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("hil.jsonl");
    let mut runner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "writer_to_be_killed", "--nocapture"])
        .env("JOURNAL_TO_WRITE", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(runner.stdout.take().unwrap());
    let finished = output.lines().filter(|line| line.as_ref().unwrap().contains("finished"));
    let finished = finished.take(ANNOUNCED).count();
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert_eq!(finished, ANNOUNCED);
    let (_, recorded) = Journal::resume(&path).unwrap();
    assert!(recorded.outcomes.len() >= finished, "{} of {finished}", recorded.outcomes.len());
    let expected = (1..).map(|number| in_full(number % 50 + 1)).take(recorded.outcomes.len());
    assert!(recorded.outcomes.into_iter().eq(expected));
}

/// Mounts a file system of 64 KiB; only root may.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let status = Command::new("mount").args(options).arg(path).status();
        status.is_ok_and(|status| status.success()).then(|| Self(path.into()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn when_no_space_is_left_the_finished_ones_stay() {
    let folder = tempdir().unwrap();
    let Some(small) = Small::mount(&folder.path().join("small")) else {
        eprintln!("NOT TESTED: a full disk; that needs root, to mount a small one");
        return;
    };
    let path = small.0.join("hil.jsonl");
    let mut journal = Journal::create(&path, &bare()).unwrap();
    let filler = small.0.join("filler");
    fs::write(&filler, vec![0; 20_000]).unwrap();
    let mut written = 0;
    let error = loop {
        match journal.append(&in_full(50)) {
            Ok(()) => written += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(written > 0);
    assert!(error.contains("hil.jsonl") && error.contains("No space left"), "{error}");
    let recorded = Recorded::read(&path).unwrap();
    assert_eq!((recorded.outcomes.len(), recorded.torn), (written, 0));
    fs::remove_file(&filler).unwrap();
    journal.append(&passed(1)).unwrap();
    assert_eq!(Recorded::read(&path).unwrap().outcomes.len(), written + 1);
    drop(journal);
    let full = small.0.join("full.jsonl");
    let error = fs::write(&filler, vec![0; 65_536]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(matches!(Journal::create(&full, &bare()), Err(JournalError::Io { .. })));
    assert!(!full.exists(), "nothing is left of a journal that could not be begun");
}
