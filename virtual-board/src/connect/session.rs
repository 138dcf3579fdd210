//! A board and everything that is connected to it, until it is to end.

use super::connections::{Connections, Ready};
use super::control::Command;
use super::gdb::Debuggee;
use super::lines::Lines;
use super::rfc2217::Request;
use super::symbols::Symbols;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use virtual_board::serve::{DEFAULT_BAUD, Pace, Pty};
use virtual_board::{Board, Cut, Pacing, ResetCause, Snapshot, Stop, Strap, Ticks};

/// Simulated time between two looks at the connections.
const SLICE: u64 = Ticks::PER_SECOND / 1000;
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
    /// The rate of the pseudo-terminal when it was last looked at.
    port_baud: u32,
    /// Power comes back after the cut that is planned.
    restart: bool,
    snapshots: BTreeMap<String, Snapshot>,
    pace: Pace,
    /// Flash commands and resets so far.
    seen: (u64, u64),
    end: Option<End>,
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
        let pace = Pace::start(board.now());
        let mut session = Self {
            debuggee: Debuggee::new(board),
            connections,
            plan,
            symbols,
            save,
            interrupt,
            strap,
            lines: Lines::default(),
            port_baud: DEFAULT_BAUD,
            restart: false,
            snapshots: BTreeMap::new(),
            pace,
            seen: (0, 0),
            end: None,
        };
        let until = session.plan.until.clone();
        session.board().watch_console(until.as_deref().map(str::as_bytes));
        if session.plan.trace_flash {
            session.board().flash_mut().log();
        }
        session.board().set_strap(strap);
        if session.connections.usb.is_some() {
            session.board().attach_usb(true);
        }
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
        self.connections.send(&uart, &usb)?;
        self.trace();
        if let Some(gdb) = &mut self.connections.gdb {
            gdb.stopped(&mut self.debuggee, stop);
        }
        match stop {
            Stop::PowerOff => self.after_cut(),
            Stop::ConsoleText => self.end = Some(End::Text),
            _ => {
                if end.is_some_and(|end| self.board().now() >= end) {
                    self.end = Some(End::Limit);
                }
            }
        }
        let seen = (self.board().flash().commands(), self.board().boots());
        let active = self.seen != seen || !uart.is_empty() || !usb.is_empty();
        self.seen = seen;
        Ok(active)
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
        } else if active || !self.connections.is_live() {
            self.pace = Pace::start(now);
            Some(Duration::ZERO)
        } else {
            Some(self.pace.ahead(now))
        };
        self.connections.wait(&self.interrupt, timeout)
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
        if let Some(baud) = self.connections.port.as_ref().filter(|_| self.plan.baud).map(Pty::baud)
            && baud != self.port_baud
        {
            self.port_baud = baud;
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
            self.pace = Pace::start(self.debuggee.board.now());
        }
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
                self.pace = Pace::start(self.debuggee.board.now());
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
