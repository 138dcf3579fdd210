//! Randomised search, for the faults that are too many to enumerate.
//!
//! Each case is one device from the factory on: random power cycles with random cuts and faults, after
//! each boot the invariants, and at the end some peace, in which an update must succeed. A case that
//! fails is made as simple as it gets.
//!
//! # What is promised
//! *In full* is every promise of [`Spec`](crate::explore::Spec), as in the exhaustive exploration.
//! *Reduced* is: some known image boots, and when left in peace the device takes an update, which then
//! holds. It lasts until an image is confirmed at a boot in which nothing went wrong, or an update or a
//! selection of factory reports success. The sources of the classes stand in [`FaultClass`].
//!
//! | class | strikes the application | why |
//! |---|---|---|
//! | F0 to F3, F8, F9 | in full | the order of the writes is the application's |
//! | F4, F5 | in full; reduced while such cells are in otadata | they may read right as often as they are checked, and wrong in the bootloader (Infineon KBA218817; Tseng, Grupp, Swanson, DAC 2011) |
//! | F6 | reduced | CRC and state of a select entry share a page: state may change under a good CRC |
//! | F7 | in full | reading back shows it |
//! | F10 | in full; an error counts as a cut in that call, and with stuck bits there may be no further update | nothing can be written where flash no longer erases |
//! | F11 | in full; an error counts as a cut in that call | how far a call came before the bus failed, the error does not say |
//!
//! A fault or cut of any class that strikes the *bootloader* leaves the reduced promise: it erases the
//! only entry before it writes it, reads nothing back and ignores errors (ESP-IDF
//! `bootloader_utility.c`, `write_otadata`). So does every entry that it writes once a sector has stuck
//! bits. A boot in which a read fails may come to nothing; the
//! device resets and tries again. When such a boot ends in factory, update code there cannot tell what
//! the entries will select next, and confirming settles nothing.
mod generate;
mod scenario;
mod walk;

pub use scenario::{Action, FaultyCycle, Scenario, Trouble};
pub use walk::Outcome;

use crate::explore::{Invariant, World};
use crate::flash::fault::FaultClass;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a search tries.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed gives the same cases.
    pub seed: u64,
    /// How many devices.
    pub cases: u32,
    /// Most power cycles of a device before it is left in peace; at least 1.
    pub max_cycles: usize,
    /// What may go wrong.
    pub classes: Vec<FaultClass>,
}

/// A life that breaks a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The simplest one that was found.
    pub scenario: Scenario,
    /// What [`rerun`] makes of it.
    pub outcome: Outcome,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Report {
    /// Devices that lived; the last one broke a promise if there is a failure.
    pub cases: u32,
    /// Their power cycles.
    pub cycles: u64,
    /// Cuts, resets and faults that struck.
    pub faults: u64,
    /// The first failure, simplified.
    pub failure: Option<Failure>,
    /// Time taken.
    pub elapsed: Duration,
}

/// Steps spent on making a failure simpler.
const SHRINK_STEPS: u32 = 4096;

/// Lets random things happen to many devices, until a promise is broken or all cases are done.
pub fn search(world: &World<'_>, options: &Options) -> Report {
    let started = Instant::now();
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    let config = Config {
        cases: options.cases,
        failure_persistence: None,
        max_shrink_iters: SHRINK_STEPS,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let cases = generate::scenarios(world, options, walk::accesses(world));
    let total = Cell::new((0, 0, 0));
    let first: Cell<Option<Invariant>> = Cell::new(None);
    let result = runner.run(&cases, |scenario| {
        let outcome = walk::live(world, &scenario);
        let invariant = outcome.broken.map(|broken| broken.invariant);
        let Some(sought) = first.get() else {
            let (cases, cycles, faults) = total.get();
            total.set((cases + 1, cycles + outcome.cycles, faults + outcome.faults));
            first.set(invariant);
            return invariant.map_or(Ok(()), |invariant| Err(broke(invariant)));
        };
        // While it gets simpler, it stays the same failure.
        if invariant == Some(sought) { Err(broke(sought)) } else { Ok(()) }
    });
    let failure = match result {
        Err(TestError::Fail(_, scenario)) => {
            let outcome = rerun(world, &scenario);
            Some(Failure { scenario, outcome })
        }
        _ => None,
    };
    let (cases, cycles, faults) = total.get();
    Report { cases, cycles, faults, failure, elapsed: started.elapsed() }
}

fn broke(invariant: Invariant) -> TestCaseError {
    TestCaseError::fail(invariant.to_string())
}

/// Lets exactly this happen to a device, bit for bit.
pub fn rerun(world: &World<'_>, scenario: &Scenario) -> Outcome {
    walk::live(world, scenario)
}
