//! One user of a board at a time, across processes.

use super::StateDir;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Folder of the lock files in the state folder.
const FOLDER: &str = "locks";
/// A waiting process looks this often whether the queue has changed. It gets the lock at once.
const LOOK: Duration = Duration::from_millis(500);

/// A board that nobody else uses. It is free again when this is dropped or its process ends, however it
/// ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who uses a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it does with the board: the name of a case, or of a command.
    pub task: String,
}

/// Who is before one that waits for a board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Who uses the board; `None` while that changes.
    pub holder: Option<Holder>,
    /// The processes that wait as well, longest first, as far as the kernel tells: 0 for a process of
    /// another container.
    pub waiting: Vec<u32>,
}

impl Lock {
    /// Waits until the board with that key ([`BoardEntry::key`](super::BoardEntry::key)) is free. `waiting`
    /// is called when it is not, and whenever the queue changes; it may give up with
    /// [`ControlFlow::Break`]. `task` is what other processes then see.
    ///
    /// # Errors
    /// The state folder cannot be used, or `waiting` gave up ([`Interrupted`](io::ErrorKind::Interrupted)).
    pub fn acquire(
        state: &StateDir,
        key: &str,
        task: &str,
        mut waiting: impl FnMut(&Queue) -> ControlFlow<()>,
    ) -> io::Result<Self> {
        if let Some(lock) = Self::try_acquire(state, key, task)? {
            return Ok(lock);
        }
        let file = open(state, key)?;
        let (mut reader, inode) = (file.try_clone()?, file.metadata()?.ino());
        let (sender, receiver) = mpsc::channel();
        // When nobody receives any more, the lock is dropped as soon as it is got.
        thread::spawn(move || sender.send(file.lock().map(|()| file)));
        let mut shown = None;
        loop {
            let queue = Queue { holder: holder(&mut reader), waiting: queue(inode) };
            if shown.as_ref() != Some(&queue) {
                if waiting(&queue).is_break() {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "gave up waiting"));
                }
                shown = Some(queue);
            }
            match receiver.recv_timeout(LOOK) {
                Ok(file) => return Self::held(file?, task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the waiting thread has ended"));
                }
            }
        }
    }

    /// Takes the board if it is free; `None` if it is not.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn try_acquire(state: &StateDir, key: &str, task: &str) -> io::Result<Option<Self>> {
        let file = open(state, key)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self::held(file, task)?)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Says what is now done with the board: the next case, for instance.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub fn describe(&mut self, task: &str) -> io::Result<()> {
        let holder = Holder { pid: process::id(), task: task.into() };
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&serde_json::to_vec(&holder)?)
    }

    fn held(file: File, task: &str) -> io::Result<Self> {
        let mut lock = Self { file };
        lock.describe(task)?;
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that another thread is just starting holds the open file, and with it the lock, for a
        // moment longer than this process.
        let _ = self.file.unlock();
    }
}

fn open(state: &StateDir, key: &str) -> io::Result<File> {
    let path = state.folder(FOLDER)?.join(format!("{}.lock", StateDir::file_name(key)));
    // Never removed: a second file of the same name would be a second lock.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// What the file says; `None` while it is being written.
fn holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    serde_json::from_str(&text).ok()
}

/// The other processes that wait for a lock on the file with that number, from the kernel's list
/// (<https://man7.org/linux/man-pages/man5/proc_locks.5.html>).
fn queue(inode: u64) -> Vec<u32> {
    let list = fs::read_to_string(Path::new("/proc/locks")).unwrap_or_default();
    waiting_in(&list, inode).filter(|pid| *pid != process::id()).collect()
}

/// Lines such as `1: -> FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF` are of those that wait.
fn waiting_in(list: &str, inode: u64) -> impl Iterator<Item = u32> {
    list.lines().filter_map(move |line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "->", "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        let number = file.rsplit(':').next()?.parse::<u64>().ok()?;
        (number == inode).then(|| pid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_read() {
        let list = "\
1: FLOCK  ADVISORY  WRITE 100 fd:01:77 0 EOF
1: -> FLOCK  ADVISORY  WRITE 101 fd:01:77 0 EOF
1: -> FLOCK  ADVISORY  WRITE 102 fd:01:77 0 EOF
2: FLOCK  ADVISORY  WRITE 200 fd:01:78 0 EOF
2: -> FLOCK  ADVISORY  WRITE 201 fd:01:78 0 EOF
3: POSIX  ADVISORY  READ  300 fd:01:77 128 128
";
        assert_eq!(waiting_in(list, 77).collect::<Vec<_>>(), [101, 102]);
        assert_eq!(waiting_in(list, 79).count(), 0);
    }

    #[test]
    fn a_board_has_one_user_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::at(root.path());
        let mut first = Lock::try_acquire(&state, "a", "case 1").unwrap().unwrap();
        assert!(Lock::try_acquire(&state, "a", "case 2").unwrap().is_none());
        assert!(Lock::try_acquire(&state, "b", "case 2").unwrap().is_some());
        first.describe("case 3, which is longer than the one before").unwrap();
        first.describe("case 4").unwrap();
        // The one that waits sees who is before it, and gets the board when that one is done.
        let mut first = Some(first);
        let mut seen = Vec::new();
        let second = Lock::acquire(&state, "a", "case 5", |queue| {
            seen.extend(queue.holder.clone());
            first = None;
            ControlFlow::Continue(())
        });
        second.unwrap();
        assert_eq!(seen[0], Holder { pid: process::id(), task: "case 4".into() });
    }

    /// What a program that is being started has of this process's files until it runs.
    #[test]
    fn a_board_is_free_although_its_lock_file_was_inherited() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::at(root.path());
        let held = Lock::try_acquire(&state, "a", "case 1").unwrap().unwrap();
        let _inherited = held.file.try_clone().unwrap();
        drop(held);
        assert!(Lock::try_acquire(&state, "a", "case 2").unwrap().is_some());
    }

    #[test]
    fn waiting_can_be_given_up() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::at(root.path());
        let _held = Lock::try_acquire(&state, "a", "case 1").unwrap().unwrap();
        let error = Lock::acquire(&state, "a", "case 2", |_| ControlFlow::Break(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
