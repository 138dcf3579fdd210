//! One client of the server: telnet options, commands, and bytes in both directions.

use super::Request;
use crate::connect::lines::Lines;
use crate::connect::telnet::{self, Event, Parser, Verb};
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use virtual_board::serve::{DEFAULT_BAUD, Outbound};

/// What the board may send ahead of a client that does not read, in bytes.
const BACKLOG: usize = 64 * 1024;
/// Bytes for the client in telnet form. With this many under way, nothing is read from it.
pub(super) const WIRE: usize = 16 * 1024;

const BINARY: u8 = 0;
pub(super) const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
pub(super) const COM_PORT: u8 = 44;

#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    parser: Parser,
    /// Which options this side has on, and which the client.
    local: [bool; 256],
    remote: [bool; 256],
    lines: Lines,
    baud: u32,
    suspended: bool,
    output: Outbound,
    told: bool,
    /// In telnet form: whole commands, so that nothing may be dropped here.
    pub(super) wire: Vec<u8>,
}

impl Client {
    /// Tells a new client what the server can do.
    pub(super) fn greet(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            parser: Parser::default(),
            local: [false; 256],
            remote: [false; 256],
            lines: Lines::default(),
            baud: DEFAULT_BAUD,
            suspended: false,
            output: Outbound::new(BACKLOG),
            told: false,
            wire: Vec::new(),
        };
        for option in [BINARY, ECHO, SUPPRESS_GO_AHEAD, COM_PORT] {
            client.local[usize::from(option)] = true;
            telnet::put_negotiation(&mut client.wire, Verb::Will, option);
        }
        for option in [BINARY, SUPPRESS_GO_AHEAD, COM_PORT] {
            client.remote[usize::from(option)] = true;
            telnet::put_negotiation(&mut client.wire, Verb::Do, option);
        }
        Ok(client)
    }

    /// What to wait for.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.wire.len() < WIRE);
        flags.set(PollFlags::OUT, !self.wire.is_empty() || self.output_waits());
        PollFd::new(&self.stream, flags)
    }

    fn output_waits(&self) -> bool {
        !self.suspended && !self.output.is_empty()
    }

    /// Reads what is there and obeys. An error means that the client is gone.
    pub(super) fn receive(&mut self, requests: &mut Vec<Request>) -> io::Result<()> {
        self.flush()?;
        while self.wire.len() < WIRE {
            let mut bytes = [0; 4096];
            let count = match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in self.parser.parse(&bytes[..count]) {
                match event {
                    Event::Data(data) => requests.push(Request::Send(data)),
                    Event::Negotiate(verb, option) => self.negotiate(verb, option),
                    Event::Subnegotiation(parameters) => {
                        if let [COM_PORT, command, value @ ..] = &*parameters {
                            requests.extend(self.com_port(*command, value));
                        }
                    }
                }
            }
        }
        self.flush()
    }

    /// Answers a change only: answering every message would never end (RFC 1143).
    fn negotiate(&mut self, verb: Verb, option: u8) {
        let supported = matches!(option, BINARY | ECHO | SUPPRESS_GO_AHEAD | COM_PORT);
        let (state, on, yes, no) = match verb {
            Verb::Do | Verb::Dont => (&mut self.local, verb == Verb::Do, Verb::Will, Verb::Wont),
            Verb::Will | Verb::Wont => (&mut self.remote, verb == Verb::Will, Verb::Do, Verb::Dont),
        };
        let state = &mut state[usize::from(option)];
        if on == *state {
            return;
        }
        *state = on && supported;
        telnet::put_negotiation(&mut self.wire, if *state { yes } else { no }, option);
    }

    /// Obeys a command of the COM port option and answers it: its code + 100, and what is set now.
    fn com_port(&mut self, command: u8, value: &[u8]) -> Option<Request> {
        let mut request = None;
        let answer = match (command, value) {
            // Signature: who is there.
            (0, _) => b"virtual ESP32-C3".to_vec(),
            // Baud rate; 0 asks for it.
            (1, &[a, b, c, d]) => {
                let baud = u32::from_be_bytes([a, b, c, d]);
                if baud != 0 {
                    self.baud = baud;
                    request = Some(Request::Baud(baud));
                }
                self.baud.to_be_bytes().to_vec()
            }
            // Data bits, parity, stop bits: always 8, none, 1.
            (2, [_]) => vec![8],
            (3 | 4, [_]) => vec![1],
            (5, &[control]) => {
                let (answer, changed) = self.control(control);
                request = changed.then_some(Request::Lines(self.lines));
                vec![answer]
            }
            (8, _) => {
                self.suspended = true;
                return None;
            }
            (9, _) => {
                self.suspended = false;
                return None;
            }
            // Masks of notifications that are never sent.
            (10 | 11, &[mask]) => vec![mask],
            (12, &[which]) => {
                if which & 1 != 0 {
                    self.output.clear();
                }
                request = (which & 2 != 0).then_some(Request::PurgeSent);
                vec![which]
            }
            _ => return None,
        };
        telnet::put_subnegotiation(
            &mut self.wire,
            COM_PORT,
            &[&[command + 100], &*answer].concat(),
        );
        request
    }

    /// Sets or tells a line; returns the answer, and whether a line may have changed.
    fn control(&mut self, control: u8) -> (u8, bool) {
        match control {
            8 | 9 => self.lines.set_dtr(control == 8),
            11 | 12 => self.lines.set_rts(control == 11),
            _ => {}
        }
        let answer = match control {
            // There is no flow control, in neither direction, and no break.
            0..=3 => 1,
            4..=6 => 6,
            7..=9 => 9 - u8::from(self.lines.dtr()),
            10..=12 => 12 - u8::from(self.lines.rts()),
            13..=16 => 14,
            other => other,
        };
        (answer, matches!(control, 8 | 9 | 11 | 12))
    }

    /// Sends data, now or as soon as the client reads.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.output.push(bytes) > 0 && !self.told {
            self.told = true;
            eprintln!("RFC 2217: the client does not read: the oldest output is lost");
        }
        // If the client is gone, the next read tells.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        loop {
            if self.wire.is_empty() {
                if !self.output_waits() {
                    return Ok(());
                }
                telnet::put_data(&mut self.wire, &self.output.take(WIRE / 2));
            }
            match self.stream.write(&self.wire) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.wire.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
