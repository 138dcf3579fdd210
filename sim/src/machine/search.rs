//! The closure over all states, fewest cuts first.

use super::chain::{self, Cut, Cycle};
use super::tears::{Contents, Tears};
use super::{Counterexample, Machine, Report, Run};
use crate::flash::fault::Tear;
use crate::flash::{Digest, Memory};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How a state came about with the fewest cuts.
#[derive(Debug)]
struct Node {
    /// The state before; the new device is its own.
    parent: usize,
    choice: usize,
    cut: Option<(usize, Tear)>,
    /// The number of cuts on the way.
    cuts: u32,
}

/// A state whose successors are not known yet.
#[derive(Debug)]
struct Pending<G> {
    node: usize,
    memory: Memory,
    ghost: G,
}

/// All that was met so far.
#[derive(Debug)]
struct Met<G> {
    states: HashMap<(Digest, G), usize>,
    nodes: Vec<Node>,
}

impl<G: Clone + Eq + Hash> Met<G> {
    /// Queues a state if it is new, or if it was thought to need more cuts.
    fn add(
        &mut self,
        queue: &mut VecDeque<Pending<G>>,
        state: (Digest, &G),
        memory: impl FnOnce() -> Memory,
        node: impl FnOnce() -> Node,
        cuts: u32,
    ) {
        let (contents, ghost) = state;
        let index = match self.states.entry((contents, ghost.clone())) {
            Entry::Vacant(entry) => {
                self.nodes.push(node());
                *entry.insert(self.nodes.len() - 1)
            }
            Entry::Occupied(entry) if cuts < self.nodes[*entry.get()].cuts => {
                self.nodes[*entry.get()] = node();
                *entry.get()
            }
            Entry::Occupied(_) => return,
        };
        queue.push_back(Pending { node: index, memory: memory(), ghost: ghost.clone() });
    }
}

/// Explores as [`Explore::explore`](super::Explore::explore) says.
pub(super) fn explore<M: Machine>(machine: &M, max_states: usize) -> Report {
    let choices = machine.choices();
    let mut tears = Tears::new(machine.profile());
    let mut report = Report::default();
    let mut met = Met { states: HashMap::new(), nodes: Vec::new() };
    // States that need as many cuts as the one at hand, and those that need one more.
    let (mut now, mut later) = (VecDeque::new(), VecDeque::new());
    let (memory, ghost) = machine.initial();
    let contents = Contents::of(&memory).digest();
    let first = || Node { parent: 0, choice: 0, cut: None, cuts: 0 };
    met.add(&mut now, (contents, &ghost), || memory, first, 0);
    let mut cuts = 0;
    while met.nodes.len() <= max_states {
        let Some(Pending { node: parent, memory, ghost }) = now.pop_front() else {
            if later.is_empty() {
                report.complete = true;
                break;
            }
            std::mem::swap(&mut now, &mut later);
            cuts += 1;
            continue;
        };
        if met.nodes[parent].cuts < cuts {
            // It was found again with fewer cuts, and done then.
            continue;
        }
        report.deepest = cuts;
        for (choice, &asked) in choices.iter().enumerate() {
            let mut run = Run::new(machine.part(), memory.clone(), ghost.clone());
            report.runs += 1;
            if machine.power_cycle(&mut run, asked).is_err() {
                let mut cycles = path(machine, &met.nodes, parent);
                cycles.push(Cycle { choice: asked.to_string(), cut: None });
                report.states = met.nodes.len();
                report.sampled = tears.sampled;
                report.counterexample = simplest(machine, cycles);
                return report;
            }
            let finished = run.finish();
            for (operation, recorded) in finished.recorded.iter().enumerate() {
                let ghost = finished.expected_in(operation);
                let before = Contents::of(&recorded.before);
                for torn in tears.of(recorded).iter() {
                    report.torn += 1;
                    let state = (torn.contents(&before, recorded), ghost);
                    let node = || {
                        let cut = Some((operation, torn.tear.clone()));
                        Node { parent, choice, cut, cuts: cuts + 1 }
                    };
                    met.add(&mut later, state, || torn.memory(recorded), node, cuts + 1);
                }
            }
            let state = (Contents::of(&finished.memory).digest(), finished.expected());
            let node = || Node { parent, choice, cut: None, cuts };
            met.add(&mut now, state, || finished.memory.clone(), node, cuts);
        }
    }
    report.states = met.nodes.len();
    report.sampled = tears.sampled;
    report
}

/// The cycles that lead to a state.
fn path<M: Machine>(machine: &M, nodes: &[Node], mut node: usize) -> Vec<Cycle> {
    let mut cycles = Vec::new();
    while node != 0 {
        let Node { parent, choice, cut, .. } = &nodes[node];
        let cut = cut.clone();
        let cut = cut.map(|(operation, tear)| Cut { operation: operation as u32, tear });
        cycles.push(Cycle { choice: machine.choices()[*choice].to_string(), cut });
        node = *parent;
    }
    cycles.reverse();
    cycles
}

/// Drops cycles and makes torn outcomes simpler as long as the same expectation breaks in the end.
fn simplest<M: Machine>(machine: &M, mut cycles: Vec<Cycle>) -> Option<Counterexample> {
    let shows = |cycles: &[Cycle]| {
        let trace = chain::rerun(machine, cycles).ok()?;
        let last = trace.last().filter(|_| trace.len() == cycles.len())?;
        last.broken.clone()
    };
    let broken = shows(&cycles)?;
    let same = |cycles: &[Cycle]| shows(cycles).is_some_and(|it| it.invariant == broken.invariant);
    let mut index = 0;
    while index < cycles.len() {
        let mut fewer = cycles.clone();
        fewer.remove(index);
        if same(&fewer) {
            cycles = fewer;
            index = 0;
        } else {
            index += 1;
        }
    }
    for index in 0..cycles.len() {
        for tear in [Tear::Untouched, Tear::Complete, Tear::Zeroed] {
            let mut simpler = cycles.clone();
            let Some(cut) = &mut simpler[index].cut else { break };
            if cut.tear == tear {
                break;
            }
            cut.tear = tear;
            if same(&simpler) {
                cycles = simpler;
                break;
            }
        }
    }
    // Simpler cycles may break the same expectation in other words.
    Some(Counterexample { broken: shows(&cycles)?, cycles })
}
