//! A replay in words.

use super::device::DeviceSource;
use super::execute::{CycleTrace, Trace, Violation};
use super::file::Replay;
use crate::bootloader::Event;
use crate::explore::{Cycle, What, Writer, encryption};
use crate::firmware::FirmwareId;
use crate::flash::fault::{Scope, Tear};
use crate::flash::{Memory, Operation, OperationKind, Recorded};
use crate::setup::{Rollback, Setup};
use ota_core::otadata::{self, ENTRY_SIZE, SelectEntry};
use ota_core::partition::{App, Region};
use std::fmt::{self, Display, Write};

/// A replay and what happened when it ran; [`Display`] tells the story.
#[derive(Debug)]
pub struct Story<'a> {
    /// The file.
    pub replay: &'a Replay,
    /// The device.
    pub setup: &'a Setup,
    /// What happened.
    pub trace: &'a Trace,
}

impl Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replay { summary, seed, device, .. } = self.replay;
        let DeviceSource { subject, flash_part, .. } = device;
        writeln!(f, "{summary}")?;
        let layout = self.setup.layout.name();
        let rollback = match self.setup.rollback {
            Rollback::Off => "rollback off",
            Rollback::On => "rollback on",
            Rollback::Anti => "rollback and anti-rollback on",
        };
        let encrypted = if self.setup.encrypted { " encrypted" } else { "" };
        writeln!(f, "{subject} on {layout}, {rollback}, {flash_part}{encrypted}, seed {seed}")?;
        let cycles = self.replay.cycles.iter().zip(&self.trace.cycles);
        for (number, (cycle, trace)) in (1..).zip(cycles) {
            writeln!(f, "\nPower cycle {number}")?;
            self.cycle(f, cycle, trace)?;
        }
        Ok(())
    }
}

impl Story<'_> {
    fn cycle(&self, f: &mut impl Write, cycle: &Cycle, trace: &CycleTrace) -> fmt::Result {
        let cut = cycle.cut.as_ref();
        let bootloader_cut = cut.filter(|cut| cut.during == Writer::Bootloader);
        writeln!(f, "  bootloader")?;
        let recorded = &trace.boot.recorded;
        let end = bootloader_cut.map_or(recorded.len(), |cut| cut.operation as usize + 1);
        let recorded = &recorded[..end];
        // Each write begins with an erase, and its event comes before it.
        let mut writes = recorded.chunk_by(|_, next| !is_erase(&next.operation)).peekable();
        for event in &trace.boot.events {
            writeln!(f, "    {event}")?;
            if let Event::Write { .. } = event {
                self.operations(f, writes.next().unwrap_or_default())?;
                if bootloader_cut.is_some() && writes.peek().is_none() {
                    break;
                }
            }
        }
        if let Some(app) = &trace.app {
            let name = trace.firmware.map_or("unknown image", |id| self.firmware(id));
            writeln!(f, "  application {name}: {cycle}")?;
            for call in &app.calls {
                let cut_here = cut.filter(|it| call.operations.contains(&(it.operation as usize)));
                let end = cut_here.map_or(call.operations.end, |it| it.operation as usize + 1);
                match (&call.result, cut_here) {
                    (_, Some(_)) => writeln!(f, "    {}: power fails", call.request.call())?,
                    (Ok(()), None) => writeln!(f, "    {}: ok", call.request.call())?,
                    (Err(failure), None) => {
                        writeln!(f, "    {} fails: {failure}", call.request.call())?
                    }
                }
                self.operations(f, &app.recorded[call.operations.start..end])?;
                if cut_here.is_some() {
                    break;
                }
            }
        }
        match (&trace.cut, cut) {
            (Some(torn), Some(cut)) => {
                let operation = self.operation(&torn.recorded.operation);
                writeln!(f, "  POWER FAILS in: {operation}")?;
                writeln!(f, "    {}", describe_tear(&cut.tear))?;
            }
            _ => writeln!(f, "  reset")?,
        }
        self.otadata(f, &trace.before, &trace.after)?;
        for violation in &trace.violations {
            writeln!(f, "  BROKEN: {}", violation.finding)?;
            writeln!(f, "    {}", self.what(violation))?;
        }
        Ok(())
    }

    /// Lists operations; those on slots are summed up.
    fn operations(&self, f: &mut impl Write, recorded: &[Recorded]) -> fmt::Result {
        let operations = recorded.iter().map(|it| &it.operation).collect::<Vec<_>>();
        for run in operations.chunk_by(|a, b| self.place(a) == self.place(b)) {
            let place = self.place(run[0]);
            let (Some(Place::App(app)), true) = (place, run.len() > 1) else {
                for operation in run {
                    writeln!(f, "      {}", self.operation(operation))?;
                }
                continue;
            };
            let capacity = self.setup.part.capacity;
            let erases = run.iter().filter(|operation| is_erase(operation)).count();
            let start = run.iter().map(|it| it.offset).min().unwrap_or(0);
            let end = run.iter().map(|it| it.range(capacity).end).max().unwrap_or(0);
            let programs = run.len() - erases;
            writeln!(
                f,
                "      {app}: {erases} erases and {programs} programs from {start:#010x} to {end:#010x}"
            )?;
        }
        Ok(())
    }

    /// One operation, with the select entry that it programs.
    fn operation(&self, operation: &Operation) -> String {
        let place = self.place(operation).map_or(String::new(), |place| format!(" in {place}"));
        match (&operation.kind, self.place(operation)) {
            (OperationKind::Program { data }, Some(Place::Otadata(_))) => {
                match <&[u8; ENTRY_SIZE]>::try_from(&data[..]) {
                    Ok(bytes) => {
                        let entry = SelectEntry::parse(&self.plain(operation.offset, bytes));
                        format!("{operation}{place}: {entry}")
                    }
                    Err(_) => format!("{operation}{place}"),
                }
            }
            _ => format!("{operation}{place}"),
        }
    }

    /// What the device reads of the bytes of an entry.
    fn plain(&self, offset: u32, bytes: &[u8; ENTRY_SIZE]) -> [u8; ENTRY_SIZE] {
        let mut bytes = *bytes;
        if self.setup.encrypted {
            encryption(&self.setup.layout).decrypt(offset, &mut bytes);
        }
        bytes
    }

    fn place(&self, operation: &Operation) -> Option<Place> {
        let apps = self.setup.layout.apps();
        let inside = |region: Region| region.overlaps(Region { offset: operation.offset, size: 1 });
        let otadata = apps.otadata();
        if inside(otadata) {
            return Some(Place::Otadata(
                (operation.offset - otadata.offset) / otadata::SECTOR_SIZE,
            ));
        }
        apps.app_at(operation.offset).map(Place::App)
    }

    /// Both select entries, where they changed.
    fn otadata(&self, f: &mut impl Write, before: &Memory, after: &Memory) -> fmt::Result {
        let otadata = self.setup.layout.apps().otadata().offset;
        for sector in 0..2 {
            let offset = otadata + sector * otadata::SECTOR_SIZE;
            let dumps = [before, after].map(|memory| {
                let mut bytes = [0; ENTRY_SIZE];
                memory.read(offset, &mut bytes);
                bytes
            });
            if dumps[0] == dumps[1] {
                continue;
            }
            for (when, bytes) in ["before", "after"].iter().zip(&dumps) {
                let entry = SelectEntry::parse(&self.plain(offset, bytes));
                writeln!(f, "  otadata sector {sector} {when}: {entry}")?;
                for (at, line) in (offset..).step_by(16).zip(bytes.chunks(16)) {
                    let digits = line.iter().map(|byte| format!(" {byte:02x}"));
                    writeln!(f, "    {at:08x} {}", digits.collect::<String>())?;
                }
            }
        }
        Ok(())
    }

    fn firmware(&self, id: FirmwareId) -> &str {
        self.setup.firmware.get(usize::from(id)).map_or("unknown image", |it| &it.name)
    }

    fn what(&self, violation: &Violation) -> String {
        match &violation.what {
            What::NoBoot(reason) => format!("expected an image to boot, but {reason}"),
            What::Booted(booted, allowed) => {
                let allowed: Vec<_> = allowed.iter().map(|&id| self.firmware(id)).collect();
                let booted = booted.map_or("an unknown image", |id| self.firmware(id));
                format!("expected {} to boot, but {booted} did", allowed.join(" or "))
            }
            What::NotChosen(id) => format!(
                "expected {} to be selected after it was confirmed, but it booted only because the selected image failed",
                self.firmware(*id)
            ),
            What::Failed(call, failure) => format!("expected {call} to succeed, but: {failure}"),
            What::Selected(slot) => {
                format!(
                    "the update selected slot {}, which holds no image that was offered",
                    slot.index()
                )
            }
            What::Erased { call, offset, times, promised } => format!(
                "expected at most {promised} erases of the sector at {offset:#x}, but {call} made {times}"
            ),
        }
    }
}

/// Where an operation applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Otadata(u32),
    App(App),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Otadata(sector) => write!(f, "otadata sector {sector}"),
            Self::App(app) => app.fmt(f),
        }
    }
}

fn is_erase(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::Erase(_))
}

/// What an interrupted operation left behind, in words.
fn describe_tear(tear: &Tear) -> String {
    match tear {
        Tear::Untouched => "nothing of it has happened".into(),
        Tear::Complete => "all of it has happened".into(),
        Tear::Prefix { bytes } => format!("only its first {bytes} bytes are programmed"),
        Tear::Suffix { from } => format!("only the bytes from number {from} on are programmed"),
        Tear::OnlyBit { bit } => format!("only bit {bit} is programmed"),
        Tear::AllButBit { bit } => format!("all but bit {bit} is programmed"),
        Tear::Zeroed => "all bytes are zero: the erase had only pre-programmed the cells".into(),
        Tear::NearlyErased { .. } => "all bits are one but for a few zeros".into(),
        Tear::Mixed { .. } => "each bit is as before or as intended, at random".into(),
        Tear::Words { rest, words } => {
            let words = words.iter().map(|it| format!("{:#x} reads {:#010x}", it.offset, it.value));
            format!("{}, except: {}", describe_tear(rest), words.collect::<Vec<_>>().join(", "))
        }
        Tear::Collateral { landed, scope, .. } => {
            let scope = match scope {
                Scope::Page => "page",
                Scope::Sector => "sector",
            };
            format!("{}, and other bytes of the {scope} lost bits", describe_tear(landed))
        }
        Tear::Unstable { landed } => {
            format!("{}, and its bits read differently from read to read", describe_tear(landed))
        }
        Tear::Weak { landed } => {
            format!("{}, and its bits may flip at a later power-on", describe_tear(landed))
        }
    }
}
