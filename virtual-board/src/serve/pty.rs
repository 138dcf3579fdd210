//! A serial port as a pseudo-terminal.

use super::DEFAULT_BAUD;
use super::outbound::Outbound;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_setfl, inotify};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, QueueSelector, ioctl_tiocnxcl, tcflush, tcgetattr, tcsetattr,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the board may send ahead of a client that does not read, in bytes.
const BACKLOG: usize = 64 * 1024;

/// The board's side of a pseudo-terminal. Clients open the other side, by name or through a symbolic
/// link, one after the other or at once.
///
/// As with a serial port of a computer, what the board sends while no client has it open is lost.
#[derive(Debug)]
pub struct Pty {
    master: File,
    /// The clients' side. Kept open: without it, reads of the master fail between two clients, and the
    /// settings of the line are lost.
    line: OwnedFd,
    name: PathBuf,
    link: Option<PathBuf>,
    watch: OwnedFd,
    clients: usize,
    output: Outbound,
    told: bool,
    sent: u64,
}

impl Pty {
    /// Opens a pseudo-terminal, and a symbolic link to it, which replaces one that is there.
    ///
    /// # Errors
    /// The system refuses it, or something other than a symbolic link is where the link is to be.
    pub fn open(link: Option<&Path>) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        let line = ioctl_tiocgptpeer(&master, flags)?;
        reset_line(&line)?;
        let name = ptsname(&master, Vec::new())?;
        let name = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE;
        inotify::add_watch(&watch, &name, events)?;
        if let Some(link) = link {
            replace_link(&name, link)?;
        }
        Ok(Self {
            master: master.into(),
            line,
            name,
            link: link.map(Path::to_owned),
            watch,
            clients: 0,
            output: Outbound::new(BACKLOG),
            told: false,
            sent: 0,
        })
    }

    /// What a client has to open.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.link.as_deref().unwrap_or(&self.name)
    }

    /// What to wait for.
    #[must_use]
    pub fn poll_fds(&self) -> [PollFd<'_>; 2] {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !self.output.is_empty());
        [PollFd::new(&self.master, flags), PollFd::new(&self.watch, PollFlags::IN)]
    }

    /// The rate that the client set, in baud; 0 when it hung up.
    #[must_use]
    pub fn baud(&self) -> u32 {
        tcgetattr(&self.line).map_or(0, |settings| settings.output_speed())
    }

    /// Notices clients that came and went. To be called after [`receive`](Self::receive), so that the
    /// last words of a client are heard, and before [`send`](Self::send).
    ///
    /// # Errors
    /// The system does not tell.
    pub fn notice_clients(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(&self.watch, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::OPEN) => self.clients += 1,
                Ok(event) => {
                    let closed =
                        inotify::ReadFlags::CLOSE_WRITE | inotify::ReadFlags::CLOSE_NOWRITE;
                    if event.events().intersects(closed) {
                        self.clients = self.clients.saturating_sub(1);
                    }
                    if self.clients == 0 {
                        self.output.clear();
                        self.told = false;
                        // Whoever opens it next finds it as it was: not exclusive, which outlives a
                        // client that was killed, and without old text.
                        ioctl_tiocnxcl(&self.line)?;
                        tcflush(&self.line, QueueSelector::IFlush)?;
                        reset_line(&self.line)?;
                    }
                }
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What a client sent, at most `limit` bytes.
    ///
    /// # Errors
    /// The pseudo-terminal fails.
    pub fn receive(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; limit];
        match self.master.read(&mut bytes) {
            Ok(count) => bytes.truncate(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => bytes.clear(),
            Err(error) => return Err(error),
        }
        Ok(bytes)
    }

    /// Sends to the clients, now or as soon as they read.
    ///
    /// # Errors
    /// The pseudo-terminal fails.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.clients > 0 {
            let lost = self.output.push(bytes);
            self.sent = (self.sent + bytes.len() as u64).saturating_sub(lost as u64);
            if lost > 0 && !self.told {
                self.told = true;
                let path = self.path().display();
                eprintln!("{path}: the client does not read: the oldest output is lost");
            }
        }
        self.output.write_to(&mut self.master)
    }

    /// Forgets what is under way in both directions.
    ///
    /// # Errors
    /// The pseudo-terminal fails.
    pub fn discard(&mut self) -> io::Result<()> {
        self.output.clear();
        Ok(tcflush(&self.line, QueueSelector::IOFlush)?)
    }

    /// How many bytes have been sent to clients, those that were lost because they did not read left out.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let link = self.link.as_deref();
        // Another board may have taken the link over.
        if let Some(link) =
            link.filter(|link| std::fs::read_link(link).is_ok_and(|to| to == self.name))
        {
            let _ = std::fs::remove_file(link);
        }
    }
}

/// As a serial port that no client has touched: bytes pass unchanged.
fn reset_line(line: &OwnedFd) -> io::Result<()> {
    let mut settings = tcgetattr(line)?;
    settings.make_raw();
    settings.set_speed(DEFAULT_BAUD)?;
    Ok(tcsetattr(line, OptionalActions::Now, &settings)?)
}

/// Links atomically; replaces a symbolic link, nothing else.
fn replace_link(target: &Path, link: &Path) -> io::Result<()> {
    if link.symlink_metadata().is_ok_and(|there| !there.is_symlink()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "exists and is no symbolic link"));
    }
    let parent = link.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = tempfile::tempdir_in(parent.unwrap_or(Path::new(".")))?;
    let fresh = directory.path().join("link");
    std::os::unix::fs::symlink(target, &fresh)?;
    std::fs::rename(fresh, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::poll;
    use rustix::termios::{ControlModes, LocalModes, ioctl_tiocexcl};
    use std::fs::{OpenOptions, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::tempdir;

    fn client(pty: &Pty) -> File {
        OpenOptions::new().read(true).write(true).open(pty.path()).unwrap()
    }

    /// Does what the session does when something happens on the port; nothing happens: fails.
    fn step(pty: &mut Pty) -> Vec<u8> {
        let seconds = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        let ready = poll(&mut pty.poll_fds(), Some(&seconds)).unwrap();
        assert!(ready > 0, "nothing happened");
        let bytes = pty.receive(4096).unwrap();
        pty.notice_clients().unwrap();
        bytes
    }

    #[test]
    fn carries_every_byte_both_ways() {
        let mut pty = Pty::open(None).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        let mut client = client(&pty);
        client.write_all(&all).unwrap();
        let mut received = Vec::new();
        while received.len() < all.len() {
            received.extend(step(&mut pty));
        }
        assert_eq!(received, all);
        pty.send(&all).unwrap();
        let mut answer = [0; 256];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *all);
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_keeps_the_newest() {
        let mut pty = Pty::open(None).unwrap();
        pty.send(b"before anyone listens").unwrap();
        let mut client = client(&pty);
        step(&mut pty);
        for number in 0..40_000_u32 {
            pty.send(&number.to_be_bytes()).unwrap();
        }
        pty.send(b"!").unwrap();
        let mut received = Vec::new();
        while received.last() != Some(&b'!') {
            let mut bytes = [0; 4096];
            let count = client.read(&mut bytes).unwrap();
            received.extend(&bytes[..count]);
            pty.send(&[]).unwrap();
        }
        assert!(received.starts_with(&[0, 0, 0, 0, 0, 0, 0, 1]), "stale output, or none");
        assert!(received.len() < 2 * BACKLOG, "{} bytes were kept", received.len());
        assert!(received.ends_with(&[0, 0, 0x9C, 0x3F, b'!']));
    }

    #[test]
    fn the_next_client_finds_the_port_as_it_was() {
        let mut pty = Pty::open(None).unwrap();
        let first = client(&pty);
        step(&mut pty);
        ioctl_tiocexcl(&first).unwrap();
        let mut settings = tcgetattr(&first).unwrap();
        settings.local_modes |= LocalModes::ECHO;
        settings.set_speed(921_600).unwrap();
        tcsetattr(&first, OptionalActions::Now, &settings).unwrap();
        assert_eq!(pty.baud(), 921_600);
        pty.send(b"not for the second").unwrap();
        drop(first);
        while pty.clients > 0 {
            step(&mut pty);
        }
        let mut second = client(&pty);
        let settings = tcgetattr(&second).unwrap();
        assert!(!settings.local_modes.contains(LocalModes::ECHO));
        assert_eq!(settings.output_speed(), DEFAULT_BAUD);
        assert!(settings.control_modes.contains(ControlModes::CS8));
        step(&mut pty);
        pty.send(b"hello").unwrap();
        let mut text = [0; 5];
        second.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
    }

    #[test]
    fn a_client_that_dies_does_not_lock_the_port() {
        let mut pty = Pty::open(None).unwrap();
        let name = pty.name.clone();
        let opens = || {
            // Root may open an exclusive terminal all the same: another user tries it.
            let mut others = std::process::Command::new("setpriv");
            others.args(["--reuid=65534", "--clear-groups"]);
            let mut own = std::process::Command::new("env");
            let root = rustix::process::geteuid().is_root();
            let command = if root { &mut others } else { &mut own };
            command.args(["dd", "status=none", "count=0"]).arg(format!("if={}", name.display()));
            command.stderr(std::process::Stdio::null()).status().unwrap().success()
        };
        std::fs::set_permissions(&pty.name, Permissions::from_mode(0o666)).unwrap();
        assert!(opens());
        let first = client(&pty);
        ioctl_tiocexcl(&first).unwrap();
        assert!(!opens(), "the test does not show what it should");
        drop(first);
        step(&mut pty);
        while pty.clients > 0 {
            step(&mut pty);
        }
        assert!(opens(), "the port stays exclusive");
    }

    #[test]
    fn a_link_leads_to_the_port_as_long_as_it_exists() {
        let directory = tempdir().unwrap();
        let link = directory.path().join("board");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        let pty = Pty::open(Some(&link)).unwrap();
        assert_eq!(pty.path(), link);
        assert_eq!(std::fs::read_link(&link).unwrap(), pty.name);
        drop(pty);
        assert!(link.symlink_metadata().is_err(), "the link is left behind");
        assert!(directory.path().read_dir().unwrap().next().is_none());

        std::fs::write(&link, "precious").unwrap();
        let error = Pty::open(Some(&link)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "precious");
    }
}
