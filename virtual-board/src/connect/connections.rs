//! Everything that is connected to a board.

use super::console::Console;
use super::control::Control;
use super::gdb::GdbServer;
use super::rfc2217::Rfc2217;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use virtual_board::serve::Pty;

/// How others reach the board.
#[derive(Default)]
pub(crate) struct Connections {
    /// UART0 as standard input and output.
    pub(crate) console: Option<Console>,
    /// UART0 as pseudo-terminal.
    pub(crate) port: Option<Pty>,
    /// USB-Serial-JTAG as pseudo-terminal.
    pub(crate) usb: Option<Pty>,
    /// UART0 over TCP.
    pub(crate) rfc2217: Option<Rfc2217>,
    /// Power and straps.
    pub(crate) control: Option<Control>,
    /// A debugger.
    pub(crate) gdb: Option<GdbServer>,
}

/// What can be read without blocking; the other connections can always be asked.
pub(super) struct Ready {
    /// The socket that tells of signals.
    pub(super) interrupt: bool,
    /// The standard input.
    pub(super) console: bool,
}

impl Connections {
    /// Passes on what the board sent.
    pub(super) fn send(&mut self, uart: &[u8], usb: &[u8]) -> io::Result<()> {
        if let Some(console) = &mut self.console {
            console.send(uart);
        }
        if let Some(port) = &mut self.port {
            port.send(uart)?;
        }
        if let Some(rfc2217) = &mut self.rfc2217 {
            rfc2217.send(uart);
        }
        if let Some(port) = &mut self.usb {
            port.send(usb)?;
        }
        Ok(())
    }

    /// Whether anything outside may still have a say.
    pub(super) fn is_live(&self) -> bool {
        self.console.as_ref().is_some_and(Console::is_live)
            || self.port.is_some()
            || self.usb.is_some()
            || self.rfc2217.is_some()
            || self.control.is_some()
            || self.gdb.is_some()
    }

    /// Waits until a client or a signal needs attention, or the time is up.
    pub(super) fn wait(
        &self,
        interrupt: &UnixStream,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(interrupt, PollFlags::IN)];
        fds.extend(self.console.iter().filter_map(Console::poll_fd));
        let own = fds.len();
        for port in self.port.iter().chain(&self.usb) {
            fds.extend(port.poll_fds());
        }
        fds.extend(self.rfc2217.iter().flat_map(Rfc2217::poll_fds));
        fds.extend(self.control.iter().flat_map(Control::poll_fds));
        fds.extend(self.gdb.iter().flat_map(GdbServer::poll_fds));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds[..own].iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            interrupt: ready.next().unwrap_or_default(),
            console: ready.next().unwrap_or_default(),
        })
    }
}
