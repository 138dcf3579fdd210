//! The table: each step of an update, and what each kind of cut in it comes to.

use super::life::{Life, Performed, UPDATES, live, lives};
use super::recover::{Boots, Lost, Outcome, Recoveries, Updates};
use super::step::{Phase, Step};
use super::window::{Exposed, Hits, Window};
use crate::explore::{Counterexample, Cut, Cycle, Finding, World, forged, torn};
use crate::flash::OperationKind;
use crate::flash::fault::{FaultClass, FaultProfile};
use crate::replay::ReplayError;
use crate::setup::Setup;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Where a cut falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutKind {
    /// Just before or just after an operation (F0).
    Between,
    /// Inside a program command, which stops part-way (F1, F2).
    InProgram,
    /// Inside an erase command, which stops part-way (F3).
    InErase,
}

impl CutKind {
    fn of(class: FaultClass, operation: &OperationKind) -> Self {
        match (class, operation) {
            (FaultClass::Between, _) => Self::Between,
            (_, OperationKind::Program { .. }) => Self::InProgram,
            (_, OperationKind::Erase(_)) => Self::InErase,
        }
    }
}

impl fmt::Display for CutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Between => "between",
            Self::InProgram => "torn program",
            Self::InErase => "torn erase",
        })
    }
}

/// What some crash states of a step have in common.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What boots when power returns.
    pub boots: Boots,
    /// What is lost.
    pub lost: Lost,
    /// Whether the device takes another update.
    pub updates: Updates,
    /// The invariants that break, now or in what the application may do next without another cut.
    pub breaks: Vec<Finding>,
    /// Number of crash states that come to this.
    pub crash_states: u64,
    /// For each invariant that breaks, power cycles that show it. A counterexample knows the torn operation
    /// alone, so it may name H4 where `breaks` has H1: the entry is being rewritten in place.
    #[serde(serialize_with = "cycles_only", rename = "cycles")]
    pub examples: Vec<Counterexample>,
}

/// The JSON form of counterexamples: their power cycles, as in a replay file.
fn cycles_only<S: Serializer>(examples: &[Counterexample], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(examples.iter().map(|example| &example.cycles))
}

/// What one kind of cut in one step comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Where in the life of the device.
    pub phase: Phase,
    /// What the flash operations do.
    pub step: Step,
    /// Where the cut falls.
    pub cut: CutKind,
    /// Number of operations.
    pub operations: u64,
    /// What it comes to, the worst first.
    pub outcomes: Vec<Row>,
}

/// What a device does after one power cut in the life of its updates.
#[derive(Clone, Debug, Serialize)]
pub struct Guarantee {
    /// Name of the layout.
    pub layout: String,
    /// Whether the bootloader supports rollback.
    pub rollback: bool,
    /// Name of the update code.
    pub subject: &'static str,
    /// Crash states that were recovered from.
    pub crash_states: u64,
    /// A cell for each step that there is and each kind of cut, in the order of an update.
    pub cells: Vec<Cell>,
    /// When an update is exposed.
    #[serde(skip)]
    pub window: Window,
}

impl Guarantee {
    /// Cuts power once at every flash operation of the lives of a device, in every way that `profile`
    /// allows, and recovers from each.
    ///
    /// # Errors
    /// Image, layout and bootloader do not go together.
    pub fn of(setup: &Setup, profile: FaultProfile) -> Result<Self, ReplayError> {
        let world = setup.world()?;
        let mut table = Table {
            world: &world,
            profile,
            recoveries: Recoveries::new(&world),
            cells: BTreeMap::new(),
            crash_states: 0,
        };
        let mut exposed = Exposed::new();
        for wills in lives(&world) {
            let life = live(&world, wills)?;
            for performed in &life.operations {
                let hits = table.cut(&life, performed)?;
                if performed.timed && wills == UPDATES {
                    let step = exposed.entry((performed.phase, performed.step)).or_default();
                    step.during |= hits.during;
                    step.after |= hits.after;
                }
            }
        }
        let window = Window::of(setup, &exposed)?;
        let cells = table.cells.into_iter().map(|(key, cell)| cell.finish(key)).collect();
        Ok(Self {
            layout: setup.layout.name().into(),
            rollback: setup.rollback.is_on(),
            subject: setup.subject.name(),
            crash_states: table.crash_states,
            cells,
            window,
        })
    }

    /// The cell of a step and a kind of cut; `None` where the update code does nothing of that kind.
    pub fn cell(&self, phase: Phase, step: Step, cut: CutKind) -> Option<&Cell> {
        self.cells.iter().find(|cell| (cell.phase, cell.step, cell.cut) == (phase, step, cut))
    }
}

type Key = (Phase, Step, CutKind);

#[derive(Default)]
struct Counted {
    operations: u64,
    outcomes: Vec<Row>,
}

impl Counted {
    fn finish(mut self, (phase, step, cut): Key) -> Cell {
        self.outcomes.sort_by_key(|row| (row.breaks.is_empty(), row.boots, row.updates, row.lost));
        Cell { phase, step, cut, operations: self.operations, outcomes: self.outcomes }
    }
}

struct Table<'w> {
    world: &'w World<'w>,
    profile: FaultProfile,
    recoveries: Recoveries<'w>,
    cells: BTreeMap<Key, Counted>,
    crash_states: u64,
}

impl Table<'_> {
    /// Every crash state of an operation.
    fn cut(&mut self, life: &Life, performed: &Performed) -> Result<Hits, ReplayError> {
        let recorded = &performed.recorded;
        let before = self.world.raw_entries(&recorded.before);
        let after = self.world.raw_entries(&recorded.after);
        let mut hits = Hits::default();
        let mut kinds = Vec::new();
        for crash in torn(self.world, &self.profile, recorded) {
            if forged(&before, &self.world.raw_entries(&crash.memory), &after) {
                continue;
            }
            self.crash_states += 1;
            let kind =
                CutKind::of(crash.tear.class(&recorded.operation.kind), &recorded.operation.kind);
            let complete = crash.memory == recorded.after;
            let recovery = self.recoveries.after(performed, crash.memory)?;
            let Outcome { boots, lost, updates, breaks } = &recovery.outcome;
            hits.during |= !breaks.is_empty();
            hits.after |= complete && !breaks.is_empty();
            let cell = self.cells.entry((performed.phase, performed.step, kind)).or_default();
            if !kinds.contains(&kind) {
                kinds.push(kind);
                cell.operations += 1;
            }
            let same = |row: &&mut Row| {
                (row.boots, row.lost, row.updates) == (*boots, *lost, *updates)
                    && row.breaks == *breaks
            };
            if let Some(row) = cell.outcomes.iter_mut().find(same) {
                row.crash_states += 1;
                continue;
            }
            let mut hit = life.cycles[performed.cycle].clone();
            hit.cut = Some(Cut {
                during: performed.writer,
                operation: performed.operation,
                tear: crash.tear,
            });
            let prefix: Vec<Cycle> =
                life.cycles[..performed.cycle].iter().cloned().chain([hit]).collect();
            let examples = recovery.shown.iter().map(|(&finding, shown)| Counterexample {
                finding,
                what: shown.what.clone(),
                cycles: prefix.iter().chain(&shown.cycles).cloned().collect(),
            });
            cell.outcomes.push(Row {
                boots: *boots,
                lost: *lost,
                updates: *updates,
                breaks: breaks.clone(),
                crash_states: 1,
                examples: examples.collect(),
            });
        }
        Ok(hits)
    }
}
