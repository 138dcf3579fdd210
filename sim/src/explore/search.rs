//! The search itself.

use super::cycle::{Action, Cut, Cycle, Writer};
use super::hit::{Hit, recognise};
use super::outcome::Cuts;
use super::report::{Counterexample, Finding, Progress, Report};
use super::spec::{Broken, Invariant, What};
use super::state::State;
use super::wear::check_wear;
use super::world::{AppRun, BootRun, World};
use crate::flash::Recorded;
use crate::flash::fault::FaultProfile;
use crate::subject::Call;
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
    /// Most cuts in a sequence; the exploration is incomplete when there could be more. `u32::MAX` for
    /// any number.
    pub max_cuts: u32,
    /// Whether the outcomes of a cut are remembered, which changes the speed and nothing else.
    pub remember: bool,
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
    let complete = search.progress.pending == 0 && !search.cut_short;
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
    /// There could have been more cuts than the limit.
    cut_short: bool,
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
            cut_short: false,
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
        let hit = Hit::explaining(inherited, state.bootloader_cut, hit);
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
        let booted = self.world.booted(&after_boot.contents, started.app, &run.boot);
        let (spec, broken) = state.spec.booted(booted);
        if let Some(broken) = broken {
            self.broken(id, &state, Action::Crash, broken, &run);
        }
        let Some(firmware) = booted.firmware else { return };
        let running = State { spec, ..after_boot };
        self.push(Some(id), running, Cycle { action: Action::Crash, cut: None }, None);
        for action in self.world.actions(&spec, started.app, firmware) {
            let app_run = self.world.act(run.memory.clone(), started.app, action);
            self.follow(id, &running, action, &app_run, &run);
        }
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
        let mut now = *state;
        for (index, call) in app_run.calls.iter().enumerate() {
            let action = action.prefix(index + 1);
            let spec = now.spec;
            for operation in call.operations.clone() {
                let recorded = &app_run.recorded[operation];
                let inside = State { spec: spec.during(call.call, offered), ..now };
                let during = Writer::Application;
                let place = Place { action, during, call: Some(call.call), operation };
                self.cut(id, &inside, place, recorded);
                // While a slot is being written, every outcome says itself what the slot holds.
                let next = app_run.recorded[..call.operations.end].get(operation + 1);
                if next.is_none_or(|next| !self.world.same_slot(next, recorded)) {
                    now = self.world.after(&now, recorded);
                }
            }
            if let Some(broken) = check_wear(self.world, call, &app_run.recorded) {
                self.broken(id, &now, action, broken, boot);
            }
            now.spec = match &call.result {
                Ok(()) => spec.after(call.call, offered),
                Err(message) => {
                    self.broken(id, &now, action, Broken::failed(call.call, message), boot);
                    spec.during(call.call, offered)
                }
            };
            if call.call == Call::Update && call.result.is_ok() && self.update_operations == 0 {
                self.update_operations = call.operations.len() as u64;
            }
            now.bootloader_cut &= !call.confirmed();
            self.push(Some(id), now, Cycle { action, cut: None }, None);
        }
    }

    /// Adds everything that a cut in one operation can lead to.
    fn cut(&mut self, id: u32, expected: &State, place: Place, recorded: &Recorded) {
        if self.nodes[id as usize].cuts >= self.limits.max_cuts {
            self.cut_short = true;
            return;
        }
        let outcomes = self.cuts.outcomes(recorded);
        self.progress.cut_points += 1;
        self.progress.torn += outcomes.torn;
        self.sampled |= outcomes.sampled;
        let hit = Hit::new(self.world, place.call, recorded, false);
        for outcome in &outcomes.distinct {
            let (entries, contents) = outcome.change.apply(expected.entries, &expected.contents);
            let state = State { entries, contents, ..*expected };
            let hit = hit.with_torn_state(outcome.torn_state);
            let cut = Cut {
                during: place.during,
                operation: place.operation as u32,
                tear: outcome.tear.clone(),
            };
            self.push(Some(id), state, Cycle { action: place.action, cut: Some(cut) }, Some(hit));
        }
    }

    /// Keeps the first counterexample of each kind; the search order makes it the shortest.
    fn broken(&mut self, id: u32, state: &State, action: Action, broken: Broken, boot: &BootRun) {
        let during = if state.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        let hit = self.nodes[id as usize].hit;
        let hazard = recognise(self.world, state, hit, &broken, &boot.boot);
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
}
