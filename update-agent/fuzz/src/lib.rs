//! A simulated device with the agent in it, and what must hold whatever reaches its console.

#[path = "../../tests/common/mod.rs"]
pub mod common;

use std::sync::OnceLock;

use ciborium::Value;
use common::{Device, IMAGE, WRITE, layout, text};
use ota_core::partition::{App, Region, Slot};
use sha2::{Digest, Sha256};
use sim::flash::Chip;
use sim::synthetic::{Fault, ImageBuilder};

/// Size of the images in bytes: a few sectors.
const SIZE: u32 = 0x3000;

/// The image that runs at first, two updates, and one that does not verify.
pub fn images() -> &'static [Vec<u8>; 4] {
    static IMAGES: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let image = |version, seed| ImageBuilder::new(SIZE).version(version).seed(seed);
        [
            image("1.0.0", 1).build(),
            image("2.0.0", 2).build(),
            image("3.0.0", 3).build(),
            image("4.0.0", 4).fault(Fault::Hash).build(),
        ]
    })
}

thread_local! {
    /// Chips that a device starts with, each a step further in an update from the first image to the
    /// second: new; selected, so that the next boot is the trial; on trial, so that the next boot rolls
    /// back; confirmed.
    static STARTS: [Chip; 4] = {
        let [old, new, ..] = images();
        let mut device = Device::new(old);
        let first = device.chip().clone();
        device.upload(new, Some(Sha256::digest(new).into()), 1500);
        device.test(&new[new.len() - 32..]);
        let selected = device.chip().clone();
        let mut device = device.restart();
        let trial = device.chip().clone();
        device.request(WRITE, IMAGE, 0, &Value::Map(vec![(text("confirm"), Value::Bool(true))]));
        [first, selected, trial, device.into_chip()]
    };
}

/// A device whose flash is watched.
pub struct Watched {
    device: Device,
}

impl Watched {
    /// A device in one of a few states.
    pub fn new(start: u8) -> Self {
        let chip = STARTS.with(|chips| chips[usize::from(start) % chips.len()].clone());
        let mut device = Device::boot(chip);
        device.chip().log();
        Self { device }
    }

    /// The device, until it is restarted.
    pub fn device(&mut self) -> &mut Device {
        &mut self.device
    }

    /// Feeds console input and returns the output. A device that was reset, or lost power, is restarted.
    ///
    /// # Panics
    /// When it wrote where it must not write, selects what does not verify, or does not boot.
    pub fn console(self, input: &[u8]) -> (Self, Vec<u8>) {
        let mut watched = self;
        let output = watched.device.console(input);
        if watched.device.wires.reset.get() || !watched.device.chip().is_powered() {
            watched = watched.restart();
        }
        watched.check();
        (watched, output)
    }

    /// Turns power off and on.
    ///
    /// # Panics
    /// As [`console`](Self::console).
    pub fn restart(mut self) -> Self {
        self.check_writes();
        let mut restarted = Self { device: self.device.restart() };
        restarted.check();
        restarted
    }

    fn check(&mut self) {
        if self.check_writes() > 0 {
            self.check_selection();
        }
    }

    /// Operations since the last call, none of which touched anything but otadata and the slots that do
    /// not run.
    fn check_writes(&mut self) -> usize {
        let layout = layout();
        let running = self.device.running();
        let slots = (0..layout.apps().slot_count()).filter_map(Slot::new).map(App::Ota);
        let passive = slots.filter(|&app| app != running).filter_map(|app| layout.apps().app(app));
        let allowed: Vec<Region> = passive.chain([layout.apps().otadata()]).collect();
        let log = self.device.chip().take_log();
        // `take_log` may end the logging.
        self.device.chip().log();
        for entry in &log {
            let range = entry.operation.range(self.device.chip().part().capacity);
            let inside = |region: &Region| {
                range.start >= region.offset && range.end <= region.offset + region.size
            };
            assert!(allowed.iter().any(inside), "{entry} while {running} runs");
        }
        log.len()
    }

    /// Every entry that the bootloader may choose selects an image that verifies.
    fn check_selection(&mut self) {
        let slots = u32::from(layout().apps().slot_count());
        let ota = &mut self.device.host.ota;
        for entry in ota.select_entries().unwrap() {
            if entry.is_valid() {
                let slot = entry.slot_index(slots).unwrap();
                let app = App::Ota(Slot::new(slot.try_into().unwrap()).unwrap());
                let verified = ota.verify(app).map(|_| ());
                assert!(verified.is_ok(), "{entry} selects {app}: {verified:?}");
            }
        }
    }
}
