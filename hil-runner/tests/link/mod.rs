//! A port as the client of the firmware wants it.

use hil_runner::board::Port;
use mcumgr_toolkit::transport::serial::ConfigurableTimeout;
use std::io::{self, Read, Write};
use std::time::Duration;

/// A port as the client wants it.
pub(crate) struct Link(pub(crate) Box<dyn Port>);

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl ConfigurableTimeout for Link {
    fn set_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.set_timeout(timeout);
        Ok(())
    }
}
