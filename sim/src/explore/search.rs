//! The search itself.

mod node;
#[cfg(test)]
mod tests;
mod way;

pub(crate) use node::Situation;

use node::{Interrupted, Node, Place, Step, Upload};

use super::cycle::{Cut, Request, Writer};
use super::hit::{Hit, content_of, recognise};
use super::leftover::{Holding, Leftovers};
use super::report::{Counterexample, Finding, Progress, Report};
use super::spec::{Broken, Invariant, Usage, What};
use super::state::{Content, Flash, State};
use super::summary::{BootSummary, CallSummary, Runs, Start, Summary};
use super::world::{Expected, World};
use crate::bootloader::NoBoot;
use crate::firmware::FirmwareId;
use crate::flash::fault::FaultProfile;
use ota_core::partition::App;
#[cfg(test)]
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

/// What bounds an exploration, and which cuts it tries.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The faults.
    pub profile: FaultProfile,
    /// Whether power may fail while the bootloader writes.
    pub cut_bootloader: bool,
    /// What the applications do.
    pub usage: Usage,
    /// Most states to run; the exploration is incomplete when there are more.
    pub max_states: u64,
    /// Most cuts in a sequence; the exploration is incomplete when there could be more. `u32::MAX` for
    /// any number.
    pub max_cuts: u32,
    /// Whether runs and the outcomes of cuts are remembered, which changes the speed and nothing else.
    pub remember: bool,
}

/// Explores everything that can happen to the device of `world`.
///
/// `watch` is called now and then; when it breaks, the report covers what was done until then.
pub fn explore(
    world: &World<'_>,
    limits: &Limits,
    watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Report {
    close(world, limits, watch).0
}

/// As [`explore`], with everything that was met.
pub(crate) fn close(
    world: &World<'_>,
    limits: &Limits,
    mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> (Report, Met) {
    let started = Instant::now();
    let mut search = Search::new(world, limits);
    search.push_first(world.initial());
    let mut stopped = false;
    while !stopped && let Some(id) = search.pop() {
        search.expand(id);
        search.expanded += 1;
        search.progress.pending = search.nodes.len() as u64 - search.expanded;
        stopped = search.expanded >= limits.max_states || watch(&search.progress).is_break();
    }
    let tried = search.uploads.iter().all(|upload| search.untried(upload).is_none());
    let complete = search.progress.pending == 0 && tried && !search.cut_short;
    let mut counterexamples: Vec<_> = search.found.into_values().collect();
    counterexamples.sort_by_key(|example| (example.cuts(), example.cycles.len()));
    let report = Report {
        operations: search.update_operations,
        progress: search.progress,
        deepest: search.deepest,
        complete,
        sampled_contents: search.sampled,
        counterexamples,
        elapsed: started.elapsed(),
    };
    let situations = search.nodes.iter().map(|node| node.situation).collect();
    let met = Met {
        situations,
        leftovers: search.runs.into_leftovers(),
        #[cfg(test)]
        bad: search.bad,
    };
    (report, met)
}

/// Everything that an exploration met.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) situations: Vec<Situation>,
    /// What uploads left in slots.
    pub(crate) leftovers: Leftovers,
    /// The situations in which an invariant breaks, by what happens next.
    #[cfg(test)]
    pub(crate) bad: HashSet<(Situation, Option<Request>, Invariant, Writer)>,
}

struct Search<'w> {
    world: &'w World<'w>,
    limits: &'w Limits,
    runs: Runs<'w>,
    nodes: Vec<Node>,
    known: HashMap<Situation, u32>,
    queue: VecDeque<u32>,
    with_one_more_cut: VecDeque<u32>,
    expanded: u64,
    uploads: Vec<Upload>,
    found: BTreeMap<Finding, Counterexample>,
    #[cfg(test)]
    bad: HashSet<(Situation, Option<Request>, Invariant, Writer)>,
    progress: Progress,
    update_operations: u64,
    deepest: u32,
    sampled: bool,
    /// There could have been more cuts than the limit.
    cut_short: bool,
}

impl<'w> Search<'w> {
    fn new(world: &'w World<'w>, limits: &'w Limits) -> Self {
        Self {
            world,
            limits,
            runs: Runs::new(world, limits.profile, limits.remember),
            nodes: Vec::new(),
            known: HashMap::new(),
            queue: VecDeque::new(),
            with_one_more_cut: VecDeque::new(),
            expanded: 0,
            uploads: Vec::new(),
            found: BTreeMap::new(),
            #[cfg(test)]
            bad: HashSet::new(),
            progress: Progress::default(),
            update_operations: 0,
            deepest: 0,
            sampled: false,
            cut_short: false,
        }
    }

    fn push_first(&mut self, state: State) {
        let situation = Situation { state, running: None };
        let step = Step { request: None, cut: None, holding: None };
        self.known.insert(situation, 0);
        self.nodes.push(Node {
            situation,
            parent: 0,
            step,
            cuts: 0,
            operations: 0,
            hit: None,
            boot: None,
            expanded: false,
        });
        self.progress.states = 1;
        self.queue.push_back(0);
    }

    /// Adds a situation that follows from `parent`, or a way to a known one that has fewer cuts.
    fn push(&mut self, parent: u32, situation: Situation, step: Step, place: Place<'_>) {
        let before = &self.nodes[parent as usize];
        let cut = step.cut.is_some();
        let cuts = before.cuts + u32::from(cut);
        let hit = Hit::explaining(before.hit, situation.state.bootloader_cut, place.hit);
        let running = situation.running.is_some();
        let id = match self.known.entry(situation) {
            Entry::Occupied(known) => {
                let id = *known.get();
                let node = &self.nodes[id as usize];
                if node.expanded || node.cuts <= cuts {
                    return;
                }
                id
            }
            Entry::Vacant(vacant) => {
                let id = self.nodes.len() as u32;
                vacant.insert(id);
                if running {
                    self.progress.running += 1
                } else {
                    self.progress.states += 1
                }
                id
            }
        };
        let boot = running.then(|| place.boot.clone());
        let operations = if running { place.operations } else { 0 };
        let node = Node { situation, parent, step, cuts, operations, hit, boot, expanded: false };
        match self.nodes.get_mut(id as usize) {
            Some(known) => *known = node,
            None => self.nodes.push(node),
        }
        if cut { self.with_one_more_cut.push_back(id) } else { self.queue.push_back(id) }
    }

    /// The next state to run; all with fewer cuts come first. When there is none, updates are tried on
    /// what has been left in slots since.
    fn pop(&mut self) -> Option<u32> {
        loop {
            if self.queue.is_empty() {
                std::mem::swap(&mut self.queue, &mut self.with_one_more_cut);
            }
            let Some(id) = self.queue.pop_front() else {
                let uploads = std::mem::take(&mut self.uploads);
                let (again, done) =
                    uploads.into_iter().partition(|upload| self.untried(upload).is_some());
                self.uploads = done;
                let again: Vec<_> = again;
                if again.is_empty() {
                    return None;
                }
                again.into_iter().for_each(|upload| self.upload(upload));
                continue;
            };
            let node = &mut self.nodes[id as usize];
            if !std::mem::replace(&mut node.expanded, true) {
                self.deepest = self.deepest.max(node.cuts);
                return Some(id);
            }
        }
    }

    /// Does everything that can happen next.
    fn expand(&mut self, id: u32) {
        let Situation { state, running } = self.nodes[id as usize].situation;
        match (running, self.nodes[id as usize].boot.clone()) {
            (Some(app), Some(boot)) => self.go_on(id, &state, app, &boot),
            _ => self.power_on(id, &state),
        }
    }

    /// Boots a device and starts its application.
    fn power_on(&mut self, id: u32, state: &State) {
        let boot = self.runs.boot(&state.flash, state.secure_version);
        if self.limits.cut_bootloader {
            let inside = State { bootloader_cut: true, ..*state };
            let step = Step { request: None, cut: None, holding: None };
            let cut = Interrupted { inside: &inside, during: Writer::Bootloader, written: None };
            self.cut(id, &cut, &step, &boot.run, &boot);
        }
        let (running, broken) = match self.start(state, &boot) {
            Ok(started) => started,
            Err(reason) => {
                let broken = Broken { invariant: Invariant::Bootable, what: What::NoBoot(reason) };
                return self.broken(id, None, state, broken, &boot);
            }
        };
        if let Some(broken) = broken {
            self.broken(id, None, state, broken, &boot);
        }
        let Some((now, app)) = running else { return };
        self.reset(id, &now, None, &boot);
        self.call(id, &now, app, Request::Startup, &boot);
    }

    /// The application that a boot starts, and what was wrong with that; none for an unknown image.
    fn start(&self, state: &State, boot: &BootSummary) -> Result<Started, NoBoot> {
        let started = boot.boot.outcome?;
        let flash = boot.run.end.with_unwritten(&state.flash, None);
        let booted = self.world.booted(&flash.contents, started.app, &boot.boot);
        let (spec, broken) = state.spec.booted(booted);
        let secure_version = boot.boot.secure_version;
        let running =
            booted.firmware.map(|_| (State { flash, spec, secure_version, ..*state }, started.app));
        Ok((running, broken))
    }

    /// Makes every call that the application can make next.
    fn go_on(&mut self, id: u32, now: &State, app: App, boot: &Rc<BootSummary>) {
        let content = content_of(&now.flash.contents, app);
        let Content::Firmware(firmware) = content else { return };
        for request in self.world.requests(self.limits.usage, &now.spec, app, firmware) {
            self.call(id, now, app, request, boot);
        }
    }

    fn call(&mut self, id: u32, now: &State, app: App, request: Request, boot: &Rc<BootSummary>) {
        let start = Start::new(now, app, request);
        let summary = self.runs.call(&start);
        match left_before(&now.flash, &summary) {
            Some(left) if matches!(request, Request::Update(_)) => {
                self.upload(Upload { node: id, start, left, tried: 0 });
            }
            _ => self.called(id, now, &start, &summary, boot),
        }
    }

    /// Tries an update on all that was left in its slot, and was not tried yet.
    fn upload(&mut self, mut upload: Upload) {
        let node = &self.nodes[upload.node as usize];
        let (state, boot) = (node.situation.state, node.boot.clone());
        // Only an application that runs makes calls.
        let Some(boot) = boot else { return };
        while let Some(holding) = self.untried(&upload) {
            let start = Start { holding: Some(holding), ..upload.start };
            let summary = self.runs.call(&start);
            self.called(upload.node, &state, &start, &summary, &boot);
            upload.tried += 1;
        }
        self.uploads.push(upload);
    }

    fn untried(&self, upload: &Upload) -> Option<Holding> {
        let (partition, image) = upload.left;
        self.runs.leftovers().get(partition, image, upload.tried)
    }

    /// Everything that can follow from a call.
    fn called(
        &mut self,
        id: u32,
        now: &State,
        start: &Start,
        summary: &CallSummary,
        boot: &Rc<BootSummary>,
    ) {
        let (request, written) = (start.request, summary.written);
        let inside = State { spec: now.spec.during(request), ..*now };
        let step = Step { request: Some(request), cut: None, holding: start.holding };
        let cut = Interrupted { inside: &inside, during: Writer::Application, written };
        self.cut(id, &cut, &step, &summary.run, boot);
        let (success, wrote) = (summary.result.is_ok(), summary.run.operations > 0);
        let Content::Firmware(running) = content_of(&now.flash.contents, start.running) else {
            return;
        };
        let expected = Expected { spec: now.spec, required: now.secure_version, running };
        let after = State {
            flash: summary.run.end.with_unwritten(&now.flash, written),
            secure_version: summary.secure_version,
            spec: self.world.expected_after(request, success, wrote, expected),
            bootloader_cut: now.bootloader_cut && !(success && request == Request::Confirm),
        };
        let failed = self.world.failure(request, &summary.result, now.spec, now.secure_version);
        for broken in summary.broken.iter().cloned().chain(failed) {
            let state = State { spec: now.spec, bootloader_cut: now.bootloader_cut, ..after };
            self.broken(id, Some(&step), &state, broken, boot);
        }
        if matches!(request, Request::Update(_)) && success && self.update_operations == 0 {
            self.update_operations = summary.run.operations as u64;
        }
        self.reset(id, &after, Some(&step), boot);
        // An image that rejected itself restarts; one that could not start does nothing more.
        let ends = request == Request::Reject || (request == Request::Startup && !success);
        if !ends {
            let operations = self.nodes[id as usize].operations + summary.run.operations;
            let place = Place { hit: None, operations, boot };
            let situation = Situation { state: after, running: Some(start.running) };
            self.push(id, situation, step, place);
        }
    }

    /// Adds what a reset after a step leads to.
    fn reset(&mut self, id: u32, state: &State, step: Option<&Step>, boot: &Rc<BootSummary>) {
        let none = Step { request: None, cut: None, holding: None };
        let situation = Situation { state: *state, running: None };
        let place = Place { hit: None, operations: 0, boot };
        self.push(id, situation, step.cloned().unwrap_or(none), place);
    }

    /// Adds everything that a cut in a run can lead to.
    fn cut(
        &mut self,
        id: u32,
        interrupted: &Interrupted<'_>,
        step: &Step,
        run: &Summary,
        boot: &Rc<BootSummary>,
    ) {
        if self.nodes[id as usize].cuts >= self.limits.max_cuts {
            self.cut_short |= run.operations > 0;
            return;
        }
        let Interrupted { inside, during, written } = *interrupted;
        let first = self.nodes[id as usize].operations;
        self.progress.cut_points += run.operations as u64;
        self.progress.torn += run.torn;
        self.sampled |= run.sampled;
        for crash in &run.crashes {
            let flash = crash.flash.with_unwritten(&inside.flash, written);
            let situation = Situation { state: State { flash, ..*inside }, running: None };
            let operation = (first + crash.operation) as u32;
            let cut = Some(Cut { during, operation, tear: crash.tear.clone() });
            let place = Place { hit: Some(crash.hit), operations: 0, boot };
            self.push(id, situation, Step { cut, ..step.clone() }, place);
        }
    }

    /// Keeps the first counterexample of each kind; the search order makes it the shortest.
    fn broken(
        &mut self,
        id: u32,
        step: Option<&Step>,
        state: &State,
        broken: Broken,
        boot: &BootSummary,
    ) {
        let during = if state.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        let hit = self.nodes[id as usize].hit;
        let hazard = recognise(self.world, state, hit, &broken, &boot.boot);
        let finding = Finding { invariant: broken.invariant, hazard, during };
        #[cfg(test)]
        self.bad.insert((
            self.nodes[id as usize].situation,
            step.and_then(|step| step.request),
            broken.invariant,
            during,
        ));
        if self.found.contains_key(&finding) {
            return;
        }
        let cycles = self.way(id, step);
        self.found.insert(finding, Counterexample { finding, what: broken.what, cycles });
    }
}

/// The device and the partition that runs, and what was wrong with that.
type Started = (Option<(State, App)>, Option<Broken>);

/// Whether a call on `flash` writes to a slot that holds what an upload left: which slot, and whose upload.
fn left_before(flash: &Flash, summary: &CallSummary) -> Option<(usize, FirmwareId)> {
    let partition = summary.written?;
    match flash.contents[partition] {
        Content::Partial(image) => Some((partition, image)),
        _ => None,
    }
}
