//! The guarantee table says what is known of ESP-IDF's update code and of this project's, and its page is
//! the current one.

use ota_core::image::ChipId;
use ota_core::{Extent, Generation};
use sim::explore::{Hazard, Invariant};
use sim::flash::Part;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::guarantee::{Boots, CutKind, Exposure, Guarantee, Lost, Phase, Step, Updates};
use sim::layout::Layout;
use sim::replay::{FirmwareSource, Replay};
use sim::setup::{FIXTURES, Fixture, Setup};
use sim::subject::{EspIdf, OtaCore, Release, Subject};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const CORE: OtaCore = OtaCore { extent: Some(Extent::Sequential) };
const CORE_BULK: OtaCore = OtaCore { extent: None };
const ESP_IDF: EspIdf = EspIdf { release: Release::V5_5, extent: None };

fn setup(layout: &str, rollback: bool, subject: &'static dyn Subject) -> Setup {
    let mut layouts = Layout::stock().into_iter();
    Setup {
        layout: layouts.find(|it| it.name() == layout).expect("a stock layout"),
        generation: Generation::V6_1,
        rollback: rollback.into(),
        firmware: FIXTURES.iter().map(Fixture::firmware).collect(),
        subject,
        part: Part::W25Q32JV,
        chip: ChipId::ESP32C3,
        encrypted: false,
    }
}

fn guarantee(setup: &Setup) -> Guarantee {
    let profile = FaultProfile::enumerable(1).without(FaultClass::Collateral);
    Guarantee::of(setup, profile).expect("the stock layouts and images go together")
}

/// The steps in which something breaks, and by which hazards.
fn broken(guarantee: &Guarantee) -> BTreeSet<(Phase, Step, Option<Hazard>)> {
    let cells = guarantee.cells.iter();
    let rows = cells.flat_map(|cell| cell.outcomes.iter().map(move |row| (cell, row)));
    rows.flat_map(|(cell, row)| {
        row.breaks.iter().map(|finding| (cell.phase, cell.step, finding.hazard))
    })
    .collect()
}

fn vulnerable(guarantee: &Guarantee) -> Vec<(Phase, Step)> {
    guarantee.window.vulnerable().map(|timed| (timed.phase, timed.step)).collect()
}

/// The operations after which there is no entry, until the next one.
fn vulnerable_pauses(guarantee: &Guarantee) -> Vec<(Phase, Step)> {
    let operations = guarantee.window.operations.iter();
    let pauses = operations.filter(|timed| timed.pause_vulnerable);
    pauses.map(|timed| (timed.phase, timed.step)).collect()
}

/// What the crash states of a cell come to.
fn outcomes(
    guarantee: &Guarantee,
    phase: Phase,
    step: Step,
    cut: CutKind,
) -> Vec<(Boots, Lost, Updates)> {
    let cell = guarantee.cell(phase, step, cut).expect("the step is there");
    cell.outcomes.iter().map(|row| (row.boots, row.lost, row.updates)).collect()
}

#[test]
fn nothing_breaks_in_what_ota_core_writes() {
    for subject in [&CORE, &CORE_BULK] {
        for (layout, rollback) in
            [("factory-2-slots", false), ("factory-2-slots", true), ("2-slots", true)]
        {
            let guarantee = guarantee(&setup(layout, rollback, subject));
            let own: Vec<_> = broken(&guarantee)
                .into_iter()
                .filter(|(phase, ..)| !phase.in_bootloader())
                .collect();
            assert_eq!(own, [], "{} on {layout}", guarantee.subject);
            for part in Part::ALL {
                let exposure = guarantee.window.exposure(part);
                assert_eq!(exposure.application_us, 0);
                assert_eq!(exposure.bootloader_us > 0, rollback);
            }
            for cell in &guarantee.cells {
                let updates = cell.outcomes.iter().map(|row| row.updates);
                assert!(updates.into_iter().all(|it| it == Updates::FirstTry), "{cell:?}");
            }
        }
    }
}

#[test]
fn esp_idf_is_vulnerable_while_it_confirms_in_place() {
    let guarantee = guarantee(&setup("factory-2-slots", false, &ESP_IDF));
    let confirm = [(Phase::Confirm, Step::EraseActive), (Phase::Confirm, Step::WriteEntry)];
    assert_eq!(vulnerable(&guarantee), confirm);
    let mut expected: BTreeSet<_> = confirm
        .into_iter()
        .flat_map(|(phase, step)| [Hazard::H1, Hazard::H2].map(|it| (phase, step, Some(it))))
        .collect();
    expected.insert((Phase::ReturnToFactory, Step::EraseActive, Some(Hazard::H8)));
    assert_eq!(broken(&guarantee), expected);

    // By hand for the W25Q32JV: 960 KiB are 15 blocks of 150 ms and 3840 pages of 0.4 ms; selecting and
    // confirming erase a sector in 45 ms and program an entry each.
    assert_eq!(guarantee.window.image_bytes, 960 * 1024);
    let exposure = guarantee.window.exposure(&Part::W25Q32JV);
    let flash_us = 15 * 150_000 + 3840 * 400 + 2 * 45_400;
    let expected =
        Exposure { part: "W25Q32JV", flash_us, application_us: 45_400, bootloader_us: 0 };
    assert_eq!(exposure, expected);
    assert_eq!(exposure.in_flash_time(), 45_400.0 / flash_us as f64);
    assert_eq!(exposure.in_update(Duration::from_secs(30)), Some(0.0454 / 30.0));
    assert_eq!(vulnerable_pauses(&guarantee), [(Phase::Confirm, Step::EraseActive)]);
}

#[test]
fn a_rollback_bootloader_is_vulnerable_while_it_begins_the_trial() {
    let trial = [(Phase::FirstBoot, Step::EraseActive), (Phase::FirstBoot, Step::WriteEntry)];
    let core = guarantee(&setup("2-slots", true, &CORE));
    assert_eq!(vulnerable(&core), trial);
    // Once the entry is written, the trial has begun: then any reset ends it, and that breaks no promise.
    assert_eq!(vulnerable_pauses(&core), [(Phase::FirstBoot, Step::EraseActive)]);
    assert_eq!(core.window.exposure(&Part::GD25Q32).bootloader_us, 50_000 + 600);
    let esp_idf = guarantee(&setup("2-slots", true, &ESP_IDF));
    // The one entry of ESP-IDF is programmed state and CRC at once: the state may be torn.
    let selects = [(Phase::Select, Step::WriteEntry)];
    assert_eq!(vulnerable(&esp_idf), [&selects[..], &trial].concat());
    let torn = esp_idf.cell(Phase::Select, Step::WriteEntry, CutKind::InProgram).unwrap();
    assert_eq!(torn.outcomes[0].lost, Lost::Trial);
    assert_eq!(torn.outcomes[0].breaks[0].invariant, Invariant::Rollback);
    assert_eq!(core.window.exposure(&Part::GD25Q32).application_us, 0);
    assert_eq!(esp_idf.window.exposure(&Part::GD25Q32).application_us, 600);
}

#[test]
fn a_cut_loses_what_was_under_way() {
    use {CutKind::*, Phase::*, Step::*};
    let core = guarantee(&setup("2-slots", true, &CORE));
    let download = (Boots::Old, Lost::Download, Updates::FirstTry);
    let selection = (Boots::Old, Lost::Selection, Updates::FirstTry);
    let new = (Boots::New, Lost::Nothing, Updates::FirstTry);
    let old = (Boots::Old, Lost::Nothing, Updates::FirstTry);
    let confirmation = (Boots::Old, Lost::Confirmation, Updates::FirstTry);
    let is = |phase, step, cut, expected: &[_]| {
        assert_eq!(outcomes(&core, phase, step, cut), expected, "{phase}: {step}, {cut}");
    };
    is(Download, EraseSlot, InErase, &[download]);
    is(Download, WriteSlot, InProgram, &[download]);
    is(Download, FinishImage, Between, &[download, selection]);
    is(Select, EraseSpare, InErase, &[selection]);
    is(Select, WriteEntry, InProgram, &[selection]);
    is(Select, CommitEntry, InProgram, &[selection, new]);
    is(Confirm, CommitEntry, InProgram, &[confirmation, new]);
    is(RollBack, EraseActive, Between, &[old]);
    let update_lost = (Boots::Old, Lost::Update, Updates::FirstTry);
    is(FirstBoot, EraseActive, Between, &[update_lost, new]);
    assert!(core.cell(Select, EraseActive, InErase).is_none());
    assert!(core.cell(NewDevice, WriteEntry, InProgram).is_some());
    let counted: u64 =
        core.cells.iter().flat_map(|cell| &cell.outcomes).map(|row| row.crash_states).sum();
    assert_eq!(counted, core.crash_states);
}

#[test]
fn what_breaks_can_be_replayed() {
    let setup = setup("2-slots", true, &ESP_IDF);
    let guarantee = guarantee(&setup);
    let sources = FIXTURES.map(|fixture| FirmwareSource::Builtin(fixture.name.into()));
    let rows = guarantee.cells.iter().flat_map(|cell| &cell.outcomes);
    let mut replayed = 0;
    for row in rows {
        assert_eq!(row.breaks.is_empty(), row.examples.is_empty());
        for example in &row.examples {
            assert_eq!(example.cuts(), 1);
            let replay = Replay::new(&setup, &sources, 1, example).unwrap();
            let trace = replay.run(&setup).unwrap();
            assert!(trace.violation(&example.finding).is_some());
            replayed += 1;
        }
    }
    assert!(replayed > 10, "only {replayed} examples");
}

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.arg("guarantee").args(arguments).output().expect("the program runs")
}

#[test]
fn the_page_is_current() {
    let output = sim(&["--markdown"]);
    assert_eq!(output.status.code(), Some(0));
    let made = String::from_utf8(output.stdout).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guarantees.md");
    let kept = fs::read_to_string(page).unwrap();
    let mut lines = made.lines().zip(kept.lines());
    let differs = lines.find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "docs/guarantees.md is out of date: `sim guarantee --markdown` makes it. It should say\n{}\nbut says\n{}",
        differs.map_or("more or less at the end", |(made, _)| made),
        differs.map_or("", |(_, kept)| kept),
    );
}

#[test]
fn tables_fit_a_terminal_and_json_says_the_same() {
    let device = ["--layout", "2-slots", "--rollback", "off", "--subject", "esp-idf-v5.5"];
    let text = String::from_utf8(sim(&device).stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert!(text.contains("old −update !H1"), "{text}");
    let json = sim(&[&device[..], &["--json", "--update-time", "2"]].concat()).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["format"], 1);
    let device = &json["devices"][0];
    let erase = device["cells"].as_array().unwrap().iter().find(|cell| {
        cell["phase"] == "confirm" && cell["step"] == "erase-active" && cell["cut"] == "in-erase"
    });
    assert_eq!(erase.unwrap()["outcomes"][0]["breaks"][0]["hazard"], "H1");
    assert!(erase.unwrap()["outcomes"][0]["cycles"][0].is_array());
    let part = &device["update"]["parts"][1];
    assert_eq!((&part["part"], &part["application_us"]), (&"W25Q32JV".into(), &45_400.into()));
    // The flash alone takes longer than that.
    assert!(part["probability_in_update"].is_null());

    let output = sim(&["--update-time", "0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("expected a number above 0"));
}
