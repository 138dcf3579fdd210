//! Signs of life on a board's serial port: the port itself, and what comes from it.

use super::measure::{Life, SignsOfLife};
use crate::board::RigError;
use serialport::SerialPort;
use std::io::{ErrorKind, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A board that is silent for so long is off, if it has never been silent for half as long.
const SILENCE: Duration = Duration::from_millis(300);
/// For so long a board must write before its silence means something.
const STEADY: Duration = Duration::from_millis(600);
/// So often it is tried whether a port is back. Nothing that works for all kinds of ports announces it.
const RETRY: Duration = Duration::from_millis(20);
/// A read ends after this time, so that a reader nobody wants ends too.
const READ: Duration = Duration::from_millis(100);

/// Watches a serial port: a board that is fed through its USB socket takes the port with it when it loses
/// power (a port of its own, or a bridge without other supply); any other falls silent.
///
/// Silence is seen only in a board that writes all the time. One without firmware does: its ROM complains
/// without end.
pub struct SerialSigns {
    open: Opener,
    seen: Option<Arc<Seen>>,
}

type Opener = Box<dyn FnMut() -> Result<Box<dyn SerialPort>, RigError> + Send>;

/// What the reader of an open port sees.
#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Start of the writing that has had no long pause.
    since: Option<Instant>,
    /// The last byte.
    last: Option<Instant>,
    /// When the port failed.
    gone: Option<Instant>,
    /// Nobody wants to know any more.
    done: bool,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most for that time.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Reads until the port fails or nobody wants it any more.
    fn read(&self, mut port: Box<dyn SerialPort>) {
        let mut buffer = [0; 4096];
        loop {
            let result = port.read(&mut buffer);
            let now = Instant::now();
            let mut state = self.lock();
            match result {
                Ok(1..) => {
                    let paused = state.last.is_none_or(|last| now - last > SILENCE / 2);
                    if paused {
                        state.since = Some(now);
                    }
                    state.last = Some(now);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Ok(0) | Err(_) => state.gone = Some(now),
            }
            let ended = state.done || state.gone.is_some();
            drop(state);
            self.changed.notify_all();
            if ended {
                return;
            }
        }
    }
}

impl SerialSigns {
    /// Watches the port that `open` opens; it is called again when the port has gone.
    pub fn new(
        open: impl FnMut() -> Result<Box<dyn SerialPort>, RigError> + Send + 'static,
    ) -> Self {
        Self { open: Box::new(open), seen: None }
    }

    /// Opens the port and reads it from now on.
    fn open(&mut self) -> Result<Arc<Seen>, RigError> {
        let mut port = (self.open)()?;
        port.set_timeout(READ).map_err(|error| RigError::new(error.to_string()))?;
        let seen = Arc::new(Seen::default());
        let reader = seen.clone();
        thread::spawn(move || reader.read(port));
        self.seen = Some(seen.clone());
        Ok(seen)
    }
}

impl SignsOfLife for SerialSigns {
    fn wait_for_life(&mut self, limit: Duration) -> Result<Life, RigError> {
        let deadline = Instant::now() + limit;
        let seen = loop {
            match &self.seen {
                Some(seen) if seen.lock().gone.is_none() => break seen.clone(),
                _ => {}
            }
            match self.open() {
                Ok(seen) => break seen,
                Err(_) if Instant::now() < deadline => thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        };
        let mut state = seen.lock();
        loop {
            let now = Instant::now();
            if state.gone.is_some() {
                return Ok(Life::Unseen);
            }
            if let (Some(since), Some(last)) = (state.since, state.last)
                && last - since >= STEADY
                && now - last < SILENCE / 2
            {
                return Ok(Life::Steady(since));
            }
            if now >= deadline {
                return Ok(Life::Quiet);
            }
            state = seen.wait(state, deadline - now);
        }
    }

    fn wait_for_end(&mut self, limit: Duration) -> Result<Option<Instant>, RigError> {
        let Some(seen) = self.seen.clone() else { return Ok(None) };
        let deadline = Instant::now() + limit;
        let mut state = seen.lock();
        let steady = |state: &State| matches!((state.since, state.last), (Some(since), Some(last)) if last - since >= STEADY);
        let was_steady = steady(&state);
        loop {
            let now = Instant::now();
            if state.gone.is_some() {
                return Ok(state.gone);
            }
            let silent_from = state.last.filter(|_| was_steady).map(|last| last + SILENCE);
            if silent_from.is_some_and(|it| now >= it) {
                return Ok(state.last);
            }
            if now >= deadline {
                return Ok(None);
            }
            let next = silent_from.map_or(deadline, |it| it.min(deadline));
            state = seen.wait(state, next - now);
        }
    }
}

impl Drop for SerialSigns {
    fn drop(&mut self) {
        if let Some(seen) = &self.seen {
            seen.lock().done = true;
        }
    }
}
