//! The console, shared by everything that prints.

use core::cell::RefCell;
use core::fmt;

use update_agent::Sink;

use crate::chip::Port;

/// A handle to the console. Each use is short, so that handles never get into each other's way.
#[derive(Clone, Copy)]
pub struct Console<'a>(pub &'a RefCell<Port>);

impl Console<'_> {
    /// Moves what has arrived into `buffer` and returns how much that is, without waiting.
    pub fn read(&self, buffer: &mut [u8]) -> usize {
        self.0.borrow_mut().read(buffer)
    }
}

impl Sink for Console<'_> {
    fn write(&mut self, line: &[u8]) {
        self.0.borrow_mut().write(line);
    }

    fn flush(&mut self) {
        self.0.borrow_mut().flush();
    }

    fn reset(&mut self) {
        self.flush();
        esp_hal::system::software_reset()
    }
}

impl fmt::Write for Console<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.borrow_mut().write(text.as_bytes());
        Ok(())
    }
}
