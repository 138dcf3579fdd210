use super::*;
use crate::flash::SECTOR_SIZE;
use crate::flash::fault::{FaultClass, Tear};

/// A counter that is kept in two sectors by turns, or carelessly in one.
#[derive(Debug)]
struct Counter {
    careful: bool,
}

#[derive(Clone, Copy, Debug)]
struct Increment;

impl fmt::Display for Increment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("increment")
    }
}

const LAST: u8 = 3;

impl Counter {
    fn valid(run: &mut Run<u8>, sector: u32) -> Result<Option<u8>, Stop> {
        let [value, check] = run.read::<2>(sector * SECTOR_SIZE as u32)?;
        Ok((value == !check && value <= LAST).then_some(value))
    }
}

impl Machine for Counter {
    /// The least value that has to be found.
    type Ghost = u8;
    type Choice = Increment;

    fn part(&self) -> Part {
        Part::W25Q16JV
    }

    fn initial(&self) -> (Memory, u8) {
        (Memory::with_contents(2 * SECTOR_SIZE as u32, &[0, 0xFF]), 0)
    }

    fn choices(&self) -> &[Increment] {
        &[Increment]
    }

    fn profile(&self) -> FaultProfile {
        [FaultClass::Between, FaultClass::TornPrefix, FaultClass::TornErase]
            .into_iter()
            .fold(FaultProfile::none(1), FaultProfile::with)
    }

    fn power_cycle(&self, run: &mut Run<u8>, _: Increment) -> Result<(), Stop> {
        let found = [Self::valid(run, 0)?, Self::valid(run, 1)?];
        let value = found.into_iter().max().flatten();
        let value = value.ok_or_else(|| Stop::broken("durable", "there is no value"))?;
        if value < *run.expected() {
            return Err(Stop::broken("durable", format!("value {value} is an old one")));
        }
        if value == LAST {
            return Ok(());
        }
        let spare = u32::from(self.careful && found[0] == Some(value));
        run.erase(spare * SECTOR_SIZE as u32)?;
        run.program(spare * SECTOR_SIZE as u32, &[value + 1, !(value + 1)])?;
        run.expect(value + 1);
        Ok(())
    }
}

#[test]
fn careful_code_is_clean_for_any_number_of_cuts() {
    let report = Counter { careful: true }.explore(usize::MAX);
    assert_eq!(report.counterexample, None);
    assert!(report.complete && !report.sampled, "{report:?}");
    // Every value with what a cut may leave in the other sector.
    assert!(report.states > usize::from(LAST) * 5 && report.deepest > 1, "{report:?}");
}

#[test]
fn careless_code_is_found_with_one_cut_and_replays() {
    let machine = Counter { careful: false };
    let example = machine.explore(usize::MAX).counterexample.unwrap();
    assert_eq!(example.broken.to_string(), "not durable: there is no value");
    assert_eq!(example.cuts(), 1);
    assert_eq!(example.cycles.len(), 2, "{example:?}");
    let trace = machine.rerun(&example.cycles).unwrap();
    assert_eq!(trace.last().unwrap().broken.as_ref(), Some(&example.broken));
}

#[test]
fn a_bound_leaves_the_closure_incomplete() {
    let report = Counter { careful: true }.explore(5);
    assert!(!report.complete && report.counterexample.is_none(), "{report:?}");
}

#[test]
fn expectations_hold_from_the_next_operation_on() {
    let mut run = Run::new(Part::W25Q16JV, Memory::erased(SECTOR_SIZE as u32), 'a');
    run.erase(0).unwrap();
    run.expect('b');
    run.expect('c');
    run.program(0, &[0]).unwrap();
    run.program(1, &[0]).unwrap();
    run.expect('d');
    let finished = run.finish();
    assert_eq!([0, 1, 2].map(|operation| *finished.expected_in(operation)), ['a', 'c', 'c']);
    assert_eq!(*finished.expected(), 'd');
}

#[test]
fn cycles_that_do_not_fit_are_told() {
    let machine = Counter { careful: true };
    let cut = |operation, tear| {
        vec![Cycle { choice: "increment".into(), cut: Some(Cut { operation, tear }) }]
    };
    let trace = machine.rerun(&cut(1, Tear::Complete)).unwrap();
    assert_eq!(trace[0].operations.len(), 2);
    assert!(matches!(
        machine.rerun(&cut(2, Tear::Complete)),
        Err(Misfit::Operation { cycle: 1, operation: 2, count: 2 })
    ));
    assert_eq!(machine.rerun(&cut(1, Tear::Zeroed)), Err(Misfit::Tear { cycle: 1 }));
    let unknown = machine.rerun(&[Cycle { choice: "reset".into(), cut: None }]).unwrap_err();
    assert_eq!(unknown.to_string(), "cycle 1: unknown choice \"reset\", expected \"increment\"");
}
