//! A device to boot: flash contents in short notation, one image per application partition.

use super::super::{Boot, BootInput, Bootloader, Event, FullCheck, PowerLoss, Rewrite};
use crate::flash::fault::Tear;
use crate::flash::{Chip, CutPlan, Driver, FlashError, Memory, Part};
use crate::synthetic::{ImageBuilder, MIN_SIZE};
use ota_core::Text;
use ota_core::image::{ChipId, Requirements};
use ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE, SelectEntry, State};
use ota_core::partition::{Flags, Partition, Region, Slot, Subtype, Type};
use std::ops::Range;

const OTADATA: Region = Region { offset: 0xD000, size: 0x2000 };
const APP_SIZE: u32 = 0x1_0000;

/// Slots without factory application.
pub(super) fn slots(count: u8) -> Device {
    let mut partitions = vec![
        partition(Type::DATA, Subtype::DATA_NVS, Device::NVS, "nvs"),
        partition(Type::DATA, Subtype::DATA_OTA, OTADATA, "otadata"),
        partition(Type::DATA, Subtype::DATA_PHY, Device::PHY, "phy_init"),
    ];
    for index in 0..count {
        let subtype = Subtype(Subtype::APP_OTA_0.0 + index % Slot::MAX as u8);
        let region = Region { offset: 0x2_0000 + u32::from(index) * APP_SIZE, size: APP_SIZE };
        partitions.push(partition(Type::APP, subtype, region, &format!("ota_{index}")));
    }
    Device::new(partitions)
}

/// Slots and a factory application.
pub(super) fn factory_and_slots(count: u8) -> Device {
    let region = Region { offset: 0x1_0000, size: APP_SIZE };
    slots(count).with(partition(Type::APP, Subtype::APP_FACTORY, region, "factory"))
}

/// The slot `ota_index`.
pub(super) fn slot(index: u8) -> Slot {
    Slot::new(index).expect("a slot number")
}

fn partition(ty: Type, subtype: Subtype, region: Region, label: &str) -> Partition {
    let Region { offset, size } = region;
    let label = Text::new(label).expect("a short label");
    Partition { ty, subtype, offset, size, label, flags: Flags::default() }
}

/// A device with blank otadata and a valid image in every application partition.
pub(super) struct Device {
    pub(super) bootloader: Bootloader,
    pub(super) input: BootInput,
    partitions: Vec<Partition>,
    memory: Memory,
    cut: Option<CutPlan>,
    protected: Option<Range<u32>>,
    events: Vec<Event>,
}

impl Device {
    pub(super) const NVS: Region = Region { offset: 0x9000, size: 0x4000 };
    pub(super) const PHY: Region = Region { offset: 0xF000, size: 0x1000 };

    fn new(partitions: Vec<Partition>) -> Self {
        let mut device = Self {
            bootloader: Bootloader::default(),
            input: BootInput::default(),
            partitions: Vec::new(),
            memory: Memory::erased(Part::W25Q32JV.capacity),
            cut: None,
            protected: None,
            events: Vec::new(),
        };
        for partition in partitions {
            device = device.with(partition);
        }
        device
    }

    fn with(mut self, partition: Partition) -> Self {
        if partition.ty == Type::APP {
            let seed = u64::from(partition.offset);
            let image = ImageBuilder::new(MIN_SIZE).seed(seed).build();
            self.memory.set(partition.offset, &image);
        }
        self.partitions.push(partition);
        let table: Vec<u8> = self.partitions.iter().flat_map(Partition::emit).collect();
        self.memory.set(self.bootloader.table_offset, &table);
        self
    }

    pub(super) fn with_test_app(self) -> Self {
        let region = Region { offset: 0x1F_0000, size: APP_SIZE };
        self.with(partition(Type::APP, Subtype::APP_TEST, region, "test"))
    }

    pub(super) fn rollback(mut self) -> Self {
        self.bootloader.rollback = true;
        self
    }

    /// Moves otadata, entries included.
    pub(super) fn otadata_region(mut self, region: Region) -> Self {
        let otadata = self.partition("otadata");
        (otadata.offset, otadata.size) = (region.offset, region.size);
        let last = self.partitions.pop().expect("a device has partitions");
        self.with(last)
    }

    /// Sets both entries, such as `[1/VALID | 2/NEW (bad crc)]`.
    pub(super) fn otadata(mut self, notation: &str) -> Self {
        let (first, second) =
            notation.trim_matches(['[', ']']).split_once(" | ").expect("two entries");
        for (sector, entry) in [first, second].into_iter().enumerate() {
            let at = self.partition("otadata").offset + sector as u32 * SECTOR_SIZE;
            self.memory.set(at, &parse(entry).emit());
        }
        assert_eq!(self.entries(), notation);
        self
    }

    /// Both entries in the same notation.
    pub(super) fn entries(&mut self) -> String {
        let offset = self.partition("otadata").offset;
        let [first, second] = [offset, offset + SECTOR_SIZE].map(|at| {
            let mut bytes = [0; ENTRY_SIZE];
            self.memory.read(at, &mut bytes);
            SelectEntry::parse(&bytes)
        });
        format!("[{first} | {second}]")
    }

    /// Puts another image into a partition.
    pub(super) fn image(mut self, label: &str, image: &ImageBuilder) -> Self {
        let offset = self.partition(label).offset;
        self.memory.set(offset, &image.build());
        self
    }

    pub(super) fn without_image(mut self, label: &str) -> Self {
        let region = self.partition(label).region();
        self.memory.set(region.offset, &vec![0xFF; region.size as usize]);
        self
    }

    /// Fills a partition with zeros.
    pub(super) fn fill(&mut self, region: Region) {
        self.memory.set(region.offset, &vec![0; region.size as usize]);
    }

    pub(super) fn is_blank(&self, region: Region) -> bool {
        let bytes = self.memory.to_vec(region.offset..region.offset + region.size);
        bytes.iter().all(|&byte| byte == 0xFF)
    }

    pub(super) fn protect_otadata(&mut self) {
        let Region { offset, size } = self.partition("otadata").region();
        self.protected = Some(offset..offset + size);
    }

    /// Boots: the label of the application that starts, or why none does. eFuse keeps what the
    /// bootloader burns.
    #[track_caller]
    pub(super) fn boots(&mut self) -> String {
        let boot = self.boot().expect("power stays");
        self.input.secure_version = boot.secure_version;
        boot.outcome.map_or_else(|reason| reason.to_string(), |started| started.app.to_string())
    }

    /// Boots, and loses power after so many flash operations.
    #[track_caller]
    pub(super) fn loses_power_after(&mut self, operations: u64) {
        self.cut = Some(CutPlan { operation: operations, tear: Tear::Untouched });
        let error = self.boot().expect_err("the bootloader writes more than that");
        assert!(error.is_power_loss());
    }

    fn boot(&mut self) -> Result<Boot, FlashError> {
        let generation = self.bootloader.generation;
        let mut requirements = Requirements::bootloader(ChipId::ESP32C3, generation);
        requirements.chip_revision = Some(3);
        let mut chip = Chip::with_memory(Part::W25Q32JV, self.memory.clone())
            .with_driver(Driver::ESP_IDF_BOOTLOADER);
        chip.protect(self.protected.clone());
        if let Some(cut) = self.cut.take() {
            chip.plan_cut(cut);
        }
        self.events.clear();
        let boot =
            self.bootloader.run(&mut chip, &mut FullCheck { requirements }, self.input, |event| {
                self.events.push(event)
            });
        self.memory = chip.into_memory();
        boot
    }

    /// What happened in the last boot.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Which sectors the last boot rewrote.
    pub(super) fn writes(&self) -> Vec<(u8, Rewrite)> {
        let write = |event: &Event| match *event {
            Event::Write { sector, rewrite, .. } => Some((sector, rewrite)),
            _ => None,
        };
        self.events.iter().filter_map(write).collect()
    }

    fn partition(&mut self, label: &str) -> &mut Partition {
        let found = self.partitions.iter_mut().find(|p| p.label.as_bytes() == label.as_bytes());
        found.expect("a partition of that name")
    }
}

fn parse(notation: &str) -> SelectEntry {
    if notation == "-" {
        return SelectEntry::BLANK;
    }
    let (notation, bad_crc) = match notation.strip_suffix(" (bad crc)") {
        Some(rest) => (rest, true),
        None => (notation, false),
    };
    let (seq, state) = notation.split_once('/').expect("sequence/STATE");
    let state = match state {
        "NEW" => State::NEW,
        "PENDING_VERIFY" => State::PENDING_VERIFY,
        "VALID" => State::VALID,
        "INVALID" => State::INVALID,
        "ABORTED" => State::ABORTED,
        "UNDEFINED" => State::UNDEFINED,
        odd => State(u32::from_str_radix(odd.trim_start_matches("0x"), 16).expect("a state")),
    };
    let entry = SelectEntry::new(seq.parse().expect("a number"), state);
    SelectEntry { crc: entry.crc ^ u32::from(bad_crc), ..entry }
}
