//! Aiming a cut at a flash operation by its number.
//!
//! What a case counts are operations ([`Operation`]); what power can be cut in are commands to the flash
//! chip. While the firmware's trace is on, an operation is what an `ota-op: begin` line announces, and the
//! commands up to the next line of the trace are its own. A command that nothing announces, as those of the
//! bootloader, is an operation by itself. docs/smp-group.md, "Flash trace", says how many commands an
//! operation is.

use super::{Operation, OperationKind};

/// Most bytes in a Page Program command of the mask ROM's driver (ESP-IDF,
/// `ESP_ROM_SPIFLASH_BUFF_BYTE_WRITE_NUM`).
const PIECE: u32 = 32;
/// Bytes that a Page Program command cannot leave.
const PAGE: u32 = 256;
/// Bytes of the unit of an erase.
const SECTOR: u32 = 4096;
/// Longest line that is kept to its end; those of the trace have at most 80 bytes.
const LINE: usize = 1024;

/// Counts operations, and says which command to cut.
///
/// To be fed with what the console shows and with the flash commands (programs and erases), in their order.
#[derive(Clone, Debug, Default)]
pub struct Aim {
    target: Option<Target>,
    /// Operations that have begun since the target was set.
    begun: u32,
    /// The operation aimed at.
    hit: Option<Operation>,
    open: Option<Open>,
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    last: Option<Operation>,
    log: Vec<Operation>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Target {
    number: u32,
    into: f64,
}

/// An announced operation that has not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    operation: Operation,
    /// Its number; 0 for one that had begun before the target was set.
    number: u32,
    /// Its commands so far.
    commands: u32,
}

/// Where to cut, as far as it is known now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shot {
    /// In a command to come.
    In {
        /// How many commands come before it.
        after: u32,
        /// How far into it, from 0 just before it to 1 just after it.
        fraction: f64,
    },
    /// At once: the operation is over and had fewer commands than it should have, because it failed or the
    /// firmware writes in larger pieces.
    Now,
}

impl Aim {
    /// Aims at nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Aims at the operation with that number, counted from 1 from now on, that far into it (0 to 1).
    pub fn at(&mut self, number: u32, into: f64) {
        self.target = Some(Target { number, into });
        (self.begun, self.hit) = (0, None);
        if let Some(open) = &mut self.open {
            open.number = 0;
        }
    }

    /// Aims at nothing from now on.
    pub fn clear(&mut self) {
        (self.target, self.hit) = (None, None);
    }

    /// What the console has shown, in pieces of any size.
    pub fn console(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.read(&String::from_utf8_lossy(&line));
            } else if self.line.len() < LINE {
                self.line.push(byte);
            }
        }
    }

    /// The flash chip has got a program or an erase.
    pub fn command(&mut self, operation: Operation) {
        match &mut self.open {
            Some(open) => open.commands += 1,
            None => {
                self.begin(operation);
            }
        }
    }

    /// The device has started anew: what was under way will not be announced as ended.
    pub fn restart(&mut self) {
        self.open = None;
        self.line.clear();
    }

    /// Where to cut. To be asked for again whenever something was fed: as long as nothing is announced, the
    /// commands to come count as operations.
    #[must_use]
    pub fn shot(&self) -> Option<Shot> {
        let Target { number, into } = self.target?;
        match &self.open {
            Some(open) if open.number == number => {
                let (command, fraction) = split(open.operation, into);
                let after = command.checked_sub(open.commands)?;
                Some(Shot::In { after, fraction })
            }
            Some(_) => None,
            None if self.begun < number => {
                Some(Shot::In { after: number - self.begun - 1, fraction: into })
            }
            None => Some(Shot::Now),
        }
    }

    /// The operation aimed at, once it has begun.
    #[must_use]
    pub fn on_target(&self) -> Option<Operation> {
        self.hit
    }

    /// The operation that has begun last.
    #[must_use]
    pub fn last(&self) -> Option<Operation> {
        self.last
    }

    /// How many operations [`take_operations`](Self::take_operations) would give.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.log.len()
    }

    /// The operations that have begun since the last call.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.log)
    }

    /// Counts an operation; its number.
    fn begin(&mut self, operation: Operation) -> u32 {
        self.begun = self.begun.saturating_add(1);
        self.last = Some(operation);
        if self.target.is_some_and(|target| target.number == self.begun) {
            self.hit = Some(operation);
        }
        self.log.push(operation);
        self.begun
    }

    fn read(&mut self, line: &str) {
        // Text may stand before it: a reset does not wait for the end of a line.
        let Some((_, trace)) = line.rsplit_once("ota-op: ") else {
            return;
        };
        if let Some(operation) = trace.strip_prefix("begin ").and_then(announced) {
            let number = self.begin(operation);
            self.open = Some(Open { operation, number, commands: 0 });
        } else if trace.starts_with("end ") || trace.starts_with("failed ") {
            self.open = None;
        }
    }
}

/// The operation in `seq=12 kind=erase addr=0x110000 len=4096`.
fn announced(text: &str) -> Option<Operation> {
    let field = |name: &str| {
        let mut fields = text.split_whitespace().filter_map(|field| field.split_once('='));
        fields.find_map(|(key, value)| (key == name).then_some(value))
    };
    Some(Operation {
        kind: match field("kind")? {
            "erase" => OperationKind::Erase,
            "write" => OperationKind::Write,
            _ => return None,
        },
        address: u32::from_str_radix(field("addr")?.strip_prefix("0x")?, 16).ok()?,
        length: field("len")?.parse().ok()?,
    })
}

/// How many flash commands an announced operation is, at least one.
fn commands(operation: Operation) -> u32 {
    let Operation { kind, address, length } = operation;
    let count = match kind {
        OperationKind::Erase => length.div_ceil(SECTOR),
        OperationKind::Write => {
            let head = (PAGE - address % PAGE).min(length);
            let rest = length - head;
            head.div_ceil(PIECE) + rest / PAGE * (PAGE / PIECE) + (rest % PAGE).div_ceil(PIECE)
        }
    };
    count.max(1)
}

/// Which command of an operation is under way that far into it, from 0, and how far that one is.
fn split(operation: Operation, into: f64) -> (u32, f64) {
    let last = commands(operation) - 1;
    let position = into.clamp(0.0, 1.0) * f64::from(last + 1);
    // The end of the last command is no start of another one.
    let command = (position as u32).min(last);
    (command, position - f64::from(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERASE: Operation =
        Operation { kind: OperationKind::Erase, address: 0x11_0000, length: 4096 };

    fn write(address: u32, length: u32) -> Operation {
        Operation { kind: OperationKind::Write, address, length }
    }

    fn begin(operation: Operation) -> String {
        let Operation { kind, address, length } = operation;
        let kind = if kind == OperationKind::Erase { "erase" } else { "write" };
        format!("ota-op: begin seq=7 kind={kind} addr={address:#x} len={length}\n")
    }

    fn within(after: u32, fraction: f64) -> Option<Shot> {
        Some(Shot::In { after, fraction })
    }

    /// Feeds a whole announced operation.
    fn pass(aim: &mut Aim, operation: Operation) {
        aim.console(begin(operation).as_bytes());
        for _ in 0..commands(operation) {
            aim.command(operation);
        }
        aim.console(b"ota-op: end seq=7\n");
    }

    #[test]
    fn commands_of_an_operation() {
        for (operation, count) in [
            (ERASE, 1),
            (write(0xD000, 28), 1),
            (write(0xD000, 4), 1),
            (write(0xD000, 32), 1),
            (write(0xD000, 33), 2),
            (write(0x1_0000, 4096), 128),
            (write(0x1_00F0, 32), 2),
            (write(0x1_00E0, 32), 1),
            (write(0x1_0010, 256), 9),
            (write(0x1_00F0, 300), 1 + 8 + 1),
            (write(0, 0), 1),
        ] {
            assert_eq!(commands(operation), count, "{operation}");
        }
    }

    #[test]
    fn unannounced_commands_are_operations() {
        let mut aim = Aim::new();
        aim.at(3, 0.25);
        assert_eq!((aim.shot(), aim.on_target()), (within(2, 0.25), None));
        aim.command(ERASE);
        aim.command(write(0, 32));
        assert_eq!((aim.shot(), aim.on_target()), (within(0, 0.25), None));
        aim.command(write(32, 32));
        assert_eq!(aim.on_target(), Some(write(32, 32)));
        assert_eq!(aim.take_operations(), [ERASE, write(0, 32), write(32, 32)]);
        assert_eq!(aim.take_operations(), []);
    }

    #[test]
    fn commands_of_an_announced_operation_count_once() {
        let mut aim = Aim::new();
        aim.at(3, 0.5);
        pass(&mut aim, ERASE);
        aim.console(begin(write(0x11_0000, 4096)).as_bytes());
        aim.command(write(0x11_0000, 32));
        assert_eq!(aim.shot(), None, "nobody knows how many commands come before the third");
        aim.console(b"ota-op: end seq=8\n");
        assert_eq!(aim.shot(), within(0, 0.5), "unless it is announced");
        aim.console(begin(write(0x11_1000, 4096)).as_bytes());
        assert_eq!(aim.shot(), within(64, 0.0));
        aim.command(write(0x11_1000, 32));
        assert_eq!(aim.shot(), within(63, 0.0));
        assert_eq!(aim.on_target(), Some(write(0x11_1000, 4096)));
        assert_eq!(aim.take_operations().len(), 3);
    }

    #[test]
    fn the_ends_of_an_operation() {
        let shot = |operation, into| {
            let mut aim = Aim::new();
            aim.at(1, into);
            aim.console(begin(operation).as_bytes());
            aim.shot()
        };
        assert_eq!(shot(ERASE, 0.0), within(0, 0.0));
        assert_eq!(shot(ERASE, 0.75), within(0, 0.75));
        assert_eq!(shot(ERASE, 1.0), within(0, 1.0));
        assert_eq!(shot(write(0, 4096), 0.0), within(0, 0.0));
        assert_eq!(shot(write(0, 4096), 1.0), within(127, 1.0));
        assert_eq!(shot(write(0, 96), 0.5), within(1, 0.5));
    }

    #[test]
    fn an_operation_that_ends_early_is_cut_behind() {
        let mut aim = Aim::new();
        aim.at(1, 0.9);
        aim.console(begin(write(0, 4096)).as_bytes());
        aim.command(write(0, 256));
        aim.console(b"ota-op: failed seq=7\n");
        assert_eq!((aim.shot(), aim.on_target()), (Some(Shot::Now), Some(write(0, 4096))));
    }

    #[test]
    fn counting_starts_when_the_target_is_set() {
        let mut aim = Aim::new();
        aim.console(begin(ERASE).as_bytes());
        aim.at(1, 0.0);
        assert_eq!(aim.shot(), None);
        aim.command(ERASE);
        aim.console(b"ota-op: end seq=7\n");
        assert_eq!((aim.shot(), aim.on_target()), (within(0, 0.0), None));
        aim.clear();
        assert_eq!(aim.shot(), None);
    }

    #[test]
    fn a_target_stays_when_more_begins_with_it() {
        let mut aim = Aim::new();
        aim.at(1, 0.5);
        let lines = [begin(ERASE), "ota-op: end seq=7\n".into(), begin(write(0, 96))].concat();
        aim.console(lines.as_bytes());
        assert_eq!((aim.on_target(), aim.last()), (Some(ERASE), Some(write(0, 96))));
        aim.clear();
        assert_eq!(aim.on_target(), None);
    }

    #[test]
    fn a_restart_ends_what_was_announced() {
        let mut aim = Aim::new();
        aim.at(2, 0.5);
        aim.console(begin(ERASE).as_bytes());
        aim.restart();
        aim.command(write(0xD000, 4));
        assert_eq!(aim.on_target(), Some(write(0xD000, 4)));
    }

    #[test]
    fn lines_come_in_pieces_and_among_others() {
        let mut aim = Aim::new();
        aim.at(1, 0.5);
        let noise = [&[0xFF, 0x00, b'\n'][..], &[b'x'; 5000], b"\nI (12) boot: half a li"].concat();
        for piece in [noise, begin(ERASE).into_bytes()].concat().chunks(7) {
            aim.console(piece);
        }
        assert_eq!((aim.shot(), aim.on_target()), (within(0, 0.5), Some(ERASE)));
        for bad in
            ["begin seq=1", "begin seq=1 kind=erase addr=5 len=1", "begin kind=x addr=0x0 len=1"]
        {
            aim.console(format!("ota-op: {bad}\n").as_bytes());
        }
        assert_eq!(aim.take_operations(), [ERASE]);
    }
}
