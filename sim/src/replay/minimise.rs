//! Makes a counterexample easier to understand.

use super::execute::Trace;
use crate::explore::{Cycle, Finding, World};
use crate::flash::fault::Tear;

/// The shortest and simplest cycles that still show `finding`: cycles are dropped, then
/// calls, then torn operations become operations that did not happen, happened, or left zeros. `None` if not even the
/// given cycles show it.
pub(super) fn minimise(
    world: &World<'_>,
    cycles: &[Cycle],
    finding: &Finding,
) -> Option<Vec<Cycle>> {
    let shows = |cycles: &[Cycle]| {
        Trace::run(world, cycles).is_ok_and(|trace| trace.violation(finding).is_some())
    };
    let mut cycles = cycles.to_vec();
    if !shows(&cycles) {
        return None;
    }
    let mut index = 0;
    while index < cycles.len() {
        let mut fewer = cycles.clone();
        fewer.remove(index);
        if shows(&fewer) {
            cycles = fewer;
            index = 0;
        } else {
            index += 1;
        }
    }
    for index in 0..cycles.len() {
        let mut call = 0;
        while call < cycles[index].calls.len() {
            let mut fewer = cycles.clone();
            fewer[index].calls.remove(call);
            if shows(&fewer) { cycles = fewer } else { call += 1 }
        }
        for tear in [Tear::Untouched, Tear::Complete, Tear::Zeroed] {
            let mut simpler = cycles.clone();
            let Some(cut) = &mut simpler[index].cut else { break };
            if cut.tear == tear {
                break;
            }
            cut.tear = tear;
            if shows(&simpler) {
                cycles = simpler;
                break;
            }
        }
    }
    Some(cycles)
}
