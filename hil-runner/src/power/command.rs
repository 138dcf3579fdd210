//! A switch that is any program.

use super::config::CommandTable;
use super::{PowerSwitch, word};
use crate::board::RigError;
use crate::scenario::{CutKind, Span};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Default time limit.
const LIMIT: Span = Span(Duration::from_secs(10));
/// As much of what a failing program printed is shown, in bytes from its end.
const SHOWN: usize = 2000;

/// Runs a program to switch off and one to switch on.
#[derive(Debug)]
pub(super) struct Command(CommandTable);

impl Command {
    pub(super) fn new(table: &CommandTable) -> Self {
        Self(table.clone())
    }
}

impl PowerSwitch for Command {
    fn name(&self) -> String {
        let program = self.0.off_command.first().map_or("", String::as_str);
        format!("command {program}")
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![self.0.cuts]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        let table = &self.0;
        let words = if on { &table.on_command } else { &table.off_command };
        let fail = |what: String| {
            let line = words.join(" ");
            RigError::new(format!("power {}: `{line}`: {what}", word(on)))
        };
        let [program, arguments @ ..] = &words[..] else {
            return Err(fail("no program".into()));
        };
        // Into a file: a pipe stays open as long as any program that the command leaves behind.
        let mut output = tempfile::tempfile().map_err(|error| fail(error.to_string()))?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).envs(&table.env).stdin(Stdio::null());
        if let Some(folder) = &table.folder {
            command.current_dir(folder);
        }
        // A group of its own: all of it can be ended at the time limit, and an interrupt from the terminal
        // does not stop a switch half-way.
        command.process_group(0);
        let limit = table.limit.unwrap_or(LIMIT);
        let mut run = || {
            command.stdout(output.try_clone()?).stderr(output.try_clone()?);
            within(limit.0, command.spawn()?)
        };
        let status = run().map_err(|error| fail(error.to_string()))?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(fail(format!("{status}{}", tail(&mut output)))),
            None => Err(fail(format!("not done within {limit}{}", tail(&mut output)))),
        }
    }
}

/// Waits for a program; `None` when its time is over: then all of its group is killed.
fn within(limit: Duration, mut child: Child) -> io::Result<Option<ExitStatus>> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Err(io::Error::other("no process"));
    };
    let deadline = Instant::now() + limit;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Not waited for yet, so its number is still its own.
            kill_process_group(pid, Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The end of what a program printed, on lines of its own.
fn tail(output: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = output.rewind().and_then(|()| output.read_to_end(&mut bytes));
    let end = &bytes[bytes.len().saturating_sub(SHOWN)..];
    let text = String::from_utf8_lossy(end);
    match (read, text.trim()) {
        (Err(_), _) | (_, "") => String::new(),
        (_, text) => format!("\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(off: &str, more: &str) -> Command {
        let text = format!(
            "off-command = ['sh', '-c', '''{off}''']\non-command = ['true']\ncuts = 'rail'\n{more}"
        );
        Command(toml::from_str(&text).unwrap())
    }

    #[test]
    fn words_folder_and_environment_reach_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let more = format!("folder = '{}'\n[env]\nWHERE = 'b 2'", folder.path().display());
        let mut switch = shell("printf %s \"$WHERE\" > state", &more);
        switch.set(false).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("state")).unwrap(), "b 2");
        switch.set(true).unwrap();
    }

    #[test]
    fn a_failing_program_fails_with_its_output() {
        let error = shell("echo to-out; echo no such hub >&2; exit 3", "").set(false).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("power off: `sh -c"), "{text}");
        assert!(text.contains("status: 3\nto-out\nno such hub"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_fails() {
        let table = "off-command = ['no-such-program']\non-command = ['true']\ncuts = 'rail'";
        let error = Command(toml::from_str(table).unwrap()).set(false).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let lock = tempfile::NamedTempFile::new().unwrap();
        let off = format!("flock {} sh -c \"echo locked; sleep 60\" & wait", lock.path().display());
        let error = shell(&off, "limit = '2 s'").set(false).unwrap_err();
        assert!(error.to_string().contains("not done within 2 s\nlocked"), "{error}");
        // The inner program held the lock; the kernel takes it from the dead.
        let asked = Instant::now();
        lock.as_file().lock().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(30), "the inner program went on");
    }
}
