//! The console of one start: a thread that reads the port, and the [`Port`] that it reads for.

use super::control::{Clock, Watcher};
use crate::board::{Port, RigError};
use serialport::{SerialPort, TTYPort};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread waits for bytes before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(5);
/// How long bytes may take from the device to the reader, beyond which they are taken for lost.
const TRANSIT: Duration = Duration::from_millis(500);
/// How long a device may take to accept bytes.
const WRITE: Duration = Duration::from_secs(5);
/// Most bytes that are kept for a reader that does not read.
const BACKLOG: usize = 4 << 20;
/// How long a read waits before somebody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The thread that reads. The port is closed when this is dropped, or when the [`Port`] is.
pub(in crate::board) struct Console {
    feed: Arc<Feed>,
    writer: Writer,
}

/// The way to the device, as long as there is one: who opens the port next must find it closed.
type Writer = Arc<Mutex<Option<TTYPort>>>;

/// What the thread has read.
#[derive(Default)]
struct Feed {
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    received: u64,
    /// Why nothing comes any more.
    end: Option<String>,
    /// Nobody wants it any more.
    closed: bool,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the thread has closed the port.
    fn close(&self) {
        self.lock().closed = true;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A watcher that panicked has been reported.
            let _ = thread.join();
        }
        self.end("the device was stopped");
    }

    fn end(&self, why: &str) {
        self.lock().end.get_or_insert_with(|| why.to_owned());
        self.changed.notify_all();
    }
}

impl Console {
    /// Reads a port from now on.
    pub(in crate::board) fn open(
        serial: &TTYPort,
        path: PathBuf,
        watcher: Box<dyn Watcher>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Box<dyn Port>), RigError> {
        let at = |error: serialport::Error| RigError::new(format!("{}: {error}", path.display()));
        let mut reader = serial.try_clone_native().map_err(at)?;
        reader.set_timeout(LOOK).map_err(at)?;
        let mut writer = serial.try_clone_native().map_err(at)?;
        writer.set_timeout(WRITE).map_err(at)?;
        let feed = Arc::<Feed>::default();
        let shared = Arc::clone(&feed);
        let thread = std::thread::Builder::new()
            .name("console".into())
            .spawn(move || read(reader, &shared, watcher))?;
        let writer = Writer::new(Mutex::new(Some(writer)));
        let port = ConsolePort {
            feed: Arc::clone(&feed),
            clock,
            writer: Arc::clone(&writer),
            path,
            timeout: TIMEOUT,
        };
        *feed.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((Self { feed, writer }, Box::new(port)))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.feed.close();
        close(&self.writer);
    }
}

fn close(writer: &Writer) {
    *writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn read(mut serial: TTYPort, feed: &Feed, mut watcher: Box<dyn Watcher>) {
    let mut buffer = [0; 4096];
    while !feed.lock().closed {
        let (count, idle) = match serial.read(&mut buffer) {
            Ok(0) => return feed.end("the serial port is gone"),
            Ok(count) => (count, false),
            Err(error) if error.kind() == ErrorKind::TimedOut => (0, true),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return feed.end(&format!("the serial port is gone: {error}")),
        };
        let bytes = &buffer[..count];
        if count > 0 {
            watcher.saw(bytes, Instant::now());
        }
        let mut state = feed.lock();
        state.bytes.extend(bytes);
        let surplus = state.bytes.len().saturating_sub(BACKLOG);
        state.bytes.drain(..surplus);
        state.received += count as u64;
        let received = state.received;
        drop(state);
        feed.changed.notify_all();
        if watcher.is_over(received, idle) {
            return feed.end("the device was interrupted");
        }
    }
}

struct ConsolePort {
    feed: Arc<Feed>,
    clock: Arc<dyn Clock>,
    writer: Writer,
    path: PathBuf,
    timeout: Duration,
}

impl ConsolePort {
    fn aborted(why: &str) -> io::Error {
        io::Error::new(ErrorKind::ConnectionAborted, why.to_owned())
    }
}

impl Read for ConsolePort {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let until = self.clock.now() + self.timeout;
        // Since when the device has been ahead of what has been read.
        let mut behind: Option<Instant> = None;
        let mut state = self.feed.lock();
        loop {
            if !state.bytes.is_empty() {
                return state.bytes.read(buffer);
            }
            if let Some(why) = &state.end {
                return Err(Self::aborted(why));
            }
            let late = self.clock.now() >= until;
            let all = self.clock.wait_for_output(state.received, until);
            behind =
                if all == Some(false) { behind.or_else(|| Some(Instant::now())) } else { None };
            if late && behind.is_none_or(|since| since.elapsed() > TRANSIT) {
                let waited = format!("nothing came for {:?}", self.timeout);
                return Err(io::Error::new(ErrorKind::TimedOut, waited));
            }
            let wait = match all {
                None => until.saturating_sub(self.clock.now()),
                Some(_) => LOOK,
            };
            let (next, _) =
                self.feed.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
    }
}

impl Write for ConsolePort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(why) = &self.feed.lock().end {
            return Err(Self::aborted(why));
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match writer.as_mut() {
            Some(writer) => writer.write(bytes),
            None => Err(Self::aborted("the device was stopped")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Bytes go straight to the driver. Waiting for them to leave the port takes as long as the device
        // likes; an answer shows as much.
        Ok(())
    }
}

impl Port for ConsolePort {
    fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

impl Drop for ConsolePort {
    fn drop(&mut self) {
        self.feed.close();
        close(&self.writer);
    }
}
