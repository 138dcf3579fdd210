//! A virtual board with the firmware, and its client.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mcumgr_toolkit::MCUmgrClient;
use mcumgr_toolkit::commands::image::ImageState;
use mcumgr_toolkit::transport::serial::ConfigurableTimeout;
use sim::flash::{Memory, Part};
use virtual_board::{Board, Config, Console, Snapshot, Stop, Ticks};

/// How long the client waits for an answer, in simulated time: verifying an image takes seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a device may take until the firmware has reported, in simulated time: more than a watchdog
/// needs to end a boot that hangs and the next one.
const BOOT: Duration = Duration::from_secs(20);

/// The end of the firmware's start-up: what it prints last before it listens.
const LISTENS: &[u8] = b"self-test: ";

/// Why something did not go as it must.
pub type Failure = String;

/// The firmware before and after the update.
#[derive(Clone, Debug)]
pub struct Images {
    /// Contents of a whole flash: bootloader, partition table, version 1.
    pub factory: Vec<u8>,
    /// The application image of version 2.
    pub update: Vec<u8>,
}

impl Images {
    /// Reads what `just fw` has made.
    ///
    /// # Errors
    /// When it has not.
    pub fn load(folder: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| format!("{}: {error}; run `just fw`", path.display()))
        };
        Ok(Self { factory: read("v1.0.0.flash.bin")?, update: read("v2.0.0.app.bin")? })
    }
}

/// What the firmware reports when it has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its version.
    pub version: String,
    /// The partition that it runs from.
    pub running: String,
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.version, self.running)
    }
}

impl Boot {
    /// Reads the last boot report of a console log.
    pub(crate) fn parse(console: &str) -> Option<Self> {
        let line = console.lines().rev().find(|line| line.starts_with("boot: fw="))?;
        let field = |name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name));
            word.map(str::to_owned)
        };
        Some(Self { version: field("fw=")?, running: field("running=")? })
    }
}

/// A virtual board that the firmware runs on.
#[derive(Debug)]
pub struct Device {
    console: Console,
    frames: Arc<Mutex<Vec<Frame>>>,
}

/// The board when a request had been sent and nothing of it had arrived.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Number of the next flash operation.
    pub(super) operation: u64,
    pub(super) board: Snapshot,
}

impl Device {
    /// A device as it leaves the factory, without power.
    ///
    /// # Errors
    /// When the board can't be made.
    pub fn new(images: &Images) -> Result<Self, Failure> {
        let part = Part::by_name("W25Q32JV").ok_or("no such flash part")?;
        let flash = Memory::with_contents(part.capacity, &images.factory);
        let board = Board::new(Config::new(part, flash)).map_err(|error| error.to_string())?;
        Ok(Self::with_board(board))
    }

    /// A device with this board.
    #[must_use]
    pub fn with_board(board: Board) -> Self {
        Self { console: Console::new(board), frames: Arc::default() }
    }

    /// The board.
    pub fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.console.board()
    }

    /// A client at the console.
    ///
    /// # Errors
    /// When the client can't be set up.
    pub fn client(&self) -> Result<MCUmgrClient, Failure> {
        let frames = Arc::clone(&self.frames);
        let port = Port { console: self.console.clone(), frames, sent: false };
        let client = MCUmgrClient::new_from_serial(port);
        client.set_timeout(ANSWER).map_err(|error| error.to_string())?;
        // A repeated request would hide that the first one had no answer.
        client.set_retries(0);
        client.use_auto_frame_size().map_err(|error| format!("parameters: {error}"))?;
        Ok(client)
    }

    /// Forgets and returns what was kept of each request of the clients since the last call.
    pub(super) fn take_frames(&self) -> Vec<Frame> {
        std::mem::take(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs the board until the firmware has reported.
    ///
    /// # Errors
    /// When it does not, with the console log.
    pub fn boot(&self) -> Result<Boot, Failure> {
        let boot = self.boot_report()?;
        self.run_until(LISTENS)?;
        Ok(boot)
    }

    /// Runs the board until the firmware has printed its boot report, and no further.
    pub(super) fn boot_report(&self) -> Result<Boot, Failure> {
        // The last word of the line: all others stand before it.
        let log = self.run_until(b" reset=")?;
        Boot::parse(&log).ok_or_else(|| format!("a boot report without its fields:\n{log}"))
    }

    /// Runs the board until the firmware listens.
    pub(super) fn listen(&self) -> Result<(), Failure> {
        self.run_until(LISTENS).map(drop)
    }

    /// Runs the board until it has printed `text`; the console log up to there.
    fn run_until(&self, text: &[u8]) -> Result<String, Failure> {
        let mut board = self.board();
        board.watch_console(Some(text));
        let limit = board.now() + Ticks::from_duration(BOOT).0;
        let stop = board.run(limit);
        let log = String::from_utf8_lossy(&board.uart0_output()).into_owned();
        match stop {
            Stop::ConsoleText => Ok(log),
            _ => Err(format!("the firmware does not report ({stop:?}); console:\n{log}")),
        }
    }

    /// Uploads an image, goes on where an earlier upload ended.
    ///
    /// # Errors
    /// What the client says.
    pub fn upload(&self, client: &MCUmgrClient, image: &[u8]) -> Result<(), Failure> {
        let done = client.image_upload(image, None, None, false, None);
        done.map_err(|error| format!("upload: {error}"))
    }

    /// Selects the uploaded image for the next boot.
    ///
    /// # Errors
    /// What the client says, or that the image is not there.
    pub fn select(&self, client: &MCUmgrClient) -> Result<(), Failure> {
        let images = client.image_get_state().map_err(|error| format!("list: {error}"))?;
        let hash = hash_of(&images, "2.0.0").ok_or("the uploaded image is not listed")?;
        let done = client.image_set_state(Some(&hash), false);
        done.map(drop).map_err(|error| format!("select: {error}"))
    }

    /// Confirms the running image.
    ///
    /// # Errors
    /// What the client says.
    pub fn confirm(&self, client: &MCUmgrClient) -> Result<(), Failure> {
        let done = client.image_set_state(None, true);
        done.map(drop).map_err(|error| format!("confirm: {error}"))
    }

    /// Resets the device through the client.
    ///
    /// # Errors
    /// What the client says.
    pub fn reset(&self, client: &MCUmgrClient) -> Result<(), Failure> {
        client.os_system_reset(false, None).map_err(|error| format!("reset: {error}"))
    }

    /// Brings the device to version 2 from wherever it is, and checks that it stays there.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn complete(&self, images: &Images, boot: &Boot) -> Result<(), Failure> {
        let client = self.client()?;
        if boot.version == "1.0.0" {
            self.upload(&client, &images.update)?;
            self.select(&client)?;
            self.reset(&client)?;
            self.expect_version_2()?;
        }
        self.confirm(&client)?;
        self.board().power_on();
        self.expect_version_2()
    }

    fn expect_version_2(&self) -> Result<(), Failure> {
        let boot = self.boot()?;
        if boot.version == "2.0.0" { Ok(()) } else { Err(format!("runs {boot} instead of 2.0.0")) }
    }
}

fn hash_of(images: &[ImageState], version: &str) -> Option<Vec<u8>> {
    images.iter().find(|image| image.version == version)?.hash.clone()
}

/// The console as the client sees it. Keeps the board as it is when a request has been sent.
struct Port {
    console: Console,
    frames: Arc<Mutex<Vec<Frame>>>,
    sent: bool,
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.sent) {
            let mut board = self.console.board();
            let operation = board.flash().operations();
            let frame = Frame { operation, board: board.snapshot() };
            drop(board);
            self.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
        }
        self.console.read(buffer)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent = true;
        self.console.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.console.flush()
    }
}

impl ConfigurableTimeout for Port {
    fn set_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.console.set_timeout(timeout);
        Ok(())
    }
}
