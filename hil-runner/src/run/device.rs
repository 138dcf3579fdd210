//! The device that a run is about: starting it, telling what runs, and talking to it.

use super::console::{Console, Log};
use super::images::{Images, fit};
use super::otadata;
use super::outcome::{BootRecord, CutRecord, EntryRecord, OperationRecord};
use super::smp::Smp;
use super::stop::{Run, Stop, fail};
use crate::board::{Board, Operation, Port, Recording, RigError};
use crate::scenario::{Capability, Case, Otadata, ResetKind, Text};
use ota_core::otadata::SelectEntry;
use regex::Regex;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the agent may take for an answer: it verifies images.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a start may take that no step limits.
pub(super) const START: Duration = Duration::from_secs(20);
/// How the firmware of the family reports, and what it prints last before it listens.
const REPORT: &str = r"boot: fw=(\S+) .*running=(\S+) .*reset=";
const LISTENS: &str = "self-test: ";

/// What runs, and where from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// The name of the image, or what the device says it is.
    pub(super) image: Result<String, String>,
    /// The slot as the device names it; empty when it does not.
    pub(super) slot: String,
}

/// What is known of a run so far: all that changes while it goes on, except the board itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The step to do next, from 0.
    pub(super) step: usize,
    /// Cuts of that step that were made already.
    pub(super) cuts_made: usize,
    /// Choices of operations that were made.
    pub(super) choices: usize,
    /// What runs, as the last start showed; `None` when the device is off, or nobody looked.
    pub(super) running: Option<Running>,
    /// The device runs.
    pub(super) on: bool,
    /// The start that `running` is from has not been judged by a `boot`.
    pub(super) unjudged: bool,
    /// Nothing was done to the device since it started.
    pub(super) fresh: bool,
    /// Number of the first line of this start on the console.
    pub(super) start_line: usize,
    /// Number of the line behind the last boot report.
    pub(super) report_line: usize,
    pub(super) cuts: Vec<CutRecord>,
    pub(super) boots: Vec<BootRecord>,
    pub(super) otadata: Vec<[EntryRecord; 2]>,
    pub(super) operations: Vec<OperationRecord>,
    /// What the console showed; as long as the device is on, the console has it.
    pub(super) log: Log,
}

/// A device with a case on it.
pub(super) struct Device<'a> {
    pub(super) board: &'a mut dyn Board,
    pub(super) case: &'a Case,
    pub(super) images: &'a Images,
    pub(super) progress: Progress,
    console: Option<Console>,
    report: Regex,
    pub(super) clock: Instant,
    /// The operations of a part of the step that is over, with a cut planned in it.
    pub(super) part: Option<Vec<Operation>>,
    /// A cut is planned: the firmware is to announce its operations wherever it runs.
    pub(super) aimed: bool,
    /// The recording of that part.
    pub(super) recording: Option<Recording>,
}

/// The start of a device, as its console shows it.
enum Shown {
    Report { version: String, slot: String },
    Says(String),
}

impl<'a> Device<'a> {
    pub(super) fn new(board: &'a mut dyn Board, case: &'a Case, images: &'a Images) -> Self {
        Self {
            board,
            case,
            images,
            progress: Progress::default(),
            console: None,
            report: Regex::new(REPORT).expect("the pattern is valid"),
            clock: Instant::now(),
            part: None,
            aimed: false,
            recording: None,
        }
    }

    /// Whether the firmware is told what to do by SMP.
    pub(super) fn speaks_smp(&self) -> bool {
        self.case.device.commands.is_none()
    }

    /// The log so far.
    pub(super) fn log(&self) -> Log {
        self.console.as_ref().map_or_else(|| self.progress.log.clone(), Console::log)
    }

    /// Adds a remark to the log.
    pub(super) fn remark(&mut self, text: &str) {
        match &self.console {
            Some(console) => console.remark(text),
            None => {
                let at = self.clock.elapsed().as_secs_f64() * 1000.0;
                self.progress.log.remark(at, text);
            }
        }
    }

    /// Keeps registers and memory of a device that has failed, where the board can; the log says where.
    pub(super) fn look_into(&mut self, folder: &Path, name: &str) {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        match self.board.post_mortem(folder, &name) {
            Ok(paths) if paths.is_empty() => {}
            Ok(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                self.remark(&format!("registers and memory: {}", paths.join(", ")));
            }
            Err(error) => self.remark(&format!("no registers and memory: {error}")),
        }
    }

    /// The console of the running device.
    pub(super) fn console(&self) -> Run<Console> {
        self.console.clone().ok_or_else(|| Stop::Rig(RigError::new("the device is off")))
    }

    fn connect(&mut self, port: Box<dyn Port>) {
        let log = self.log();
        self.progress.start_line = log.next();
        self.progress.report_line = log.next();
        self.console = Some(Console::new(port, log, self.clock));
        self.progress.on = true;
        self.progress.running = None;
        self.progress.unjudged = true;
        self.progress.fresh = true;
    }

    /// Goes on from what is known of an earlier moment. The board is there already.
    pub(super) fn rewind(&mut self, progress: Progress, port: Option<Box<dyn Port>>) {
        let clock = self.clock;
        self.console =
            port.filter(|_| progress.on).map(|it| Console::new(it, progress.log.clone(), clock));
        self.progress = progress;
    }

    /// What is known now, to be kept.
    pub(super) fn kept(&self) -> Progress {
        Progress { log: self.log(), ..self.progress.clone() }
    }

    /// Switches the device on.
    pub(super) fn start(&mut self, off: Duration) -> Run {
        let port = self.board.start(off)?;
        self.connect(port);
        Ok(())
    }

    /// Notes that the device was interrupted.
    pub(super) fn interrupted(&mut self) {
        self.progress.log = self.log();
        self.console = None;
        self.progress.on = false;
        self.progress.running = None;
    }

    /// Switches the device off.
    pub(super) fn stop(&mut self) -> Run {
        self.board.stop()?;
        self.interrupted();
        Ok(())
    }

    /// Switches the device on if it is off, and waits until it is known what runs.
    pub(super) fn running(&mut self, limit: Duration) -> Run<Running> {
        if !self.progress.on {
            self.start(Duration::ZERO)?;
        }
        match &self.progress.running {
            Some(running) => Ok(running.clone()),
            None => self.wait_for_start(limit),
        }
    }

    /// Waits for the next report of a start, and for the firmware to listen.
    pub(super) fn wait_for_start(&mut self, limit: Duration) -> Run<Running> {
        let console = self.console()?;
        let end = Instant::now() + limit;
        let says = self.says();
        let report = self.report.clone();
        let find = |line: &str| {
            let says = says.iter().find(|(_, pattern)| pattern.is_match(line));
            let report = report.captures(line);
            Ok(match (report, says) {
                (Some(report), _) => {
                    Some(Shown::Report { version: report[1].into(), slot: report[2].into() })
                }
                (None, Some((name, _))) => Some(Shown::Says(name.clone())),
                (None, None) => None,
            })
        };
        let shown = console.wait(self.progress.report_line, limit, false, find)?;
        let Some((shown, next)) = shown else {
            return fail(format!("no firmware reports within {}", seconds(limit)));
        };
        self.progress.report_line = next;
        let running = match shown {
            Shown::Says(name) => Running { image: Ok(name), slot: String::new() },
            Shown::Report { version, slot } => {
                self.wait_until_it_listens(&console, next, end)?;
                Running { image: self.image_of(&console, &version)?, slot }
            }
        };
        self.progress.running = Some(running.clone());
        Ok(running)
    }

    /// The firmware of the family repairs otadata after its report, and verifies itself.
    fn wait_until_it_listens(&self, console: &Console, from: usize, end: Instant) -> Run {
        let left = end.saturating_duration_since(Instant::now());
        let listens = console.wait(from, left, false, |line| {
            Ok(line.contains(LISTENS).then(|| line.contains("failed")))
        })?;
        match listens {
            Some((false, _)) => Ok(()),
            Some((true, _)) => fail("the image that runs does not verify (its self-test failed)"),
            None => fail("the firmware reported its start and nothing since"),
        }
    }

    /// The image that reports this version. Where several may, the device is asked for the hash.
    fn image_of(&self, console: &Console, version: &str) -> Run<Result<String, String>> {
        let case = self.case;
        let fit = |name: &str| case.images.get(name).is_some_and(fit);
        let images: Vec<_> = self.images.of_version(version, fit).collect();
        match images.as_slice() {
            [] => Ok(Err(format!("version {version}"))),
            [image] => Ok(Ok((*image).into())),
            _ => {
                let hash = Smp::open(console, ANSWER)?.running()?;
                let named = self.images.of_hash(&hash).map(Into::into);
                Ok(named.ok_or_else(|| format!("version {version}, not one of the images")))
            }
        }
    }

    /// What each image says when it runs, where it is told apart by that.
    fn says(&self) -> Vec<(String, Regex)> {
        if self.speaks_smp() {
            return Vec::new();
        }
        let says = |text: &Text| text.regex();
        let images = self.case.images.iter();
        images
            .filter_map(|(name, image)| Some((name.clone(), says(image.says.as_ref()?)?)))
            .collect()
    }

    /// A dialogue with the agent of the running firmware.
    pub(super) fn smp(&mut self) -> Run<Smp> {
        self.running(START)?;
        Smp::open(&self.console()?, ANSWER)
    }

    /// Restarts the device as its user would: by the firmware, else by its EN line, else by its power.
    pub(super) fn restart(&mut self) -> Run {
        if self.speaks_smp() {
            return self.software_reset();
        }
        if self.board.lacks(Capability::Reset(ResetKind::EnReset)).is_none() {
            return self.reset(ResetKind::EnReset);
        }
        self.stop()?;
        self.start(Duration::ZERO)
    }

    /// Resets the device.
    pub(super) fn reset(&mut self, kind: ResetKind) -> Run {
        if kind == ResetKind::Software {
            return self.software_reset();
        }
        let port = self.board.reset(kind)?;
        self.connect(port);
        Ok(())
    }

    fn software_reset(&mut self) -> Run {
        let smp = self.smp()?;
        let console = self.console()?;
        self.progress.start_line = console.next();
        self.progress.report_line = console.next();
        smp.reset()?;
        self.progress.running = None;
        self.progress.unjudged = true;
        self.progress.fresh = true;
        Ok(())
    }

    /// Fails if one of the texts came on the console since the device started.
    pub(super) fn never(&self, never: &[Text]) -> Run {
        let log = self.log();
        let patterns = patterns(never);
        let skip = self.progress.start_line;
        for (_, line) in log.lines().skip(skip) {
            if let Some(pattern) = super::console::matching(&patterns, &line) {
                return fail(format!("the console shows {pattern:?}, which must not come: {line}"));
            }
        }
        Ok(())
    }

    /// Both select entries: from the agent, so that the device goes on, else from flash.
    pub(super) fn entries(&mut self) -> Run<[SelectEntry; 2]> {
        if self.speaks_smp() && self.progress.on {
            return self.smp()?.entries();
        }
        let offset = self.case.device.layout.apps().otadata().offset;
        let bytes = self.read_flash(offset..offset + otadata::BOTH)?;
        otadata::parse(&bytes).ok_or_else(|| RigError::new("otadata was read short").into())
    }

    /// Reads flash. Boards that can return to where they were do so; others are off afterwards.
    pub(super) fn read_flash(&mut self, range: std::ops::Range<u32>) -> Run<Vec<u8>> {
        let checkpoint = self.board.checkpoint();
        let kept = self.kept();
        let bytes = self.board.read_flash(range)?;
        match checkpoint {
            Some(checkpoint) => {
                let port = self.board.rewind(&checkpoint)?;
                self.rewind(kept, Some(port));
            }
            None => self.interrupted(),
        }
        Ok(bytes)
    }

    /// Fails if otadata is not as it must be.
    pub(super) fn judge_otadata(&mut self, wanted: &Otadata) -> Run {
        match otadata::mismatch(&self.entries()?, wanted) {
            None => Ok(()),
            Some(mismatch) => fail(mismatch),
        }
    }

    /// Keeps the select entries for the report, where that does not disturb the device.
    pub(super) fn keep_entries(&mut self) -> Run {
        if self.speaks_smp() && self.progress.on && !self.resets_itself() {
            let entries = self.entries()?;
            let records = otadata::records(&entries, self.case.device.layout.apps());
            self.progress.otadata.push(records);
        }
        Ok(())
    }

    /// Whether what runs ends in a reset by itself.
    pub(super) fn resets_itself(&self) -> bool {
        let name = self.progress.running.as_ref().and_then(|running| running.image.as_ref().ok());
        let image = name.and_then(|name| self.case.images.get(name));
        image.is_some_and(|image| image.resets_itself)
    }

    /// Forgets the operations so far.
    pub(super) fn forget_operations(&mut self) {
        self.board.take_operations();
    }

    /// The operations since they were last forgotten, or those of the part of the step that is over.
    pub(super) fn operations(&mut self) -> Vec<Operation> {
        self.part.take().unwrap_or_else(|| self.board.take_operations())
    }
}

/// Texts as patterns; `check` has refused those that are none.
pub(super) fn patterns(texts: &[Text]) -> Vec<Regex> {
    texts.iter().filter_map(Text::regex).collect()
}

/// A time span in words.
pub(super) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    format!("{} s", time.as_secs_f64())
}
