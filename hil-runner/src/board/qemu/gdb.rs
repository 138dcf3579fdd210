//! A client of GDB's remote protocol: what it takes to stop a machine at an address.
//!
//! Packets, commands and stop replies are those of the GDB manual, "GDB Remote Serial Protocol".

use crate::board::RigError;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long an answer may take. A machine that is to stop first finishes what it writes to its flash file.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest packet that is taken for one; those asked for here have less than a hundred bytes.
const PACKET: usize = 16 * 1024;
/// What interrupts a machine that runs; it is no packet.
const INTERRUPT: u8 = 0x03;
/// Length of a breakpoint's instruction: the mask ROM is compressed code.
const INSTRUCTION: u32 = 2;

/// What stands in registers of a RISC-V machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    /// `pc`: the instruction that comes next.
    pub(super) next: u32,
    /// `ra`: where a function returns to.
    pub(super) returns: u32,
    /// `a0` and `a2`: its first and third argument.
    pub(super) arguments: [u32; 2],
}

/// A connection to the machine's GDB server. The machine stands still unless it was told to go on.
pub(super) struct Gdb {
    stream: UnixStream,
    incoming: Incoming,
}

impl Gdb {
    /// Greets a server that was connected to just now: no breakpoints are set in it.
    pub(super) fn greet(stream: UnixStream) -> Result<Self, RigError> {
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let mut gdb = Self { stream, incoming: Incoming::default() };
        gdb.ask("?")?;
        Ok(gdb)
    }

    /// The connection, to be waited for while the machine runs.
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Lets the machine stop before it executes what is at this address.
    pub(super) fn set_breakpoint(&mut self, address: u32) -> Result<(), RigError> {
        self.done(&format!("Z0,{address:x},{INSTRUCTION}"))
    }

    /// Takes such a place back.
    pub(super) fn clear_breakpoint(&mut self, address: u32) -> Result<(), RigError> {
        self.done(&format!("z0,{address:x},{INSTRUCTION}"))
    }

    /// The registers. What the machine has written to flash before it stopped is in the file then: QEMU
    /// announces that it stops before it has written all, and answers afterwards.
    pub(super) fn registers(&mut self) -> Result<Registers, RigError> {
        // Those that are asked for one by one QEMU gives only to who has read its description of them.
        let answer = self.ask("g")?;
        let bytes = unhex(&answer).unwrap_or_default();
        let (all, _) = bytes.as_chunks::<4>();
        // As GDB numbers them: x0 to x31, then pc.
        let register = |number: usize| all.get(number).map(|bytes| u32::from_le_bytes(*bytes));
        let registers = || {
            let arguments = [register(10)?, register(12)?];
            Some(Registers { next: register(32)?, returns: register(1)?, arguments })
        };
        registers().ok_or_else(|| wrong(&format!("the registers are {answer:?}")))
    }

    /// Gives a command to QEMU's monitor.
    pub(super) fn monitor(&mut self, command: &str) -> Result<(), RigError> {
        let hex: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.send(&format!("qRcmd,{hex}"))?;
        loop {
            // What it prints comes in packets of its own.
            match self.packet()? {
                text if text.starts_with('O') && text != "OK" => {}
                text if text == "OK" => return Ok(()),
                text => return Err(wrong(&format!("{command} is answered by {text:?}"))),
            }
        }
    }

    /// Executes one instruction, also one with a breakpoint.
    pub(super) fn step(&mut self) -> Result<(), RigError> {
        self.send("s")?;
        self.stopped()
    }

    /// Lets the machine go on. It stops at once where there is a breakpoint.
    pub(super) fn go_on(&mut self) -> Result<(), RigError> {
        self.send("c")
    }

    /// Asks a machine that runs to stop; [`stopped`](Self::stopped) says when it has.
    pub(super) fn interrupt(&mut self) -> Result<(), RigError> {
        self.stream.write_all(&[INTERRUPT]).map_err(|error| gone(&error))
    }

    /// Waits until a machine that runs has stopped.
    pub(super) fn stopped(&mut self) -> Result<(), RigError> {
        let reply = self.packet()?;
        is_stop(&reply)
    }

    /// Whether a machine that runs has stopped; looks into the connection if it is `readable`.
    pub(super) fn has_stopped(&mut self, readable: bool) -> Result<bool, RigError> {
        if readable {
            self.receive()?;
        }
        match self.next()? {
            Some(reply) => is_stop(&reply).map(|()| true),
            None => Ok(false),
        }
    }

    fn done(&mut self, command: &str) -> Result<(), RigError> {
        match self.ask(command)?.as_str() {
            "OK" => Ok(()),
            answer => Err(wrong(&format!("{command} is answered by {answer:?}"))),
        }
    }

    fn ask(&mut self, command: &str) -> Result<String, RigError> {
        self.send(command)?;
        self.packet()
    }

    fn send(&mut self, command: &str) -> Result<(), RigError> {
        self.stream.write_all(&packet(command)).map_err(|error| gone(&error))
    }

    /// The next packet.
    fn packet(&mut self) -> Result<String, RigError> {
        let end = Instant::now() + ANSWER;
        loop {
            if let Some(packet) = self.next()? {
                return Ok(packet);
            }
            self.receive()?;
            if Instant::now() > end {
                return Err(gone(&format!("no answer within {} s", ANSWER.as_secs())));
            }
        }
    }

    /// The next packet, if all of it has come.
    fn next(&mut self) -> Result<Option<String>, RigError> {
        let packet = self.incoming.next()?;
        if packet.is_some() {
            self.stream.write_all(b"+").map_err(|error| gone(&error))?;
        }
        Ok(packet)
    }

    /// Waits for more.
    fn receive(&mut self) -> Result<(), RigError> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(gone(&"it has closed the connection")),
            Ok(count) => {
                self.incoming.bytes.extend(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(gone(&error)),
        }
    }
}

fn is_stop(reply: &str) -> Result<(), RigError> {
    match reply.as_bytes().first() {
        Some(b'S' | b'T') => Ok(()),
        _ => Err(wrong(&format!("it stops with {reply:?}"))),
    }
}

fn gone(why: &dyn std::fmt::Display) -> RigError {
    RigError::new(format!("QEMU's GDB server: {why}"))
}

fn wrong(what: &str) -> RigError {
    gone(&format!("{what}, which is no answer to what was asked"))
}

/// A command as it is sent.
fn packet(command: &str) -> Vec<u8> {
    format!("${command}#{:02x}", sum(command.as_bytes())).into_bytes()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What has come and is no packet yet.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// Takes the next packet out, if all of it has come.
    fn next(&mut self) -> Result<Option<String>, RigError> {
        // Acknowledgements stand between packets: the connection loses nothing.
        let start = self.bytes.iter().position(|byte| *byte == b'$').unwrap_or(self.bytes.len());
        self.bytes.drain(..start);
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'#') else {
            if self.bytes.len() > PACKET {
                return Err(wrong("a packet without end"));
            }
            return Ok(None);
        };
        let Some(digits) = self.bytes.get(end + 1..end + 3) else {
            return Ok(None);
        };
        let expected = std::str::from_utf8(digits).ok();
        let expected = expected.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let content = &self.bytes[1..end];
        if expected != Some(sum(content)) {
            return Err(wrong("a packet with a wrong checksum"));
        }
        let content = String::from_utf8_lossy(content).into_owned();
        self.bytes.drain(..end + 3);
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// All packets in what comes in pieces of that size.
    fn packets(bytes: &[u8], size: usize) -> Result<Vec<String>, RigError> {
        let mut incoming = Incoming::default();
        let mut packets = Vec::new();
        for piece in bytes.chunks(size) {
            incoming.bytes.extend(piece);
            while let Some(packet) = incoming.next()? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    #[test]
    fn packets_come_in_pieces_and_among_acknowledgements() {
        // The checksums are those of the manual's definition: the sum of all characters modulo 256.
        let stream = b"+$OK#9a++$T05thread:01;#07+$#00$E1";
        for size in 1..stream.len() {
            assert_eq!(packets(stream, size).unwrap(), ["OK", "T05thread:01;", ""], "{size}");
        }
        assert_eq!(packet("g"), b"$g#67");
        assert_eq!(packet(""), b"$#00");
    }

    #[test]
    fn broken_packets_are_refused() {
        for bad in [&b"$OK#9b"[..], b"$OK#zz", b"$OK#\xFF\xFF"] {
            let error = packets(bad, 1).unwrap_err().to_string();
            assert!(error.contains("wrong checksum"), "{error}");
        }
        let endless = [b"$".as_slice(), &[b'x'; PACKET]].concat();
        assert!(packets(&endless, 100).unwrap_err().to_string().contains("without end"));
    }

    #[test]
    fn digits_that_are_none() {
        assert_eq!(unhex("00c40042"), Some(vec![0, 0xC4, 0, 0x42]));
        assert_eq!(unhex("0g"), None);
        assert_eq!(unhex("é"), None);
    }

    /// What the client says to a server that answers like this, after the greeting.
    fn dialogue(
        answers: &'static [&'static str],
        act: impl FnOnce(&mut Gdb) -> Result<(), RigError>,
    ) -> (Result<(), RigError>, Vec<String>) {
        let (client, mut server) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let (mut incoming, mut said) = (Incoming::default(), Vec::new());
            let mut answers = ["T05thread:01;"].iter().chain(answers);
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = server.read(&mut buffer) {
                incoming.bytes.extend(&buffer[..count]);
                while let Some(command) = incoming.next().unwrap() {
                    said.push(command);
                    let Some(answer) = answers.next() else { return said };
                    for answer in answer.split(' ') {
                        server.write_all(&[b"+", packet(answer).as_slice()].concat()).unwrap();
                    }
                }
            }
            said
        });
        let mut gdb = Gdb::greet(client).unwrap();
        let result = act(&mut gdb);
        drop(gdb);
        (result, server.join().unwrap())
    }

    #[test]
    fn a_machine_is_stopped_looked_at_and_let_go_on() {
        // Register n holds n in its lowest byte, and 0x40 in its highest one.
        const ALL: &str = "\
            00000040010000400200004003000040040000400500004006000040070000400800004009000040\
            0a0000400b0000400c0000400d0000400e0000400f00004010000040110000401200004013000040\
            1400004015000040160000401700004018000040190000401a0000401b0000401c0000401d000040\
            1e0000401f00004020000040";
        let (result, said) = dialogue(&["OK", ALL, "OK", "T05thread:01;"], |gdb| {
            gdb.set_breakpoint(0x4000_0128)?;
            let arguments = [0x4000_000A, 0x4000_000C];
            let expected = Registers { next: 0x4000_0020, returns: 0x4000_0001, arguments };
            assert_eq!(gdb.registers()?, expected);
            gdb.clear_breakpoint(0x4000_0128)?;
            gdb.step()
        });
        assert_eq!(result, Ok(()));
        assert_eq!(said, ["?", "Z0,40000128,2", "g", "z0,40000128,2", "s"]);
    }

    #[test]
    fn what_the_monitor_prints_is_passed_over() {
        let (result, said) = dialogue(&["O0a0d O41 OK"], |gdb| gdb.monitor("system_reset"));
        assert_eq!(result, Ok(()));
        assert_eq!(said, ["?", "qRcmd,73797374656d5f7265736574"]);
        let (result, _) = dialogue(&["E22"], |gdb| gdb.monitor("x"));
        assert!(result.unwrap_err().to_string().contains(r#"answered by "E22""#));
    }

    #[test]
    fn answers_that_are_none_are_errors() {
        for (answers, expected) in [
            (&[""][..], r#"Z0,40000128,2 is answered by """#),
            (&["E22"], r#"answered by "E22""#),
            (&[], "closed the connection"),
        ] {
            let (result, _) = dialogue(answers, |gdb| gdb.set_breakpoint(0x4000_0128));
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let (result, _) = dialogue(&["OK"], Gdb::step);
        assert!(result.unwrap_err().to_string().contains(r#"it stops with "OK""#));
        let (result, _) = dialogue(&["2801"], |gdb| gdb.registers().map(drop));
        assert!(result.unwrap_err().to_string().contains(r#"the registers are "2801""#));
    }
}
