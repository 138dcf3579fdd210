//! A crash state as flash contents, and which firmware must boot from it.

use super::case::{Options, run_case};
use super::outcome::Verdict;
use super::replay::{Replay, ReplayError};
use crate::board::{Board, Contents, ModelBoard, Port, RigError};
use crate::scenario::Sources;
use ota_core::image::{AppDescriptor, ChipId, DESCRIPTOR_OFFSET, Requirements};
use regex::Regex;
use sim::bootloader::{BootInput, Bootloader, FullCheck};
use sim::flash::{Chip, Memory, Part};
use sim::setup::Rollback;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How long the bootloader may take to choose.
const CHOICE: Duration = Duration::from_secs(20);
/// How long the firmware may take to say what it is.
const REPORT: Duration = Duration::from_secs(5);

/// Flash contents that a cut has left, and what they are for.
#[derive(Clone, Debug, PartialEq)]
pub struct CrashState {
    /// All of flash, the bootloader included.
    flash: Vec<u8>,
    /// The flash part.
    part: Part,
    /// Whether the bootloader is built with rollback.
    rollback: bool,
    /// What it shows, for the reader; empty if nobody said.
    pub summary: String,
}

/// What boots: a verdict of the bootloader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boots {
    /// Offset of the application in flash; `None` when the bootloader finds none.
    pub offset: Option<u32>,
    /// Version of the application: that in its description, or that which it reports, if it does.
    pub version: Option<String>,
}

/// Why there is no crash state to be had.
#[derive(Debug)]
pub enum StateError {
    /// A file cannot be used.
    File(PathBuf, String),
    /// A replay cannot be used.
    Replay(ReplayError),
}

impl From<ReplayError> for StateError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}

impl Boots {
    /// Whether what a device showed is what was predicted. A firmware that does not report is judged by its
    /// offset alone.
    #[must_use]
    pub fn agrees(&self, shown: &Self) -> bool {
        self.offset == shown.offset && (shown.version.is_none() || self.version == shown.version)
    }
}

impl fmt::Display for Boots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.offset, &self.version) {
            (None, _) => f.write_str("nothing boots"),
            (Some(offset), Some(version)) => write!(f, "version {version} boots from {offset:#x}"),
            (Some(offset), None) => write!(f, "what is at {offset:#x} boots"),
        }
    }
}

impl CrashState {
    /// The state that a file describes: a replay of `hil-runner run`, a replay of `sim`, or all of flash as
    /// it is (`.bin`). `options` has the bootloaders; a dump has its own unless one with rollback is given.
    ///
    /// # Errors
    /// The file is nothing of these, what it names is missing or has changed, or a bootloader with rollback
    /// is needed and not given.
    pub fn read(path: &Path, sources: &Sources, options: &Options) -> Result<Self, StateError> {
        let wrong = |what: String| StateError::File(path.into(), what);
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        if path.extension().is_some_and(|extension| extension == "bin") {
            let part = Part::ALL.iter().find(|part| part.capacity as usize == bytes.len());
            let part = part.ok_or_else(|| {
                let sizes = Part::ALL.iter().map(|part| format!("{:#x}", part.capacity));
                let sizes = sizes.collect::<Vec<_>>().join(", ");
                wrong(format!(
                    "{:#x} bytes are no whole flash, which has one of {sizes}",
                    bytes.len()
                ))
            })?;
            return Ok(Self::of(Memory::with_contents(part.capacity, &bytes), part, options));
        }
        let json: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("neither a replay nor a dump (.bin): {error}")))?;
        let has = |key: &str| json.get(key).is_some();
        let state = match (has("case"), has("device")) {
            (true, _) => Self::of_case(path, sources, options),
            (_, true) => Self::of_sim(path, options),
            _ => Err(wrong(
                "a replay of `hil-runner run` has a `case`, one of `sim` a `device`".into(),
            )),
        }?;
        if state.rollback && options.rollback_bootloader.is_none() {
            let what = "its bootloader rolls back: give one that does with --rollback-bootloader";
            return Err(wrong(what.into()));
        }
        Ok(state)
    }

    fn of(memory: Memory, part: &Part, options: &Options) -> Self {
        let rollback = options.rollback_bootloader.is_some();
        let mut memory = memory;
        if let Some(bootloader) = &options.rollback_bootloader {
            memory.set(0, bootloader);
        }
        let flash = memory.to_vec(0..memory.capacity());
        Self { flash, part: *part, rollback, summary: String::new() }
    }

    /// The chain of cuts of a case, on the flash model.
    fn of_case(path: &Path, sources: &Sources, options: &Options) -> Result<Self, StateError> {
        let replay = Replay::read(path)?;
        let scenario = replay.scenario(sources)?;
        let wrong = |what: String| StateError::File(path.into(), what);
        let case = scenario.cases.first().ok_or_else(|| wrong("it has no case".into()))?;
        let mut board = ModelBoard::new("model", &case.device.flash, case.device.rollback);
        let only = Some(replay.at.clone());
        let options = Options { only, attempts: 1, ..options.clone() };
        let mut not_run = None;
        run_case(&mut board, &scenario, case, &options, &AtomicBool::new(false), &mut |outcome| {
            if outcome.verdict == Verdict::NotRun {
                not_run = outcome.reason;
            }
        });
        let memory = board.memory_at_cut().ok_or_else(|| {
            wrong(not_run.unwrap_or_else(|| "no cut fires in it on the flash model".into()))
        })?;
        let flash = memory.to_vec(0..memory.capacity());
        let (part, rollback) = (case.device.flash, case.device.rollback);
        Ok(Self { flash, part, rollback, summary: replay.summary })
    }

    /// The power cycles of a counterexample, as `sim` does them, up to the last one that was cut.
    fn of_sim(path: &Path, options: &Options) -> Result<Self, StateError> {
        let wrong = |what: String| StateError::File(path.into(), what);
        let replay = sim::replay::Replay::read(path).map_err(|error| wrong(error.to_string()))?;
        let setup = replay.setup().map_err(|error| wrong(error.to_string()))?;
        if setup.chip != ChipId::ESP32C3 {
            return Err(wrong("its images are of another chip than the ESP32-C3".into()));
        }
        if setup.rollback == Rollback::Anti {
            return Err(wrong(
                "it needs a bootloader with anti-rollback, which no board has".into(),
            ));
        }
        let trace = replay.run(&setup).map_err(|error| wrong(error.to_string()))?;
        let mut cuts = trace.cycles.iter().filter_map(|cycle| cycle.cut.as_ref());
        let torn =
            cuts.next_back().ok_or_else(|| wrong("it has no power cycle that is cut".into()))?;
        let mut memory = torn.memory.clone();
        let rollback = options.rollback_bootloader.as_ref().filter(|_| setup.rollback.is_on());
        memory.set(0, rollback.unwrap_or(&options.bootloader));
        let flash = memory.to_vec(0..memory.capacity());
        let (part, rollback) = (setup.part, setup.rollback.is_on());
        Ok(Self { flash, part, rollback, summary: replay.summary })
    }

    /// The flash part.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// What the model of the bootloader boots from exactly these contents.
    #[must_use]
    pub fn predicted(&self) -> Boots {
        let memory = Memory::with_contents(self.part.capacity, &self.flash);
        let mut chip = Chip::with_memory(self.part, memory);
        let bootloader = Bootloader { rollback: self.rollback, ..Bootloader::default() };
        let mut check = FullCheck { requirements: Requirements::for_chip(ChipId::ESP32C3) };
        let boot = bootloader.run(&mut chip, &mut check, BootInput::default(), |_| {});
        let started = boot.ok().and_then(|boot| boot.outcome.ok());
        let offset = started.map(|started| started.image.region.offset);
        let version = offset.and_then(|offset| {
            let bytes = self.flash.get((offset + DESCRIPTOR_OFFSET) as usize..)?.first_chunk()?;
            Some(AppDescriptor::parse(bytes)?.version.to_string())
        });
        Boots { offset, version }
    }

    /// Writes the state to a board, lets it start there, and gives what its console shows, with all of that
    /// console.
    ///
    /// # Errors
    /// The board fails, or its bootloader says nothing in time.
    pub fn boot(&self, board: &mut dyn Board) -> Result<(Boots, String), RigError> {
        let mut contents = Contents::erased(self.part.capacity);
        // Erased sectors need not be sent.
        for (sector, at) in self.flash.chunks(4096).zip((0..).step_by(4096)) {
            if sector.iter().any(|byte| *byte != 0xFF) {
                contents.put(at, sector);
            }
        }
        board.provision(&contents)?;
        board.stop()?;
        let mut port = board.start(Duration::ZERO)?;
        let pattern =
            |text: &str| Regex::new(text).map_err(|error| RigError::new(error.to_string()));
        let loaded = pattern(r"Loaded app from partition at offset 0x([0-9a-f]+)\s")?;
        let none = pattern(r"No bootable app partitions|No bootable test partition")?;
        let reports = pattern(r"(?:boot: fw=|fixture )(\S+)\s")?;
        let mut console = String::new();
        let chosen = listen(port.as_mut(), &mut console, CHOICE, |console| {
            loaded.is_match(console) || none.is_match(console)
        })?;
        if !chosen {
            let what = format!("the bootloader says nothing of what it boots:\n{console}");
            return Err(RigError::new(what));
        }
        let captures = loaded.captures(&console);
        let offset = captures.and_then(|found| u32::from_str_radix(&found[1], 16).ok());
        let mut version = None;
        if offset.is_some()
            && listen(port.as_mut(), &mut console, REPORT, |it| reports.is_match(it))?
        {
            version = reports.captures(&console).map(|found| found[1].to_owned());
        }
        drop(port);
        board.stop()?;
        Ok((Boots { offset, version }, console))
    }
}

/// Reads the console until it has what is waited for; false when that does not come in time.
fn listen(
    port: &mut dyn Port,
    console: &mut String,
    limit: Duration,
    until: impl Fn(&str) -> bool,
) -> Result<bool, RigError> {
    let end = Instant::now() + limit;
    let mut buffer = [0; 256];
    while !until(console) {
        if Instant::now() > end {
            return Ok(false);
        }
        port.set_timeout(limit);
        match port.read(&mut buffer) {
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                console.push_str(&String::from_utf8_lossy(bytes));
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
