//! A board and everything that is connected to it, until it is to end.

use super::console::Console;
use super::control::{Command, Control};
use super::gdb::{Debuggee, GdbServer};
use super::lines::Lines;
use super::pty::Pty;
use super::rfc2217::{Request, Rfc2217};
use super::symbols::Symbols;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use virtual_board::{Board, Cut, Pacing, ResetCause, Snapshot, Stop, Strap, Ticks};

/// Simulated time between two looks at the connections.
const SLICE: u64 = Ticks::PER_SECOND / 1000;
/// How far simulated time may run ahead of real time while somebody may have to be waited for.
const LEAD: Duration = Duration::from_millis(5);
/// Bytes from a client to the board at a time.
const PORTION: usize = 4096;
/// Snapshots that a client may keep.
const SNAPSHOTS: usize = 64;

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The console has shown the text.
    Text,
    /// Simulated time is up.
    Limit,
    /// The control socket was told to.
    Quit,
    /// A signal.
    Interrupted,
}

/// How others reach the board.
#[derive(Default)]
pub(crate) struct Connections {
    /// UART0 as standard input and output.
    pub(crate) console: Option<Console>,
    /// UART0 as pseudo-terminal.
    pub(crate) port: Option<Pty>,
    /// USB-Serial-JTAG as pseudo-terminal.
    pub(crate) usb: Option<Pty>,
    /// UART0 over TCP.
    pub(crate) rfc2217: Option<Rfc2217>,
    /// Power and straps.
    pub(crate) control: Option<Control>,
    /// A debugger.
    pub(crate) gdb: Option<GdbServer>,
}

/// What is to happen without anybody asking.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Power cuts, one after the other; power comes back at once after each.
    pub(crate) cuts: VecDeque<Cut>,
    /// When to end in simulated time.
    pub(crate) limit: Option<Duration>,
    /// End when UART0 has sent this text.
    pub(crate) until: Option<String>,
    /// Whether the serial line keeps the rate that its client sets.
    pub(crate) baud: bool,
    /// Report flash operations on the standard error output.
    pub(crate) trace_flash: bool,
}

/// What saves the flash contents when a client asks for it.
pub(crate) type Save<'a> = dyn FnMut(&Board) -> Result<(), String> + 'a;

/// A board at work.
pub(crate) struct Session<'a> {
    debuggee: Debuggee,
    connections: Connections,
    plan: Plan,
    symbols: &'a Symbols,
    save: &'a mut Save<'a>,
    /// Becomes readable at a signal.
    interrupt: UnixStream,
    /// The boot strap as the user wants it, unless the control lines say otherwise.
    strap: Strap,
    lines: Lines,
    /// Power comes back after the cut that is planned.
    restart: bool,
    snapshots: BTreeMap<String, Snapshot>,
    pace: Pace,
    end: Option<End>,
}

/// What can be read without blocking; the other connections can always be asked.
struct Ready {
    interrupt: bool,
    console: bool,
}

/// When simulated and real time were last together.
struct Pace {
    real: Instant,
    simulated: Ticks,
    /// Flash commands and resets by then.
    seen: (u64, u64),
}

impl<'a> Session<'a> {
    /// Turns the board on and gets ready.
    pub(crate) fn new(
        board: Board,
        connections: Connections,
        plan: Plan,
        strap: Strap,
        symbols: &'a Symbols,
        save: &'a mut Save<'a>,
        interrupt: UnixStream,
    ) -> Self {
        let pace = Pace { real: Instant::now(), simulated: board.now(), seen: (0, 0) };
        let mut session = Self {
            debuggee: Debuggee::new(board),
            connections,
            plan,
            symbols,
            save,
            interrupt,
            strap,
            lines: Lines::default(),
            restart: false,
            snapshots: BTreeMap::new(),
            pace,
            end: None,
        };
        let until = session.plan.until.clone();
        session.board().watch_console(until.as_deref().map(str::as_bytes));
        if session.plan.trace_flash {
            session.board().flash_mut().log();
        }
        session.board().set_strap(strap);
        session.plan_next_cut();
        session.board().power_on();
        session
    }

    /// Runs until the end. Returns the board as well.
    ///
    /// # Errors
    /// When a connection fails as a whole; a client that fails is just gone.
    pub(crate) fn run(mut self) -> io::Result<(End, Board)> {
        loop {
            let active = self.run_board()?;
            if let Some(end) = self.end {
                return Ok((end, self.debuggee.board));
            }
            let ready = self.wait(active)?;
            self.serve(ready)?;
        }
    }

    fn board(&mut self) -> &mut Board {
        &mut self.debuggee.board
    }

    /// Whether time can pass on the board.
    fn can_run(&self) -> bool {
        self.debuggee.board.is_powered() && !self.debuggee.is_halted() && !self.lines.in_reset()
    }

    /// Runs a slice and passes on what the board sends. Whether the board showed signs of life.
    fn run_board(&mut self) -> io::Result<bool> {
        if !self.can_run() {
            return Ok(false);
        }
        let end = self.plan.limit.map(Ticks::from_duration);
        let slice = self.board().now() + SLICE;
        let stop = self.debuggee.run(end.map_or(slice, |end| end.min(slice)));
        let uart = self.board().uart0_output();
        let usb = self.board().usb_output();
        self.send(&uart, &usb)?;
        self.trace();
        if let Some(gdb) = &mut self.connections.gdb {
            gdb.stopped(&mut self.debuggee, stop);
        }
        match stop {
            Stop::PowerOff => self.after_cut(),
            Stop::ConsoleText => self.end = Some(End::Text),
            Stop::Limit | Stop::Breakpoint => {
                if end.is_some_and(|end| self.board().now() >= end) {
                    self.end = Some(End::Limit);
                }
            }
        }
        let seen = (self.board().flash().commands(), self.board().boots());
        let active = self.pace.seen != seen || !uart.is_empty() || !usb.is_empty();
        self.pace.seen = seen;
        Ok(active)
    }

    fn send(&mut self, uart: &[u8], usb: &[u8]) -> io::Result<()> {
        let Connections { console, port, usb: usb_port, rfc2217, .. } = &mut self.connections;
        if let Some(console) = console {
            console.send(uart);
        }
        if let Some(port) = port {
            port.send(uart)?;
        }
        if let Some(rfc2217) = rfc2217 {
            rfc2217.send(uart);
        }
        if let Some(port) = usb_port {
            port.send(usb)?;
        }
        Ok(())
    }

    fn trace(&mut self) {
        if self.plan.trace_flash {
            let flash = self.board().flash_mut();
            for entry in flash.take_log() {
                eprintln!("{entry}");
            }
            flash.log();
        }
    }

    fn plan_next_cut(&mut self) {
        let cut = self.plan.cuts.pop_front();
        self.restart = cut.is_some();
        self.board().plan_cut(cut);
    }

    fn after_cut(&mut self) {
        eprintln!("{}", describe_cut(&self.debuggee.board));
        if self.restart {
            self.plan_next_cut();
            self.board().power_on();
        }
    }

    /// Waits for the outside: not at all while the board is active, as long as simulated time is too far
    /// ahead while it is not, and without limit while it can't run.
    fn wait(&mut self, active: bool) -> io::Result<Ready> {
        let now = self.board().now();
        let timeout = if !self.can_run() {
            None
        } else if active || !self.is_live() {
            self.be_together();
            Some(Duration::ZERO)
        } else {
            let simulated = Ticks(now - self.pace.simulated).duration();
            Some(simulated.saturating_sub(self.pace.real.elapsed() + LEAD))
        };
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let connections = &self.connections;
        let mut fds = vec![PollFd::new(&self.interrupt, PollFlags::IN)];
        fds.extend(connections.console.iter().filter_map(Console::poll_fds));
        let own = fds.len();
        for port in connections.port.iter().chain(&connections.usb) {
            fds.extend(port.poll_fds(true));
        }
        fds.extend(connections.rfc2217.iter().flat_map(Rfc2217::poll_fds));
        fds.extend(connections.control.iter().flat_map(Control::poll_fds));
        fds.extend(connections.gdb.iter().flat_map(GdbServer::poll_fds));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds[..own].iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            interrupt: ready.next().unwrap_or_default(),
            console: ready.next().unwrap_or_default(),
        })
    }

    /// Whether anything outside may still have a say.
    fn is_live(&self) -> bool {
        let Connections { console, port, usb, rfc2217, control, gdb } = &self.connections;
        console.as_ref().is_some_and(Console::is_live)
            || port.is_some()
            || usb.is_some()
            || rfc2217.is_some()
            || control.is_some()
            || gdb.is_some()
    }

    /// Does what the clients ask for.
    fn serve(&mut self, ready: Ready) -> io::Result<()> {
        if ready.interrupt {
            self.end = Some(End::Interrupted);
        }
        let mut uart = Vec::new();
        let mut usb = Vec::new();
        if let Some(console) = self.connections.console.as_mut().filter(|_| ready.console) {
            uart.extend(console.receive());
        }
        for (port, bytes) in
            [(&mut self.connections.port, &mut uart), (&mut self.connections.usb, &mut usb)]
        {
            if let Some(port) = port {
                bytes.extend(port.receive(PORTION)?);
                port.notice_clients()?;
                port.send(&[])?;
            }
        }
        if self.plan.baud
            && let Some(port) = self.connections.port.as_ref().filter(|_| !uart.is_empty())
        {
            let baud = port.baud();
            self.set_baud(baud);
        }
        self.receive(&uart);
        if !usb.is_empty() && self.can_receive() {
            self.board().usb_send(&usb);
        }
        let requests = match &mut self.connections.rfc2217 {
            Some(rfc2217) => rfc2217.service()?,
            None => Vec::new(),
        };
        for request in requests {
            match request {
                Request::Send(bytes) => self.receive(&bytes),
                Request::Lines(lines) => self.set_lines(lines),
                Request::Baud(baud) => self.set_baud(baud),
                Request::PurgeSent => self.board().uart0_discard(),
            }
        }
        if let Some(mut control) = self.connections.control.take() {
            control.service(self.symbols, |command| self.execute(command))?;
            self.connections.control = Some(control);
        }
        if let Some(gdb) = &mut self.connections.gdb {
            gdb.service(&mut self.debuggee)?;
        }
        Ok(())
    }

    /// Whether the chip listens to its serial ports.
    fn can_receive(&self) -> bool {
        self.debuggee.board.is_powered() && !self.lines.in_reset()
    }

    fn receive(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && self.can_receive() {
            self.board().uart0_send(bytes);
            self.be_together();
        }
    }

    /// Starts anew to compare simulated with real time.
    fn be_together(&mut self) {
        (self.pace.real, self.pace.simulated) = (Instant::now(), self.board().now());
    }

    fn set_baud(&mut self, baud: u32) {
        // 0 is how a terminal hangs up.
        if self.plan.baud && baud > 0 {
            self.board().set_pacing(Pacing::Baud(baud));
        }
    }

    fn set_lines(&mut self, lines: Lines) {
        let held = std::mem::replace(&mut self.lines, lines).in_reset();
        self.apply_strap();
        if held && !lines.in_reset() {
            self.board().reset(ResetCause::PowerOn);
        }
    }

    fn apply_strap(&mut self) {
        let strap = if self.lines.download() { Strap::Download } else { self.strap };
        self.board().set_strap(strap);
    }

    fn execute(&mut self, command: Command) -> Result<String, String> {
        match command {
            Command::Power(true) => self.board().power_on(),
            Command::Power(false) => self.board().power_off(),
            Command::Reset => self.board().reset(ResetCause::PowerOn),
            Command::Strap(strap) => {
                self.strap = strap;
                self.apply_strap();
            }
            Command::Cut(cut) => {
                self.restart = false;
                self.board().plan_cut(cut);
            }
            Command::Status => return Ok(self.status()),
            Command::Time => return Ok(seconds(self.board().now())),
            Command::SaveSnapshot(name) => {
                if self.snapshots.len() == SNAPSHOTS && !self.snapshots.contains_key(&name) {
                    return Err(format!("there are {SNAPSHOTS} snapshots already"));
                }
                let snapshot = self.board().snapshot();
                self.snapshots.insert(name, snapshot);
            }
            Command::RestoreSnapshot(name) => {
                let snapshot =
                    self.snapshots.get(&name).ok_or_else(|| format!("no snapshot '{name}'"))?;
                self.debuggee.board.restore(snapshot);
                self.be_together();
            }
            Command::Save => (self.save)(&self.debuggee.board)?,
            Command::Quit => self.end = Some(End::Quit),
        }
        Ok(String::new())
    }

    fn status(&self) -> String {
        let board = &self.debuggee.board;
        format!(
            "power={} reset={} strap={} time={} boots={} instructions={} operations={} commands={} pc={:#010x}",
            if board.is_powered() { "on" } else { "off" },
            if self.lines.in_reset() { "held" } else { "released" },
            if self.strap == Strap::Download { "download" } else { "flash" },
            seconds(board.now()),
            board.boots(),
            board.instructions(),
            board.flash().operations(),
            board.flash().commands(),
            board.cpu().pc,
        )
    }
}

fn seconds(time: Ticks) -> String {
    format!("{:.9}s", time.duration().as_secs_f64())
}

/// What the last power loss did, for people.
fn describe_cut(board: &Board) -> String {
    let time = seconds(board.now());
    match board.flash().power_loss().and_then(|loss| Some((loss.operation.as_ref()?, &loss.tear))) {
        Some((operation, Ok(tear))) => format!("power lost at {time} in {operation}: {tear:?}"),
        Some((operation, Err(error))) => format!("power lost at {time} in {operation}: {error}"),
        None => format!("power lost at {time}, no flash operation under way"),
    }
}
