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
    let run = |cycles: &[Cycle]| {
        Trace::run(world, cycles).ok().filter(|trace| trace.violation(finding).is_some())
    };
    // On other contents, words that a cut leaves may make an entry that no cut is taken to make.
    let shows = |cycles: &[Cycle]| run(cycles).is_some_and(|trace| !trace.has_forged(world));
    let mut cycles = cycles.to_vec();
    run(&cycles)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Usage, explore};
    use crate::flash::Part;
    use crate::flash::fault::{FaultClass, FaultProfile};
    use crate::layout::Layout;
    use crate::setup::{FIXTURES, Fixture, Rollback, Setup};
    use crate::subject::{EspIdf, Release};
    use ota_core::Generation;
    use ota_core::image::ChipId;
    use std::ops::ControlFlow;

    #[test]
    fn no_cut_makes_an_entry_that_no_cut_is_taken_to_make() {
        let setup = Setup {
            layout: Layout::stock().swap_remove(0),
            generation: Generation::V6_1,
            rollback: Rollback::On,
            firmware: FIXTURES.iter().map(Fixture::firmware).collect(),
            subject: &EspIdf { release: Release::V5_5, extent: None },
            part: Part::W25Q32JV,
            chip: ChipId::ESP32C3,
            encrypted: false,
        };
        let world = setup.world().unwrap();
        let limits = Limits {
            profile: FaultProfile::enumerable(1).without(FaultClass::Collateral),
            cut_bootloader: false,
            usage: Usage::Usual,
            max_states: u64::MAX,
            max_cuts: 3,
            remember: true,
        };
        let report = explore(&world, &limits, |_| ControlFlow::Continue(()));
        assert!(report.counterexamples.len() > 5);
        for example in &report.counterexamples {
            let cycles = minimise(&world, &example.cycles, &example.finding).unwrap();
            let trace = Trace::run(&world, &cycles).unwrap();
            assert!(!trace.has_forged(&world), "{:?}", example.finding);
        }
    }
}
