//! Cut points are covered with a switch of which nobody knows how late it is: the code for real boards against
//! a virtual board behind a pseudo-terminal, in the time of the board.

#![allow(missing_docs)]

mod late_bench;

use hil_runner::run::{Options, Outcome, Verdict, run_case};
use hil_runner::scenario::{Scenario, Sources, parse};
use late_bench::{LateBench, jittering};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use virtual_board::Pacing;

/// An erase of an upload; erases follow one another: 45 ms each and about 7 ms for what is announced between.
/// (Others, such as 20, are covered as well; each try takes a quarter of a minute.)
const OPERATIONS: [u32; 1] = [12];
/// Torn, after. (Before, 0.0, takes most tries.)
const INTO: [f64; 2] = [0.5, 1.0];
/// How often each point is tried at most.
const TRIES: u32 = 8;

/// An update whose slot holds something, so that each erase shows, cut at each of the points in a case of its
/// own.
fn scenario() -> Scenario {
    let text = format!(
        "[scenario]\nname = \"loop\"\nwhy = \"To see it.\"\n\
         [parameters]\noperation = {OPERATIONS:?}\ninto = {INTO:?}\n\
         [device]\nchip = \"esp32c3\"\nflash = \"4 MB\"\npartitions = \"factory-2-slots\"\nrollback = false\n\
         [images.v1]\nfamily = \"v1.0.0\"\n[images.v2]\nfamily = \"v2.0.0\"\n\
         [images.old]\nof = \"v2\"\nversion = \"0.9.0\"\n\
         [[step]]\ninstall = \"v1\"\n[[step]]\ninstall = \"old\"\nslot = \"ota_0\"\n[[step]]\nboot = \"v1\"\n\
         [[step]]\nupdate = \"v2\"\n\
         cut = {{ kind = \"rail\", during = \"upload\", operation = \"$operation\", into = \"$into\" }}\n\
         after-cut = {{ boots = \"v1\", then = \"go-on\" }}\n\
         [[step]]\nexpect = {{ selected = \"factory\" }}\n"
    );
    let family = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fw");
    parse(Path::new("loop.toml"), &text, &Sources { family }).unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n"))
    })
}

/// Runs all cases with a switch that takes 131 ms to 137 ms: two to three erases.
fn run(scenario: &Scenario, attempts: u32) -> Vec<Outcome> {
    let delays = jittering(Duration::from_millis(131), Duration::from_millis(6), 3);
    let mut bench = LateBench::new(delays);
    bench.pacing = Pacing::Baud(115_200);
    let options = Options {
        bootloader: virtual_board::stock_bootloader().unwrap(),
        rollback_bootloader: None,
        attempts,
        dumps: None,
        only: None,
        sample: 1,
        finished: Vec::new(),
    };
    let mut outcomes = Vec::new();
    let mut give = |outcome: Outcome| {
        let places = outcome.earlier.iter().chain([&outcome.cuts]).flatten();
        let places: Vec<_> = places.map(|cut| (cut.landing, cut.landed)).collect();
        println!("{} {} {places:?} {:?}", outcome.case, outcome.verdict, outcome.reason);
        outcomes.push(outcome);
    };
    let never = AtomicBool::new(false);
    for case in &scenario.cases {
        run_case(&mut bench, scenario, case, &options, &never, &mut give);
    }
    outcomes
}

/// The cases that were hit.
fn covered(outcomes: &[Outcome]) -> BTreeSet<&str> {
    let hit = outcomes.iter().filter(|it| it.cuts.iter().any(|cut| cut.hit()));
    hit.map(|it| it.case.as_str()).collect()
}

#[test]
fn a_closed_loop_covers_what_repetition_does_not() {
    let scenario = scenario();
    let all: BTreeSet<_> = scenario.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(all.len(), OPERATIONS.len() * INTO.len());

    let closed = run(&scenario, TRIES);
    assert_eq!(covered(&closed), all);
    assert!(closed.iter().all(|it| it.verdict == Verdict::Pass), "{closed:#?}");
    // Each cut as if it were the first one. The delays vary by less than the least of them, so trying again in
    // the same way would not help.
    let open = run(&scenario, 1);
    assert_eq!(covered(&open), BTreeSet::new());
    assert!(open.iter().all(|it| it.verdict == Verdict::MissedWindow), "{open:#?}");
}
