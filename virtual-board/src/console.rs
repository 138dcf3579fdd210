//! UART0 as a byte stream for programs in the same process.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::board::{Board, Stop};
use crate::time::Ticks;

/// How long the board runs before its output is looked at.
const SLICE: u64 = 100 * Ticks::PER_MICROSECOND;

/// The host's end of UART0. The board runs while somebody reads, and stands still otherwise, so that a
/// dialogue with it is as deterministic as the board.
#[derive(Clone, Debug)]
pub struct Console {
    board: Arc<Mutex<Board>>,
    timeout: Duration,
    /// Bytes that one read has taken from the board and not delivered.
    pending: Vec<u8>,
}

impl Console {
    /// The console of a board. Reads wait one second of simulated time.
    #[must_use]
    pub fn new(board: Board) -> Self {
        let board = Arc::new(Mutex::new(board));
        Self { board, timeout: Duration::from_secs(1), pending: Vec::new() }
    }

    /// The board.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets for how much simulated time a read waits for the first byte.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }
}

impl Read for Console {
    /// Runs the board until it sends something.
    ///
    /// Fails with [`ErrorKind::TimedOut`] when it stays silent, and with [`ErrorKind::BrokenPipe`] when
    /// it has no power.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            let output = wait(&mut self.board(), self.timeout)?;
            self.pending = output;
        }
        let length = buffer.len().min(self.pending.len());
        buffer[..length].copy_from_slice(&self.pending[..length]);
        self.pending.drain(..length);
        Ok(length)
    }
}

fn wait(board: &mut Board, timeout: Duration) -> io::Result<Vec<u8>> {
    let end = board.now() + Ticks::from_duration(timeout).0;
    loop {
        let output = board.uart0_output();
        if !output.is_empty() {
            return Ok(output);
        }
        if !board.is_powered() {
            return Err(io::Error::new(ErrorKind::BrokenPipe, "the board has no power"));
        }
        if board.now() >= end {
            return Err(io::Error::new(ErrorKind::TimedOut, "the board is silent"));
        }
        let limit = end.min(board.now() + SLICE);
        if board.run(limit) == Stop::Breakpoint {
            return Err(io::Error::new(ErrorKind::WouldBlock, "the board is at a breakpoint"));
        }
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.board().uart0_send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
