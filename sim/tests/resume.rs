//! Uploads that go on after a cut: nothing is selected but what was sent, whatever a slot held before.

use ota_core::Generation;
use ota_core::image::{ChipId, Requirements};
use ota_core::otadata::{self, SelectEntry, State};
use ota_core::partition::{App, Region};
use sha2::{Digest, Sha256};
use sim::explore::{
    Check, Finding, Invariant, Limits, PlainLimits, Report, Usage, World, Writer, explore,
    plain_nested,
};
use sim::firmware::Firmware;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::flash::{Chip, PAGE_SIZE, Part, SECTOR_SIZE};
use sim::layout::Layout;
use sim::replay::Replay;
use sim::setup::Setup;
use sim::subject::{Device, Failure, OtaCore, Subject, UpdateAgent};
use sim::synthetic::ImageBuilder;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

const CAPACITY: u32 = 256 * 1024;
const LAYOUT: &str = "otadata,data,ota,0xd000,0x2000\n\
    ota_0,app,ota_0,0x10000,64K\nota_1,app,ota_1,0x20000,64K\n";

fn requirements() -> Requirements {
    Requirements::for_chip(ChipId::ESP32C3)
}

fn image(name: &str, bytes: &[u8]) -> Firmware {
    Firmware::new(name, bytes, &requirements()).expect("the image is valid")
}

/// An image of three sectors.
fn synthetic(seed: u64) -> Vec<u8> {
    ImageBuilder::new(3 * SECTOR_SIZE as u32 - 0x400).seed(seed).build()
}

/// An image that differs from `image` in its second sector, and in the hash.
fn sibling(image: &[u8]) -> Vec<u8> {
    let (body, _) = image.split_last_chunk::<32>().expect("an image has a hash");
    let mut bytes = body.to_vec();
    // The same bit twice: the checksum stays.
    for offset in [1, 2] {
        bytes[SECTOR_SIZE + 0x100 + offset] ^= 1;
    }
    bytes.extend_from_slice(&Sha256::digest(&bytes));
    bytes
}

/// The images: two that start alike, and another one.
fn firmware() -> Vec<Firmware> {
    let first = synthetic(1);
    vec![image("1", &first), image("2", &sibling(&first)), image("3", &synthetic(2))]
}

fn setup(subject: &'static dyn Subject, rollback: bool) -> Setup {
    Setup {
        generation: Generation::V6_1,
        layout: Layout::from_csv("small", LAYOUT, CAPACITY).unwrap(),
        rollback: rollback.into(),
        firmware: firmware().into(),
        subject,
        part: Part::W25Q32JV.with_capacity(CAPACITY),
        chip: ChipId::ESP32C3,
        encrypted: false,
    }
}

fn reduced(world: &World<'_>, profile: FaultProfile, cuts: u32, remember: bool) -> Report {
    explore_with(world, profile, cuts, remember, Usage::Usual)
}

fn explore_with(
    world: &World<'_>,
    profile: FaultProfile,
    cuts: u32,
    remember: bool,
    usage: Usage,
) -> Report {
    let limits = Limits {
        profile,
        cut_bootloader: false,
        usage,
        max_states: 1_000_000,
        max_cuts: cuts,
        remember,
    };
    explore(world, &limits, |_| ControlFlow::Continue(()))
}

fn all_faults() -> FaultProfile {
    FaultProfile::enumerable(1).without(FaultClass::Collateral)
}

fn findings(report: &Report) -> BTreeSet<(Invariant, Writer)> {
    verdicts(report.counterexamples.iter().map(|example| example.finding))
}

fn verdicts(findings: impl IntoIterator<Item = Finding>) -> BTreeSet<(Invariant, Writer)> {
    findings.into_iter().map(|finding| (finding.invariant, finding.during)).collect()
}

#[test]
fn the_agent_selects_only_what_was_sent_even_when_images_start_alike() {
    for rollback in [false, true] {
        let setup = setup(&UpdateAgent, rollback);
        let world = setup.world().unwrap();
        let report = explore_with(&world, all_faults(), u32::MAX, true, Usage::Any);
        assert!(report.complete);
        assert_eq!(findings(&report), BTreeSet::new());
        // Uploads went on from many contents of a slot.
        assert!(report.progress.cut_points > 30_000, "{:?}", report.progress);
    }
}

/// Update code that goes on behind what it finds, and selects what comes out of it.
#[derive(Debug)]
struct Blind {
    /// The last sector that it finds is written again: that helps against torn sectors, but not against
    /// another image that starts alike.
    again: bool,
}

static BLIND: Blind = Blind { again: false };
static CAREFUL: Blind = Blind { again: true };

impl Blind {
    fn write(&self, chip: &mut Chip, region: Region, image: &[u8]) -> Result<(), Failure> {
        use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
        let mut found = vec![0; image.len()];
        chip.read(region.offset, &mut found).map_err(|error| error.to_string())?;
        let start = found.starts_with(&image[..PAGE_SIZE]);
        let last = found.iter().rposition(|&byte| byte != 0xFF).filter(|_| start);
        let from = match last {
            Some(last) if self.again => last / SECTOR_SIZE * SECTOR_SIZE,
            Some(last) => (last + 1).next_multiple_of(SECTOR_SIZE).min(image.len()),
            None => 0,
        };
        let at = |offset: usize| region.offset + offset as u32;
        let end = image.len().next_multiple_of(SECTOR_SIZE);
        let words = &image[from..];
        let mut write = || {
            if from % SECTOR_SIZE == 0 {
                chip.erase(at(from), at(end))?;
            }
            chip.write(at(from), words)
        };
        write().map_err(|error: sim::flash::FlashError| error.to_string())
    }
}

impl Subject for Blind {
    fn name(&self) -> &'static str {
        "blind"
    }

    fn resumes(&self) -> bool {
        true
    }

    fn startup(&self, device: Device<'_>) -> Result<(), Failure> {
        OtaCore::default().startup(device)
    }

    fn confirm(&self, device: Device<'_>) -> Result<(), Failure> {
        OtaCore::default().confirm(device)
    }

    fn reject(&self, device: Device<'_>) -> Result<(), Failure> {
        OtaCore::default().reject(device)
    }

    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
        let App::Ota(running) = device.running else { return Err("factory".into()) };
        let other = ota_core::partition::Slot::new(1 - running.index()).ok_or("two slots")?;
        let region = device.layout.apps().slot(other).ok_or("two slots")?;
        self.write(device.chip, region, image)?;
        let at = device.layout.apps().otadata().offset;
        let mut select = || {
            let mut entries = [SelectEntry::BLANK; 2];
            for (entry, sector) in entries.iter_mut().zip([at, at + otadata::SECTOR_SIZE]) {
                let mut bytes = [0; otadata::ENTRY_SIZE];
                device.chip.read(sector, &mut bytes)?;
                *entry = SelectEntry::parse(&bytes);
            }
            let active = otadata::active(&entries);
            let seq = otadata::next_seq(active.map(|index| entries[index].seq), other, 2);
            let sector = at + otadata::SECTOR_SIZE * (1 - active.unwrap_or(1)) as u32;
            device.chip.erase(sector, sector + otadata::SECTOR_SIZE)?;
            let entry = SelectEntry::new(seq.unwrap_or(1), State::NEW);
            device.chip.write(sector, &entry.emit())
        };
        select().map_err(|error: sim::flash::FlashError| error.to_string())
    }

    fn select_factory(&self, _: Device<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn update_code_that_trusts_what_it_finds_selects_a_mixture() {
    for again in [false, true] {
        let subject = if again { &CAREFUL } else { &BLIND };
        let setup = setup(subject, true);
        let report = reduced(&setup.world().unwrap(), all_faults(), u32::MAX, true);
        let genuine = (Invariant::Genuine, Writer::Application);
        assert!(findings(&report).contains(&genuine), "{again}: {:?}", findings(&report));
        for example in &report.counterexamples {
            let replay = Replay::new(&setup, &[], 1, example);
            assert!(replay.is_ok(), "{again}: {:?} {:#?}", replay.err(), example);
        }
    }
}

#[test]
fn plain_execution_finds_the_same() {
    let profile = FaultProfile::none(1).with(FaultClass::Between).with(FaultClass::TornPrefix);
    let limits = PlainLimits {
        profile,
        cut_bootloader: false,
        usage: Usage::Usual,
        check: Check::Remembered,
        update_again: false,
    };
    let mut compared = 0;
    for subject in [&UpdateAgent as &'static dyn Subject, &BLIND, &CAREFUL] {
        let setup = setup(subject, true);
        let world = setup.world().unwrap();
        let plain = plain_nested(&world, &limits, 3, 2, 1);
        assert!(plain.torn > 500);
        let reduced = reduced(&world, profile, 1, true);
        let short = reduced.counterexamples.iter();
        let short = short.filter(|it| it.cycles.len() <= 3 && it.most_calls() <= 3);
        let short = verdicts(short.map(|it| it.finding));
        let plain = verdicts(plain.findings);
        let what = subject.name();
        assert!(plain.is_subset(&findings(&reduced)), "{what}: {plain:?} but {reduced:?}");
        assert!(short.is_subset(&plain), "{what}: {short:?} but plain {plain:?}");
        compared += plain.len();
    }
    assert!(compared >= 2, "only {compared} verdicts to compare");
}

#[test]
fn remembering_changes_nothing_but_the_speed() {
    let setup = setup(&UpdateAgent, true);
    let world = setup.world().unwrap();
    let profile = FaultProfile::none(1).with(FaultClass::Between);
    let [with, without] = [true, false].map(|remember| reduced(&world, profile, 2, remember));
    assert_eq!(with.progress, without.progress);
    assert_eq!(with.deepest, without.deepest);
    assert_eq!(findings(&with), findings(&without));
}
