//! A running program.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What the ROM prints at power-on with the strap for downloads.
pub(crate) const DOWNLOAD: &str = "ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\nrst:0x1 (POWERON),boot:0x4 (DOWNLOAD(USB/UART0/1))\r\nwaiting for download\r\n";

fn command(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtual-board"));
    command.current_dir(directory).args(["run", "--flash", "flash.bin"]).args(arguments);
    command
}

/// Runs the program to its end, on a new flash file unless there is one in the directory.
pub(crate) fn run_in(directory: &TempDir, arguments: &[&str]) -> Output {
    command(directory, arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs the program to its end on a new flash file.
pub(crate) fn run(arguments: &[&str]) -> Output {
    run_in(&TempDir::new().unwrap(), arguments)
}

/// Connects to a port of the program. Reads that wait for what does not come fail in the end.
pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    stream
}

/// The program in the background, with a new flash file and a control socket.
pub(crate) struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said before it was ready.
    greeting: String,
    control: BufReader<UnixStream>,
    pub(crate) directory: TempDir,
}

impl Program {
    /// Starts it; returns when it is ready, which is when its control socket answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        // Without an end, a test that waits for what does not come would never fail.
        let mut command = command(&directory, &["--control", "control", "--for", "5m"]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Control: ") {
            assert!(stderr.read_line(&mut greeting).unwrap() > 0, "it has ended: {greeting}");
        }
        let socket = UnixStream::connect(directory.path().join("control")).unwrap();
        Self { child, stderr, greeting, control: BufReader::new(socket), directory }
    }

    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What follows this beginning of a line in what it said before it was ready.
    pub(crate) fn greeted(&self, beginning: &str) -> String {
        let rest = self.greeting.lines().find_map(|line| line.strip_prefix(beginning));
        rest.unwrap_or_else(|| panic!("no {beginning} in {}", self.greeting)).to_owned()
    }

    /// The next line on its standard error output that begins like this, without the beginning.
    pub(crate) fn said(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "the program has ended");
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim_end().to_owned();
            }
        }
    }

    /// The answer to a control command.
    pub(crate) fn control(&mut self, command: &str) -> String {
        writeln!(self.control.get_mut(), "{command}").unwrap();
        let mut answer = String::new();
        self.control.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// A value in the answer to `status`.
    pub(crate) fn status(&mut self, key: &str) -> String {
        let status = self.control("status");
        let beginning = format!("{key}=");
        let value = status.split(' ').find_map(|pair| pair.strip_prefix(&beginning));
        value.unwrap_or_else(|| panic!("no {key} in '{status}'")).to_owned()
    }

    /// Tells it to end; returns its exit status.
    pub(crate) fn quit(&mut self) -> i32 {
        assert_eq!(self.control("quit"), "ok");
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
