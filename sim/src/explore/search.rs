//! The search itself.

use super::cycle::{Action, Cut, Cycle, Writer};
use super::hazard::Hazard;
use super::outcome::Cuts;
use super::report::{Counterexample, Finding, Progress, Report};
use super::spec::{Booted, Broken, Invariant, Spec, Trial, What};
use super::state::{Content, State};
use super::world::{AppRun, BootRun, CallRun, World};
use crate::bootloader::Choice;
use crate::flash::fault::FaultProfile;
use crate::flash::{OperationKind, Recorded, SECTOR_SIZE};
use crate::subject::Call;
use ota_core::otadata::{self, SelectEntry};
use ota_core::partition::{App, Region};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
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
    /// Whether the outcomes of a cut are remembered, which changes the speed and nothing else.
    pub remember: bool,
}

/// Erases of one otadata sector that one call may cost.
const OTADATA_ERASES: u32 = 3;
/// Erases of one sector of a slot that one call may cost.
const SLOT_ERASES: u32 = 1;

/// What the last cut on the way to a state hit.
#[derive(Clone, Copy, Debug)]
struct Hit {
    call: Option<Call>,
    /// The sector of the active entry.
    active_entry: bool,
    /// It left a well-formed entry in a state that was neither there before nor meant.
    torn_state: bool,
}

/// Where in a power cycle an operation is.
#[derive(Clone, Copy, Debug)]
struct Place {
    action: Action,
    during: Writer,
    call: Option<Call>,
    operation: usize,
}

#[derive(Debug)]
struct Node {
    state: State,
    parent: u32,
    /// What led here from the parent.
    cycle: Cycle,
    cuts: u32,
    hit: Option<Hit>,
    expanded: bool,
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
    search.push(None, world.initial(), Cycle { action: Action::Crash, cut: None }, None);
    let mut stopped = false;
    while !stopped && let Some(id) = search.pop() {
        search.expand(id);
        search.expanded += 1;
        search.progress.pending = search.progress.states - search.expanded;
        stopped = search.expanded >= limits.max_states || watch(&search.progress).is_break();
    }
    let complete = search.progress.pending == 0;
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
    cuts: Cuts<'w>,
    nodes: Vec<Node>,
    known: HashMap<State, u32>,
    queue: VecDeque<u32>,
    with_one_more_cut: VecDeque<u32>,
    expanded: u64,
    found: BTreeMap<Finding, Counterexample>,
    progress: Progress,
    update_operations: u64,
    deepest: u32,
    sampled: bool,
}

impl<'w> Search<'w> {
    fn new(world: &'w World<'w>, limits: &'w Limits) -> Self {
        Self {
            world,
            limits,
            cuts: Cuts::new(world, limits.profile, limits.remember),
            nodes: Vec::new(),
            known: HashMap::new(),
            queue: VecDeque::new(),
            with_one_more_cut: VecDeque::new(),
            expanded: 0,
            found: BTreeMap::new(),
            progress: Progress::default(),
            update_operations: 0,
            deepest: 0,
            sampled: false,
        }
    }

    /// Adds a state that follows from `parent`, or a way to a known one that has fewer cuts.
    fn push(&mut self, parent: Option<u32>, state: State, cycle: Cycle, hit: Option<Hit>) {
        let (before, inherited) = match parent.map(|parent| &self.nodes[parent as usize]) {
            Some(node) => (node.cuts, node.hit),
            None => (0, None),
        };
        let cut = cycle.cut.is_some();
        let cuts = before + u32::from(cut);
        // What the bootloader left behind explains what follows better than a later cut does that hits
        // the application.
        let tainted = parent.is_some_and(|id| self.nodes[id as usize].state.bootloader_cut);
        let in_application = hit.is_some_and(|hit| hit.call.is_some());
        let explained = tainted && in_application;
        let hit = if explained { inherited } else { hit.or(inherited) };
        let id = match self.known.entry(state) {
            Entry::Occupied(known) => {
                let id = *known.get();
                let node = &mut self.nodes[id as usize];
                if node.expanded || node.cuts <= cuts {
                    return;
                }
                node.parent = parent.unwrap_or(id);
                (node.cycle, node.cuts, node.hit) = (cycle, cuts, hit);
                id
            }
            Entry::Vacant(vacant) => {
                let id = self.nodes.len() as u32;
                vacant.insert(id);
                let parent = parent.unwrap_or(id);
                self.nodes.push(Node { state, parent, cycle, cuts, hit, expanded: false });
                self.progress.states += 1;
                id
            }
        };
        if cut { self.with_one_more_cut.push_back(id) } else { self.queue.push_back(id) }
    }

    /// The next state to run; all with fewer cuts come first.
    fn pop(&mut self) -> Option<u32> {
        loop {
            if self.queue.is_empty() {
                std::mem::swap(&mut self.queue, &mut self.with_one_more_cut);
            }
            let id = self.queue.pop_front()?;
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
        let memory = self.world.memory(&state);
        let run = self.world.boot(memory, state.secure_version, false);
        if self.limits.cut_bootloader {
            self.cut_bootloader(id, &state, &run);
        }
        let Ok(started) = run.boot.outcome else {
            let reason = run.boot.outcome.err();
            if let Some(reason) = reason {
                let broken = Broken { invariant: Invariant::Bootable, what: What::NoBoot(reason) };
                self.broken(id, &state, Action::Crash, broken, &run);
            }
            return;
        };
        let after_boot = State {
            entries: self.world.entries(&run.memory),
            secure_version: run.boot.secure_version,
            ..state
        };
        let firmware = match content(&after_boot, started.app) {
            Content::Firmware(id) => Some(id),
            _ => None,
        };
        let booted = Booted {
            firmware,
            first_choice: run.boot.selected.and_then(Choice::app) == Some(started.app),
            on_trial: self.world.bootloader.rollback && started.app != App::Factory,
        };
        let (spec, broken) = state.spec.booted(booted);
        if let Some(broken) = broken {
            self.broken(id, &state, Action::Crash, broken, &run);
        }
        let Some(firmware) = firmware else { return };
        let running = State { spec, ..after_boot };
        self.push(Some(id), running, Cycle { action: Action::Crash, cut: None }, None);
        for action in self.actions(&spec, started.app, firmware) {
            let app_run = self.world.act(run.memory.clone(), started.app, action);
            self.follow(id, &running, action, &app_run, &run);
        }
    }

    fn actions(&self, spec: &Spec, running: App, firmware: u8) -> Vec<Action> {
        let mut actions = vec![Action::Update(self.world.offered(firmware))];
        if matches!(spec.trial, Trial::Running(_)) {
            actions.push(Action::Reject);
        } else if running != App::Factory && self.world.layout.apps().factory().is_some() {
            actions.push(Action::SelectFactory);
        }
        actions
    }

    fn cut_bootloader(&mut self, id: u32, state: &State, run: &BootRun) {
        for (operation, recorded) in run.recorded.iter().enumerate() {
            let expected = State {
                entries: self.world.entries(&recorded.before),
                bootloader_cut: true,
                ..*state
            };
            let during = Writer::Bootloader;
            let place = Place { action: Action::Crash, during, call: None, operation };
            self.cut(id, &expected, place, recorded);
        }
    }

    /// Everything that can follow from what the application did: a cut at any operation, or a reset
    /// after any call.
    fn follow(&mut self, id: u32, state: &State, action: Action, app_run: &AppRun, boot: &BootRun) {
        let offered = match action {
            Action::Update(firmware) => firmware,
            _ => 0,
        };
        let mut spec = state.spec;
        for (index, call) in app_run.calls.iter().enumerate() {
            let action = action.prefix(index + 1);
            for operation in call.operations.clone() {
                let recorded = &app_run.recorded[operation];
                let inside = State {
                    entries: self.world.entries(&recorded.before),
                    contents: self.world.contents(&recorded.before),
                    spec: spec.during(call.call, offered),
                    ..*state
                };
                let during = Writer::Application;
                let place = Place { action, during, call: Some(call.call), operation };
                self.cut(id, &inside, place, recorded);
            }
            self.check_wear(id, state, action, call, &app_run.recorded, boot);
            spec = match &call.result {
                Ok(()) => spec.after(call.call, offered),
                Err(message) => {
                    self.broken(id, state, action, failed(call.call, message), boot);
                    spec.during(call.call, offered)
                }
            };
            if call.call == Call::Update && call.result.is_ok() && self.update_operations == 0 {
                self.update_operations = call.operations.len() as u64;
            }
            let confirmed = call.call == Call::Confirm && call.result.is_ok();
            let next = State {
                entries: self.world.entries(&call.memory),
                contents: self.world.contents(&call.memory),
                spec,
                bootloader_cut: state.bootloader_cut && !confirmed,
                ..*state
            };
            self.push(Some(id), next, Cycle { action, cut: None }, None);
        }
    }

    /// Adds everything that a cut in one operation can lead to.
    fn cut(&mut self, id: u32, expected: &State, place: Place, recorded: &Recorded) {
        let outcomes = self.cuts.outcomes(recorded);
        self.progress.cut_points += 1;
        self.progress.torn += outcomes.torn;
        self.sampled |= outcomes.sampled;
        let active = otadata::active(&self.world.raw_entries(&recorded.before));
        let otadata = self.world.layout.apps().otadata().offset;
        let offset = recorded.operation.offset;
        let active_entry = active.is_some_and(|index| {
            offset / otadata::SECTOR_SIZE == otadata / otadata::SECTOR_SIZE + index as u32
        });
        for outcome in &outcomes.distinct {
            let (entries, contents) = outcome.change.apply(expected.entries, &expected.contents);
            let state = State { entries, contents, ..*expected };
            let hit = Hit { call: place.call, active_entry, torn_state: outcome.torn_state };
            let cut = Cut {
                during: place.during,
                operation: place.operation as u32,
                tear: outcome.tear.clone(),
            };
            self.push(Some(id), state, Cycle { action: place.action, cut: Some(cut) }, Some(hit));
        }
    }

    fn check_wear(
        &mut self,
        id: u32,
        state: &State,
        action: Action,
        call: &CallRun,
        recorded: &[Recorded],
        boot: &BootRun,
    ) {
        let mut erases: BTreeMap<u32, u32> = BTreeMap::new();
        let sector = SECTOR_SIZE as u32;
        for recorded in &recorded[call.operations.clone()] {
            if let OperationKind::Erase(_) = recorded.operation.kind {
                let range = recorded.operation.range(self.world.part.capacity);
                for at in range.step_by(SECTOR_SIZE) {
                    *erases.entry(at / sector * sector).or_default() += 1;
                }
            }
        }
        let otadata = self.world.layout.apps().otadata();
        for (offset, times) in erases {
            let is_otadata = otadata.overlaps(Region { offset, size: 1 });
            let promised = if is_otadata { OTADATA_ERASES } else { SLOT_ERASES };
            if times > promised {
                let what = What::Erased { call: call.call, offset, times, promised };
                let broken = Broken { invariant: Invariant::BoundedWear, what };
                self.broken(id, state, action, broken, boot);
                return;
            }
        }
    }

    /// Keeps the first counterexample of each kind; the search order makes it the shortest.
    fn broken(&mut self, id: u32, state: &State, action: Action, broken: Broken, boot: &BootRun) {
        let during = if state.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        let hazard = self.recognise(id, state, &broken, boot);
        let finding = Finding { invariant: broken.invariant, hazard, during };
        if self.found.contains_key(&finding) {
            return;
        }
        let mut cycles = vec![Cycle { action, cut: None }];
        let mut at = id;
        while self.nodes[at as usize].parent != at {
            cycles.push(self.nodes[at as usize].cycle.clone());
            at = self.nodes[at as usize].parent;
        }
        cycles.reverse();
        self.found.insert(finding, Counterexample { finding, what: broken.what, cycles });
    }

    fn recognise(&self, id: u32, state: &State, broken: &Broken, boot: &BootRun) -> Option<Hazard> {
        let hit = self.nodes[id as usize].hit;
        let both_rejected = state.entries.iter().all(SelectEntry::is_invalid)
            && !state.entries.iter().all(SelectEntry::is_blank_or_bad_crc)
            && self.world.layout.apps().factory().is_none();
        match &broken.what {
            What::NotChosen(_) => return Some(Hazard::H3),
            What::Failed(Call::Confirm | Call::Reject, _) => {
                let active = otadata::active(&state.entries).is_some();
                return Some(if active { Hazard::H3 } else { Hazard::H5 });
            }
            What::Failed(..) | What::Erased { .. } => return None,
            What::NoBoot(_) | What::Booted(..) => {}
        }
        let selected = boot.boot.selected.and_then(Choice::app);
        let selected_junk = selected.is_some_and(|app| content(state, app) == Content::Junk);
        let pointed_to = otadata::active(&state.entries).is_some();
        Some(match hit? {
            _ if both_rejected => Hazard::H5,
            Hit { call: Some(Call::SelectFactory), .. } => Hazard::H8,
            _ if selected_junk && pointed_to => Hazard::H14,
            Hit { torn_state: true, .. } => Hazard::H2,
            Hit { active_entry: true, .. } => Hazard::H1,
            _ => Hazard::H4,
        })
    }
}

fn content(state: &State, app: App) -> Content {
    let index = match app {
        App::Factory => 0,
        App::Ota(slot) => 1 + usize::from(slot.index()),
        App::Test => return Content::Absent,
    };
    state.contents[index]
}

fn failed(call: Call, message: &str) -> Broken {
    let invariant = match call {
        Call::Startup | Call::Update | Call::SelectFactory => Invariant::Updatable,
        Call::Confirm => Invariant::Durable,
        Call::Reject => Invariant::Rollback,
    };
    Broken { invariant, what: What::Failed(call, message.into()) }
}
