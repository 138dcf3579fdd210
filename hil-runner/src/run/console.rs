//! The console of a device: what it wrote, waiting for it, and the stream for clients.

use super::stop::{Run, Stop};
use crate::board::{Port, RigError};
use mcumgr_toolkit::transport::serial::ConfigurableTimeout;
use regex::Regex;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest line that is kept, in bytes; of a longer one, its start.
const LINE: usize = 4096;
/// Most lines that are kept of a run: the newest.
const LINES: usize = 20_000;
/// How a line of an SMP frame starts (Zephyr, "SMP Transport Specification", console).
const FRAMES: [&[u8]; 2] = [&[6, 9], &[4, 20]];

/// What a device wrote: lines, each with the time since the start of the run in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    lines: Vec<(f64, Arc<str>)>,
    partial: Vec<u8>,
    /// Lines that were dropped before the ones that are kept.
    dropped: usize,
}

impl Log {
    /// Takes bytes of the console.
    fn take(&mut self, bytes: &[u8], at: f64) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(at),
                _ if self.partial.len() < LINE => self.partial.push(byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self, at: f64) {
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if FRAMES.iter().any(|start| line.starts_with(start)) {
            return;
        }
        self.lines.push((at, String::from_utf8_lossy(line).into()));
        if self.lines.len() > LINES {
            let surplus = self.lines.len() - LINES / 2;
            self.lines.drain(..surplus);
            self.dropped += surplus;
        }
    }

    /// Adds a remark of the runner.
    pub(super) fn remark(&mut self, at: f64, text: &str) {
        if !self.partial.is_empty() {
            self.end_line(at);
        }
        self.lines.push((at, format!("--- {text}").into()));
    }

    /// All lines, the unfinished one included.
    pub(super) fn lines(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        let last = self.lines.last().map_or(0.0, |(at, _)| *at);
        let partial = (!self.partial.is_empty())
            .then(|| (last, String::from_utf8_lossy(&self.partial).into_owned()));
        self.lines.iter().map(|(at, line)| (*at, line.to_string())).chain(partial)
    }

    /// Number of the next line.
    pub(super) fn next(&self) -> usize {
        self.dropped + self.lines.len()
    }

    fn get(&self, number: usize) -> Option<&Arc<str>> {
        self.lines.get(number.checked_sub(self.dropped)?).map(|(_, line)| line)
    }
}

/// The console of one start of the device.
#[derive(Clone)]
pub(super) struct Console {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    port: Box<dyn Port>,
    log: Log,
    clock: Instant,
    /// The device was interrupted.
    aborted: bool,
    /// Bytes that may still be written before the link breaks.
    link: Option<usize>,
}

impl Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.port.read(buffer) {
            Ok(length) => {
                let at = self.clock.elapsed().as_secs_f64() * 1000.0;
                self.log.take(buffer.get(..length).unwrap_or_default(), at);
                Ok(length)
            }
            Err(error) => {
                self.aborted |= error.kind() == ErrorKind::ConnectionAborted;
                Err(error)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.link.map_or(bytes.len(), |left| left.min(bytes.len()));
        if length == 0 && !bytes.is_empty() {
            return Err(io::Error::new(ErrorKind::BrokenPipe, "the link is broken"));
        }
        let result = self.port.write(bytes.get(..length).unwrap_or_default());
        match &result {
            Ok(length) => self.link = self.link.map(|left| left.saturating_sub(*length)),
            Err(error) => self.aborted |= error.kind() == ErrorKind::ConnectionAborted,
        }
        result
    }
}

impl Console {
    /// The console behind a port; `log` is what was there before.
    pub(super) fn new(port: Box<dyn Port>, log: Log, clock: Instant) -> Self {
        let shared = Shared { port, log, clock, aborted: false, link: None };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the device was interrupted.
    pub(super) fn aborted(&self) -> bool {
        self.shared().aborted
    }

    /// What was written so far.
    pub(super) fn log(&self) -> Log {
        self.shared().log.clone()
    }

    /// Number of the next line.
    pub(super) fn next(&self) -> usize {
        self.shared().log.next()
    }

    /// The serial port for other programs.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.shared().port.path().map(Into::into)
    }

    /// Adds a remark of the runner.
    pub(super) fn remark(&self, text: &str) {
        let mut shared = self.shared();
        let at = shared.clock.elapsed().as_secs_f64() * 1000.0;
        shared.log.remark(at, text);
    }

    /// Lets the link break after that many more bytes; `None` mends it.
    pub(super) fn break_link(&self, after: Option<usize>) {
        self.shared().link = after;
    }

    /// Sends a line.
    pub(super) fn send(&self, line: &str) -> Run {
        let mut shared = self.shared();
        let bytes = format!("{line}\n");
        match shared.port.write_all(bytes.as_bytes()).and_then(|()| shared.port.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => Err(Stop::Interrupted),
            Err(error) => Err(Stop::Rig(RigError::new(format!("the console: {error}")))),
        }
    }

    /// Reads until `find` is satisfied with a line, from line number `from` on; the last, unfinished line
    /// counts if it is `unfinished`. Gives what was found and the number of the next line; `None` when it
    /// did not come in time.
    pub(super) fn wait<T>(
        &self,
        from: usize,
        limit: Duration,
        unfinished: bool,
        mut find: impl FnMut(&str) -> Run<Option<T>>,
    ) -> Run<Option<(T, usize)>> {
        let end = Instant::now() + limit;
        let mut next = from;
        loop {
            {
                let shared = self.shared();
                while let Some(line) = shared.log.get(next) {
                    next += 1;
                    if let Some(found) = find(line)? {
                        return Ok(Some((found, next)));
                    }
                }
                if unfinished
                    && !shared.log.partial.is_empty()
                    && let Some(found) = find(&String::from_utf8_lossy(&shared.log.partial))?
                {
                    return Ok(Some((found, next)));
                }
                // Lines that are dropped before they were looked at.
                next = next.max(shared.log.dropped);
            }
            let left = end.saturating_duration_since(Instant::now());
            let mut shared = self.shared();
            if shared.aborted {
                return Err(Stop::Interrupted);
            }
            if left.is_zero() {
                return Ok(None);
            }
            shared.port.set_timeout(left);
            let mut buffer = [0; 4096];
            match shared.read(&mut buffer) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {
                    return Err(Stop::Interrupted);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Stop::Rig(RigError::new(format!("the console: {error}"))));
                }
            }
        }
    }
}

/// Whether one of the patterns is in the line; which.
pub(super) fn matching<'a>(patterns: &'a [Regex], line: &str) -> Option<&'a Regex> {
    patterns.iter().find(|pattern| pattern.is_match(line))
}

impl Read for Console {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.shared().read(buffer)
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared().port.flush()
    }
}

impl ConfigurableTimeout for Console {
    fn set_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.shared().port.set_timeout(timeout);
        Ok(())
    }
}
