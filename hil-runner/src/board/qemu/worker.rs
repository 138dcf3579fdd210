//! The thread that serves a machine: its console as a pseudo-terminal, its stops, and its cuts.

use super::cutter::{Cutter, Decision};
use super::machine::{Halt, Machine};
use super::process::Process;
use crate::board::RigError;
use crate::scenario::CutKind;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;
use virtual_board::serve::{Outbound, Pty};

/// Most bytes that wait for a machine that does not take them.
const BACKLOG: usize = 64 * 1024;
/// Bytes from a client at a time.
const PORTION: usize = 4096;

/// A board in a thread of its own.
pub(super) struct Served {
    jobs: Option<mpsc::Sender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    port: PathBuf,
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

struct Shared {
    wake: OwnedFd,
    /// The device was interrupted, and all that it had sent is on its way.
    over: AtomicBool,
}

impl Served {
    /// Serves a board without power.
    pub(super) fn start() -> Result<Self, RigError> {
        let pty = Pty::open(None)?;
        let port = pty.path().to_owned();
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(std::io::Error::from)?;
        let shared = Arc::new(Shared { wake, over: AtomicBool::new(false) });
        let (jobs, queue) = mpsc::channel();
        let mut worker = Worker {
            pty,
            machine: None,
            cutter: Cutter::new(),
            failure: None,
            input: Outbound::new(BACKLOG),
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("qemu".into()).spawn(move || {
            // Without a port nobody hears of the board again: calls fail from then on.
            if let Err(error) = worker.serve(&queue) {
                eprintln!("{}: {error}", worker.pty.path().display());
            }
        })?;
        Ok(Self { jobs: Some(jobs), shared, thread: Some(thread), port })
    }

    /// The pseudo-terminal.
    pub(super) fn port(&self) -> &Path {
        &self.port
    }

    /// Whether the device was interrupted.
    pub(super) fn over(&self) -> impl Fn() -> bool + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.over.load(Ordering::Acquire)
    }

    /// Does something in the thread.
    pub(super) fn with<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Worker) -> R + Send + 'static,
    ) -> Result<R, RigError> {
        let ended = || RigError::new("the thread that serves QEMU has ended");
        let (answer, result) = mpsc::sync_channel(1);
        let job = Box::new(move |worker: &mut Worker| {
            // Who asked waits for it.
            let _ = answer.send(act(worker));
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
            // A panic has been reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn wake(&self) {
        // It can only fail when it is awake already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// What the thread has.
pub(super) struct Worker {
    pty: Pty,
    machine: Option<Machine>,
    pub(super) cutter: Cutter,
    /// Why the machine is gone, if nobody took its power away.
    failure: Option<RigError>,
    /// What clients have sent and the machine has not taken.
    input: Outbound,
    shared: Arc<Shared>,
}

/// What has happened at something that is waited for.
#[derive(Clone, Copy, Default)]
struct Ready {
    clients: bool,
    serial: bool,
    gdb: bool,
}

impl Worker {
    /// Gives power to a machine that stands still; one that was reset, and stands still, stays.
    pub(super) fn power_on(&mut self, program: &Path, flash: &Path) -> Result<(), RigError> {
        self.pty.discard()?;
        self.input.clear();
        if self.machine.as_ref().is_some_and(|machine| !machine.runs()) {
            return Ok(());
        }
        self.power_off()?;
        self.machine = Some(Machine::start(program, flash)?);
        Ok(())
    }

    /// Lets the machine run.
    pub(super) fn go_on(&mut self) -> Result<(), RigError> {
        self.shared.over.store(false, Ordering::Release);
        self.cutter.restart();
        match &mut self.machine {
            Some(machine) => machine.go_on(),
            None => Err(RigError::new("QEMU does not run")),
        }
    }

    /// Takes power away.
    pub(super) fn power_off(&mut self) -> Result<(), RigError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.machine.take().map_or(Ok(()), Machine::cut)
    }

    /// Resets the machine; it stands still where it starts.
    pub(super) fn reset(&mut self) -> Result<(), RigError> {
        match &mut self.machine {
            Some(machine) => machine.reset(),
            None => Err(self.failure.take().unwrap_or_else(|| RigError::new("QEMU does not run"))),
        }
    }

    fn serve(&mut self, queue: &mpsc::Receiver<Job>) -> Result<(), RigError> {
        let mut ready = Ready { clients: true, serial: true, gdb: false };
        loop {
            if ready.clients {
                let bytes = self.pty.receive(PORTION)?;
                if self.machine.is_some() {
                    self.input.push(&bytes);
                }
                self.pty.notice_clients()?;
            }
            loop {
                match queue.try_recv() {
                    Ok(job) => {
                        // What the job lets the machine send is for a client that came before it.
                        self.pty.notice_clients()?;
                        job(self);
                        // It may be another machine now.
                        ready = Ready::default();
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if let Err(error) = self.attend(ready)
                && let Some(machine) = self.machine.take()
            {
                self.failure = Some(machine.process.why(&error));
                self.over();
            }
            self.pty.send(&[])?;
            ready = self.wait()?;
        }
    }

    /// Does what the machine and its cut ask for.
    fn attend(&mut self, ready: Ready) -> Result<(), RigError> {
        if self.machine.is_none() {
            return Ok(());
        }
        if ready.serial {
            self.console()?;
        }
        if let Some(machine) = &mut self.machine {
            self.input.write_to(&mut machine.process.input)?;
            if let Some(halt) = machine.halted(ready.gdb)? {
                self.halted(halt)?;
            }
        }
        if self.cutter.is_due(Instant::now()) {
            self.cut()?;
        }
        Ok(())
    }

    /// Passes on what the machine has sent.
    fn console(&mut self) -> Result<(), RigError> {
        let mut buffer = [0; 4096];
        while let Some(machine) = &mut self.machine {
            match machine.process.output.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.cutter.console(&buffer[..count], Instant::now());
                    self.pty.send(&buffer[..count])?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn halted(&mut self, halt: Halt) -> Result<(), RigError> {
        // What the machine has said before it stopped has come: it may announce the operation.
        self.console()?;
        let decision = match halt {
            Halt::Start => {
                self.cutter.restart();
                Decision::GoOn
            }
            Halt::Begins(operation) => self.cutter.begins(operation),
            Halt::Ends(operation) => self.cutter.ends(operation),
            Halt::Elsewhere => Decision::GoOn,
        };
        if decision == Decision::Cut {
            return self.cut();
        }
        let Some(machine) = &mut self.machine else { return Ok(()) };
        if let (Decision::StopAtReturn, Halt::Begins(operation)) = (decision, halt) {
            machine.stop_at_return(Some(operation))?;
        }
        machine.go_on()
    }

    /// Makes the cut that is planned.
    fn cut(&mut self) -> Result<(), RigError> {
        let Some(machine) = &mut self.machine else { return Ok(()) };
        machine.halt()?;
        self.console()?;
        let Some(kind) = self.cutter.cut(Instant::now()) else { return Ok(()) };
        match kind {
            CutKind::EnReset => self.reset()?,
            _ => self.power_off()?,
        }
        self.over();
        Ok(())
    }

    /// The device was interrupted.
    fn over(&mut self) {
        self.input.clear();
        self.shared.over.store(true, Ordering::Release);
    }

    /// Waits until something happens.
    fn wait(&self) -> Result<Ready, RigError> {
        let due = self.cutter.due().map(|due| due.saturating_duration_since(Instant::now()));
        let limit = due.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        fds.extend(self.pty.poll_fds());
        if let Some(machine) = &self.machine {
            let Process { output, input, gdb, .. } = &machine.process;
            fds.push(PollFd::new(output, PollFlags::IN));
            fds.push(PollFd::new(gdb.stream(), PollFlags::IN));
            if !self.input.is_empty() {
                fds.push(PollFd::new(input, PollFlags::OUT));
            }
        }
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        if is_ready(0) {
            // It is empty if another wake came between.
            let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
        }
        Ok(Ready { clients: is_ready(1) || is_ready(2), serial: is_ready(3), gdb: is_ready(4) })
    }
}
