//! Whether a certificate holds.

use super::file::{Certificate, Exception, digest};
use super::line::{Held, Line, Listed};
use super::run::{Key, Run};
use crate::explore::{
    Content, Expected, Holding, Invariant, Leftovers, Request, Situation, State, World, Writer,
    content_of,
};
use crate::firmware::FirmwareId;
use crate::flash::fault::{ChipProfile, FaultProfile};
use crate::flash::{SECTOR_SIZE, Sector};
use crate::subject::Call;
use ota_core::partition::App;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

/// What was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Situations from which everything that can happen next was tried.
    pub situations: u64,
    /// Power cuts that were tried.
    pub scenarios: u64,
    /// Runs of bootloader and update code. Where a device does the same on the same flash, it runs once.
    pub runs: u64,
}

/// Why a certificate does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was changed, or counts wrongly.
    #[error("the header says {field} {claimed}, but it is {found}")]
    Header {
        /// What.
        field: &'static str,
        /// What the header says.
        claimed: String,
        /// What is true.
        found: String,
    },
    /// A line names an image or a partition that the device does not have.
    #[error("line {0}: there is no such device")]
    Line(usize),
    /// The new device is missing.
    #[error("the new device is not listed")]
    NotBegun,
    /// Something that can happen leads out of the list.
    #[error("{from}: {what} leads to what is not listed: {to}")]
    NotClosed {
        /// The situation, as it is listed.
        from: String,
        /// What happens.
        what: String,
        /// What follows, as it would be listed.
        to: String,
    },
    /// An invariant breaks, and the certificate does not say so.
    #[error("{from}: {what}: not {invariant}, and that is not among the exceptions")]
    Broken {
        /// The situation, as it is listed.
        from: String,
        /// What happens.
        what: String,
        /// The invariant.
        invariant: Invariant,
    },
}

/// Verifies a certificate on the device that its header names, which is `world`.
///
/// # Errors
/// The first reason why it does not hold.
pub fn check(certificate: &Certificate, world: &World<'_>) -> Result<Checked, Refused> {
    let Certificate { header, lines } = certificate;
    let profile = FaultProfile::none(header.seed);
    let mut checker = Checker {
        world,
        certificate,
        profile: header.faults.iter().copied().fold(profile, FaultProfile::with),
        listed: HashSet::new(),
        leftovers: Leftovers::default(),
        left: HashMap::new(),
        runs: HashMap::new(),
        broken: BTreeSet::new(),
        checked: Checked::default(),
    };
    same("digest", &header.digest, &digest(lines))?;
    same(
        "chip profile",
        &named(header.chip_profile.as_deref()),
        &named(chip_profile(&checker.profile)),
    )?;
    same("bootloader", &header.bootloader, &world.bootloader.generation.to_string())?;
    checker.list()?;
    let initial = Situation { state: world.initial(), running: None };
    if !checker.listed.contains(&initial) {
        return Err(Refused::NotBegun);
    }
    let listed: Vec<_> = checker.listed.iter().copied().collect();
    for situation in &listed {
        checker.situation(situation)?;
    }
    let off = listed.iter().filter(|it| it.running.is_none()).count() as u64;
    same("states", &header.states, &off)?;
    same("running", &header.running, &(listed.len() as u64 - off))?;
    same(
        "leftovers",
        &header.leftovers,
        &(checker.left.values().map(Vec::len).sum::<usize>() as u64),
    )?;
    same("scenarios", &header.scenarios, &checker.checked.scenarios)?;
    let exceptions = |set: &BTreeSet<Exception>| format!("{set:?}");
    same("exceptions", &exceptions(&header.exceptions), &exceptions(&checker.broken))?;
    Ok(checker.checked)
}

/// The name of the chip profile that has these faults.
fn chip_profile(faults: &FaultProfile) -> Option<&'static str> {
    ChipProfile::of(faults).map(|profile| profile.name)
}

fn named(profile: Option<&str>) -> &str {
    profile.unwrap_or("without a name")
}

fn same<T: Display + PartialEq>(
    field: &'static str,
    claimed: &T,
    found: &T,
) -> Result<(), Refused> {
    if claimed == found {
        return Ok(());
    }
    Err(Refused::Header { field, claimed: claimed.to_string(), found: found.to_string() })
}

pub(super) struct Checker<'w> {
    pub(super) world: &'w World<'w>,
    pub(super) certificate: &'w Certificate,
    pub(super) profile: FaultProfile,
    listed: HashSet<Situation>,
    pub(super) leftovers: Leftovers,
    /// What uploads of an image leave in a partition.
    pub(super) left: HashMap<(usize, FirmwareId), Vec<Holding>>,
    pub(super) runs: HashMap<Key, Rc<Run>>,
    broken: BTreeSet<Exception>,
    pub(super) checked: Checked,
}

impl Checker<'_> {
    fn list(&mut self) -> Result<(), Refused> {
        for (number, line) in (2..).zip(&self.certificate.lines) {
            let wrong = || Refused::Line(number);
            match line {
                Line::Situation(listed) => {
                    let situation =
                        listed.situation(self.world.firmware.len()).ok_or_else(wrong)?;
                    self.listed.insert(situation);
                }
                Line::Leftover(leftover) => {
                    let sectors = leftover.sectors.iter().map(|held| self.sector(held));
                    let sectors = sectors.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
                    let (partition, image) = (leftover.left_in, leftover.of);
                    let holding = Holding { partition, image, id: self.leftovers.id(sectors) };
                    self.left.entry((partition, image)).or_default().push(holding);
                }
            }
        }
        Ok(())
    }

    fn sector(&self, held: &Held) -> Option<Arc<Sector>> {
        match held {
            Held::Blank => Some(Sector::filled(0xFF)),
            Held::Zeros => Some(Sector::filled(0)),
            &Held::Image(image, index) => {
                let mut sectors = self.world.sectors();
                let (_, sectors) = sectors.find(|(id, _)| *id == image)?;
                sectors.get(index).cloned()
            }
            Held::Bytes(hex) => {
                let bytes = hex
                    .as_bytes()
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
                let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
                Some(Sector::new(<[u8; SECTOR_SIZE]>::try_from(bytes).ok()?))
            }
        }
    }

    /// Everything that can happen next.
    fn situation(&mut self, situation: &Situation) -> Result<(), Refused> {
        self.checked.situations += 1;
        match situation.running {
            None => self.power_on(situation),
            Some(app) => {
                let Situation { state, .. } = situation;
                let Content::Firmware(firmware) = content_of(&state.flash.contents, app) else {
                    return Ok(());
                };
                let usage = self.certificate.header.usage;
                for request in self.world.requests(usage, &state.spec, app, firmware) {
                    self.call(situation, state, app, request)?;
                }
                Ok(())
            }
        }
    }

    fn power_on(&mut self, situation: &Situation) -> Result<(), Refused> {
        let state = &situation.state;
        let run = self.run(situation, Key::boot(state))?;
        if self.certificate.header.bootloader_cuts {
            self.checked.scenarios += run.scenarios;
            for (flash, cut) in &run.crashes {
                let crashed = State { flash: *flash, bootloader_cut: true, ..*state };
                self.leads_to(situation, cut, crashed, None)?;
            }
        }
        let Some(boot) = &run.boot else { return Ok(()) };
        let started = match boot.outcome {
            Ok(started) => started,
            Err(_) => return self.breaks(situation, "the boot", state, Invariant::Bootable),
        };
        let booted = self.world.booted(&run.end.contents, started.app, boot);
        let (spec, broken) = state.spec.booted(booted);
        if let Some(broken) = broken {
            self.breaks(situation, "the boot", state, broken.invariant)?;
        }
        if booted.firmware.is_none() {
            return Ok(());
        }
        let now = State { flash: run.end, spec, secure_version: run.secure_version, ..*state };
        self.leads_to(situation, "a reset after the boot", now, None)?;
        self.call(situation, &now, started.app, Request::Startup)
    }

    /// A call of an application, on all that an interrupted upload may have left in the slot that it writes.
    fn call(
        &mut self,
        situation: &Situation,
        now: &State,
        app: App,
        request: Request,
    ) -> Result<(), Refused> {
        let key = Key::call(now, app, request);
        let run = self.run(situation, key)?;
        let left = run.written.and_then(|written| match now.flash.contents[written] {
            Content::Partial(image) if request.call() == Call::Update => Some((written, image)),
            _ => None,
        });
        let Some(left) = left else {
            return self.called(situation, now, app, request, &run);
        };
        for holding in self.left.get(&left).cloned().unwrap_or_default() {
            let run = self.run(situation, Key { holding: Some(holding), ..key })?;
            self.called(situation, now, app, request, &run)?;
        }
        Ok(())
    }

    fn called(
        &mut self,
        situation: &Situation,
        now: &State,
        app: App,
        request: Request,
        run: &Run,
    ) -> Result<(), Refused> {
        self.checked.scenarios += run.scenarios;
        for (flash, cut) in &run.crashes {
            let crashed = State { flash: *flash, spec: now.spec.during(request), ..*now };
            self.leads_to(situation, cut, crashed, None)?;
        }
        let success = run.result.is_ok();
        let what = format!("{:?}", request);
        for broken in &run.broken {
            self.breaks(situation, &what, now, broken.invariant)?;
        }
        let failed = self.world.failure(request, &run.result, now.spec, now.secure_version);
        if let Some(broken) = failed {
            self.breaks(situation, &what, now, broken.invariant)?;
        }
        let Content::Firmware(running) = content_of(&now.flash.contents, app) else {
            return Ok(());
        };
        let expected = Expected { spec: now.spec, required: now.secure_version, running };
        let spec = self.world.expected_after(request, success, run.wrote, expected);
        let confirmed = success && request == Request::Confirm;
        let after = State {
            flash: run.end,
            spec,
            secure_version: run.secure_version,
            bootloader_cut: now.bootloader_cut && !confirmed,
        };
        self.leads_to(situation, &format!("a reset after {what}"), after, None)?;
        // An image that rejected itself restarts; one that could not start does nothing more.
        if request == Request::Reject || (request == Request::Startup && !success) {
            return Ok(());
        }
        self.leads_to(situation, &what, after, Some(app))
    }

    fn leads_to(
        &self,
        from: &Situation,
        what: &str,
        state: State,
        running: Option<App>,
    ) -> Result<(), Refused> {
        let to = Situation { state, running };
        if self.listed.contains(&to) {
            return Ok(());
        }
        Err(Refused::NotClosed { from: show(from), what: what.into(), to: show(&to) })
    }

    fn breaks(
        &mut self,
        from: &Situation,
        what: &str,
        state: &State,
        invariant: Invariant,
    ) -> Result<(), Refused> {
        let during = if state.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        let exception = Exception { invariant, during };
        if !self.certificate.header.exceptions.contains(&exception) {
            return Err(Refused::Broken { from: show(from), what: what.into(), invariant });
        }
        self.broken.insert(exception);
        Ok(())
    }
}

/// A situation as it is listed.
pub(super) fn show(situation: &Situation) -> String {
    let line = serde_json::to_string(&Listed::of(situation));
    line.expect("names and numbers have a JSON form")
}
