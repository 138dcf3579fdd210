//! A serial port over TCP with its control lines, as RFC 2217 defines it.

mod client;
#[cfg(test)]
mod tests;

use super::lines::Lines;
use client::Client;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use virtual_board::serve::DEFAULT_BAUD;

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

    /// What to wait for.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let client = self.client.as_ref().map(Client::poll_fd);
        [PollFd::new(&self.listener, PollFlags::IN)].into_iter().chain(client)
    }

    /// Lets clients come and go, and returns what they ask for.
    pub(crate) fn service(&mut self) -> io::Result<Vec<Request>> {
        let mut requests = Vec::new();
        if let Some(client) = &mut self.client
            && client.receive(&mut requests).is_err()
        {
            // As a port that is closed, and that nobody has touched when it is opened again.
            self.client = None;
            requests.extend([Request::Lines(Lines::default()), Request::Baud(DEFAULT_BAUD)]);
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
