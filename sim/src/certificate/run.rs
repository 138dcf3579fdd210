//! What a run of the bootloader or of a call leads to, on the flash contents of a situation.

use super::check::{Checker, Refused, show};
use crate::bootloader::Boot;
use crate::explore::{
    Broken, Content, Flash, Held as Kept, Holding, LeftoverId, Request, Situation, State, forged,
    torn,
};
use crate::flash::{Memory, Recorded};
use ota_core::partition::App;
use std::collections::HashSet;
use std::rc::Rc;

/// What is run, on flash that is the same in all that run it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) flash: Flash,
    pub(super) secure_version: u32,
    pub(super) call: Option<(App, Request)>,
    pub(super) holding: Option<Holding>,
}

/// What comes of it.
pub(super) struct Run {
    /// Flash after a cut, each once, with what was cut.
    pub(super) crashes: Vec<(Flash, String)>,
    pub(super) scenarios: u64,
    /// Flash afterwards.
    pub(super) end: Flash,
    pub(super) wrote: bool,
    /// The application partition that is written first.
    pub(super) written: Option<usize>,
    pub(super) broken: Vec<Broken>,
    pub(super) result: Result<(), String>,
    pub(super) boot: Option<Boot>,
    /// Security version in eFuse afterwards.
    pub(super) secure_version: u32,
}

impl Key {
    pub(super) fn boot(state: &State) -> Self {
        let State { flash, secure_version, .. } = *state;
        Self { flash, secure_version, call: None, holding: None }
    }

    pub(super) fn call(now: &State, app: App, request: Request) -> Self {
        let State { flash, secure_version, .. } = *now;
        Self { flash, secure_version, call: Some((app, request)), holding: None }
    }
}

impl Checker<'_> {
    /// Runs the bootloader or a call.
    pub(super) fn run(&mut self, from: &Situation, key: Key) -> Result<Rc<Run>, Refused> {
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
            secure_version: key.secure_version,
        };
        let recorded = match key.call {
            None => {
                let booted = world.boot(memory, key.secure_version, false);
                run.boot = Some(booted.boot);
                run.secure_version = booted.boot.secure_version;
                booted.recorded
            }
            Some((app, request)) => {
                let act = world.act(memory, key.secure_version, app, &[request]);
                for call in act.calls {
                    run.broken = call.broken(world, &act.recorded);
                    run.result = call.result;
                    run.secure_version = call.secure_version;
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
