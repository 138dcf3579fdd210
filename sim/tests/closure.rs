//! What the explorer says of each subject, down to the last state.

use ota_core::Extent;
use ota_core::image::{ChipId, Requirements};
use sim::bootloader::{AntiRollback, Bootloader};
use sim::explore::{Finding, Hazard, Invariant, Limits, Report, Usage, World, Writer, explore};
use sim::firmware::Firmware;
use sim::flash::Part;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::layout::Layout;
use sim::setup::builtin;
use sim::subject::{EspIdf, OtaCore, Release, Subject};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

fn requirements() -> Requirements {
    Requirements::for_chip(ChipId(5))
}

fn firmware() -> Vec<Firmware> {
    let images: [(&str, &[u8]); 3] = [
        ("1.0.0", include_bytes!("../fixtures/app-1.0.0.bin")),
        ("2.0.0", include_bytes!("../fixtures/app-2.0.0.bin")),
        ("3.0.0", include_bytes!("../fixtures/app-3.0.0.bin")),
    ];
    images.map(|(name, bytes)| Firmware::new(name, bytes, &requirements()).unwrap()).to_vec()
}

fn limits(cut_bootloader: bool) -> Limits {
    let profile = FaultProfile::enumerable(1).without(FaultClass::Collateral);
    Limits {
        profile,
        cut_bootloader,
        usage: Usage::Usual,
        max_states: 100_000,
        max_cuts: u32::MAX,
        remember: true,
    }
}

fn run(layout: &str, rollback: bool, subject: &dyn Subject, limits: &Limits) -> Report {
    let bootloader = Bootloader { rollback, ..Bootloader::default() };
    explored(layout, bootloader, &firmware(), subject, limits)
}

/// Under anti-rollback, with updates that are newer than the image that is installed at first.
fn run_anti(layout: &str, subject: &dyn Subject, limits: &Limits) -> Report {
    let anti_rollback = Some(AntiRollback::for_chip(ChipId::ESP32C3));
    let bootloader = Bootloader { rollback: true, anti_rollback, ..Bootloader::default() };
    let firmware = ["app-1.0.0.bin", "app-2.0.0.bin@1", "app-3.0.0.bin@1"];
    let firmware = firmware.map(|name| builtin(name).unwrap());
    explored(layout, bootloader, &firmware, subject, limits)
}

fn explored(
    layout: &str,
    bootloader: Bootloader,
    firmware: &[Firmware],
    subject: &dyn Subject,
    limits: &Limits,
) -> Report {
    let layouts = Layout::stock();
    let layout = layouts.iter().find(|stock| stock.name() == layout).unwrap();
    let part = *Part::by_name("W25Q32JV").unwrap();
    let world = World::new(layout, bootloader, requirements(), firmware, subject, part).unwrap();
    let report = explore(&world, limits, |_| ControlFlow::Continue(()));
    assert!(report.complete);
    assert!(!report.sampled_contents);
    report
}

fn findings(report: &Report) -> Vec<Finding> {
    report.counterexamples.iter().map(|example| example.finding).collect()
}

const SEQUENTIAL: OtaCore = OtaCore { extent: Some(Extent::Sequential) };
const BULK: OtaCore = OtaCore { extent: None };

#[test]
fn ota_core_survives_every_cut_in_the_application() {
    for layout in ["factory-2-slots", "2-slots", "3-slots", "arduino"] {
        for rollback in [false, true] {
            for subject in [SEQUENTIAL, BULK] {
                let limits = Limits { usage: Usage::Any, ..limits(false) };
                let report = run(layout, rollback, &subject, &limits);
                assert_eq!(findings(&report), [], "{layout}, rollback {rollback}, {subject:?}");
                // An exploration that goes nowhere would find nothing either.
                let sim::explore::Progress { states, running, torn, .. } = report.progress;
                assert!(states > 200 && running > 100 && torn > 200_000, "{:?}", report.progress);
                assert!(report.operations > 80);
            }
        }
    }
}

#[test]
fn without_rollback_ota_core_survives_cuts_in_the_bootloader_as_well() {
    let report = run("2-slots", false, &SEQUENTIAL, &limits(true));
    assert_eq!(findings(&report), []);
    assert!(report.deepest >= 2, "nested cuts lead to new states");
}

#[test]
fn with_rollback_only_the_bootloaders_own_rewrites_break_anything() {
    let report = run("arduino", true, &SEQUENTIAL, &limits(true));
    let during = Writer::Bootloader;
    let expected = [
        (Invariant::Atomic, Hazard::H2),
        (Invariant::Durable, Hazard::H1),
        (Invariant::Durable, Hazard::H2),
        (Invariant::Rollback, Hazard::H2),
    ];
    let expected =
        expected.map(|(invariant, hazard)| Finding { invariant, hazard: Some(hazard), during });
    assert_eq!(findings(&report).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert!(report.counterexamples.iter().all(|example| example.cuts() == 1));
}

#[test]
fn under_anti_rollback_ota_core_survives_every_cut_in_the_application() {
    for layout in ["2-slots", "3-slots", "arduino"] {
        for subject in [SEQUENTIAL, BULK] {
            let report = run_anti(layout, &subject, &limits(false));
            assert_eq!(findings(&report), [], "{layout}, {subject:?}");
            let without = run(layout, true, &subject, &limits(false));
            let [states, fewer] = [&report, &without].map(|report| report.progress.states);
            assert!(states > 2 * fewer, "{layout}: {states} states, {fewer} without anti-rollback");
        }
    }
    let any = Limits { usage: Usage::Any, ..limits(false) };
    assert_eq!(findings(&run_anti("2-slots", &SEQUENTIAL, &any)), []);
}

/// A device that no update can help any more: eFuse demands a version that no image has.
#[test]
fn under_anti_rollback_two_cuts_brick_a_device_with_the_update_code_of_esp_idf() {
    let v6_1 = EspIdf { release: Release::V6_1, extent: Some(Extent::Sequential) };
    let report = run_anti("arduino", &v6_1, &limits(false));
    let hazard = Some(Hazard::H19);
    let during = Writer::Application;
    let finding = Finding { invariant: Invariant::Bootable, hazard, during };
    let example = report.counterexamples.iter().find(|example| example.finding == finding);
    assert_eq!(example.map(|example| example.cuts()), Some(2), "{:?}", findings(&report));
}

#[test]
fn every_known_hazard_of_esp_idf_is_found_with_at_most_two_cuts() {
    let bulk = EspIdf { release: Release::V5_5, extent: None };
    let mut found = BTreeSet::new();
    for layout in ["factory-2-slots", "3-slots"] {
        let report = run(layout, true, &bulk, &limits(false));
        let examples = report.counterexamples.iter().filter(|example| example.cuts() <= 2);
        found.extend(examples.filter_map(|example| example.finding.hazard));
    }
    use Hazard::{H1, H2, H3, H5, H8, H14};
    for hazard in [H1, H2, H3, H5, H8, H14] {
        assert!(found.contains(&hazard), "{hazard} not found, only {found:?}");
    }
}

#[test]
fn damage_beside_the_programmed_word_is_beyond_any_update_code() {
    // F6: the state stands in the page of the CRC, so programming one may damage the other.
    let with_collateral = Limits { profile: FaultProfile::enumerable(1), ..limits(false) };
    let report = run("factory-2-slots", false, &SEQUENTIAL, &with_collateral);
    assert!(!findings(&report).is_empty());
    assert!(findings(&report).iter().all(|finding| finding.invariant == Invariant::Atomic));
}
