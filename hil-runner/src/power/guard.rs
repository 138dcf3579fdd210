//! Power that always comes back: when its owner is done with a board, and also when it was killed.

use super::{PowerConfig, PowerSwitch};
use crate::bench::{Lock, StateDir, open_port};
use crate::board::RigError;
use crate::scenario::CutKind;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Folder of the records in the state folder.
const FOLDER: &str = "power";

/// A switch that gives power back when it is dropped.
///
/// A record in the state folder says, as long as it exists, that the board may be without power, so that
/// [`restore`] can help a board whose owner was killed. The record is made beforehand: a cut does not wait
/// for the file system.
pub struct Guarded {
    switch: Box<dyn PowerSwitch>,
    on: bool,
    record: PathBuf,
}

/// What is needed to give power back.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Name of the board.
    board: String,
    /// Its key: that of its lock, too.
    key: String,
    power: PowerConfig,
    /// The board's serial port, if the switch goes through it.
    port: Option<PathBuf>,
}

impl Guarded {
    /// Guards the switch of the board of that name and key
    /// ([`BoardEntry::key`](crate::bench::BoardEntry::key)), whose lock the caller holds. `config` is what
    /// the switch was opened from, and `port` the board's serial port.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn new(
        switch: Box<dyn PowerSwitch>,
        config: &PowerConfig,
        (board, key): (&str, &str),
        port: Option<&Path>,
        state: &StateDir,
    ) -> io::Result<Self> {
        let folder = state.folder(FOLDER)?;
        let record = folder.join(format!("{}.json", StateDir::file_name(key)));
        let port = port.filter(|_| config.needs_lines()).map(Path::to_owned);
        let contents = Record { board: board.into(), key: key.into(), power: config.clone(), port };
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        serde_json::to_writer(&mut file, &contents)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(&record).map_err(|error| error.error)?;
        Ok(Self { switch, on: true, record })
    }

    /// Gives power back and says whether that worked; dropping does the same in silence. When it fails, the
    /// record stays, and [`restore`] tries again.
    ///
    /// # Errors
    /// The switch does not answer.
    pub fn finish(mut self) -> Result<(), RigError> {
        self.give_back()
    }

    fn give_back(&mut self) -> Result<(), RigError> {
        if !self.on {
            self.set(true)?;
        }
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RigError::new(format!("{}: {error}", self.record.display())))
            }
            _ => Ok(()),
        }
    }
}

impl PowerSwitch for Guarded {
    fn name(&self) -> String {
        self.switch.name()
    }

    fn kinds(&self) -> Vec<CutKind> {
        self.switch.kinds()
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        if !on {
            // Also when it fails: then nobody knows.
            self.on = false;
        }
        self.switch.set(on)?;
        self.on = on;
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.give_back();
    }
}

/// A board that an earlier owner may have left without power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its name; that of the record's file if that cannot be read.
    pub board: String,
    /// Whether it has power now; if not, it is tried again at the next start.
    pub result: Result<(), RigError>,
}

/// Gives power back to the boards whose owners were killed. Boards that are in use are left alone.
///
/// # Errors
/// The state folder cannot be read.
pub fn restore(state: &StateDir) -> io::Result<Vec<Restored>> {
    let mut restored = Vec::new();
    for entry in fs::read_dir(state.folder(FOLDER)?)? {
        let path = entry?.path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Record>(&bytes)?));
        let record = match read {
            Ok(record) => record,
            // Its owner has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let board = path.file_stem().unwrap_or_default().to_string_lossy().into();
                let result = Err(RigError::new(format!("{}: {error}", path.display())));
                restored.push(Restored { board, result });
                continue;
            }
        };
        let Some(_lock) = Lock::try_acquire(state, &record.key, "restoring power")? else {
            continue;
        };
        // Its owner may have finished before the lock was free.
        if path.exists() {
            let result = switch_on(&record).and_then(|()| Ok(fs::remove_file(&path)?));
            restored.push(Restored { board: record.board, result });
        }
    }
    restored.sort_by(|a, b| a.board.cmp(&b.board));
    Ok(restored)
}

fn switch_on(record: &Record) -> Result<(), RigError> {
    let port = record.port.as_deref().map(open_port).transpose()?;
    record.power.open(port)?.set(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board whose power is a file: with a line for each command.
    struct Bench {
        folder: tempfile::TempDir,
        config: PowerConfig,
        state: StateDir,
    }

    const BOARD: (&str, &str) = ("desk", "60:55:f9:00:00:01");

    impl Bench {
        fn new(on: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("log");
            let text = format!(
                "off-command = ['sh', '-c', 'echo off >> {0}']\n\
                 on-command = ['sh', '-c', 'echo on >> {0}; {on}']\ncuts = 'rail'",
                log.display()
            );
            let state = StateDir::at(folder.path().join("state"));
            Self { config: toml::from_str(&text).unwrap(), state, folder }
        }

        fn guarded(&self) -> Guarded {
            let switch = self.config.open(None).unwrap();
            Guarded::new(switch, &self.config, BOARD, None, &self.state).unwrap()
        }

        fn log(&self) -> String {
            fs::read_to_string(self.folder.path().join("log"))
                .unwrap_or_default()
                .replace('\n', " ")
        }

        fn records(&self) -> usize {
            fs::read_dir(self.state.folder(FOLDER).unwrap()).unwrap().count()
        }
    }

    #[test]
    fn a_board_that_is_off_is_on_when_its_owner_is_gone() {
        let bench = Bench::new("true");
        let mut guarded = bench.guarded();
        guarded.set(false).unwrap();
        assert_eq!(bench.records(), 1);
        drop(guarded);
        assert_eq!(bench.log(), "off on ");
        assert_eq!(bench.records(), 0);
    }

    #[test]
    fn a_board_that_is_on_is_left_alone() {
        let bench = Bench::new("true");
        let mut guarded = bench.guarded();
        guarded.set(false).unwrap();
        guarded.set(true).unwrap();
        guarded.finish().unwrap();
        assert_eq!(bench.log(), "off on ");
        assert_eq!(bench.records(), 0);
    }

    #[test]
    fn a_board_whose_owner_was_killed_gets_power_at_the_next_start() {
        let bench = Bench::new("true");
        let mut guarded = bench.guarded();
        guarded.set(false).unwrap();
        // What is left of a process that was killed: no destructor ran.
        std::mem::forget(guarded);
        let restored = restore(&bench.state).unwrap();
        assert_eq!(restored, [Restored { board: "desk".into(), result: Ok(()) }]);
        assert_eq!(bench.log(), "off on ");
        assert_eq!(restore(&bench.state).unwrap(), []);
    }

    #[test]
    fn a_board_in_use_keeps_its_state() {
        let bench = Bench::new("true");
        let lock = Lock::try_acquire(&bench.state, BOARD.1, "a case").unwrap().unwrap();
        let mut guarded = bench.guarded();
        guarded.set(false).unwrap();
        assert_eq!(restore(&bench.state).unwrap(), []);
        assert_eq!(bench.log(), "off ");
        drop((guarded, lock));
    }

    #[test]
    fn power_that_cannot_be_given_back_is_tried_again() {
        let bench = Bench::new("test -e fixed");
        let mut guarded = bench.guarded();
        guarded.set(false).unwrap();
        guarded.finish().unwrap_err();
        assert_eq!(bench.records(), 1);
        let restored = restore(&bench.state).unwrap();
        let error = restored[0].result.as_ref().unwrap_err().to_string();
        assert!(error.contains("test -e fixed"), "{error}");
        assert_eq!(bench.records(), 1);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_reported() {
        let bench = Bench::new("true");
        fs::write(bench.state.folder(FOLDER).unwrap().join("x.json"), "{").unwrap();
        let restored = restore(&bench.state).unwrap();
        assert_eq!(restored[0].board, "x");
        assert!(restored[0].result.is_err());
    }
}
