//! Layouts at the edges of what a partition table can say: what the explorer finds on them.

use ota_core::Extent;
use ota_core::image::{ChipId, Requirements};
use sim::bootloader::Bootloader;
use sim::explore::{Finding, Hazard, Limits, Report, Usage, World, Writer, explore};
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::layout::Layout;
use sim::setup::{FIXTURES, Fixture};
use sim::subject::{EspIdf, OtaCore, Release, Subject, UpdateAgent};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

const SEQUENTIAL: OtaCore = OtaCore { extent: Some(Extent::Sequential) };
const BULK: OtaCore = OtaCore { extent: None };
const ESP_IDF: EspIdf = EspIdf { release: Release::V5_5, extent: None };

fn run(layout: &Layout, rollback: bool, subject: &dyn Subject, cut_bootloader: bool) -> Report {
    let firmware: Vec<_> = FIXTURES.iter().map(Fixture::firmware).collect();
    let part = layout.part().expect("each of these layouts has a part of its own");
    let spi_size = (part.capacity >> 20).ilog2() as u8;
    let bootloader = Bootloader { rollback, spi_size, ..Bootloader::default() };
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    let world = World::new(layout, bootloader, requirements, &firmware, subject, part).unwrap();
    let limits = Limits {
        profile: FaultProfile::enumerable(1).without(FaultClass::Collateral),
        cut_bootloader,
        usage: Usage::Usual,
        max_states: u64::MAX,
        max_cuts: u32::MAX,
        remember: true,
    };
    let report = explore(&world, &limits, |_| ControlFlow::Continue(()));
    assert!(report.complete && !report.sampled_contents);
    report
}

fn findings(report: &Report) -> Vec<Finding> {
    report.counterexamples.iter().map(|example| example.finding).collect()
}

#[test]
fn the_code_of_this_project_survives_every_cut_in_the_application() {
    for layout in Layout::breadth() {
        for rollback in [false, true] {
            for subject in [&SEQUENTIAL as &dyn Subject, &BULK, &UpdateAgent] {
                let report = run(&layout, rollback, subject, false);
                let what = format!("{}, rollback {rollback}, {}", layout.name(), subject.name());
                assert_eq!(findings(&report), [], "{what}");
                // An exploration that goes nowhere would find nothing either.
                assert!(report.progress.states >= 50 && report.progress.running >= 11, "{what}");
                assert!(report.operations > 40, "{what}");
            }
        }
    }
}

#[test]
fn cuts_in_the_bootloader_are_charged_to_it() {
    for layout in Layout::breadth() {
        let without = run(&layout, false, &SEQUENTIAL, true);
        assert_eq!(findings(&without), [], "{}", layout.name());
        let with = findings(&run(&layout, true, &SEQUENTIAL, true));
        assert!(!with.is_empty(), "{}", layout.name());
        assert!(with.iter().all(|it| it.during == Writer::Bootloader), "{}", layout.name());
    }
}

#[test]
fn known_weaknesses_show_on_each() {
    for layout in Layout::breadth() {
        let report = run(&layout, false, &ESP_IDF, false);
        let hazards: BTreeSet<_> = findings(&report).iter().filter_map(|it| it.hazard).collect();
        assert!(hazards.contains(&Hazard::H1), "{}: {hazards:?}", layout.name());
    }
}
