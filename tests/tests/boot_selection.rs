//! The bootloader model against decisions that Espressif's bootloaders made: 400 flash contents,
//! each with the application that started, the select entries afterwards, and the sectors that were
//! rewritten.
//!
//! The recorded bootloaders are those of ESP-IDF v6.1 without rollback and of v4.4.6 with rollback,
//! both for the ESP32-C3.

use ota_core::Generation;
use ota_core::image::{ChipId, Requirements};
use ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE};
use ota_core::partition::{App, Region, Subtype, Type};
use ota_core::table::BootTable;
use serde::Deserialize;
use sim::bootloader::{BootInput, Bootloader, Event, FullCheck, ImageCheck, NoBoot};
use sim::flash::{Chip, Driver, Memory, Operation, OperationKind, Part};
use sim::synthetic::{Fault, ImageBuilder};
use std::collections::{BTreeMap, BTreeSet};

const VECTORS: &str = include_str!("../data/boot-selection-vectors.json");

/// Size of an ordinary image. In one layout otadata begins 0x1000 bytes into a slot.
const IMAGE_SIZE: u32 = 0x800;

#[derive(Deserialize)]
struct Vectors {
    layouts: BTreeMap<String, Layout>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Layout {
    table_hex: String,
    spi_size_nibble: u8,
    table_accepted: bool,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    ty: u8,
    subtype: u8,
    offset: u32,
    size: u32,
    label: String,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    layout: String,
    rollback: bool,
    otadata: Option<[String; 2]>,
    images: Vec<Image>,
    boots: String,
    boots_offset: Option<u32>,
    otadata_after: Option<[String; 2]>,
    writes: Vec<u8>,
}

#[derive(Deserialize)]
struct Image {
    offset: u32,
    /// `None` if the table is too broken to name the partition.
    label: Option<String>,
    kind: String,
    valid: bool,
}

impl Layout {
    fn app(&self, offset: u32, label: &str) -> &Entry {
        let mut apps = self.entries.iter().filter(|entry| Type(entry.ty) == Type::APP);
        apps.find(|entry| entry.offset == offset && entry.label == label).expect("an app partition")
    }

    /// The partition of an image. One that the table cannot name has 64 KiB, as the others.
    fn region(&self, image: &Image) -> Region {
        let label = image.label.as_deref();
        let size = label.map_or(0x1_0000, |label| self.app(image.offset, label).size);
        Region { offset: image.offset, size }
    }

    /// Flash offset of otadata: the last one listed counts.
    fn otadata(&self) -> Option<u32> {
        let is_otadata = |entry: &&Entry| {
            (Type(entry.ty), Subtype(entry.subtype)) == (Type::DATA, Subtype::DATA_OTA)
        };
        self.entries.iter().rfind(is_otadata).map(|entry| entry.offset)
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors parse")
}

fn bytes(hex: &str) -> Vec<u8> {
    if hex == "blank" {
        return vec![0xFF; ENTRY_SIZE];
    }
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// The bytes of an image of that kind for a partition of `size` bytes.
fn image(kind: &str, size: u32, seed: u64) -> Vec<u8> {
    let ordinary = ImageBuilder::new(IMAGE_SIZE).seed(seed);
    let of_size = |size| ImageBuilder::new(size).seed(seed);
    let faulty = |fault| ordinary.clone().fault(fault);
    match kind {
        "good" => ordinary,
        "nohash" => ordinary.without_hash(),
        "long" => of_size(IMAGE_SIZE + 0x2000),
        "exact" => of_size(size),
        "over16" => of_size(size + 16),
        "toolong" => of_size(size + 0x1000),
        "hash0flip" => faulty(Fault::HeaderBitUnhashed),
        "badsum" => faulty(Fault::Checksum),
        "badsha" => faulty(Fault::Hash),
        "badmagic" => faulty(Fault::Magic),
        "badchip" => faulty(Fault::Chip),
        "minrev" => faulty(Fault::MinRevision),
        "seg17" => faulty(Fault::SegmentCount),
        "mmu" => faulty(Fault::MmuAlignment),
        "hdrflip" => faulty(Fault::HeaderBit),
        "torn" => faulty(Fault::Torn),
        "blank" => return vec![0xFF; IMAGE_SIZE as usize],
        "zero" => return vec![0; IMAGE_SIZE as usize],
        other => panic!("unknown image kind {other}"),
    }
    .build()
}

/// The flash of a case. What is too long for its partition runs into the next one, whose own image
/// then overwrites it.
fn flash(case: &Case, layout: &Layout) -> Chip {
    let mut memory = Memory::erased(Part::W25Q32JV.capacity);
    for content in &case.images {
        let Region { offset, size } = layout.region(content);
        memory.set(offset, &image(&content.kind, size, u64::from(offset)));
    }
    if let (Some(at), Some(entries)) = (layout.otadata(), &case.otadata) {
        for (sector, entry) in (0..).zip(entries) {
            memory.set(at + sector * SECTOR_SIZE, &bytes(entry));
        }
    }
    memory.set(bootloader(case, layout).table_offset, &bytes(&layout.table_hex));
    Chip::with_memory(Part::W25Q32JV, memory).with_driver(Driver::ESP_IDF_BOOTLOADER)
}

fn bootloader(case: &Case, layout: &Layout) -> Bootloader {
    let generation = if case.rollback { Generation::V4_4 } else { Generation::V6_1 };
    let (rollback, spi_size) = (case.rollback, layout.spi_size_nibble);
    Bootloader { generation, rollback, spi_size, ..Bootloader::default() }
}

fn images(bootloader: &Bootloader) -> FullCheck {
    let requirements = Requirements::bootloader(ChipId::ESP32C3, bootloader.generation);
    FullCheck { requirements: Requirements { chip_revision: Some(3), ..requirements } }
}

fn subtype(app: App) -> Subtype {
    match app {
        App::Factory => Subtype::APP_FACTORY,
        App::Ota(slot) => slot.subtype(),
        App::Test => Subtype::APP_TEST,
    }
}

#[test]
fn every_recorded_boot_is_reproduced() {
    let Vectors { layouts, cases } = vectors();
    assert_eq!(cases.len(), 400);
    let differences: Vec<String> =
        cases.iter().flat_map(|case| differences(case, &layouts[&case.layout])).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Where the model differs from what was recorded.
fn differences(case: &Case, layout: &Layout) -> Vec<String> {
    let bootloader = bootloader(case, layout);
    let mut chip = flash(case, layout);
    let before = chip.memory().clone();
    chip.log();
    let mut story = Vec::new();
    let boot = bootloader
        .run(&mut chip, &mut images(&bootloader), BootInput::default(), |event| story.push(event))
        .expect("power stays");

    let mut differences = Vec::new();
    let mut compare = |what: &str, recorded: String, model: String| {
        if recorded != model {
            let story: Vec<_> = story.iter().map(|event| format!("    {event}\n")).collect();
            let (id, layout) = (&case.id, &case.layout);
            differences.push(format!(
                "{id} ({layout}): {what}: recorded {recorded}, model {model}\n{}",
                story.concat()
            ));
        }
    };

    let recorded = match case.boots_offset {
        Some(offset) => {
            let entry = layout.app(offset, &case.boots);
            format!("{:#x} at {offset:#x}", entry.subtype)
        }
        None => case.boots.clone(),
    };
    let model = match boot.outcome {
        Ok(started) => {
            format!("{:#x} at {:#x}", subtype(started.app).0, started.image.region.offset)
        }
        Err(_) => "reset-loop".into(),
    };
    compare("boots", recorded, model);

    let refused = boot.outcome == Err(NoBoot::PartitionTable);
    compare("table accepted", layout.table_accepted.to_string(), (!refused).to_string());

    let writes: Vec<u8> = story
        .iter()
        .filter_map(|event| match event {
            Event::Write { sector, .. } => Some(*sector),
            _ => None,
        })
        .collect();
    compare("writes", format!("{:?}", case.writes), format!("{writes:?}"));
    let log = chip.take_log().into_iter().map(|entry| shape(entry.operation)).collect();
    compare("flash operations", operations(case, layout), log);

    let after = expected_memory(case, layout, before);
    compare("flash after the boot", "as expected".into(), first_difference(&after, chip.memory()));
    differences
}

/// One operation without its data.
fn shape(operation: Operation) -> String {
    let length = match operation.kind {
        OperationKind::Program { data } => format!("program {} at", data.len()),
        OperationKind::Erase(size) => format!("erase {size:?} at"),
    };
    format!("{length} {:#x}; ", operation.offset)
}

/// The operations that the recorded writes stand for.
fn operations(case: &Case, layout: &Layout) -> String {
    let operations = case.writes.iter().map(|&sector| {
        let at = layout.otadata().expect("otadata was written") + u32::from(sector) * SECTOR_SIZE;
        format!("erase Sector4K at {:#x}; program 32 at {at:#x}; ", at / SECTOR_SIZE * SECTOR_SIZE)
    });
    operations.collect()
}

/// The whole flash: written sectors hold the entry and nothing else, the rest is as it was.
fn expected_memory(case: &Case, layout: &Layout, mut memory: Memory) -> Memory {
    let (Some(at), Some(entries)) = (layout.otadata(), &case.otadata_after) else {
        return memory;
    };
    for &sector in &case.writes {
        let at = at + u32::from(sector) * SECTOR_SIZE;
        memory.set(at / SECTOR_SIZE * SECTOR_SIZE, &[0xFF; SECTOR_SIZE as usize]);
    }
    for (sector, entry) in (0..).zip(entries) {
        memory.set(at + sector * SECTOR_SIZE, &bytes(entry));
    }
    memory
}

fn first_difference(expected: &Memory, found: &Memory) -> String {
    if expected == found {
        return "as expected".into();
    }
    let all = 0..expected.capacity();
    let (expected, found) = (expected.to_vec(all.clone()), found.to_vec(all));
    match expected.iter().zip(&found).position(|(a, b)| a != b) {
        Some(at) => format!("{:#x} at {at:#x} instead of {:#x}", found[at], expected[at]),
        None => "the same bytes in another condition".into(),
    }
}

#[test]
fn every_table_is_judged_as_recorded() {
    let Vectors { layouts, cases } = vectors();
    let mut seen = BTreeSet::new();
    for case in &cases {
        let layout = &layouts[&case.layout];
        let Bootloader { generation, spi_size, table_offset, .. } = bootloader(case, layout);
        let chip_size = generation.chip_size(spi_size);
        let table = BootTable::load(&mut flash(case, layout), table_offset, chip_size, generation);
        assert_eq!(table.is_ok(), layout.table_accepted, "{}: {table:?}", case.layout);
        seen.insert(&case.layout);
    }
    assert_eq!(seen.len(), layouts.len(), "every layout has a case");
}

#[test]
fn every_image_is_judged_as_recorded() {
    let Vectors { layouts, cases } = vectors();
    let mut kinds = BTreeSet::new();
    for case in &cases {
        let layout = &layouts[&case.layout];
        let mut images = images(&bootloader(case, layout));
        let mut chip = flash(case, layout);
        for image in &case.images {
            let region = layout.region(image);
            // The load phase passes over empty partitions without looking for an image.
            let loads = region.size != 0 && images.check(&mut chip, region).is_some();
            assert_eq!(loads, image.valid, "{}: {} at {:#x}", case.id, image.kind, image.offset);
            kinds.insert(image.kind.as_str());
        }
    }
    assert_eq!(kinds.len(), 18);
}
