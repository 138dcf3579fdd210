//! The search itself.

mod way;

use super::cycle::{Action, Cut, Cycle, Writer};
use super::hit::{Hit, recognise};
use super::leftover::Holding;
use super::report::{Counterexample, Finding, Progress, Report};
use super::spec::{Broken, Invariant, What};
use super::state::{Content, Flash, State};
use super::summary::{BootSummary, CallSummary, Runs, Start, Summary};
use super::world::World;
use crate::bootloader::NoBoot;
use crate::firmware::FirmwareId;
use crate::flash::fault::FaultProfile;
use crate::subject::Call;
use ota_core::partition::App;
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
    /// Most states to run; the exploration is incomplete when there are more.
    pub max_states: u64,
    /// Most cuts in a sequence; the exploration is incomplete when there could be more. `u32::MAX` for
    /// any number.
    pub max_cuts: u32,
    /// Whether runs and the outcomes of cuts are remembered, which changes the speed and nothing else.
    pub remember: bool,
}

/// Where in a power cycle a run is.
#[derive(Clone, Copy, Debug)]
struct Place {
    action: Action,
    during: Writer,
    /// Number of its first operation in this part of the power cycle.
    first: usize,
}

#[derive(Debug)]
struct Node {
    state: State,
    parent: u32,
    /// What led here from the parent.
    cycle: Cycle,
    /// What a partition of the parent must hold for that, by number.
    holding: Option<Holding>,
    cuts: u32,
    hit: Option<Hit>,
    expanded: bool,
}

/// A device whose application has started.
struct Running {
    state: State,
    app: App,
    firmware: FirmwareId,
}

/// An update of a slot that holds what another one left.
#[derive(Clone, Debug)]
struct Upload {
    node: u32,
    place: Place,
    now: State,
    start: Start,
    /// The slot by number, and whose upload was cut.
    left: (usize, FirmwareId),
    boot: Rc<BootSummary>,
    /// It was tried on as many contents of the slot.
    tried: usize,
}

/// Explores everything that can happen to the device of `world`.
///
/// `watch` is called now and then; when it breaks, the report covers what was done until then.
pub fn explore(
    world: &World<'_>,
    limits: &Limits,
    mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Report {
    let started = Instant::now();
    let mut search = Search::new(world, limits);
    let first = Cycle { action: Action::Crash, cut: None };
    search.push(None, world.initial(), first, None, None);
    let mut stopped = false;
    while !stopped && let Some(id) = search.pop() {
        search.expand(id);
        search.expanded += 1;
        search.progress.pending = search.progress.states - search.expanded;
        stopped = search.expanded >= limits.max_states || watch(&search.progress).is_break();
    }
    let tried = search.uploads.iter().all(|upload| search.untried(upload).is_none());
    let complete = search.progress.pending == 0 && tried && !search.cut_short;
    let mut counterexamples: Vec<_> = search.found.into_values().collect();
    counterexamples.sort_by_key(|example| (example.cuts(), example.cycles.len()));
    Report {
        operations: search.update_operations,
        progress: search.progress,
        deepest: search.deepest,
        complete,
        sampled_contents: search.sampled,
        counterexamples,
        elapsed: started.elapsed(),
    }
}

struct Search<'w> {
    world: &'w World<'w>,
    limits: &'w Limits,
    runs: Runs<'w>,
    nodes: Vec<Node>,
    known: HashMap<State, u32>,
    queue: VecDeque<u32>,
    with_one_more_cut: VecDeque<u32>,
    expanded: u64,
    uploads: Vec<Upload>,
    found: BTreeMap<Finding, Counterexample>,
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
            progress: Progress::default(),
            update_operations: 0,
            deepest: 0,
            sampled: false,
            cut_short: false,
        }
    }

    /// Adds a state that follows from `parent`, or a way to a known one that has fewer cuts.
    fn push(
        &mut self,
        parent: Option<u32>,
        state: State,
        cycle: Cycle,
        hit: Option<Hit>,
        holding: Option<Holding>,
    ) {
        let (before, inherited) = match parent.map(|parent| &self.nodes[parent as usize]) {
            Some(node) => (node.cuts, node.hit),
            None => (0, None),
        };
        let cut = cycle.cut.is_some();
        let cuts = before + u32::from(cut);
        let hit = Hit::explaining(inherited, state.bootloader_cut, hit);
        let id = match self.known.entry(state) {
            Entry::Occupied(known) => {
                let id = *known.get();
                let node = &mut self.nodes[id as usize];
                if node.expanded || node.cuts <= cuts {
                    return;
                }
                node.parent = parent.unwrap_or(id);
                (node.cycle, node.holding, node.cuts, node.hit) = (cycle, holding, cuts, hit);
                id
            }
            Entry::Vacant(vacant) => {
                let id = self.nodes.len() as u32;
                vacant.insert(id);
                let parent = parent.unwrap_or(id);
                self.nodes.push(Node { state, parent, cycle, holding, cuts, hit, expanded: false });
                self.progress.states += 1;
                id
            }
        };
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

    /// Runs the power cycles that can follow a state.
    fn expand(&mut self, id: u32) {
        let state = self.nodes[id as usize].state;
        let boot = self.runs.boot(&state.flash, state.secure_version);
        if self.limits.cut_bootloader {
            let inside = State { bootloader_cut: true, ..state };
            let place = Place { action: Action::Crash, during: Writer::Bootloader, first: 0 };
            self.cut(id, &inside, place, None, &boot.run, None);
        }
        let (running, broken) = match self.start(&state, &boot) {
            Ok(started) => started,
            Err(reason) => {
                let broken = Broken { invariant: Invariant::Bootable, what: What::NoBoot(reason) };
                self.broken(id, None, &state, Action::Crash, broken, &boot);
                return;
            }
        };
        if let Some(broken) = broken {
            self.broken(id, None, &state, Action::Crash, broken, &boot);
        }
        let Some(running) = running else { return };
        let crash = Cycle { action: Action::Crash, cut: None };
        self.push(Some(id), running.state, crash, None, None);
        for action in self.world.actions(&running.state.spec, running.app, running.firmware) {
            self.follow(id, &running, action, &boot);
        }
    }

    /// The application that a boot starts, and what was wrong with that; none for an unknown image.
    fn start(
        &self,
        state: &State,
        boot: &BootSummary,
    ) -> Result<(Option<Running>, Option<Broken>), NoBoot> {
        let started = boot.boot.outcome?;
        let flash = boot.run.end.with_unwritten(&state.flash, None);
        let booted = self.world.booted(&flash.contents, started.app, &boot.boot);
        let (spec, broken) = state.spec.booted(booted);
        let secure_version = boot.boot.secure_version;
        let running = booted.firmware.map(|firmware| Running {
            state: State { flash, spec, secure_version, ..*state },
            app: started.app,
            firmware,
        });
        Ok((running, broken))
    }

    /// Everything that can follow from what the application does: a cut at any operation, or a reset
    /// after any call.
    fn follow(&mut self, id: u32, running: &Running, action: Action, boot: &Rc<BootSummary>) {
        let mut now = running.state;
        let mut first = 0;
        for (index, &call) in action.calls().iter().enumerate() {
            let action = action.prefix(index + 1);
            let place = Place { action, during: Writer::Application, first };
            let start = Start::new(&now, running.app, call, action);
            let summary = self.runs.call(&start);
            if let Some(left) = left_before(&now.flash, call, &summary) {
                let boot = boot.clone();
                return self.upload(Upload { node: id, place, now, start, left, boot, tried: 0 });
            }
            match self.called(id, place, &now, &start, &summary, boot) {
                Some(next) => now = next,
                None => return,
            }
            first += summary.run.operations;
        }
    }

    /// Tries an update on all that was left in its slot, and was not tried yet.
    fn upload(&mut self, mut upload: Upload) {
        while let Some(holding) = self.untried(&upload) {
            let start = Start { holding: Some(holding), ..upload.start };
            let summary = self.runs.call(&start);
            let Upload { node, place, now, boot, .. } = &upload;
            self.called(*node, *place, now, &start, &summary, boot);
            upload.tried += 1;
        }
        self.uploads.push(upload);
    }

    fn untried(&self, upload: &Upload) -> Option<Holding> {
        let (partition, image) = upload.left;
        self.runs.leftovers().get(partition, image, upload.tried)
    }

    /// Everything that can follow from a call; the state after it, if it succeeds.
    fn called(
        &mut self,
        id: u32,
        place: Place,
        now: &State,
        start: &Start,
        summary: &CallSummary,
        boot: &BootSummary,
    ) -> Option<State> {
        let (call, offered, holding) = (start.call, place.action.offered(), start.holding);
        let inside = State { spec: now.spec.during(call, offered), ..*now };
        self.cut(id, &inside, place, holding, &summary.run, summary.written);
        let success = summary.result.is_ok();
        let after = State {
            flash: summary.run.end.with_unwritten(&now.flash, summary.written),
            spec: if success { now.spec.after(call, offered) } else { inside.spec },
            bootloader_cut: now.bootloader_cut && !(success && call == Call::Confirm),
            ..*now
        };
        let failed = summary.result.as_ref().err().map(|message| Broken::failed(call, message));
        for broken in summary.broken.iter().cloned().chain(failed) {
            let state = State { spec: now.spec, bootloader_cut: now.bootloader_cut, ..after };
            self.broken(id, holding, &state, place.action, broken, boot);
        }
        if call == Call::Update && success && self.update_operations == 0 {
            self.update_operations = summary.run.operations as u64;
        }
        let cycle = Cycle { action: place.action, cut: None };
        self.push(Some(id), after, cycle, None, holding);
        success.then_some(after)
    }

    /// Adds everything that a cut in a run can lead to.
    fn cut(
        &mut self,
        id: u32,
        inside: &State,
        place: Place,
        holding: Option<Holding>,
        run: &Summary,
        written: Option<usize>,
    ) {
        if self.nodes[id as usize].cuts >= self.limits.max_cuts {
            self.cut_short |= run.operations > 0;
            return;
        }
        self.progress.cut_points += run.operations as u64;
        self.progress.torn += run.torn;
        self.sampled |= run.sampled;
        for crash in &run.crashes {
            let flash = crash.flash.with_unwritten(&inside.flash, written);
            let state = State { flash, ..*inside };
            let cut = Cut {
                during: place.during,
                operation: (place.first + crash.operation) as u32,
                tear: crash.tear.clone(),
            };
            let cycle = Cycle { action: place.action, cut: Some(cut) };
            self.push(Some(id), state, cycle, Some(crash.hit), holding);
        }
    }

    /// Keeps the first counterexample of each kind; the search order makes it the shortest.
    fn broken(
        &mut self,
        id: u32,
        holding: Option<Holding>,
        state: &State,
        action: Action,
        broken: Broken,
        boot: &BootSummary,
    ) {
        let during = if state.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        let hit = self.nodes[id as usize].hit;
        let hazard = recognise(self.world, state, hit, &broken, &boot.boot);
        let finding = Finding { invariant: broken.invariant, hazard, during };
        if self.found.contains_key(&finding) {
            return;
        }
        let mut cycles = self.way(id, holding);
        cycles.push(Cycle { action, cut: None });
        self.found.insert(finding, Counterexample { finding, what: broken.what, cycles });
    }
}

/// Whether a call on `flash` is an update of a slot that holds what another one left: which slot, and
/// whose upload.
fn left_before(flash: &Flash, call: Call, summary: &CallSummary) -> Option<(usize, FirmwareId)> {
    let partition = summary.written.filter(|_| call == Call::Update)?;
    match flash.contents[partition] {
        Content::Partial(image) => Some((partition, image)),
        _ => None,
    }
}
