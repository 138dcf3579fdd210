//! The control socket: power, reset, straps and cuts, a line for each command.

use super::cut;
use super::symbols::Symbols;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use virtual_board::serve::Outbound;
use virtual_board::{Cut, Strap};

/// The commands, for people.
pub(crate) const SYNTAX: &str = "\
  power on | power off      give or take power; a planned cut that strikes also takes it
  reset                     pulse the EN pin
  strap flash | strap download
                            where the chip boots from at the next reset
  cut CUT | cut cancel      plan a power cut, instead of one planned before, or none
  status                    power, strap, and what is counted
  time                      simulated time since the program began
  snapshot save NAME | snapshot restore NAME
                            keep the whole board in memory, or go back to it
  save                      write the flash file
  quit                      end the program, as a signal does
Every command is answered by one line that begins with 'ok' or 'error'.";

/// Longest command line in bytes.
const LONGEST_LINE: usize = 1024;
/// More than the answers to one read of commands, in bytes.
const BACKLOG: usize = 1024 * 1024;
/// Clients at the same time.
const CLIENTS: usize = 16;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Turn power on or off.
    Power(bool),
    /// Pulse EN.
    Reset,
    /// Set the boot strap.
    Strap(Strap),
    /// Plan a cut, or none.
    Cut(Option<Cut>),
    /// Tell the state.
    Status,
    /// Tell the time.
    Time,
    /// Keep the board under this name.
    SaveSnapshot(String),
    /// Go back to what was kept under this name.
    RestoreSnapshot(String),
    /// Write the flash file.
    Save,
    /// End the program.
    Quit,
}

impl Command {
    /// Understands a line.
    ///
    /// # Errors
    /// With what is wrong, for people.
    fn parse(line: &str, symbols: &Symbols) -> Result<Self, String> {
        let line = line.trim();
        if let Some(cut) = line.strip_prefix("cut ").map(str::trim_start) {
            return match cut {
                "cancel" => Ok(Self::Cut(None)),
                _ => cut::parse(cut, symbols).map(Some).map(Self::Cut),
            };
        }
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["power", "on"] => Ok(Self::Power(true)),
            ["power", "off"] => Ok(Self::Power(false)),
            ["reset"] => Ok(Self::Reset),
            ["strap", "flash"] => Ok(Self::Strap(Strap::FlashBoot)),
            ["strap", "download"] => Ok(Self::Strap(Strap::Download)),
            ["status"] => Ok(Self::Status),
            ["time"] => Ok(Self::Time),
            ["snapshot", "save", name] => Ok(Self::SaveSnapshot(name.into())),
            ["snapshot", "restore", name] => Ok(Self::RestoreSnapshot(name.into())),
            ["save"] => Ok(Self::Save),
            ["quit"] => Ok(Self::Quit),
            _ => Err(format!("'{line}' is no command; see virtual-board run --help")),
        }
    }
}

/// The server; any number of clients may talk to it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    answers: Outbound,
}

impl Control {
    /// Listens at `path`. A socket that a program left there is replaced.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        let socket = path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket());
        let abandoned = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if socket && UnixStream::connect(path).is_err_and(abandoned) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), clients: Vec::new() })
    }

    /// What to wait for.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let clients = self.clients.iter().map(|client| {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, !client.answers.is_empty());
            PollFd::new(&client.stream, flags)
        });
        [PollFd::new(&self.listener, PollFlags::IN)].into_iter().chain(clients)
    }

    /// Lets clients come and go, and executes what they ask for.
    pub(crate) fn service(
        &mut self,
        symbols: &Symbols,
        mut execute: impl FnMut(Command) -> Result<String, String>,
    ) -> io::Result<()> {
        self.clients.retain_mut(|client| {
            let alive = client.receive();
            while let Some(end) = client.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = client.received.drain(..=end).collect();
                let command = Command::parse(&String::from_utf8_lossy(&line), symbols);
                let answer = match command.and_then(&mut execute) {
                    Ok(answer) if answer.is_empty() => "ok\n".into(),
                    Ok(answer) => format!("ok {answer}\n"),
                    Err(error) => format!("error {error}\n"),
                };
                client.answers.push(answer.as_bytes());
            }
            let sane = client.received.len() <= LONGEST_LINE;
            if !sane {
                client.answers.push(b"error that line is too long\n");
            }
            client.answers.write_to(&mut client.stream).is_ok() && alive && sane
        });
        loop {
            match self.listener.accept() {
                // It is closed.
                Ok(_) if self.clients.len() == CLIENTS => {}
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    let answers = Outbound::new(BACKLOG);
                    self.clients.push(Client { stream, received: Vec::new(), answers });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Client {
    /// Reads a part of what is there; whether the client is still there.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; LONGEST_LINE];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend(&bytes[..count]);
                true
            }
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{Timespec, poll};
    use std::io::{BufRead, BufReader, Write};

    fn step(control: &mut Control) -> Vec<Command> {
        let mut fds: Vec<_> = control.poll_fds().collect();
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "nothing happened");
        drop(fds);
        let mut commands = Vec::new();
        let execute = |command| {
            commands.push(command);
            match commands.len() {
                2 => Ok("second".to_owned()),
                3 => Err("third".to_owned()),
                _ => Ok(String::new()),
            }
        };
        control.service(&Symbols::default(), execute).unwrap();
        commands
    }

    fn connect() -> (tempfile::TempDir, Control, UnixStream) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let mut control = Control::listen(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        step(&mut control);
        (directory, control, client)
    }

    #[test]
    fn every_command_has_one_answer() {
        let (_directory, mut control, mut client) = connect();
        client
            .write_all(b"power on\r\n strap  download\nquit\nsleep\ncut cancel\ncut moon\nre")
            .unwrap();
        let commands = step(&mut control);
        let expected = [
            Command::Power(true),
            Command::Strap(Strap::Download),
            Command::Quit,
            Command::Cut(None),
        ];
        assert_eq!(commands, expected);
        client.write_all(b"set\n").unwrap();
        assert_eq!(step(&mut control), [Command::Reset]);
        let mut answers = BufReader::new(client).lines().map(Result::unwrap);
        let answers: Vec<_> = (0..7).map(|_| answers.next().unwrap()).collect();
        assert_eq!(&answers[..3], ["ok", "ok second", "error third"]);
        assert!(answers[3].starts_with("error 'sleep' is no command"), "{}", answers[3]);
        assert_eq!(answers[4], "ok");
        assert!(answers[5].starts_with("error 'moon' is no power cut"), "{}", answers[5]);
        assert_eq!(answers[6], "ok");
    }

    #[test]
    fn a_line_without_end_ends_the_client() {
        let (_directory, mut control, mut client) = connect();
        client.set_nonblocking(true).unwrap();
        for _ in 0..100 {
            if !control.clients.is_empty() {
                client.write_all(&[b'x'; 100]).unwrap();
                step(&mut control);
            }
        }
        assert!(control.clients.is_empty());
        let mut text = String::new();
        client.set_nonblocking(false).unwrap();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "error that line is too long\n");
    }

    #[test]
    fn a_path_is_taken_over_only_from_the_dead() {
        let (directory, control, _client) = connect();
        let path = directory.path().join("control");
        assert_eq!(Control::listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(control);
        assert!(!path.exists(), "the socket is left behind");
        drop(UnixListener::bind(&path).unwrap());
        drop(Control::listen(&path).unwrap());
        std::fs::write(&path, "precious").unwrap();
        Control::listen(&path).unwrap_err();
        assert!(path.exists());
    }
}
