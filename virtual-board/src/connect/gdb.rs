//! GDB's remote protocol: a debugger for whatever runs on the board.

use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{GdbStub, SingleThreadStopReason};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::singlethread::{
    SingleThreadBase, SingleThreadResume, SingleThreadResumeOps, SingleThreadSingleStep,
    SingleThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, SwBreakpoint, SwBreakpointOps,
};
use gdbstub::target::{Target, TargetError, TargetResult};
use gdbstub_arch::riscv::Riscv32;
use gdbstub_arch::riscv::reg::RiscvCoreRegs;
use rustix::event::{PollFd, PollFlags};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use virtual_board::serve::Outbound;
use virtual_board::{Board, Stop, Ticks};

/// Largest packet, in bytes; GDB splits larger memory accesses.
const PACKET: usize = 4096;
/// More than GDB asks for before it reads an answer, in bytes.
const BACKLOG: usize = 1024 * 1024;

/// Whether a debugger lets the board run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Control {
    /// There is no debugger, or it has let the board run.
    #[default]
    Running,
    /// One instruction is to be executed.
    Stepping,
    /// The debugger has stopped the board.
    Halted,
}

/// A board that a debugger can stop.
#[derive(Debug)]
pub(crate) struct Debuggee {
    /// The board.
    pub(crate) board: Board,
    breakpoints: BTreeSet<u32>,
    control: Control,
}

impl Debuggee {
    /// A board without debugger.
    pub(crate) fn new(board: Board) -> Self {
        Self { board, breakpoints: BTreeSet::new(), control: Control::default() }
    }

    /// Whether the debugger has stopped the board.
    pub(crate) fn is_halted(&self) -> bool {
        self.control == Control::Halted
    }

    /// Runs until `limit` as far as the debugger wants it.
    pub(crate) fn run(&mut self, limit: Ticks) -> Stop {
        match self.control {
            Control::Running => self.board.run(limit),
            Control::Stepping => self.board.step(),
            Control::Halted => Stop::Limit,
        }
    }

    fn set_breakpoint(&mut self, address: u32, set: bool) -> bool {
        let changed =
            if set { self.breakpoints.insert(address) } else { self.breakpoints.remove(&address) };
        self.board.set_breakpoints(self.breakpoints.clone());
        changed || set
    }

    fn release(&mut self) {
        self.control = Control::Running;
        self.breakpoints.clear();
        self.board.set_breakpoints(BTreeSet::new());
    }
}

impl Target for Debuggee {
    type Arch = Riscv32;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Riscv32, Infallible> {
        BaseOps::SingleThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadBase for Debuggee {
    fn read_registers(&mut self, registers: &mut RiscvCoreRegs<u32>) -> TargetResult<(), Self> {
        let cpu = self.board.cpu();
        registers.x = cpu.x;
        registers.pc = cpu.pc;
        Ok(())
    }

    fn write_registers(&mut self, registers: &RiscvCoreRegs<u32>) -> TargetResult<(), Self> {
        let cpu = self.board.cpu_mut();
        cpu.x[1..].copy_from_slice(&registers.x[1..]);
        cpu.pc = registers.pc & !1;
        Ok(())
    }

    fn read_addrs(&mut self, start: u32, data: &mut [u8]) -> TargetResult<usize, Self> {
        let mut count = 0;
        for (byte, address) in data.iter_mut().zip(start..=u32::MAX) {
            let Some(value) = self.board.peek(address) else { break };
            *byte = value;
            count += 1;
        }
        if count == 0 && !data.is_empty() { Err(TargetError::NonFatal) } else { Ok(count) }
    }

    fn write_addrs(&mut self, start: u32, data: &[u8]) -> TargetResult<(), Self> {
        for (&byte, address) in data.iter().zip(start..=u32::MAX) {
            self.board.poke(address, byte).ok_or(TargetError::NonFatal)?;
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<SingleThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadResume for Debuggee {
    fn resume(&mut self, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.control = Control::Running;
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<SingleThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadSingleStep for Debuggee {
    fn step(&mut self, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.control = Control::Stepping;
        Ok(())
    }
}

impl Breakpoints for Debuggee {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }
}

// Both kinds are the same here: neither changes memory, so that both work in ROM and flash.
impl SwBreakpoint for Debuggee {
    fn add_sw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.set_breakpoint(address, true))
    }

    fn remove_sw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.set_breakpoint(address, false))
    }
}

impl HwBreakpoint for Debuggee {
    fn add_hw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.set_breakpoint(address, true))
    }

    fn remove_hw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.set_breakpoint(address, false))
    }
}

/// What the stub answers, until the socket takes it.
struct Answers(Outbound);

impl Connection for Answers {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.push(&[byte]);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Stub = GdbStubStateMachine<'static, Debuggee, Answers>;

struct Client {
    stream: TcpStream,
    stub: Stub,
}

/// The server. It has one debugger at a time; a second connection is closed at once.
pub(crate) struct GdbServer {
    listener: TcpListener,
    client: Option<Client>,
}

impl GdbServer {
    /// Listens.
    pub(crate) fn listen(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, client: None })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What to wait for.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let client = self.client.as_ref().map(|it| PollFd::new(&it.stream, PollFlags::IN));
        [PollFd::new(&self.listener, PollFlags::IN)].into_iter().chain(client)
    }

    /// Lets a debugger come and go, and does what it asks for. A board that a debugger connects to stops.
    pub(crate) fn service(&mut self, debuggee: &mut Debuggee) -> io::Result<()> {
        if let Some(client) = self.client.take() {
            self.keep(client.converse(debuggee), debuggee);
        }
        loop {
            match self.listener.accept() {
                Ok(_) if self.client.is_some() => {}
                Ok((stream, _)) => self.keep(Client::attach(stream, debuggee), debuggee),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The debugger went away before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the debugger that the board has stopped by itself.
    pub(crate) fn stopped(&mut self, debuggee: &mut Debuggee, stop: Stop) {
        let reason = match (debuggee.control, stop) {
            (Control::Running | Control::Stepping, Stop::Breakpoint) => {
                SingleThreadStopReason::SwBreak(())
            }
            // It stands still until power comes back or the debugger interrupts it.
            (_, Stop::PowerOff) => return,
            (Control::Stepping, _) => SingleThreadStopReason::DoneStep,
            _ => return,
        };
        debuggee.control = Control::Halted;
        if let Some(client) = self.client.take() {
            self.keep(client.report(debuggee, reason), debuggee);
        }
    }

    /// A debugger that is gone leaves the board as if it had never been there.
    fn keep(&mut self, client: Option<Client>, debuggee: &mut Debuggee) {
        self.client = client;
        if self.client.is_none() {
            debuggee.release();
        }
    }
}

/// Each step gives the client back unless the debugger is gone.
impl Client {
    fn attach(stream: TcpStream, debuggee: &mut Debuggee) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        stream.set_nodelay(true).ok()?;
        debuggee.control = Control::Halted;
        let answers = Answers(Outbound::new(BACKLOG));
        let stub = GdbStub::builder(answers).packet_buffer_size(PACKET).build().ok()?;
        Some(Self { stream, stub: stub.run_state_machine(debuggee).ok()? })
    }

    fn converse(mut self, debuggee: &mut Debuggee) -> Option<Self> {
        loop {
            let mut bytes = [0; PACKET];
            let count = match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.send(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            for &byte in &bytes[..count] {
                self.stub = match self.stub {
                    Stub::Idle(stub) => stub.incoming_data(debuggee, byte),
                    Stub::Running(stub) => stub.incoming_data(debuggee, byte),
                    other => Ok(other),
                }
                .ok()?;
                self.stub = match self.stub {
                    Stub::CtrlCInterrupt(stub) => {
                        debuggee.control = Control::Halted;
                        let reason = SingleThreadStopReason::Signal(Signal::SIGINT);
                        stub.interrupt_handled(debuggee, Some(reason)).ok()?
                    }
                    Stub::Disconnected(_) => {
                        // The answer to the request to go.
                        let _ = self.send();
                        return None;
                    }
                    other => other,
                };
            }
        }
    }

    fn report(
        mut self,
        debuggee: &mut Debuggee,
        reason: SingleThreadStopReason<u32>,
    ) -> Option<Self> {
        if let Stub::Running(stub) = self.stub {
            self.stub = stub.report_stop(debuggee, reason).ok()?;
        }
        self.send()
    }

    fn send(mut self) -> Option<Self> {
        let answers = match &mut self.stub {
            Stub::Idle(stub) => stub.borrow_conn(),
            Stub::Running(stub) => stub.borrow_conn(),
            Stub::CtrlCInterrupt(stub) => stub.borrow_conn(),
            Stub::Disconnected(stub) => stub.borrow_conn(),
        };
        answers.0.write_to(&mut self.stream).ok()?;
        Some(self)
    }
}
