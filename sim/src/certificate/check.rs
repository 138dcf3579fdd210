//! Whether a certificate holds.

use super::file::{Certificate, Exception, digest};
use super::line::{Held, Line, Listed};
use crate::bootloader::Boot;
use crate::explore::{
    Broken, Content, Flash, Held as Kept, Holding, Invariant, LeftoverId, Leftovers, Request,
    Situation, State, World, Writer, content_of, forged, torn,
};
use crate::firmware::FirmwareId;
use crate::flash::fault::FaultProfile;
use crate::flash::{Memory, Recorded, SECTOR_SIZE, Sector};
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

/// What is run, on flash that is the same in all that run it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    flash: Flash,
    secure_version: u32,
    call: Option<(App, Request)>,
    holding: Option<Holding>,
}

/// What comes of it.
struct Run {
    /// Flash after a cut, each once, with what was cut.
    crashes: Vec<(Flash, String)>,
    scenarios: u64,
    /// Flash afterwards.
    end: Flash,
    wrote: bool,
    /// The application partition that is written first.
    written: Option<usize>,
    broken: Vec<Broken>,
    result: Result<(), String>,
    boot: Option<Boot>,
}

struct Checker<'w> {
    world: &'w World<'w>,
    certificate: &'w Certificate,
    profile: FaultProfile,
    listed: HashSet<Situation>,
    leftovers: Leftovers,
    /// What uploads of an image leave in a partition.
    left: HashMap<(usize, FirmwareId), Vec<Holding>>,
    runs: HashMap<Key, Rc<Run>>,
    broken: BTreeSet<Exception>,
    checked: Checked,
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
        let now = State { flash: run.end, spec, secure_version: boot.secure_version, ..*state };
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
        if let Err(message) = &run.result
            && !now.spec.may_refuse(request)
        {
            let broken = Broken::failed(request.call(), message);
            self.breaks(situation, &what, now, broken.invariant)?;
        }
        let spec = match success {
            true => now.spec.after(request),
            false => now.spec.after_failure(request, run.wrote),
        };
        let confirmed = success && request == Request::Confirm;
        let after = State {
            flash: run.end,
            spec,
            bootloader_cut: now.bootloader_cut && !confirmed,
            ..*now
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

    /// Runs the bootloader or a call.
    fn run(&mut self, from: &Situation, key: Key) -> Result<Rc<Run>, Refused> {
        if let Some(known) = self.runs.get(&key) {
            return Ok(known.clone());
        }
        self.checked.runs += 1;
        let world = self.world;
        let mut memory = world.memory(&key.flash);
        if let Some(holding) = key.holding {
            self.leftovers.put(world, &mut memory, holding);
        }
        let before = memory.clone();
        let mut run = Run {
            crashes: Vec::new(),
            scenarios: 0,
            end: key.flash,
            wrote: false,
            written: None,
            broken: Vec::new(),
            result: Ok(()),
            boot: None,
        };
        let recorded = match key.call {
            None => {
                let booted = world.boot(memory, key.secure_version, false);
                run.boot = Some(booted.boot);
                booted.recorded
            }
            Some((app, request)) => {
                let act = world.act(memory, app, &[request]);
                for call in act.calls {
                    run.broken = call.broken(world, &act.recorded);
                    run.result = call.result;
                }
                act.recorded
            }
        };
        run.wrote = !recorded.is_empty();
        run.written = recorded.iter().find_map(|done| self.places(done).next());
        let mut seen = HashSet::new();
        for (number, done) in recorded.iter().enumerate() {
            let otadata = self.places(done).next().is_none();
            let [old, new] = [&done.before, &done.after].map(|memory| world.raw_entries(memory));
            for crash in torn(world, &self.profile, done) {
                run.scenarios += 1;
                if otadata && forged(&old, &world.raw_entries(&crash.memory), &new) {
                    continue;
                }
                let what = || {
                    let who =
                        key.call.map_or("the boot".into(), |(_, request)| format!("{request:?}"));
                    format!("in {who}, a cut in operation {number} ({:?})", crash.tear)
                };
                let flash = self
                    .flash(&key, &before, &run.end, done, &crash.memory)
                    .ok_or_else(|| self.unlisted_leftover(from, what()))?;
                if seen.insert(flash) {
                    run.crashes.push((flash, what()));
                }
            }
            run.end = self
                .flash(&key, &before, &run.end, done, &done.after)
                .ok_or_else(|| self.unlisted_leftover(from, format!("operation {number}")))?;
        }
        let run = Rc::new(run);
        self.runs.insert(key, run.clone());
        Ok(run)
    }

    /// The application partitions in which an operation lies, by number.
    fn places(&self, recorded: &Recorded) -> impl Iterator<Item = usize> + use<'_> {
        let range = recorded.operation.range(self.world.part.capacity);
        let partitions = self.world.partitions().enumerate();
        partitions.filter_map(move |(index, region)| {
            let region = region?;
            let apart = range.end <= region.offset || region.offset + region.size <= range.start;
            (!apart).then_some(index)
        })
    }

    /// What flash holds after an operation, or a part of it, that was done on `now`; none if an upload left
    /// what is not listed.
    fn flash(
        &self,
        key: &Key,
        before: &Memory,
        now: &Flash,
        recorded: &Recorded,
        memory: &Memory,
    ) -> Option<Flash> {
        let mut flash = Flash { entries: self.world.entries(memory), ..*now };
        for index in self.places(recorded) {
            let region = self.world.partitions().nth(index).flatten()?;
            let range = region.offset..region.offset + region.size;
            flash.contents[index] = if memory.digest(range.clone()) == before.digest(range) {
                key.flash.contents[index]
            } else {
                match self.leftovers.held(self.world, memory, region) {
                    Kept::Content(content) => content,
                    Kept::Leftover(id) => self.whose(key, index, id)?,
                }
            };
        }
        Some(flash)
    }

    /// Whose upload left this in a partition.
    fn whose(&self, key: &Key, partition: usize, id: LeftoverId) -> Option<Content> {
        let held = |holding: &&Holding| holding.partition == partition && holding.id == id;
        if let Some(holding) = key.holding.as_ref().filter(held) {
            return Some(Content::Partial(holding.image));
        }
        let Some((_, Request::Update(image))) = key.call else { return Some(Content::Junk) };
        let mut listed = self.left.get(&(partition, image)).into_iter().flatten();
        listed.any(|holding| held(&holding)).then_some(Content::Partial(image))
    }

    fn unlisted_leftover(&self, from: &Situation, what: String) -> Refused {
        let to = "an upload that is interrupted there leaves a slot as no leftover says".into();
        Refused::NotClosed { from: show(from), what, to }
    }
}

impl Key {
    fn boot(state: &State) -> Self {
        let State { flash, secure_version, .. } = *state;
        Self { flash, secure_version, call: None, holding: None }
    }

    fn call(now: &State, app: App, request: Request) -> Self {
        Self { flash: now.flash, secure_version: 0, call: Some((app, request)), holding: None }
    }
}

/// A situation as it is listed.
fn show(situation: &Situation) -> String {
    let line = serde_json::to_string(&Listed::of(situation));
    line.expect("names and numbers have a JSON form")
}
