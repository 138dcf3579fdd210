//! A virtual board with the firmware that updates itself, and the host at its console.

use sim::flash::{Memory, Part};
use sim::layout::{Layout, TABLE_OFFSET};
use virtual_board::{Board, Config, Snapshot, Stop, Ticks, stock_bootloader};

use crate::full_stack::{Boot, Failure};

/// Bytes that the firmware takes at a time.
const CHUNK: usize = 64;

/// How long an answer may take, in simulated time: much more than the write of a sector or a boot. The
/// firmware has no watchdog that could end a longer silence.
const ANSWER: u64 = 4 * Ticks::PER_SECOND;

/// How long the board runs between two looks at whether the firmware has given up.
const SLICE: u64 = Ticks::PER_SECOND / 10;

/// What `esp-backtrace` prints before it stops for good.
const PANIC: &str = "= PANIC =";

/// A virtual board with an application.
#[derive(Debug)]
pub struct Device {
    pub(super) board: Board,
    /// Moments of a dialogue, if they are kept.
    pub(super) moments: Option<Vec<Moment>>,
}

/// The board when something had been sent to it and nothing of that had arrived.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// Number of the next flash operation.
    pub(super) operation: u64,
    pub(super) board: Snapshot,
}

impl Device {
    /// A device as it leaves the factory, without power: bootloader of `espflash`, the layout's partition
    /// table, and the application where the bootloader looks first.
    ///
    /// # Errors
    /// When the board can't be made.
    pub fn new(layout: &Layout, application: &[u8]) -> Result<Self, Failure> {
        let bootloader = stock_bootloader().map_err(|error| error.to_string())?;
        let first = layout.apps().factory().or(layout.apps().slots().next());
        let first = first.ok_or("a layout without applications")?;
        let parts = [
            (0, bootloader.as_slice()),
            (TABLE_OFFSET, layout.table()),
            (layout.apps().otadata().offset, layout.otadata()),
            (first.offset, application),
        ];
        Self::with_parts(parts)
    }

    /// A device with these contents of its flash, 4 MiB that are erased otherwise.
    ///
    /// # Errors
    /// When the board can't be made.
    pub(super) fn with_parts<'a>(
        parts: impl IntoIterator<Item = (u32, &'a [u8])>,
    ) -> Result<Self, Failure> {
        let part = Part::by_name("W25Q32JV").ok_or("no such flash part")?;
        let mut flash = Memory::erased(part.capacity);
        for (offset, bytes) in parts {
            flash.set(offset, bytes);
        }
        let board = Board::new(Config::new(part, flash)).map_err(|error| error.to_string())?;
        Ok(Self { board, moments: None })
    }

    /// Turns power on, off before if it was on, and runs the firmware until it listens.
    ///
    /// # Errors
    /// When it does not come that far.
    pub fn power_on(&mut self) -> Result<Boot, Failure> {
        self.board.power_on();
        self.boot()
    }

    /// Runs the firmware from a reset until it listens.
    pub(super) fn boot(&mut self) -> Result<Boot, Failure> {
        let log = self.run_until("listening")?;
        Boot::parse(&log).ok_or_else(|| format!("no boot report; console:\n{log}"))
    }

    /// Sends an image into the next slot.
    pub(super) fn upload(&mut self, image: &[u8]) -> Result<(), Failure> {
        self.send(b"update\n");
        let log = self.run_until("ready")?;
        let slot = log.lines().find_map(|line| line.strip_prefix("Flashing image to "));
        let slot = slot.unwrap_or("?").trim();
        self.send(&(image.len() as u32).to_le_bytes());
        for chunk in image.chunks(CHUNK) {
            let sent = self.ask(chunk, ".");
            sent.map_err(|failure| format!("{failure} while it writes to {slot}"))?;
        }
        Ok(())
    }

    /// Selects the uploaded image; the firmware resets the chip.
    pub(super) fn activate(&mut self) -> Result<Boot, Failure> {
        self.ask(b"activate\n", "activated")?;
        self.boot()
    }

    /// Confirms the running image.
    pub(super) fn confirm(&mut self) -> Result<(), Failure> {
        self.ask(b"confirm\n", "confirmed")
    }

    fn ask(&mut self, request: &[u8], answer: &str) -> Result<(), Failure> {
        self.send(request);
        self.run_until(answer).map(drop)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.board.uart0_send(bytes);
        if let Some(moments) = &mut self.moments {
            let operation = self.board.flash().operations();
            // The way from the last of several moments is the shortest.
            moments.pop_if(|moment| moment.operation == operation);
            moments.push(Moment { operation, board: self.board.snapshot() });
        }
    }

    /// Runs until the console has shown `text`; all that it has shown.
    pub(super) fn run_until(&mut self, text: &str) -> Result<String, Failure> {
        let end = self.board.now() + ANSWER;
        let mut log = String::new();
        self.board.watch_console(Some(text.as_bytes()));
        loop {
            let limit = end.min(self.board.now() + SLICE);
            let stop = self.board.run(limit);
            log += &String::from_utf8_lossy(&self.board.uart0_output());
            match stop {
                Stop::ConsoleText => return Ok(log),
                Stop::Limit if log.contains(PANIC) => return Err(reason(&log)),
                Stop::Limit if self.board.now() < end => {}
                Stop::Limit => return Err(reason(&log)),
                stop => return Err(format!("the board stops: {stop:?}")),
            }
        }
    }
}

/// Why a firmware does not answer, from what it has printed.
fn reason(log: &str) -> Failure {
    let mut lines = log.lines();
    if lines.any(|line| line.contains(PANIC)) {
        // The place in the source, which depends on where the program was built, and then the message.
        let message = lines.find(|line| !line.trim().is_empty() && !line.contains("panicked at"));
        return format!("panic: {}", message.unwrap_or_default().trim());
    }
    if log.contains("No bootable app") {
        return "no image that boots".into();
    }
    match log.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("no answer after {:?}", line.trim()),
        None => "no answer".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_the_firmware_said() {
        let panic = "\n\n====================== PANIC ======================\npanicked at src/a.rs:1:2:\ncalled `Option::unwrap()`\n\nBacktrace:\n";
        assert_eq!(reason(panic), "panic: called `Option::unwrap()`");
        assert_eq!(reason("boot\r\n\r\n"), "no answer after \"boot\"");
        assert_eq!(reason(""), "no answer");
        assert_eq!(reason("E (9) boot: No bootable app partitions\n"), "no image that boots");
    }
}
