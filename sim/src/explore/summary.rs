//! What a run of the bootloader or a call of the application comes to, worked out once for each flash
//! contents that it starts on.
//!
//! # Why it is sound
//! A subject keeps nothing between calls, and nor does the bootloader between boots: what a run does
//! follows from flash and its arguments. Every run starts on the contents that stand for the state of
//! the device, also in the middle of a power cycle. So runs that start in the same [`Flash`] with the
//! same arguments are one, whatever the application's side expects ([`Spec`](super::Spec)) and whatever
//! happened before. A partition that a call neither reads nor writes has no part in it: calls that agree
//! in all the others are one, and leave this one as they find it. Of the crash states of a run, those that agree in [`Flash`] are one as well: the
//! expectations are the same throughout a call.

use super::cycle::Request;
use super::genuine::{Selection, check_selections};
use super::hit::Hit;
use super::leftover::{Holding, Leftovers};
use super::outcome::{Change, Cuts, Held, Outcomes};
use super::spec::Broken;
use super::state::{Content, Contents, Flash, State};
use super::wear::check_wear;
use super::world::World;
use crate::bootloader::Boot;
use crate::firmware::FirmwareId;
use crate::flash::fault::{FaultProfile, Tear};
use crate::flash::{Chip, Digest, Operation, Recorded};
use crate::subject::{Call, Failure, Observer};
use ota_core::otadata::SelectEntry;
use ota_core::partition::{App, Slot};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// A call of the application, with all that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Start {
    pub(super) flash: Flash,
    /// What a partition holds instead, left by an upload.
    pub(super) holding: Option<Holding>,
    pub(super) running: App,
    pub(super) request: Request,
    /// Security version in eFuse.
    pub(super) secure_version: u32,
}

impl Start {
    /// A call on a device that runs.
    pub(super) fn new(now: &State, running: App, request: Request) -> Self {
        let State { secure_version, .. } = *now;
        let flash = now.flash.without_partial();
        Self { flash, holding: None, running, request, secure_version }
    }
}

/// One way in which a run can be cut.
#[derive(Clone, Debug)]
pub(super) struct Crash {
    /// What it leads to.
    pub(super) flash: Flash,
    /// Number of the operation in the run.
    pub(super) operation: usize,
    pub(super) tear: Tear,
    pub(super) hit: Hit,
}

/// All that can follow from a run.
#[derive(Debug)]
pub(super) struct Summary {
    /// Number of flash operations.
    pub(super) operations: usize,
    /// Number of crash states.
    pub(super) torn: u64,
    /// The contents that a large operation leaves were sampled.
    pub(super) sampled: bool,
    /// The cuts: the first one for each outcome.
    pub(super) crashes: Vec<Crash>,
    /// Where power stays on.
    pub(super) end: Flash,
}

/// A run of the bootloader.
#[derive(Debug)]
pub(super) struct BootSummary {
    pub(super) run: Summary,
    pub(super) boot: Boot,
}

/// A call of the application.
#[derive(Debug)]
pub(super) struct CallSummary {
    pub(super) run: Summary,
    /// Invariants that it breaks whatever is expected.
    pub(super) broken: Vec<Broken>,
    pub(super) result: Result<(), Failure>,
    /// Security version in eFuse afterwards.
    pub(super) secure_version: u32,
    /// The application partition that it writes.
    pub(super) written: Option<usize>,
    /// The application partitions that it reads or writes, one bit each.
    accessed: u32,
}

/// One flash operation of a run, and what a cut in it can lead to.
#[derive(Debug)]
struct Step {
    operation: Operation,
    /// The application partition that it lies in.
    partition: Option<usize>,
    outcomes: Rc<Outcomes>,
    hit: Hit,
    /// The select entries afterwards, if they may be others.
    entries: Option<[SelectEntry; 2]>,
    /// What partitions hold afterwards, if they hold something else and that matters.
    held: Vec<(usize, Held)>,
    selection: Option<Selection>,
}

/// What a call does on flash, step by step.
#[derive(Debug)]
pub(super) struct Trace {
    steps: Vec<Rc<Step>>,
    result: Result<(), Failure>,
    secure_version: u32,
    accessed: u32,
}

impl Trace {
    /// A cut that leaves this: the number of the operation, the tear, and flash afterwards.
    pub(super) fn leaves(&self, start: &Start, holding: Holding) -> Option<(usize, &Tear, Flash)> {
        let Holding { partition, image, id } = holding;
        let change = Change::Content(partition, Held::Leftover(id));
        let mut flash = start.flash.with(partition, Content::Partial(image));
        for (operation, step) in self.steps.iter().enumerate() {
            let mut outcomes = step.outcomes.distinct.iter();
            if let Some(outcome) = outcomes.find(|outcome| outcome.change == change) {
                return Some((operation, &outcome.tear, flash));
            }
            flash.entries = step.entries.unwrap_or(flash.entries);
        }
        None
    }
}

/// A point in a call from which on it does the same, wherever it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Point {
    running: App,
    request: Request,
    secure_version: u32,
    remembered: Digest,
    flash: Digest,
}

/// The points of all calls so far: how they went on, as a trace and the number of its next step.
type Points = HashMap<Point, (Rc<Trace>, usize)>;

/// A call that was stopped after no more points than this saves too little to be kept.
const FEW_POINTS: usize = 2;

/// Stops a call where it is known how it goes on.
#[derive(Debug)]
struct Watch<'p> {
    points: &'p Points,
    start: &'p Start,
    passed: Vec<(Point, usize)>,
    found: Option<Point>,
}

impl Observer for Watch<'_> {
    fn knows(&mut self, chip: &Chip, remembered: Digest) -> bool {
        let Start { running, request, secure_version, .. } = *self.start;
        let flash = chip.memory().digest_all();
        let point = Point { running, request, secure_version, remembered, flash };
        if self.points.contains_key(&point) {
            self.found = Some(point);
        } else {
            self.passed.push((point, chip.operations() as usize));
        }
        self.found.is_some()
    }
}

/// Runs, each done once.
#[derive(Debug)]
pub(super) struct Runs<'w> {
    world: &'w World<'w>,
    cuts: Cuts<'w>,
    remember: bool,
    boots: HashMap<(Flash, u32), Rc<BootSummary>>,
    calls: HashMap<Start, Rc<CallSummary>>,
    /// The same calls by all but the contents of partitions.
    alike: HashMap<Start, Vec<(Contents, Rc<CallSummary>)>>,
    /// What calls lead to with one or another holding of a partition, left by uploads of an image.
    seen: HashMap<(Start, usize, FirmwareId), HashSet<Flash>>,
    points: Points,
}

impl<'w> Runs<'w> {
    /// Without `remember`, each is done every time.
    pub(super) fn new(world: &'w World<'w>, profile: FaultProfile, remember: bool) -> Self {
        let cuts = Cuts::new(world, profile, remember);
        Self {
            world,
            cuts,
            remember,
            boots: HashMap::new(),
            calls: HashMap::new(),
            alike: HashMap::new(),
            seen: HashMap::new(),
            points: Points::new(),
        }
    }

    /// What uploads have left so far.
    pub(super) fn leftovers(&self) -> &Leftovers {
        &self.cuts.leftovers
    }

    pub(super) fn into_leftovers(self) -> Leftovers {
        self.cuts.leftovers
    }

    /// What the bootloader does.
    pub(super) fn boot(&mut self, flash: &Flash, secure_version: u32) -> Rc<BootSummary> {
        let flash = &flash.without_partial();
        let key = (*flash, secure_version);
        if let Some(known) = self.boots.get(&key) {
            return known.clone();
        }
        let run = self.world.boot(self.world.memory(flash), secure_version, false);
        let steps = self.steps(&run.recorded, None);
        let summary = self.summarise(flash, &steps, None);
        let summary = Rc::new(BootSummary { run: summary, boot: run.boot });
        if self.remember {
            self.boots.insert(key, summary.clone());
        }
        summary
    }

    /// What a call does. Of the contents that it leaves, only those of the partition that it writes count.
    pub(super) fn call(&mut self, start: &Start) -> Rc<CallSummary> {
        if let Some(known) = self.calls.get(start) {
            return known.clone();
        }
        let flash = Flash { contents: [Content::Absent; 1 + Slot::MAX], ..start.flash };
        let but_contents = Start { flash, ..*start };
        let alike = self.alike.get(&but_contents).into_iter().flatten();
        let mut alike = alike.filter(|(contents, known)| {
            let pairs = contents.iter().zip(&start.flash.contents).enumerate();
            pairs.filter(|(_, (a, b))| a != b).all(|(it, _)| known.accessed & 1 << it == 0)
        });
        if let Some((_, known)) = alike.next() {
            let known = known.clone();
            self.calls.insert(*start, known.clone());
            return known;
        }
        let mut summary = self.work_out(start);
        if self.remember
            && let Some(Holding { partition, image, .. }) = start.holding
        {
            // Whoever makes this call makes it with all that uploads of the image left, in the same order.
            let key = (Start { holding: None, ..*start }, partition, image);
            let seen = self.seen.entry(key).or_default();
            summary.run.crashes.retain(|crash| seen.insert(crash.flash));
        }
        let summary = Rc::new(summary);
        if self.remember {
            self.calls.insert(*start, summary.clone());
        }
        // With a holding, what the summary leaves out depends on the calls before it.
        if self.remember && start.holding.is_none() {
            let entry = (start.flash.contents, summary.clone());
            self.alike.entry(but_contents).or_default().push(entry);
        }
        summary
    }

    fn work_out(&mut self, start: &Start) -> CallSummary {
        let trace = self.trace(start);
        let mut flash = start.flash;
        if let Some(Holding { partition, image, .. }) = start.holding {
            flash = flash.with(partition, Content::Partial(image));
        }
        let run = self.summarise(&flash, &trace.steps, Some(start));
        let operations = trace.steps.iter().map(|step| &step.operation);
        let wear = check_wear(self.world, start.request.call(), operations);
        let selections = trace.steps.iter().filter_map(|step| step.selection);
        let selection = match start.request {
            Request::Update(_) => check_selections(&start.flash.entries, selections),
            _ => None,
        };
        CallSummary {
            run,
            broken: wear.into_iter().chain(selection).collect(),
            result: trace.result.clone(),
            secure_version: trace.secure_version,
            written: trace.steps.iter().find_map(|step| step.partition),
            accessed: trace.accessed,
        }
    }

    /// What a call does.
    pub(super) fn trace(&mut self, start: &Start) -> Rc<Trace> {
        let world = self.world;
        let mut memory = world.memory(&start.flash);
        if let Some(holding) = start.holding {
            self.cuts.leftovers.put(world, &mut memory, holding);
        }
        let mut watch = Watch { points: &self.points, start, passed: Vec::new(), found: None };
        let (call, recorded, mut accessed) =
            world.call(memory, start.secure_version, start.running, start.request, &mut watch);
        let Watch { passed, found, .. } = watch;
        let mut steps = self.steps(&recorded, Some(start.request.call()));
        let (mut result, mut secure_version) = (call.result, call.secure_version);
        if let Some((known, next)) = found.and_then(|point| self.points.get(&point)) {
            steps.extend_from_slice(&known.steps[*next..]);
            result.clone_from(&known.result);
            secure_version = known.secure_version;
            accessed |= known.accessed;
        }
        // What a slot holds that the call selects is looked at as well.
        let selected = steps.iter().filter_map(|step| step.selection);
        accessed = selected.fold(accessed, |all, it| all | 1 << it.partition());
        let trace = Rc::new(Trace { steps, result, secure_version, accessed });
        // Another call that comes by one of a few points soon comes to those behind.
        if self.remember && (found.is_none() || passed.len() > FEW_POINTS) {
            self.points
                .extend(passed.into_iter().map(|(point, next)| (point, (trace.clone(), next))));
        }
        trace
    }

    fn steps(&mut self, recorded: &[Recorded], call: Option<Call>) -> Vec<Rc<Step>> {
        let world = self.world;
        let steps = recorded.iter().enumerate().map(|(index, done)| {
            // While a slot is being written, every outcome says itself what the slot holds.
            let next = recorded.get(index + 1);
            let settled = next.is_none_or(|next| !world.same_slot(next, done));
            let partition = self.cuts.partition(done);
            let touched = world.touched(done).filter(|_| settled);
            let leftovers = &self.cuts.leftovers;
            let held = touched.map(|(it, region)| (it, leftovers.held(world, &done.after, region)));
            let held = held.collect();
            Rc::new(Step {
                operation: done.operation.clone(),
                partition,
                outcomes: self.cuts.outcomes(done),
                hit: Hit::new(world, call, done, false),
                entries: partition.is_none().then(|| world.entries(&done.after)),
                held,
                selection: Selection::after(world, done),
            })
        });
        steps.collect()
    }

    /// Everything that a cut in one of the steps can lead to. `call` is the call that takes them, if the
    /// bootloader does not.
    fn summarise(&self, flash: &Flash, steps: &[Rc<Step>], call: Option<&Start>) -> Summary {
        let mut now = *flash;
        let mut run = Summary {
            operations: steps.len(),
            torn: 0,
            sampled: false,
            crashes: Vec::new(),
            end: now,
        };
        let mut seen = HashSet::new();
        // Nearly all cuts in an upload lead to what the one before led to.
        let mut last = None;
        for (operation, step) in steps.iter().enumerate() {
            run.torn += step.outcomes.torn;
            run.sampled |= step.outcomes.sampled;
            for outcome in &step.outcomes.distinct {
                let flash = match outcome.change {
                    Change::Entries(entries) => Flash { entries, ..now },
                    Change::Content(partition, held) => {
                        now.with(partition, self.content(held, partition, call))
                    }
                    Change::Nothing => now,
                };
                if last == Some(flash) || !seen.insert(flash) {
                    continue;
                }
                last = Some(flash);
                run.crashes.push(Crash {
                    flash,
                    operation,
                    tear: outcome.tear.clone(),
                    hit: step.hit.with_torn_state(outcome.torn_state),
                });
            }
            now.entries = step.entries.unwrap_or(now.entries);
            for &(partition, held) in &step.held {
                now = now.with(partition, self.content(held, partition, call));
            }
        }
        run.end = now;
        run
    }

    /// What a state says of a partition that holds `held` in or after a call.
    fn content(&self, held: Held, partition: usize, call: Option<&Start>) -> Content {
        let id = match held {
            Held::Content(content) => return content,
            Held::Leftover(id) => id,
        };
        let Some(start) = call else { return Content::Junk };
        // What was there before stays what it was: the rest of an upload of that image.
        if let Some(holding) = start.holding
            && (holding.partition, holding.id) == (partition, id)
        {
            return Content::Partial(holding.image);
        }
        let Request::Update(image) = start.request else { return Content::Junk };
        self.cuts.leftovers.leave(Holding { partition, image, id }, start.holding);
        Content::Partial(image)
    }
}
