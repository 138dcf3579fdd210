//! Every flash operation passes through here: announced on the console, counted, and on request
//! replaced by a reset.
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
use core::fmt::{self, Write};
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// The switches of the trace, shared between the flash wrapper and the agent.
#[derive(Debug, Default)]
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

    /// Erases and writes started since the device started; the `seq` of the next one.
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

/// A flash whose erases and writes are counted and, when the [`Trace`] is on, announced. Reads change
/// nothing and pass in silence.
#[derive(Debug)]
pub struct Traced<'t, F, S> {
    flash: F,
    sink: S,
    trace: &'t Trace,
}

impl<'t, F, S: Sink> Traced<'t, F, S> {
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

    fn operation<E>(
        &mut self,
        kind: &str,
        addr: u32,
        len: usize,
        run: impl FnOnce(&mut F) -> Result<(), E>,
    ) -> Result<(), TracedError<E>> {
        let (seq, reset) = self.trace.start();
        if reset {
            self.print(format_args!("ota-op: reset seq={seq}\n"));
            self.sink.flush();
            self.sink.reset();
            return Err(TracedError::Reset);
        }
        if !self.trace.is_on() {
            return run(&mut self.flash).map_err(TracedError::Flash);
        }
        self.print(format_args!("ota-op: begin seq={seq} kind={kind} addr={addr:#x} len={len}\n"));
        self.sink.flush();
        let result = run(&mut self.flash).map_err(TracedError::Flash);
        let end = if result.is_ok() { "end" } else { "failed" };
        self.print(format_args!("ota-op: {end} seq={seq}\n"));
        result
    }

    fn print(&mut self, line: fmt::Arguments<'_>) {
        let mut text = Line::<LINE>::new();
        // A line never exceeds the buffer: its numbers have at most 20 digits each.
        let _ = text.write_fmt(line);
        self.sink.write(text.as_str().as_bytes());
    }
}

/// More than the longest line.
const LINE: usize = 112;

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
        let len = to.saturating_sub(from) as usize;
        self.operation("erase", from, len, |flash| flash.erase(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.operation("write", offset, bytes.len(), |flash| flash.write(offset, bytes))
    }
}

impl<F: MultiwriteNorFlash, S: Sink> MultiwriteNorFlash for Traced<'_, F, S> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
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

        fn erase(&mut self, _: u32, to: u32) -> Result<(), Self::Error> {
            self.0.borrow_mut().push_str("(erase)\n");
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
            ota-op: begin seq=2 kind=erase addr=0x1000 len=65536\n(flush)\n(erase)\nota-op: failed seq=2\n";
        assert_eq!(*tape.borrow(), expected);
    }

    #[test]
    fn a_reset_takes_the_place_of_one_operation() {
        let (tape, trace) = (RefCell::default(), Trace::new());
        let mut flash = Traced::new(Tape(&tape), Tape(&tape), &trace);
        trace.set_reset_at(Some(1));
        flash.write(0, &[0; 4]).unwrap();
        assert_eq!(flash.erase(0, 0x1000), Err(TracedError::Reset));
        flash.erase(0, 0x1000).unwrap();
        let expected = "(write)\nota-op: reset seq=1\n(flush)\n(reset)\n(erase)\n";
        assert_eq!(*tape.borrow(), expected);
    }

    #[test]
    fn the_longest_line_fits() {
        let (tape, trace) = (RefCell::default(), Trace::new());
        trace.set_on(true);
        trace.operations.set(u32::MAX);
        let mut flash = Traced::new(Tape(&tape), Tape(&tape), &trace);
        flash.operation("erase", u32::MAX, usize::MAX, |_| Ok::<_, ()>(())).unwrap();
        assert!(tape.borrow().starts_with(
            "ota-op: begin seq=4294967295 kind=erase addr=0xffffffff len=18446744073709551615\n"
        ));
    }
}
