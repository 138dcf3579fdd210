//! QEMU as a process: its command line, its start, and why it ended.

use super::gdb::Gdb;
use crate::board::RigError;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The machine that is emulated.
const MACHINE: &str = "esp32c3";
/// How long QEMU may take to start.
const STARTS: Duration = Duration::from_secs(20);
/// How often to look whether it has connected, or ended.
const LOOK: Duration = Duration::from_millis(2);
/// Longest path of a Unix socket on Linux, in bytes (`sun_path`, without the zero at its end).
const SOCKET_PATH: usize = 107;
/// Most bytes of QEMU's complaints that are shown.
const COMPLAINTS: usize = 1000;

/// Becomes the program that is given, and ends it when the pipe at standard input breaks: when the runner was
/// killed. A line from there says that the runner ends it by itself.
const GUARD: &str = "\
    exec 3<&0 </dev/null
    { read -r line <&3 || kill -9 $$; } &
    exec 3<&- \"$0\" \"$@\"";

/// A QEMU that runs; its machine stands still at first.
pub(super) struct Process {
    child: Child,
    /// What UART0 sends.
    pub(super) output: File,
    /// What UART0 is to receive.
    pub(super) input: File,
    /// The machine's GDB server.
    pub(super) gdb: Gdb,
    program: PathBuf,
    /// With its pipes, its socket and what it complains of.
    folder: TempDir,
}

impl Process {
    /// Starts QEMU with this flash file. Its machine does not run yet.
    pub(super) fn start(program: &Path, flash: &Path) -> Result<Self, RigError> {
        let folder = tempfile::Builder::new().prefix("qemu-").tempdir()?;
        let pipe = |name: &str| pipe(&folder.path().join(name));
        let (output, input) = (pipe("serial.out")?, pipe("serial.in")?);
        let gdb = listen(&folder.path().join("gdb"))?;
        let mut command = guarded(program);
        command.args(arguments(flash, folder.path()));
        command.stdout(Stdio::null()).stderr(File::create(complaints(&folder))?);
        let mut child = command.spawn().map_err(|error| unusable(Path::new("sh"), &error))?;
        let connected = accept(&gdb, &mut child).map_err(|error| failed(program, &folder, &error));
        match connected.and_then(Gdb::greet) {
            Ok(gdb) => Ok(Self { child, output, input, gdb, program: program.into(), folder }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Ends it at once, with its machine.
    pub(super) fn kill(mut self) {
        end(&mut self.child);
    }

    /// Why it does not answer as it should.
    pub(super) fn why(mut self, error: &RigError) -> RigError {
        // The process outlives its connections by a little when it ends by itself.
        let limit = Instant::now() + Duration::from_secs(1);
        let mut status = None;
        while status.is_none() && Instant::now() < limit {
            std::thread::sleep(LOOK);
            status = self.child.try_wait().ok().flatten();
        }
        let what = match status {
            Some(status) => format!("it has ended by itself ({status})"),
            None => error.to_string(),
        };
        end(&mut self.child);
        failed(&self.program, &self.folder, &what)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A command that does not outlive the runner.
fn guarded(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD]).arg(program).stdin(Stdio::piped());
    // What is said to the terminal, as Ctrl-C, is for the runner, which then ends QEMU.
    command.process_group(0);
    command
}

/// Power goes as suddenly: nothing that QEMU might want to do at its end is done.
fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.stdin.as_mut().map(|pipe| pipe.write_all(b"\n"));
    let _ = child.kill();
    let _ = child.wait();
}

/// How QEMU is called. In that folder it opens the pipes `serial.in` and `serial.out`, and connects to the
/// socket `gdb`.
fn arguments(flash: &Path, folder: &Path) -> Vec<OsString> {
    // QEMU takes a comma for the end of a value, two for one.
    let path = |path: &Path| path.to_string_lossy().replace(',', ",,");
    // A pipe, and no socket: UART0 sends single bytes, of which few fill the buffer of a socket, and what
    // does not fit is lost.
    let serial = format!("pipe:{}", path(&folder.join("serial")));
    let gdb = format!("unix:{}", path(&folder.join("gdb")));
    // The file has what the machine wrote as soon as QEMU has: it need not reach the disk as well.
    let drive = format!("file={},if=mtd,format=raw,cache=unsafe", path(flash));
    let plain = ["-M", MACHINE, "-display", "none", "-monitor", "none", "-nic", "none", "-S"];
    let mut arguments: Vec<OsString> = plain.map(Into::into).into();
    for (option, value) in [("-drive", drive), ("-serial", serial), ("-gdb", gdb)] {
        arguments.extend([option.into(), value.into()]);
    }
    arguments
}

/// Checks that a program is a QEMU that has the machine.
///
/// # Errors
/// It cannot be run, or it does not list the machine.
pub fn check(program: &Path) -> Result<(), RigError> {
    let output = Command::new(program)
        .args(["-M", "help"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(program, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.lines().any(|line| line.split_whitespace().next() == Some(MACHINE)) {
        return Ok(());
    }
    let program = program.display();
    Err(RigError::new(format!(
        "{program} has no machine `{MACHINE}` (it was asked with `-M help`); Espressif's QEMU has it, as \
         `qemu-system-riscv32`"
    )))
}

fn unusable(program: &Path, error: &std::io::Error) -> RigError {
    let advice = match error.kind() {
        ErrorKind::NotFound => "; give the path of Espressif's `qemu-system-riscv32`",
        ErrorKind::PermissionDenied => "; is it a program?",
        _ => "",
    };
    RigError::new(format!("{}: {error}{advice}", program.display()))
}

fn complaints(folder: &TempDir) -> PathBuf {
    folder.path().join("complaints")
}

/// Adds what QEMU has complained of.
fn failed(program: &Path, folder: &TempDir, what: &dyn std::fmt::Display) -> RigError {
    let said = std::fs::read(complaints(folder)).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(COMPLAINTS)..]).into_owned();
    let said = said.trim();
    let said = if said.is_empty() { "it says nothing" } else { said };
    RigError::new(format!("{}: {what}; {said}", program.display()))
}

/// Makes a named pipe and opens it.
fn pipe(path: &Path) -> Result<File, RigError> {
    let at = |error: std::io::Error| RigError::new(format!("{}: {error}", path.display()));
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|it| at(it.into()))?;
    // Open for both, it needs nobody at its other end.
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    options.open(path).map_err(at)
}

fn listen(path: &Path) -> Result<UnixListener, RigError> {
    if path.as_os_str().len() > SOCKET_PATH {
        let what = "is too long for a socket; set TMPDIR to a shorter one";
        return Err(RigError::new(format!("{}: {what}", path.display())));
    }
    let listener = UnixListener::bind(path)
        .map_err(|error| RigError::new(format!("{}: {error}", path.display())))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Waits for QEMU to connect.
fn accept(listener: &UnixListener, child: &mut Child) -> Result<UnixStream, RigError> {
    let begin = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            return Err(RigError::new(format!("it does not start ({status})")));
        }
        if begin.elapsed() > STARTS {
            let what = format!("it does not connect within {} s", STARTS.as_secs());
            return Err(RigError::new(what));
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is a shell script.
    fn script(folder: &TempDir, lines: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn start(program: &Path) -> String {
        Process::start(program, Path::new("flash.bin")).err().unwrap().to_string()
    }

    #[test]
    fn the_command_line() {
        let arguments = arguments(Path::new("a,b/flash.bin"), Path::new("/tmp/x"));
        let line: Vec<_> = arguments.iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(
            line.join(" "),
            "-M esp32c3 -display none -monitor none -nic none -S \
             -drive file=a,,b/flash.bin,if=mtd,format=raw,cache=unsafe \
             -serial pipe:/tmp/x/serial -gdb unix:/tmp/x/gdb"
        );
    }

    #[test]
    fn a_program_that_is_missing_or_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("qemu");
        let error = check(&missing).unwrap_err().to_string();
        assert!(error.contains("give the path of Espressif's `qemu-system-riscv32`"), "{error}");
        assert!(start(&missing).contains("it does not start (exit status: 127)"));
        std::fs::write(&missing, "text").unwrap();
        let error = check(&missing).unwrap_err().to_string();
        assert!(error.contains("is it a program?"), "{error}");
    }

    #[test]
    fn a_qemu_without_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "echo 'virt   RISC-V VirtIO board'; echo 'esp32c33  no'");
        let error = check(&program).unwrap_err().to_string();
        assert!(error.contains("has no machine `esp32c3`"), "{error}");
        let program = script(&folder, "echo 'esp32c3              Espressif ESP32-C3 machine'");
        assert_eq!(check(&program), Ok(()));
    }

    #[test]
    fn a_qemu_that_ends_before_it_connects() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "echo 'Drive size error' >&2; exit 3");
        let error = start(&program);
        assert!(error.contains("it does not start (exit status: 3); Drive size error"), "{error}");
    }

    #[test]
    fn it_does_not_outlive_the_runner() {
        use std::os::unix::process::ExitStatusExt;
        let mut child = guarded(Path::new("sleep")).arg("1000").spawn().unwrap();
        // What the kernel does with the pipe of a runner that was killed.
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn its_guard_ends_with_it() {
        let mut command = guarded(Path::new("sleep"));
        let mut child = command.arg("1000").stdout(Stdio::piped()).spawn().unwrap();
        end(&mut child);
        // Who is left of the group keeps the pipe open.
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
        assert_eq!(text, "");
    }

    #[test]
    fn a_socket_whose_path_is_too_long() {
        let error = listen(&Path::new("/tmp").join("x".repeat(200))).unwrap_err().to_string();
        assert!(error.contains("too long for a socket"), "{error}");
    }
}
