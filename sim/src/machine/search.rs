//! The closure over all states, fewest cuts first.

use super::chain::{self, Cut, Cycle};
use super::{Counterexample, Machine, Report, Run};
use crate::flash::fault::{Tear, Watch, crash_states};
use crate::flash::{Digest, Memory};
use std::collections::{HashSet, VecDeque};

/// How a state came about.
#[derive(Debug)]
struct Node {
    /// The state before; the new device is its own.
    parent: usize,
    choice: usize,
    cut: Option<(usize, Tear)>,
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
    states: HashSet<(Digest, G)>,
    nodes: Vec<Node>,
}

impl<G: Clone + Eq + std::hash::Hash> Met<G> {
    /// Queues a state if it is new.
    fn add(&mut self, queue: &mut VecDeque<Pending<G>>, memory: Memory, ghost: &G, node: Node) {
        if self.states.insert((memory.digest_all(), ghost.clone())) {
            queue.push_back(Pending { node: self.nodes.len(), memory, ghost: ghost.clone() });
            self.nodes.push(node);
        }
    }
}

/// Explores as [`Explore::explore`](super::Explore::explore) says.
pub(super) fn explore<M: Machine>(machine: &M, max_states: usize) -> Report {
    let (profile, choices) = (machine.profile(), machine.choices());
    let mut report = Report::default();
    let mut met = Met { states: HashSet::new(), nodes: Vec::new() };
    // States that need as many cuts as the one at hand, and those that need one more.
    let (mut now, mut later) = (VecDeque::new(), VecDeque::new());
    let (memory, ghost) = machine.initial();
    met.add(&mut now, memory, &ghost, Node { parent: 0, choice: 0, cut: None });
    loop {
        let Some(Pending { node, memory, ghost }) = now.pop_front() else {
            if later.is_empty() {
                report.complete = true;
                break;
            }
            std::mem::swap(&mut now, &mut later);
            report.deepest += 1;
            continue;
        };
        if met.nodes.len() > max_states {
            break;
        }
        for (choice, &asked) in choices.iter().enumerate() {
            let mut run = Run::new(machine.part(), memory.clone(), ghost.clone());
            report.runs += 1;
            if machine.power_cycle(&mut run, asked).is_err() {
                let mut cycles = path(machine, &met.nodes, node);
                cycles.push(Cycle { choice: asked.to_string(), cut: None });
                report.states = met.nodes.len();
                report.counterexample = simplest(machine, cycles);
                return report;
            }
            let finished = run.finish();
            for (operation, recorded) in finished.recorded.iter().enumerate() {
                let states = crash_states(
                    &recorded.before,
                    &recorded.operation,
                    &profile,
                    &Watch::default(),
                );
                // What was recorded did happen, so it fits the chip.
                let Ok(states) = states else { continue };
                report.sampled |= !states.exhaustive();
                for crash in states {
                    report.torn += 1;
                    let cut = Some((operation, crash.tear));
                    let node = Node { parent: node, choice, cut };
                    let ghost = finished.expected_in(operation);
                    met.add(&mut later, crash.memory, ghost, node);
                }
            }
            let end = Node { parent: node, choice, cut: None };
            met.add(&mut now, finished.memory.clone(), finished.expected(), end);
        }
    }
    report.states = met.nodes.len();
    report
}

/// The cycles that lead to a state.
fn path<M: Machine>(machine: &M, nodes: &[Node], mut node: usize) -> Vec<Cycle> {
    let mut cycles = Vec::new();
    while node != 0 {
        let Node { parent, choice, cut } = &nodes[node];
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
