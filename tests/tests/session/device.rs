//! A simulated device with small slots: flash, bootloader, and what an application needs to update
//! itself.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use ota_core::image::{ChipId, Requirements};
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::{App, Slot};
use ota_core::{Config, Error, Ota};
use sim::bootloader::{BootInput, Bootloader, FullCheck};
use sim::flash::{Chip, FlashError, Memory, Part};
use sim::layout::{Layout, TABLE_OFFSET};
use sim::synthetic::ImageBuilder;

pub(crate) type Failure = Error<FlashError>;

/// Two whole sectors and a part of a third.
pub(crate) const IMAGE_SIZE: u32 = 0x2400;

pub(crate) const SLOT_SIZE: u32 = 0x1_0000;

pub(crate) fn slot(index: u8) -> Slot {
    Slot::new(index).unwrap()
}

pub(crate) fn ota_app(index: u8) -> App {
    App::Ota(slot(index))
}

/// Images of different seeds are different.
pub(crate) fn image(seed: u64) -> Vec<u8> {
    ImageBuilder::new(IMAGE_SIZE).seed(seed).secure_version(1).version(format!("{seed}")).build()
}

#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) layout: Layout,
    pub(crate) chip: Chip,
    pub(crate) rollback: bool,
    pub(crate) min_secure_version: u32,
}

impl Device {
    /// A device with these app partitions, in which image 0 is installed in the first and in `test`.
    pub(crate) fn new(apps: &[&str]) -> Self {
        let mut csv = String::from("otadata,data,ota,0xd000,0x2000,\n");
        for (name, index) in apps.iter().zip(1..) {
            let offset = index * SLOT_SIZE;
            csv += &format!("{name},app,{name},{offset:#x},{SLOT_SIZE:#x},\n");
        }
        let part = Part::W25Q32JV;
        let layout = Layout::from_csv("small", &csv, part.capacity).unwrap();
        let mut memory = Memory::erased(part.capacity);
        memory.set(TABLE_OFFSET, layout.table());
        memory.set(SLOT_SIZE, &image(0));
        if let Some(test) = layout.apps().test() {
            memory.set(test.offset, &image(0));
        }
        Self {
            layout,
            chip: Chip::with_memory(part, memory),
            rollback: true,
            min_secure_version: 0,
        }
    }

    /// Slot 0 runs and is confirmed, slot 1 holds image 1, which ran before.
    pub(crate) fn confirmed() -> Self {
        let mut device = Self::new(&["ota_0", "ota_1"]);
        device.install(ota_app(1), &image(1));
        device.set_entries([SelectEntry::new(3, State::VALID), SelectEntry::new(2, State::VALID)]);
        device
    }

    pub(crate) fn offset(&self, app: App) -> u32 {
        self.layout.apps().app(app).unwrap().offset
    }

    pub(crate) fn install(&mut self, app: App, image: &[u8]) {
        let offset = self.offset(app);
        self.chip.erase(offset, offset + SLOT_SIZE).unwrap();
        self.chip.write(offset, image).unwrap();
    }

    pub(crate) fn set_entries(&mut self, entries: [SelectEntry; 2]) {
        let offset = self.layout.apps().otadata().offset;
        self.chip.erase(offset, offset + 0x2000).unwrap();
        for (entry, at) in entries.iter().zip([offset, offset + 0x1000]) {
            self.chip.write(at, &entry.emit()).unwrap();
        }
    }

    pub(crate) fn otadata(&self) -> Vec<u8> {
        let offset = self.layout.apps().otadata().offset;
        self.chip.memory().to_vec(offset..offset + 0x2000)
    }

    pub(crate) fn ota(&mut self, running: App) -> Ota<&mut Chip> {
        self.try_ota(running).unwrap()
    }

    pub(crate) fn try_ota(&mut self, running: App) -> Result<Ota<&mut Chip>, Failure> {
        let config = Config {
            requirements: Requirements::for_chip(ChipId::ESP32C3),
            rollback: self.rollback,
            min_secure_version: self.min_secure_version,
        };
        Ota::new(&mut self.chip, *self.layout.validated().unwrap(), running, config)
    }

    /// Restores power if it is off, and boots: what starts, and the first bytes of its contents.
    pub(crate) fn boot(&mut self) -> Option<(App, Vec<u8>)> {
        if !self.chip.is_powered() {
            self.chip.power_on();
        }
        let bootloader = Bootloader { rollback: self.rollback, ..Bootloader::default() };
        let requirements = Requirements::for_chip(ChipId::ESP32C3);
        let mut images = FullCheck { requirements: Requirements { strict: false, ..requirements } };
        let boot = bootloader.run(&mut self.chip, &mut images, BootInput::default(), |_| {});
        let app = boot.unwrap().app()?;
        let mut bytes = vec![0; IMAGE_SIZE as usize];
        self.chip.read(self.offset(app), &mut bytes).unwrap();
        Some((app, bytes))
    }

    /// What would start now, without starting it.
    pub(crate) fn next_boot(&self) -> Option<(App, Vec<u8>)> {
        self.clone().boot()
    }
}
