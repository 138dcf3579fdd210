//! A virtual board behind a pseudo-terminal, with a file as its power switch.

#![allow(dead_code, reason = "not every test uses all of it")]

use serialport::{SerialPort, TTYPort};
use sim::flash::{Memory, Part};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;
use virtual_board::{Board, Config, Strap, Ticks};

/// A board without firmware. Its folder has a file `power`: the board has power while that holds `1`.
pub(crate) struct PtyBoard {
    pub(crate) folder: TempDir,
    pub(crate) port: PathBuf,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PtyBoard {
    /// Makes one that has power. With [`Strap::Download`] its serial loader waits, with
    /// [`Strap::FlashBoot`] its ROM complains without end.
    pub(crate) fn start(strap: Strap) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let power = folder.path().join("power");
        fs::write(&power, "1").unwrap();
        let (mut host, line) = TTYPort::pair().unwrap();
        let port = PathBuf::from(line.name().unwrap());
        let line = hold(line);
        host.set_timeout(Duration::from_millis(1)).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let ended = done.clone();
        let thread = thread::spawn(move || {
            let part = Part::by_name("W25Q32JV").unwrap();
            let mut board = Board::new(Config::new(part, Memory::erased(part.capacity))).unwrap();
            board.set_strap(strap);
            while !ended.load(Ordering::Relaxed) {
                let on = fs::read_to_string(&power).is_ok_and(|it| it.trim() == "1");
                match (on, board.is_powered()) {
                    (true, false) => board.power_on(),
                    (false, true) => board.power_off(),
                    _ => {}
                }
                let mut buffer = [0; 4096];
                if let Ok(count) = host.read(&mut buffer) {
                    board.uart0_send(&buffer[..count]);
                }
                let slice = Ticks::from_duration(Duration::from_millis(5));
                board.run(Ticks(board.now().0 + slice.0));
                // Lost if nobody reads.
                let _ = host.write_all(&board.uart0_output());
            }
            drop(line);
        });
        Self { folder, port, done, thread: Some(thread) }
    }

    /// The board is unplugged: its port is gone.
    pub(crate) fn unplug(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether its switch is on.
    pub(crate) fn has_power(&self) -> bool {
        fs::read_to_string(self.path("power")).unwrap().trim() == "1"
    }
}

impl Drop for PtyBoard {
    fn drop(&mut self) {
        self.unplug();
    }
}

/// Keeps a line open, for one that nobody has open fails, and leaves it to others.
pub(crate) fn hold(line: TTYPort) -> File {
    // `O_NOCTTY` of Linux: the line does not become the terminal of this process.
    let mut options = File::options();
    let options = options.read(true).write(true).custom_flags(0o400);
    options.open(line.name().unwrap()).unwrap()
}

/// A path for a TOML file.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
