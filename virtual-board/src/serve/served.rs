//! A board that a thread of its own runs.

use super::{Pace, Pty};
use crate::board::{Board, Stop};
use crate::time::Ticks;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Simulated time between two looks at the port: little, lest the board poll in vain for an answer that is
/// there already.
const SLICE: u64 = Ticks::PER_SECOND / 10_000;
/// Simulated time for which the board runs at full speed after something has passed between it and a client:
/// it still digests that, or the client already writes the next thing.
const BUSY: u64 = Ticks::PER_SECOND / 20;
/// Bytes from a client to the board at a time.
const PORTION: usize = 4096;
/// With so many looks in a row for a byte that has not come, software does nothing but wait for one.
const VAIN_POLLS: u32 = 64;
/// How long such software is left alone.
const NAP: Duration = Duration::from_millis(20);
/// How far simulated time jumps at once for such software.
const STRIDE: u64 = Ticks::PER_SECOND / 200;

/// A board that runs in a thread of its own, with UART0 as a pseudo-terminal.
///
/// While the board works, it runs as fast as it can. While it waits, simulated time does not run ahead of
/// real time, and the thread sleeps; it falls behind if software polls UART0 for a byte that does not come,
/// since most of these looks are left out. Who waits for the board and does nothing else can say so with
/// [`expedite`](Self::expedite).
pub struct Served {
    jobs: Option<mpsc::Sender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How a board is to go on after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run.
    Run,
    /// Run, at most to this time before the watcher is asked again.
    RunTo(Ticks),
    /// Stand still until [`Served::release`].
    Hold,
}

/// What is done with the board between two runs.
type Job = Box<dyn FnOnce(&mut Guest) + Send>;
/// What is told of each run, with what UART0 has sent in it.
type Watcher = Box<dyn FnMut(&mut Board, Stop, &[u8]) -> Next + Send>;

/// What other threads see and set without a job.
struct Shared {
    port: Mutex<PathBuf>,
    /// Wakes the thread.
    wake: OwnedFd,
    now: AtomicU64,
    held: AtomicBool,
    sent: AtomicU64,
    /// Run at full speed until this time, while so many bytes have been sent.
    expedite: [AtomicU64; 2],
}

struct Guest {
    board: Board,
    next: Next,
    port: Pty,
}

impl Served {
    /// Serves a board as it is: without power if it has none. `watch` is called after each run, before what
    /// the board has sent is passed on.
    ///
    /// # Errors
    /// There is no pseudo-terminal to be had.
    pub fn start(
        board: Board,
        watch: impl FnMut(&mut Board, Stop, &[u8]) -> Next + Send + 'static,
    ) -> io::Result<Self> {
        let pty = Pty::open(None)?;
        let shared = Arc::new(Shared {
            port: Mutex::new(pty.path().to_owned()),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            now: AtomicU64::new(board.now().0),
            held: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            expedite: Default::default(),
        });
        let (jobs, queue) = mpsc::channel();
        let mut worker = Worker {
            pace: Pace::start(board.now()),
            seen: (0, 0),
            alive: board.now(),
            ready: [true; 2],
            guest: Guest { board, next: Next::Run, port: pty },
            watch: Box::new(watch),
            shared: Arc::clone(&shared),
            queue,
        };
        let thread = std::thread::Builder::new().name("board".into()).spawn(move || {
            // Without a port nobody hears of the board again: calls fail from then on.
            if let Err(error) = worker.serve() {
                eprintln!("{}: {error}", worker.guest.port.path().display());
            }
        })?;
        Ok(Self { jobs: Some(jobs), shared, thread: Some(thread) })
    }

    /// The pseudo-terminal, to be opened by a client.
    #[must_use]
    pub fn port(&self) -> PathBuf {
        self.shared.port().clone()
    }

    /// Pulls the serial adapter and plugs it in again: clients lose the port, which has another name
    /// afterwards.
    ///
    /// # Errors
    /// There is no pseudo-terminal to be had, or see [`with`](Self::with).
    pub fn replug(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.submit(move |guest| {
            guest.port = Pty::open(None)?;
            guest.port.path().clone_into(&mut shared.port());
            Ok(())
        })?
    }

    /// Does something with the board between two runs.
    ///
    /// # Errors
    /// The pseudo-terminal has failed, and the board no longer runs.
    pub fn with<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Board) -> R + Send + 'static,
    ) -> io::Result<R> {
        self.submit(|guest| act(&mut guest.board))
    }

    /// Lets the board stand still.
    ///
    /// # Errors
    /// See [`with`](Self::with).
    pub fn hold(&self) -> io::Result<()> {
        self.submit(|guest| guest.next = Next::Hold)
    }

    /// Lets the board go on.
    ///
    /// # Errors
    /// See [`with`](Self::with).
    pub fn release(&self) -> io::Result<()> {
        self.submit(|guest| guest.next = Next::Run)
    }

    /// Forgets what is under way between the board and its clients, in both directions.
    ///
    /// # Errors
    /// See [`with`](Self::with).
    pub fn discard(&self) -> io::Result<()> {
        self.submit(|guest| guest.port.discard())?
    }

    /// Simulated time after the last run.
    #[must_use]
    pub fn now(&self) -> Ticks {
        Ticks(self.shared.now.load(Ordering::Acquire))
    }

    /// Whether the board stands still since a run, and what it has sent is on its way.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.shared.held.load(Ordering::Acquire)
    }

    /// How many bytes the board has sent while a client had the port open.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Acquire)
    }

    /// Says that the clients have got all of the first `sent` bytes ([`sent`](Self::sent)) and do nothing
    /// before they get more: simulated time need not wait for them until then, or until it is `until`.
    pub fn expedite(&self, until: Ticks, sent: u64) {
        let [time, bytes] = &self.shared.expedite;
        let changed = time.swap(until.0, Ordering::AcqRel) != until.0;
        if bytes.swap(sent, Ordering::AcqRel) != sent || changed {
            self.shared.wake();
        }
    }

    fn submit<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Guest) -> R + Send + 'static,
    ) -> io::Result<R> {
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the board no longer runs");
        let (answer, result) = mpsc::sync_channel(1);
        let job = Box::new(move |guest: &mut Guest| {
            // Who asked waits for it.
            let _ = answer.send(act(guest));
        });
        self.jobs.as_ref().ok_or_else(ended)?.send(job).map_err(|_| ended())?;
        self.shared.wake();
        result.recv().map_err(|_| ended())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.jobs = None;
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // A watcher that panicked has been reported.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("port", &self.port()).finish_non_exhaustive()
    }
}

impl Shared {
    fn port(&self) -> MutexGuard<'_, PathBuf> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // It can only fail when it is awake already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

struct Worker {
    guest: Guest,
    watch: Watcher,
    queue: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    pace: Pace,
    /// Flash commands and resets so far.
    seen: (u64, u64),
    /// When the board last showed signs of life, or got something.
    alive: Ticks,
    /// What happened at the port: something came, clients came or went.
    ready: [bool; 2],
}

impl Worker {
    /// Runs the board until nobody can ask for anything any more.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let [bytes, clients] = self.ready;
            if bytes {
                let bytes = self.guest.port.receive(PORTION)?;
                if !bytes.is_empty() && self.can_run() {
                    self.guest.board.uart0_send(&bytes);
                    self.alive = self.guest.board.now();
                }
            }
            if clients {
                self.guest.port.notice_clients()?;
            }
            loop {
                match self.queue.try_recv() {
                    Ok(job) => {
                        // What the job lets the board send is for a client that came before it.
                        self.guest.port.notice_clients()?;
                        job(&mut self.guest);
                        self.tell();
                        self.alive = self.guest.board.now();
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.run()?;
            self.wait()?;
        }
    }

    fn can_run(&self) -> bool {
        self.guest.board.is_powered() && self.guest.next != Next::Hold
    }

    /// Runs a slice.
    fn run(&mut self) -> io::Result<()> {
        if !self.can_run() {
            return self.guest.port.send(&[]);
        }
        let Guest { board, next, port } = &mut self.guest;
        if board.idle_polls() > VAIN_POLLS {
            let jump = board.now() + STRIDE;
            board.skip(if let Next::RunTo(end) = *next { jump.min(end) } else { jump });
        }
        let slice = board.now() + SLICE;
        let stop = board.run(if let Next::RunTo(end) = *next { slice.min(end) } else { slice });
        let output = board.uart0_output();
        *next = (self.watch)(board, stop, &output);
        let seen = (board.flash().commands(), board.boots());
        if self.seen != seen || !output.is_empty() {
            (self.seen, self.alive) = (seen, board.now());
        }
        port.send(&output)?;
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.shared.sent.store(self.guest.port.sent(), Ordering::Release);
        self.shared.now.store(self.guest.board.now().0, Ordering::Release);
        self.shared.held.store(self.guest.next == Next::Hold, Ordering::Release);
    }

    /// How long the board may stand still; `None` until something happens.
    fn pause(&mut self) -> Option<Duration> {
        let now = self.guest.board.now();
        let [until, sent] = &self.shared.expedite;
        let expedited = now.0 < until.load(Ordering::Acquire)
            && sent.load(Ordering::Acquire) == self.guest.port.sent();
        if !self.can_run() {
            None
        } else if expedited {
            self.pace = Pace::start(now);
            Some(Duration::ZERO)
        } else if self.guest.board.idle_polls() > VAIN_POLLS {
            self.pace = Pace::start(now);
            Some(NAP)
        } else if now - self.alive < BUSY {
            self.pace = Pace::start(now);
            Some(Duration::ZERO)
        } else {
            Some(self.pace.ahead(now))
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let pause = self.pause().map(|pause| Timespec {
            tv_sec: pause.as_secs() as i64,
            tv_nsec: pause.subsec_nanos().into(),
        });
        let [client, watch] = self.guest.port.poll_fds();
        let mut fds =
            [client, watch, PollFd::from_borrowed_fd(self.shared.wake.as_fd(), PollFlags::IN)];
        match poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [bytes, clients, woken] = fds.each_ref().map(|fd| !fd.revents().is_empty());
        self.ready = [bytes, clients];
        if woken {
            match rustix::io::read(&self.shared.wake, &mut [0; 8]) {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
