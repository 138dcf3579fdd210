//! The reductions of the exploration change nothing: on a small device it finds what plain execution
//! finds, which uses none of them.

use ota_core::Extent;
use ota_core::image::{ChipId, Requirements};
use sim::bootloader::Bootloader;
use sim::explore::{
    Check, Finding, Invariant, Limits, PlainLimits, Report, Usage, World, Writer, explore, plain,
    plain_nested,
};
use sim::firmware::Firmware;
use sim::flash::Part;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::layout::Layout;
use sim::subject::{EspIdf, NamedSlots, OtaCore, Release, Subject};
use sim::synthetic::{ImageBuilder, MIN_SIZE};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// With a factory application, and without one.
const LAYOUTS: [&str; 2] = [
    "otadata,data,ota,0xd000,0x2000\nfactory,app,factory,0x10000,64K\n\
     ota_0,app,ota_0,0x20000,64K\nota_1,app,ota_1,0x30000,64K\n",
    "otadata,data,ota,0xd000,0x2000\n\
     ota_0,app,ota_0,0x10000,64K\nota_1,app,ota_1,0x20000,64K\n",
];
const CAPACITY: u32 = 256 * 1024;
const CORE: OtaCore = OtaCore { extent: Some(Extent::Sequential) };
const ESP_IDF: EspIdf = EspIdf { release: Release::V5_5, extent: None };

fn with_world<T>(
    layout: &str,
    rollback: bool,
    subject: &dyn Subject,
    run: impl FnOnce(&World<'_>) -> T,
) -> T {
    with_device(layout, rollback, subject, false, run)
}

fn with_device<T>(
    layout: &str,
    rollback: bool,
    subject: &dyn Subject,
    encrypted: bool,
    run: impl FnOnce(&World<'_>) -> T,
) -> T {
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    let firmware = [1, 2, 3].map(|seed| {
        let bytes = ImageBuilder::new(MIN_SIZE).seed(seed).build();
        Firmware::new(format!("{seed}"), &bytes, &requirements).unwrap()
    });
    let part = Part::W25Q32JV.with_capacity(CAPACITY);
    let layout = Layout::from_csv("small", layout, CAPACITY).unwrap();
    let bootloader = Bootloader { rollback, spi_size: 0, ..Bootloader::default() };
    let world = World::new(&layout, bootloader, requirements, &firmware, subject, part).unwrap();
    run(&if encrypted { world.encrypted().unwrap() } else { world })
}

/// Torn programs stop after any byte, torn erases are a mix: enough for every finding, and few enough
/// crash states to try all pairs.
fn few() -> FaultProfile {
    FaultProfile::none(1)
        .with(FaultClass::Between)
        .with(FaultClass::TornPrefix)
        .with(FaultClass::Reset)
}

fn reduced(world: &World<'_>, limits: &Limits) -> Report {
    explore(world, limits, |_| ControlFlow::Continue(()))
}

fn up_to(max_cuts: u32, profile: FaultProfile) -> Limits {
    Limits {
        profile,
        cut_bootloader: true,
        usage: Usage::Usual,
        max_states: 1_000_000,
        max_cuts,
        remember: true,
    }
}

fn limits(profile: FaultProfile, check: Check) -> PlainLimits {
    PlainLimits { profile, cut_bootloader: true, usage: Usage::Usual, check, update_again: false }
}

/// What breaks and who was writing. The hazard that is recognised depends on which of several ways to
/// one state was found first.
fn verdicts(findings: impl IntoIterator<Item = Finding>) -> BTreeSet<(Invariant, Writer)> {
    findings.into_iter().map(|finding| (finding.invariant, finding.during)).collect()
}

#[test]
fn plain_execution_finds_the_same() {
    let mut compared = 0;
    for (usage, cycles, cuts, layouts) in [
        (Usage::Usual, 4, 1, &LAYOUTS[..]),
        (Usage::Usual, 3, 2, &LAYOUTS[1..]),
        (Usage::Any, 3, 1, &LAYOUTS[..]),
    ] {
        for (layout, rollback) in layouts.iter().flat_map(|l| [(l, false), (l, true)]) {
            for (subject, encrypted) in
                [(&CORE as &dyn Subject, false), (&ESP_IDF, false), (&ESP_IDF, true)]
            {
                with_device(layout, rollback, subject, encrypted, |world| {
                    let limits = PlainLimits { usage, ..limits(few(), Check::Remembered) };
                    let plain = plain_nested(world, &limits, cycles, 2, cuts);
                    assert!(plain.torn > 500);
                    let reduced = reduced(world, &Limits { usage, ..up_to(cuts, few()) });
                    let all = verdicts(reduced.counterexamples.iter().map(|e| e.finding));
                    let short = reduced.counterexamples.iter();
                    let short =
                        short.filter(|e| e.cycles.len() <= cycles as usize && e.most_calls() <= 3);
                    let short = verdicts(short.map(|e| e.finding));
                    let plain = verdicts(plain.findings);
                    let name = subject.name();
                    let what = format!("{layout} {rollback} {name} {usage:?} {encrypted}");
                    assert!(plain.is_subset(&all), "{what}: {plain:?} but reduced {all:?}");
                    assert!(short.is_subset(&plain), "{what}: {short:?} but plain {plain:?}");
                    compared += plain.len();
                });
            }
        }
    }
    assert!(compared > 10, "only {compared} verdicts to compare");
}

/// Bootloader and application count the slots differently.
#[test]
fn plain_execution_finds_the_same_on_slots_with_a_gap() {
    let layout = "otadata,data,ota,0xd000,0x2000\nota_0,app,ota_0,0x10000,64K\n\
        ota_1,app,ota_1,0x20000,64K\nota_3,app,ota_3,0x30000,64K\n";
    for (rollback, subject) in
        [(false, &NamedSlots as &dyn Subject), (true, &NamedSlots), (true, &ESP_IDF)]
    {
        with_world(layout, rollback, subject, |world| {
            let (cycles, cuts) = (5, 1);
            let plain = plain_nested(world, &limits(few(), Check::Remembered), cycles, 2, cuts);
            let reduced = reduced(world, &up_to(cuts, few()));
            let all = verdicts(reduced.counterexamples.iter().map(|it| it.finding));
            let short = reduced.counterexamples.iter();
            let short = short.filter(|it| it.cycles.len() <= cycles as usize);
            let short = verdicts(short.map(|it| it.finding));
            let plain = verdicts(plain.findings);
            let what = format!("{rollback} {}", subject.name());
            assert!(plain.is_subset(&all), "{what}: {plain:?} but reduced {all:?}");
            assert!(short.is_subset(&plain), "{what}: {short:?} but plain {plain:?}");
            assert!(plain.len() > 1, "{what}: only {plain:?}");
        });
    }
}

#[test]
fn remembering_changes_nothing_but_the_speed() {
    for subject in [&CORE as &dyn Subject, &ESP_IDF] {
        with_world(LAYOUTS[1], true, subject, |world| {
            let profile = FaultProfile::enumerable(1);
            let [with, without] = [true, false]
                .map(|remember| reduced(world, &Limits { remember, ..up_to(2, profile) }));
            assert!(with.progress.states > 500);
            assert_eq!(with.progress, without.progress);
            assert_eq!(with.deepest, without.deepest);
            let cycles = |report: &Report| -> Vec<_> {
                let examples = report.counterexamples.iter();
                examples.map(|example| (example.finding, example.cycles.clone())).collect()
            };
            assert_eq!(cycles(&with), cycles(&without));
        });
    }
}

#[test]
fn verdicts_by_digest_are_those_of_full_verification() {
    for update_again in [false, true] {
        with_world(LAYOUTS[1], true, &ESP_IDF, |world| {
            let run = |check| {
                let profile = FaultProfile::enumerable(1);
                plain(world, &PlainLimits { update_again, ..limits(profile, check) })
            };
            let full = run(Check::Full);
            let remembered = run(Check::Remembered);
            assert!(full.torn > 100 && full.boots == full.torn + 1);
            assert!(full.verified_bytes > full.boots * u64::from(MIN_SIZE) / 2);
            assert_eq!(full.findings, remembered.findings);
            assert_eq!((full.torn, full.operations), (remembered.torn, remembered.operations));
        });
    }
}
