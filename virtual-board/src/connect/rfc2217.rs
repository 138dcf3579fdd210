//! A serial port over TCP with its control lines, as RFC 2217 defines it.

use super::lines::Lines;
use super::outbound::Outbound;
use super::telnet::{self, Event, Parser, Verb};
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};

/// What the board may send ahead of a client that does not read, in bytes.
const BACKLOG: usize = 64 * 1024;
/// Bytes for the client in telnet form. With this many under way, nothing is read from it.
const WIRE: usize = 16 * 1024;

const BINARY: u8 = 0;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;

/// What the board is to do for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Put these bytes on its receive line.
    Send(Vec<u8>),
    /// Follow the control lines.
    Lines(Lines),
    /// Forget what was sent to it and has not arrived.
    PurgeSent,
    /// Take the line at this rate, in baud.
    Baud(u32),
}

/// The server. It has one client at a time; a second one is told so and sent away.
#[derive(Debug)]
pub(crate) struct Rfc2217 {
    listener: TcpListener,
    client: Option<Client>,
}

impl Rfc2217 {
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

    /// Whether a client is connected.
    pub(crate) fn in_use(&self) -> bool {
        self.client.is_some()
    }

    /// What to wait for.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let client = self.client.as_ref().map(|client| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, client.wire.len() < WIRE);
            flags.set(PollFlags::OUT, !client.wire.is_empty() || client.output_waits());
            PollFd::new(&client.stream, flags)
        });
        [PollFd::new(&self.listener, PollFlags::IN)].into_iter().chain(client)
    }

    /// Lets clients come and go, and returns what they ask for.
    pub(crate) fn service(&mut self) -> io::Result<Vec<Request>> {
        let mut requests = Vec::new();
        if let Some(client) = &mut self.client
            && client.receive(&mut requests).is_err()
        {
            // As a port that is closed: both lines go off.
            self.client = None;
            requests.push(Request::Lines(Lines::default()));
        }
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) if self.client.is_some() => {
                    let _ = stream.write_all(b"The port is in use by another client.\r\n");
                }
                Ok((stream, _)) => self.client = Client::greet(stream).ok(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(requests),
                // The client went away before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends to the client, now or as soon as it reads. Without a client the bytes are lost, as on a
    /// serial port that is not open.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Some(client) = &mut self.client {
            client.send(bytes);
        }
    }
}

#[derive(Debug)]
struct Client {
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
    wire: Vec<u8>,
}

impl Client {
    fn greet(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            parser: Parser::default(),
            local: [false; 256],
            remote: [false; 256],
            lines: Lines::default(),
            baud: 115_200,
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

    fn output_waits(&self) -> bool {
        !self.suspended && !self.output.is_empty()
    }

    /// Reads what is there. An error means that the client is gone.
    fn receive(&mut self, requests: &mut Vec<Request>) -> io::Result<()> {
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

    fn send(&mut self, bytes: &[u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{Timespec, poll};

    const IAC: u8 = 255;
    const SB: u8 = 250;
    const SE: u8 = 240;

    fn connect() -> (Rfc2217, TcpStream) {
        let mut server = Rfc2217::listen("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(server.address().unwrap()).unwrap();
        while !server.in_use() {
            step(&mut server);
        }
        (server, client)
    }

    fn step(server: &mut Rfc2217) -> Vec<Request> {
        let mut fds: Vec<_> = server.poll_fds().collect();
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "nothing happened");
        drop(fds);
        server.service().unwrap()
    }

    /// What the server asks of the board for these bytes. A full stop behind them marks the end.
    fn requests(server: &mut Rfc2217, client: &mut TcpStream, bytes: &[u8]) -> Vec<Request> {
        client.write_all(bytes).unwrap();
        client.write_all(b".").unwrap();
        let mut requests = Vec::new();
        loop {
            requests.extend(step(server));
            match requests.last_mut() {
                Some(Request::Send(data)) if data == b"." => break drop(requests.pop()),
                Some(Request::Send(data)) if data.ends_with(b".") => break drop(data.pop()),
                _ => {}
            }
        }
        requests
    }

    fn com_port(command: u8, value: &[u8]) -> Vec<u8> {
        [&[IAC, SB, COM_PORT, command], value, &[IAC, SE]].concat()
    }

    /// What the server sent, up to the text "end" that it is made to send here.
    fn answers(server: &mut Rfc2217, client: &mut TcpStream) -> Vec<Event> {
        server.send(b"end");
        let mut wire = Vec::new();
        while !wire.ends_with(b"end") {
            let mut bytes = [0; 4096];
            let count = client.read(&mut bytes).unwrap();
            assert!(count > 0, "the server hung up");
            wire.extend(&bytes[..count]);
        }
        wire.truncate(wire.len() - b"end".len());
        Parser::default().parse(&wire)
    }

    #[test]
    fn negotiates_once() {
        let (mut server, mut client) = connect();
        let greeting = answers(&mut server, &mut client);
        assert!(greeting.contains(&Event::Negotiate(Verb::Will, COM_PORT)));
        assert!(greeting.contains(&Event::Negotiate(Verb::Do, COM_PORT)));
        let asked =
            [IAC, 253, COM_PORT, IAC, 251, COM_PORT, IAC, 253, 99, IAC, 251, 31, IAC, 254, 1];
        requests(&mut server, &mut client, &asked);
        let answers = answers(&mut server, &mut client);
        let refused = [(Verb::Wont, 99), (Verb::Dont, 31), (Verb::Wont, ECHO)];
        assert_eq!(answers, refused.map(|(verb, option)| Event::Negotiate(verb, option)));
    }

    #[test]
    fn obeys_and_answers_commands() {
        let (mut server, mut client) = connect();
        answers(&mut server, &mut client);
        let baud = 921_600_u32.to_be_bytes();
        let commands: &[(u8, &[u8], &[u8])] = &[
            (1, &baud, &baud),
            (1, &[0; 4], &baud),
            (2, &[8], &[8]),
            (3, &[1], &[1]),
            (4, &[1], &[1]),
            (5, &[11], &[11]),
            (5, &[8], &[8]),
            (5, &[10], &[11]),
            (5, &[12], &[12]),
            (5, &[7], &[8]),
            (12, &[3], &[3]),
        ];
        let sent: Vec<u8> =
            commands.iter().flat_map(|(code, value, _)| com_port(*code, value)).collect();
        let requests = requests(&mut server, &mut client, &sent);
        let expected: Vec<_> = commands
            .iter()
            .map(|(code, _, answer)| {
                Event::Subnegotiation([&[COM_PORT, code + 100], *answer].concat())
            })
            .collect();
        assert_eq!(answers(&mut server, &mut client), expected);
        let [
            Request::Baud(921_600),
            Request::Lines(hold),
            Request::Lines(held),
            Request::Lines(go),
            Request::PurgeSent,
        ] = &*requests
        else {
            panic!("{requests:?}")
        };
        assert!(hold.in_reset() && held.in_reset() && !go.in_reset() && go.download());
    }

    #[test]
    fn data_passes_unchanged() {
        let (mut server, mut client) = connect();
        answers(&mut server, &mut client);
        let all: Vec<u8> = (0..=255).collect();
        let mut wire = Vec::new();
        telnet::put_data(&mut wire, &all);
        let received: Vec<u8> = requests(&mut server, &mut client, &wire)
            .into_iter()
            .flat_map(|request| match request {
                Request::Send(data) => data,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(received, all);
        server.send(&all);
        let sent: Vec<_> = answers(&mut server, &mut client);
        assert_eq!(sent, [Event::Data(all)]);
    }

    #[test]
    fn a_second_client_is_told_and_the_first_goes_on() {
        let (mut server, mut first) = connect();
        let mut second = TcpStream::connect(server.address().unwrap()).unwrap();
        step(&mut server);
        let mut text = String::new();
        second.read_to_string(&mut text).unwrap();
        assert!(text.contains("in use"), "{text}");
        let hello = Request::Send(b"hello".to_vec());
        assert_eq!(requests(&mut server, &mut first, b"hello"), [hello]);
    }

    #[test]
    fn when_a_client_goes_its_lines_go_off_and_the_next_can_come() {
        let (mut server, mut client) = connect();
        requests(&mut server, &mut client, &com_port(5, &[11]));
        drop(client);
        let mut seen = Vec::new();
        while server.in_use() {
            seen.extend(step(&mut server));
        }
        assert_eq!(seen, [Request::Lines(Lines::default())]);
        let mut next = TcpStream::connect(server.address().unwrap()).unwrap();
        while !server.in_use() {
            step(&mut server);
        }
        assert_eq!(requests(&mut server, &mut next, b""), []);
    }

    /// Bytes of all kinds, mostly commands, end no connection and ask for no memory.
    #[test]
    fn survives_garbage() {
        let (mut server, mut client) = connect();
        let mut state = 1_u32;
        for _ in 0..200 {
            let bytes: Vec<u8> = (0..1000)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let byte = (state >> 24) as u8;
                    if byte < 100 {
                        [IAC, SB, SE, COM_PORT, 5, 253][usize::from(byte) % 6]
                    } else {
                        byte
                    }
                })
                .collect();
            client.write_all(&bytes).unwrap();
            step(&mut server);
            client.set_nonblocking(true).unwrap();
            while client.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
            client.set_nonblocking(false).unwrap();
        }
        // Whatever state the garbage left, this ends it.
        let end = [[IAC, SE], [IAC, SE]].concat();
        client.write_all(&end).unwrap();
        requests(&mut server, &mut client, &com_port(1, &[0; 4]));
        assert!(server.in_use());
    }

    /// A client that sends commands and never reads the answers is not read any more.
    #[test]
    fn answers_that_nobody_reads_are_bounded() {
        let (mut server, mut client) = connect();
        client.set_nonblocking(true).unwrap();
        let commands = com_port(5, &[7]).repeat(1000);
        let mut stuck = 0;
        while stuck < 3 {
            if client.write(&commands).is_err() {
                stuck += 1;
            }
            server.service().unwrap();
            assert!(server.client.as_ref().unwrap().wire.len() < 2 * WIRE + 64 * 1024);
        }
    }
}
