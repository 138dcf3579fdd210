//! Power cycles that are named rather than tried.

use super::{Broken, Machine, Run};
use crate::flash::Operation;
use crate::flash::fault::Tear;
use serde::{Deserialize, Serialize};

/// A power cut in a flash operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Number of the operation in its cycle, from 0.
    pub operation: u32,
    /// How the operation ends.
    pub tear: Tear,
}

/// A power cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cycle {
    /// What the world asks of the device.
    pub choice: String,
    /// The cut that ends it; without one it runs to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// What happened in a power cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleTrace {
    /// What the machine says about it, as far as it came before the cut.
    pub notes: Vec<String>,
    /// The flash operations up to the cut.
    pub operations: Vec<Operation>,
    /// The cut.
    pub cut: Option<Cut>,
    /// The expectation that broke.
    pub broken: Option<Broken>,
}

/// Why cycles do not fit a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A choice that the machine does not have.
    #[error("cycle {cycle}: unknown choice {name:?}, expected {expected}")]
    Choice {
        /// Number of the cycle, from 1.
        cycle: usize,
        /// The choice.
        name: String,
        /// The choices there are.
        expected: String,
    },
    /// A cut in an operation that there is not.
    #[error("cycle {cycle} is cut in flash operation {operation}, but it has only {count}")]
    Operation {
        /// Number of the cycle, from 1.
        cycle: usize,
        /// The operation, from 0.
        operation: u32,
        /// How many there are.
        count: usize,
    },
    /// A cut leaves something behind that its operation cannot.
    #[error("cycle {cycle}: the torn outcome does not fit the flash operation")]
    Tear {
        /// Number of the cycle, from 1.
        cycle: usize,
    },
}

/// Runs cycles as [`Explore::rerun`](super::Explore::rerun) says.
pub(super) fn rerun<M: Machine>(machine: &M, cycles: &[Cycle]) -> Result<Vec<CycleTrace>, Misfit> {
    let (mut memory, mut ghost) = machine.initial();
    let mut traces = Vec::new();
    for (index, Cycle { choice, cut }) in cycles.iter().enumerate() {
        let cycle = index + 1;
        let mut choices = machine.choices().iter();
        let asked = choices.find(|it| it.to_string() == *choice).ok_or_else(|| {
            let names: Vec<_> =
                machine.choices().iter().map(|it| format!("{it:?}", it = it.to_string())).collect();
            Misfit::Choice { cycle, name: choice.clone(), expected: names.join(", ") }
        })?;
        let mut run = Run::new(machine.part(), memory, ghost);
        let stopped = machine.power_cycle(&mut run, *asked).err();
        let finished = run.finish();
        let mut trace = CycleTrace {
            notes: Vec::new(),
            operations: finished.recorded.iter().map(|it| it.operation.clone()).collect(),
            cut: cut.clone(),
            broken: None,
        };
        match cut {
            Some(cut) => {
                let count = finished.recorded.len();
                let operation = cut.operation as usize;
                let hit = finished.recorded.get(operation).ok_or(Misfit::Operation {
                    cycle,
                    operation: cut.operation,
                    count,
                })?;
                let torn = cut.tear.apply(&hit.before, &hit.operation);
                memory = torn.map_err(|_| Misfit::Tear { cycle })?;
                ghost = finished.expected_in(operation).clone();
                trace.operations.truncate(operation + 1);
                trace.notes = finished.notes_until(operation);
            }
            None => {
                trace.broken = stopped.map(super::Stop::into_broken);
                ghost = finished.expected().clone();
                trace.notes = finished.notes_until(usize::MAX);
                memory = finished.memory;
            }
        }
        let ended = trace.broken.is_some();
        traces.push(trace);
        if ended {
            break;
        }
    }
    Ok(traces)
}
