//! The bootloader model: `sim::bootloader`, whose files are compiled here.

use crate::bootloader::{
    AntiRollback, BootInput, Bootloader, Choice, ImageCheck, NoBoot, PowerLoss, Reset,
};
use crate::flash::{Chip, Fault};
use ota_core::Generation;
use ota_core::image::ImageInfo;
use ota_core::partition::{App, Region};
use ota_core::table::BootTable;
use std::hint::black_box;

/// The addresses of the functions, so that they are linked.
pub(crate) fn exported() -> [*const (); 2] {
    [boot as *const (), image_check as *const ()]
}

impl PowerLoss for Fault {
    fn is_power_loss(&self) -> bool {
        *self == Self::Power
    }
}

/// Images of which nothing is known: what any of them says.
struct Images(ImageInfo);

/// Whether the image in a region loads; a theorem says.
#[inline(never)]
extern "C" fn image_check(offset: u32, size: u32) -> bool {
    black_box((offset, size)).0 == 0
}

impl ImageCheck<Chip> for Images {
    fn check(&mut self, _: &mut Chip, region: Region) -> Option<ImageInfo> {
        let mut info = self.0;
        info.region = region;
        image_check(region.offset, region.size).then_some(info)
    }
}

/// How a bootloader is built, and what it finds besides flash.
#[repr(C)]
struct Setup {
    field_bits: u32,
    secure_version: u32,
    generation: u8,
    rollback: bool,
    anti_rollback: bool,
    test_pin: bool,
    hold_test: bool,
    deep_sleep_wake: bool,
}

/// What a run came to: numbers of the application, or the reason, and of the selected application.
#[repr(C)]
struct Outcome {
    power_lost: u32,
    no_boot: u32,
    app: u32,
    selected: u32,
    image: Region,
    secure_version: u32,
}

/// What stands for a missing number.
const NONE: u32 = u32::MAX;

fn choice(choice: Choice) -> u32 {
    match choice {
        Choice::Slot(slot) => slot,
        Choice::Factory => 0x100,
        Choice::Test => 0x200,
    }
}

fn app(app: App) -> u32 {
    match app {
        App::Ota(slot) => slot.index().into(),
        App::Factory => 0x100,
        App::Test => 0x200,
    }
}

extern "C" fn boot(
    setup: &Setup,
    table: &BootTable,
    chip: &mut Chip,
    images: &mut Images,
    outcome: &mut Outcome,
) {
    let Some(&generation) = Generation::ALL.get(usize::from(setup.generation)) else { return };
    let bootloader = Bootloader {
        generation,
        rollback: setup.rollback,
        anti_rollback: setup.anti_rollback.then_some(AntiRollback { field_bits: setup.field_bits }),
        test_pin: setup.test_pin,
        ..Bootloader::default()
    };
    let input = BootInput {
        reset: if setup.deep_sleep_wake { Reset::DeepSleepWake } else { Reset::Normal },
        hold_factory_reset: false,
        hold_test: setup.hold_test,
        secure_version: setup.secure_version,
    };
    let run = bootloader.run_with_table(table, chip, images, input, |_| ());
    *outcome = Outcome {
        power_lost: run.is_err().into(),
        no_boot: NONE,
        app: NONE,
        selected: NONE,
        image: Region::default(),
        secure_version: NONE,
    };
    let Ok(run) = run else { return };
    outcome.secure_version = run.secure_version;
    outcome.selected = run.selected.map_or(NONE, choice);
    match run.outcome {
        Ok(started) => {
            outcome.app = app(started.app);
            outcome.image = started.image.region;
        }
        Err(reason) => {
            outcome.no_boot = match reason {
                NoBoot::PartitionTable => 0,
                NoBoot::OtadataTooSmall => 1,
                NoBoot::OtadataUnreadable => 2,
                NoBoot::NoSlots => 3,
                NoBoot::OtadataNotWritten => 4,
                NoBoot::NoTestApp => 5,
                NoBoot::TestAppRejected => 6,
                NoBoot::NothingLoads => 7,
            }
        }
    }
}
