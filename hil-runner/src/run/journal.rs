//! The journal of a run: what came of each run of a case, on disk as soon as it is known.
//!
//! JSON lines. The first is a [`Header`], each other one an [`Outcome`]. A line is appended by one write, so
//! that it outlives the runner from then on, and is forced to disk within [`SYNC`], so that it outlives the
//! machine. A line that a crash cut off is told by its missing end and is taken away when the run goes on.

use super::outcome::Outcome;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a line may wait until it is forced to disk. Forcing each one would cost more than a run on the
/// flash model.
const SYNC: Duration = Duration::from_millis(500);

/// The first line of a journal: all that makes a run what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// Version of the journal's format: [`Header::FORMAT`].
    pub journal: u32,
    /// Version of the program.
    pub version: String,
    /// The command line.
    pub command: Vec<String>,
    /// The seed of everything that is random.
    pub seed: u64,
    /// When the run began, in UTC as in RFC 3339.
    pub started: String,
    /// The files that decide about results, each with its SHA-256 in hexadecimal digits.
    pub files: BTreeMap<PathBuf, String>,
}

impl Header {
    /// The version of the format that this program writes and reads.
    pub const FORMAT: u32 = 1;

    /// The header of a run that begins now. `files` are those that decide about results: scenarios, and
    /// what they name.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(
        command: Vec<String>,
        seed: u64,
        files: impl IntoIterator<Item = PathBuf>,
    ) -> Result<Self, JournalError> {
        let hashed = files.into_iter().map(|path| match sha256(&path) {
            Ok(hash) => Ok((path, hash)),
            Err(source) => Err(JournalError::Io { path, source }),
        });
        Ok(Self {
            journal: Self::FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            command,
            seed,
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            files: hashed.collect::<Result<_, _>>()?,
        })
    }

    /// The files that are no longer what they were, or are gone.
    fn changed(&self) -> Vec<PathBuf> {
        let same = |path: &Path, hash: &str| sha256(path).is_ok_and(|now| now == hash);
        let changed = self.files.iter().filter(|(path, hash)| !same(path, hash));
        changed.map(|(path, _)| path.clone()).collect()
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The first line.
    pub header: Header,
    /// The others, in the order in which they were written.
    pub outcomes: Vec<Outcome>,
    /// How many bytes of a last line there are that has no end: the runner died while it wrote them.
    pub torn: usize,
}

impl Recorded {
    /// Reads a journal, and leaves it as it is.
    ///
    /// # Errors
    /// The file cannot be read, or is no journal of this format.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.into(), source };
        Self::parse(path, &fs::read(path).map_err(io)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, JournalError> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let malformed = |line: usize, what: String| JournalError::Malformed {
            path: path.into(),
            line: line + 1,
            what,
        };
        let mut lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate();
        let Some((_, first)) = lines.next() else {
            return Err(malformed(0, "there is no header".into()));
        };
        let header: Header =
            serde_json::from_slice(first).map_err(|error| malformed(0, error.to_string()))?;
        if header.journal != Header::FORMAT {
            let what = format!("format {}, not {}", header.journal, Header::FORMAT);
            return Err(malformed(0, what));
        }
        let outcomes = lines.map(|(line, text)| {
            serde_json::from_slice(text).map_err(|error| malformed(line, error.to_string()))
        });
        Ok(Self {
            header,
            outcomes: outcomes.collect::<Result<_, _>>()?,
            torn: bytes.len() - whole,
        })
    }
}

/// A journal that is being written. Nobody else writes it meanwhile.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// How many bytes of whole lines there are.
    length: u64,
    /// When the file was last forced to disk.
    synced: Instant,
}

impl Journal {
    /// Begins a journal in a new file.
    ///
    /// # Errors
    /// The file is there already, as the results in it are not to be lost, or cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists { path: path.into() },
            _ => JournalError::Io { path: path.into(), source },
        })?;
        let mut journal = Self::own(path, file, 0)?;
        match journal.line(header).and_then(|()| journal.file.sync_data()) {
            Ok(()) => Ok(journal),
            Err(source) => {
                // A file without a header could neither be begun again nor gone on with.
                let _ = fs::remove_file(path);
                Err(JournalError::Io { path: path.into(), source })
            }
        }
    }

    /// Goes on with a journal, and gives what is in it. A torn last line is taken away.
    ///
    /// # Errors
    /// The file cannot be read or written, is no journal, another runner is writing it, or a file that
    /// decides about results is not what it was.
    pub fn resume(path: &Path) -> Result<(Self, Recorded), JournalError> {
        let io = |source| JournalError::Io { path: path.into(), source };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        let mut journal = Self::own(path, file, 0)?;
        let mut bytes = Vec::new();
        journal.file.read_to_end(&mut bytes).map_err(io)?;
        let recorded = Recorded::parse(path, &bytes)?;
        let changed = recorded.header.changed();
        if !changed.is_empty() {
            return Err(JournalError::Changed { path: path.into(), files: changed });
        }
        journal.length = (bytes.len() - recorded.torn) as u64;
        journal.cut_back().map_err(io)?;
        journal.sync()?;
        Ok((journal, recorded))
    }

    fn own(path: &Path, file: File, length: u64) -> Result<Self, JournalError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), file, length, synced: Instant::now() }),
            Err(fs::TryLockError::WouldBlock) => Err(JournalError::Busy { path: path.into() }),
            Err(fs::TryLockError::Error(source)) => {
                Err(JournalError::Io { path: path.into(), source })
            }
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends what came of a run.
    ///
    /// # Errors
    /// The line cannot be written, as when no space is left. Then it goes to standard output, the file ends
    /// with the last whole line, and the next call tries again.
    pub fn append(&mut self, outcome: &Outcome) -> Result<(), JournalError> {
        self.line(outcome).map_err(|source| {
            if let Ok(line) = serde_json::to_string(outcome) {
                // Nothing is left to tell it to if this fails, too.
                let _ = writeln!(io::stdout(), "{line}");
            }
            JournalError::Append { path: self.path.clone(), source }
        })?;
        if self.synced.elapsed() < SYNC { Ok(()) } else { self.sync() }
    }

    /// Forces all lines to disk. Also done when a journal is dropped, but then nobody hears of an error.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.synced = Instant::now();
        self.file.sync_data().map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.write(value).inspect_err(|_| {
            // What came through of the line must not stand before the next one. If this fails, the next
            // line is written over it.
            let _ = self.cut_back();
        })
    }

    fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Takes away what stands behind the last whole line.
    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.file.sync_data();
        // A program that another thread is just starting holds the open file, and with it the lock, for a
        // moment longer than this process.
        let _ = self.file.unlock();
    }
}

/// Why a journal cannot be written or read.
#[derive(Debug)]
pub enum JournalError {
    /// A file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line could not be appended.
    Append {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file of that name.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another runner is writing it.
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// It is no journal, or was written to by something else.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Files that decide about results are not what they were when the run began.
    Changed {
        /// The journal.
        path: PathBuf,
        /// The files.
        files: Vec<PathBuf>,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Append { path, source } => write!(
                f,
                "{}: {source}; what is in it is whole, the result that did not fit went to standard \
                 output. Make room and go on with `--resume`",
                path.display()
            ),
            Self::Exists { path } => write!(
                f,
                "{}: is there already; go on with `--resume`, or choose another name",
                path.display()
            ),
            Self::Busy { path } => {
                write!(f, "{}: another runner is writing it", path.display())
            }
            Self::Malformed { path, line, what } => {
                write!(f, "{}:{line}: not a journal of this program: {what}", path.display())
            }
            Self::Changed { path, files } => {
                let files: Vec<_> = files.iter().map(|it| it.display().to_string()).collect();
                write!(
                    f,
                    "{}: results before and after a change do not belong together, and since the run \
                     began there has changed: {}; put it back, or begin a new run",
                    path.display(),
                    files.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Append { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<JournalError> for crate::board::RigError {
    fn from(error: JournalError) -> Self {
        Self::new(error.to_string())
    }
}
