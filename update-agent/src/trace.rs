//! Every flash operation passes through here: announced on the console, counted, and on request
//! replaced by a reset.
//!
//! An operation is the erase of one sector or one call of `write`: the driver gets no more than that at
//! a time.
//!
//! The lines are for programs that cut power on them, so their form is fixed:
//!
//! ```text
//! ota-op: begin seq=12 kind=erase addr=0x110000 len=4096
//! ota-op: end seq=12
//! ota-op: failed seq=13
//! ota-op: reset seq=14
//! ```
//!
//! The first is flushed before the operation starts. The last stands for a reset on request (a fault
//! aid); it is no power loss, and the operation with that number was not started.

use crate::text::Line;
use core::cell::Cell;
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
    check_erase,
};

/// The switches of the trace, shared between the flash wrapper and the agent.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    on: Cell<bool>,
    operations: Cell<u32>,
    reset_at: Cell<Option<u32>>,
}

impl Trace {
    /// Switched off, with no operation counted.
    pub const fn new() -> Self {
        Self { on: Cell::new(false), operations: Cell::new(0), reset_at: Cell::new(None) }
    }

    /// Whether operations are announced.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Switches the announcement of operations on or off.
    pub fn set_on(&self, on: bool) {
        self.on.set(on);
    }

    /// Operations started since the device started; the `seq` of the next one.
    pub fn operations(&self) -> u32 {
        self.operations.get()
    }

    /// The operation in whose place the device resets, by its `seq`.
    pub fn reset_at(&self) -> Option<u32> {
        self.reset_at.get()
    }

    /// Makes the device reset in place of the operation with that `seq`, once.
    pub fn set_reset_at(&self, seq: Option<u32>) {
        self.reset_at.set(seq);
    }

    /// Counts an operation; true when a reset takes its place.
    fn start(&self) -> (u32, bool) {
        let seq = self.operations.get();
        self.operations.set(seq.wrapping_add(1));
        let reset = self.reset_at.get() == Some(seq);
        if reset {
            self.reset_at.set(None);
        }
        (seq, reset)
    }
}

/// Where the lines of the trace go: the console that the agent talks on.
pub trait Sink {
    /// Sends bytes; returns once they are taken over. Each call is one whole line.
    fn write(&mut self, line: &[u8]);

    /// Returns once everything written has left the device.
    fn flush(&mut self);

    /// Restarts the device. May return on hosts; the operation is then refused with
    /// [`TracedError::Reset`].
    fn reset(&mut self);
}

/// Why an operation of a [`Traced`] flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracedError<E> {
    /// What the driver reported.
    Flash(E),
    /// A reset on request took the place of the operation.
    Reset,
}

impl<E: NorFlashError> NorFlashError for TracedError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Flash(error) => error.kind(),
            Self::Reset => NorFlashErrorKind::Other,
        }
    }
}

/// A flash operation.
enum Operation<'a> {
    /// The erase of one sector.
    Erase {
        from: u32,
        to: u32,
    },
    Write {
        offset: u32,
        bytes: &'a [u8],
    },
}

/// A flash whose operations are counted and, when the [`Trace`] is on, announced: each erase of a sector
/// and each call of `write`. The driver erases no more than one sector per call. Reads change nothing and
/// pass in silence.
#[derive(Debug)]
pub struct Traced<'t, F, S> {
    flash: F,
    sink: S,
    trace: &'t Trace,
}

impl<'t, F: NorFlash, S: Sink> Traced<'t, F, S> {
    /// Wraps a flash driver.
    pub fn new(flash: F, sink: S, trace: &'t Trace) -> Self {
        Self { flash, sink, trace }
    }

    /// Gives the flash driver back.
    pub fn release(self) -> F {
        self.flash
    }

    /// The flash driver, past the trace.
    pub fn inner_mut(&mut self) -> &mut F {
        &mut self.flash
    }

    #[inline(never)]
    fn operation(&mut self, operation: Operation<'_>) -> Result<(), TracedError<F::Error>> {
        let (seq, reset) = self.trace.start();
        if reset {
            self.print("reset", seq, None);
            self.sink.flush();
            self.sink.reset();
            return Err(TracedError::Reset);
        }
        let announced = self.trace.is_on();
        if announced {
            self.print("begin", seq, Some(&operation));
            self.sink.flush();
        }
        let result = match operation {
            Operation::Erase { from, to } => self.flash.erase(from, to),
            Operation::Write { offset, bytes } => self.flash.write(offset, bytes),
        };
        if announced {
            self.print(if result.is_ok() { "end" } else { "failed" }, seq, None);
        }
        result.map_err(TracedError::Flash)
    }

    #[inline(never)]
    fn print(&mut self, event: &str, seq: u32, operation: Option<&Operation<'_>>) {
        let mut line = Line::<LINE>::new();
        line.text("ota-op: ").text(event).text(" seq=").decimal(seq);
        if let Some(operation) = operation {
            let (kind, addr, len) = match *operation {
                Operation::Erase { from, to } => ("erase", from, to.saturating_sub(from)),
                Operation::Write { offset, bytes } => ("write", offset, bytes.len() as u32),
            };
            line.text(" kind=").text(kind).text(" addr=").hex(addr).text(" len=").decimal(len);
        }
        line.text("\n");
        self.sink.write(line.as_bytes());
    }
}

/// More than the longest line.
const LINE: usize = 80;

impl<F: ErrorType, S> ErrorType for Traced<'_, F, S> {
    type Error = TracedError<F::Error>;
}

impl<F: ReadNorFlash, S> ReadNorFlash for Traced<'_, F, S> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.flash.read(offset, bytes).map_err(TracedError::Flash)
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<F: NorFlash, S: Sink> NorFlash for Traced<'_, F, S> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        if check_erase(&self.flash, from, to).is_err() {
            // The driver gets it whole, so that it refuses it before anything is erased.
            return self.operation(Operation::Erase { from, to });
        }
        let size = Self::ERASE_SIZE as u32;
        let mut sectors = (from..to).step_by(Self::ERASE_SIZE);
        sectors.try_for_each(|at| self.operation(Operation::Erase { from: at, to: at + size }))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.operation(Operation::Write { offset, bytes })
    }
}

impl<F: MultiwriteNorFlash, S: Sink> MultiwriteNorFlash for Traced<'_, F, S> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::fmt::Write;
    use std::string::String;

    /// What happened, in order: lines, flushes, resets and flash operations.
    struct Tape<'a>(&'a RefCell<String>);

    impl Sink for Tape<'_> {
        fn write(&mut self, line: &[u8]) {
            self.0.borrow_mut().push_str(core::str::from_utf8(line).unwrap());
        }

        fn flush(&mut self) {
            self.0.borrow_mut().push_str("(flush)\n");
        }

        fn reset(&mut self) {
            self.0.borrow_mut().push_str("(reset)\n");
        }
    }

    impl ErrorType for Tape<'_> {
        type Error = NorFlashErrorKind;
    }

    impl ReadNorFlash for Tape<'_> {
        const READ_SIZE: usize = 1;

        fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), Self::Error> {
            Ok(())
        }

        fn capacity(&self) -> usize {
            0x1_0000
        }
    }

    impl NorFlash for Tape<'_> {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = 4096;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
            writeln!(self.0.borrow_mut(), "(erase {from:#x} {to:#x})").unwrap();
            if to > 0x1_0000 { Err(NorFlashErrorKind::OutOfBounds) } else { Ok(()) }
        }

        fn write(&mut self, _: u32, _: &[u8]) -> Result<(), Self::Error> {
            self.0.borrow_mut().push_str("(write)\n");
            Ok(())
        }
    }

    #[test]
    fn operations_are_announced_before_they_start() {
        let (tape, trace) = (RefCell::default(), Trace::new());
        let mut flash = Traced::new(Tape(&tape), Tape(&tape), &trace);
        flash.write(0, &[0; 4]).unwrap();
        trace.set_on(true);
        flash.write(0x2000, &[0; 8]).unwrap();
        let refused = flash.erase(0x1000, 0x1_1000);
        assert_eq!(refused, Err(TracedError::Flash(NorFlashErrorKind::OutOfBounds)));
        let expected = "(write)\n\
            ota-op: begin seq=1 kind=write addr=0x2000 len=8\n(flush)\n(write)\nota-op: end seq=1\n\
            ota-op: begin seq=2 kind=erase addr=0x1000 len=65536\n(flush)\n\
            (erase 0x1000 0x11000)\nota-op: failed seq=2\n";
        assert_eq!(*tape.borrow(), expected);
    }

    #[test]
    fn each_erased_sector_is_an_operation() {
        let (tape, trace) = (RefCell::default(), Trace::new());
        let mut flash = Traced::new(Tape(&tape), Tape(&tape), &trace);
        trace.set_on(true);
        flash.erase(0x2000, 0x2000).unwrap();
        flash.erase(0xE000, 0x1_0000).unwrap();
        let expected = "ota-op: begin seq=0 kind=erase addr=0xe000 len=4096\n(flush)\n\
            (erase 0xe000 0xf000)\nota-op: end seq=0\n\
            ota-op: begin seq=1 kind=erase addr=0xf000 len=4096\n(flush)\n\
            (erase 0xf000 0x10000)\nota-op: end seq=1\n";
        assert_eq!(tape.take(), expected);
        trace.set_on(false);
        trace.set_reset_at(Some(3));
        assert_eq!(flash.erase(0, 0x4000), Err(TracedError::Reset));
        assert_eq!(*tape.borrow(), "(erase 0x0 0x1000)\nota-op: reset seq=3\n(flush)\n(reset)\n");
    }

    #[test]
    fn a_reset_takes_the_place_of_one_operation() {
        let (tape, trace) = (RefCell::default(), Trace::new());
        let mut flash = Traced::new(Tape(&tape), Tape(&tape), &trace);
        trace.set_reset_at(Some(1));
        flash.write(0, &[0; 4]).unwrap();
        assert_eq!(flash.erase(0, 0x1000), Err(TracedError::Reset));
        flash.erase(0, 0x1000).unwrap();
        let expected = "(write)\nota-op: reset seq=1\n(flush)\n(reset)\n(erase 0x0 0x1000)\n";
        assert_eq!(*tape.borrow(), expected);
    }

    #[test]
    fn the_longest_line_fits() {
        let (tape, trace) = (RefCell::default(), Trace::new());
        trace.set_on(true);
        trace.operations.set(u32::MAX);
        let mut flash = Traced::new(Tape(&tape), Tape(&tape), &trace);
        flash.print("begin", u32::MAX, Some(&Operation::Erase { from: 0x8000_0000, to: u32::MAX }));
        let expected = "ota-op: begin seq=4294967295 kind=erase addr=0x80000000 len=2147483647\n";
        assert_eq!(*tape.borrow(), expected);
    }
}
