//! The random search: what it finds, what it does not, and that it can be repeated.

use ota_core::image::{ChipId, Requirements};
use sim::bootloader::Bootloader;
use sim::explore::{Cut, World, Writer};
use sim::firmware::Firmware;
use sim::flash::Part;
use sim::flash::fault::{Fault, FaultClass, Scope, Tear, WordValue};
use sim::layout::Layout;
use sim::random::{Action, FaultyCycle, Options, Report, Scenario, Trouble, rerun, search};
use sim::subject::{EspIdf, OtaCore, Subject};
use sim::synthetic::{ImageBuilder, MIN_SIZE};

const LAYOUTS: [&str; 2] = ["factory-2-slots", "2-slots"];
const SEED: u64 = 0x0DD5;

fn with_world<T>(
    layout: &str,
    rollback: bool,
    subject: &dyn Subject,
    run: impl FnOnce(&World<'_>) -> T,
) -> T {
    let layouts = Layout::stock();
    let layout = layouts.iter().find(|stock| stock.name() == layout).unwrap();
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    let firmware = [1, 2, 3].map(|seed| {
        let bytes = ImageBuilder::new(MIN_SIZE).seed(seed).build();
        Firmware::new(format!("{seed}"), &bytes, &requirements).unwrap()
    });
    let bootloader = Bootloader { rollback, ..Bootloader::default() };
    let world = World::new(layout, bootloader, requirements, &firmware, subject, Part::W25Q32JV);
    run(&world.unwrap())
}

fn options(cases: u32, classes: &[FaultClass]) -> Options {
    Options { seed: SEED, cases, max_cycles: 8, classes: classes.to_vec() }
}

/// ESP-IDF's functions believe an erase that did nothing.
fn failing_search() -> Report {
    let options = options(500, &[FaultClass::Silent]);
    with_world("2-slots", true, &EspIdf::default(), |world| search(world, &options))
}

#[test]
fn ota_core_keeps_its_promises() {
    let each = FaultClass::ALL.map(|class| vec![class]);
    for classes in each.into_iter().chain([FaultClass::ALL.to_vec()]) {
        let options = options(200, &classes);
        for layout in LAYOUTS {
            for rollback in [false, true] {
                let subject = OtaCore::default();
                let report =
                    with_world(layout, rollback, &subject, |world| search(world, &options));
                let failure = report.failure;
                assert!(failure.is_none(), "{layout} {rollback} {classes:?}: {failure:#?}");
                assert_eq!(report.cases, 200);
                assert!(report.faults > 50, "{layout} {rollback} {classes:?} hardly strikes");
            }
        }
    }
}

#[test]
fn a_failure_is_found_and_made_simple() {
    let failure = failing_search().failure.unwrap();
    let cycles = &failure.scenario.cycles;
    assert!(cycles.len() <= 3, "{cycles:#?}");
    let troubles: usize = cycles.iter().map(|cycle| cycle.troubles.len()).sum();
    assert_eq!(troubles, 1, "{cycles:#?}");
    assert!(cycles.iter().all(|cycle| cycle.cut.is_none()));
    assert!(failure.outcome.broken.is_some());
}

#[test]
fn a_failure_can_be_repeated() {
    let failure = failing_search().failure.unwrap();
    let again =
        with_world("2-slots", true, &EspIdf::default(), |world| rerun(world, &failure.scenario));
    assert_eq!(again, failure.outcome);
}

#[test]
fn what_half_written_cells_show_is_repeated() {
    let unstable = Tear::Unstable { landed: Box::new(Tear::Mixed { seed: 7 }) };
    let scenarios = |operation| {
        let cut = Cut { during: Writer::Application, operation, tear: unstable.clone() };
        let cycles = vec![FaultyCycle { cut: Some(cut), ..quiet(Action::Update(1)) }];
        (0..8).map(move |seed| Scenario { seed, cycles: cycles.clone() })
    };
    let run = |scenario: &Scenario| {
        with_world("2-slots", true, &EspIdf::default(), |world| rerun(world, scenario))
    };
    let mut seed_matters = false;
    for operation in 0..24 {
        let outcomes: Vec<_> = scenarios(operation).map(|scenario| run(&scenario)).collect();
        let again: Vec<_> = scenarios(operation).map(|scenario| run(&scenario)).collect();
        assert_eq!(outcomes, again);
        seed_matters |= outcomes.iter().any(|outcome| *outcome != outcomes[0]);
    }
    assert!(seed_matters, "no seed changes anything");
}

#[test]
fn ota_core_survives_something_of_everything() {
    for layout in LAYOUTS {
        let outcome =
            with_world(layout, true, &OtaCore::default(), |world| rerun(world, &eventful()));
        assert_eq!(outcome.broken, None);
        assert!(outcome.faults >= 4, "{outcome:?}");
    }
}

#[test]
fn the_seed_decides() {
    let with_seed = |seed| {
        let options = Options { seed, ..options(100, &FaultClass::ALL) };
        let report = with_world("factory-2-slots", true, &EspIdf::default(), |world| {
            search(world, &options)
        });
        let failure = report.failure.map(|failure| (failure.scenario, failure.outcome));
        (report.cases, report.cycles, report.faults, failure)
    };
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn a_scenario_can_be_kept() {
    let scenario = eventful();
    let json = serde_json::to_string(&scenario).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&json).unwrap(), scenario);
    let short: Scenario =
        serde_json::from_str(r#"{"seed": 1, "cycles": [{"action": "hang"}]}"#).unwrap();
    assert_eq!(short.cycles, [quiet(Action::Hang)]);
}

fn quiet(action: Action) -> FaultyCycle {
    FaultyCycle { action, cut: None, reset: false, troubles: Vec::new() }
}

/// One scenario with something of everything.
fn eventful() -> Scenario {
    let cut = |operation, tear| Some(Cut { during: Writer::Application, operation, tear });
    let mixed = Box::new(Tear::Mixed { seed: 7 });
    let words = vec![WordValue { offset: 0xD018, value: 2 }];
    let trouble = |during, number, fault| Trouble::Operation { during, number, fault };
    Scenario {
        seed: 42,
        cycles: vec![
            FaultyCycle {
                cut: cut(3, Tear::Unstable { landed: mixed.clone() }),
                ..quiet(Action::Update(1))
            },
            FaultyCycle {
                cut: cut(5, Tear::Weak { landed: mixed.clone() }),
                reset: true,
                ..quiet(Action::Update(1))
            },
            FaultyCycle {
                troubles: vec![
                    trouble(Writer::Application, 2, Fault::Silent(Tear::NearlyErased { seed: 3 })),
                    Trouble::Read { during: Writer::Bootloader, number: 1 },
                ],
                ..quiet(Action::Update(2))
            },
            FaultyCycle {
                cut: cut(0, Tear::Words { rest: mixed.clone(), words }),
                troubles: vec![
                    trouble(Writer::Application, 9, Fault::Failed(Tear::Prefix { bytes: 4 })),
                    trouble(Writer::Application, 1, Fault::Stuck { seed: 5 }),
                ],
                ..quiet(Action::Confirm)
            },
            FaultyCycle {
                cut: cut(1, Tear::Collateral { landed: mixed, scope: Scope::Page, seed: 11 }),
                ..quiet(Action::SelectFactory)
            },
        ],
    }
}
