//! Programs on the host.

use super::console::Console;
use super::stop::{Run, Stop};
use crate::board::RigError;
use crate::scenario::HostCommand;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, Stdio};
use std::time::Duration;
use wait_timeout::ChildExt;

/// Most bytes of a program's output that are kept.
const OUTPUT: u64 = 0x1_0000;

/// How a program ended.
pub(super) struct Status {
    /// The program's name.
    pub(super) name: String,
    /// Whether it ended with status 0.
    pub(super) success: bool,
    /// How it ended, in words.
    pub(super) end: String,
}

/// Replaces words in braces.
pub(super) fn replaced(text: &str, words: &[(&str, String)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}

/// Runs a program to its end. Its output goes to the log.
pub(super) fn run(
    program: &HostCommand,
    limit: Duration,
    words: &[(&str, String)],
    console: &Console,
) -> Run<Status> {
    let port = console.path().map(|path| path.display().to_string()).unwrap_or_default();
    let mut words = words.to_vec();
    words.push(("{port}", port));
    let mut arguments = program.words.iter().map(|word| replaced(word, &words));
    let name = arguments.next().unwrap_or_default();
    let rig = |what: String| Stop::Rig(RigError::new(format!("{name}: {what}")));
    let mut output = tempfile::tempfile().map_err(|error| rig(error.to_string()))?;
    let handle = || output.try_clone().map(Stdio::from).map_err(|error| rig(error.to_string()));
    let mut child = Command::new(&name)
        .args(arguments)
        .envs(&program.env)
        .current_dir(&program.folder)
        .stdin(Stdio::null())
        .stdout(handle()?)
        .stderr(handle()?)
        .spawn()
        .map_err(|error| rig(format!("cannot be started: {error}")))?;
    let status = child.wait_timeout(limit).map_err(|error| rig(error.to_string()))?;
    if status.is_none() {
        let ended = child.kill().and_then(|()| child.wait());
        ended.map_err(|error| rig(error.to_string()))?;
    }
    let mut text = Vec::new();
    let read =
        output.seek(SeekFrom::Start(0)).and_then(|_| output.take(OUTPUT).read_to_end(&mut text));
    read.map_err(|error| rig(error.to_string()))?;
    for line in String::from_utf8_lossy(&text).lines() {
        console.remark(&format!("{name}: {line}"));
    }
    let (success, end) = match status {
        Some(status) => (status.success(), status.to_string()),
        None => (false, format!("no end within {} s, so it was killed", limit.as_secs_f64())),
    };
    Ok(Status { name, success, end })
}
