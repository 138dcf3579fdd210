//! The load phase: try the chosen application, then the others by slot number, and start the first
//! one whose image verifies.
//!
//! Source: ESP-IDF `bootloader_utility.c` (`bootloader_utility_load_boot_image`).

use super::event::{Choice, Event, NoBoot};
use super::image_check::ImageCheck;
use super::power_loss::PowerLoss;
use super::run::{Run, Started, Step};
use embedded_storage::nor_flash::NorFlash;

/// The number that the bootloader gives the factory application; slots follow from 0.
const FACTORY: i64 = -1;

impl<F, I, E> Run<'_, F, I, E>
where
    F: NorFlash<Error: PowerLoss>,
    I: ImageCheck<F>,
    E: FnMut(Event),
{
    /// Loads `start`, or what comes after it in the order of fallback: down to slot 0, factory, up
    /// from `start` to the last slot, test. Neither history nor the states in otadata play a part.
    pub(super) fn load(&mut self, start: Choice) -> Step<Started, F::Error> {
        if !self.config.falls_back() {
            return self.try_app(start).ok_or(NoBoot::NothingLoads.into());
        }
        let start = match start {
            Choice::Test => {
                return self.try_app(Choice::Test).ok_or(NoBoot::TestAppRejected.into());
            }
            Choice::Factory => FACTORY,
            Choice::Slot(slot) => i64::from(slot),
        };
        let slots = i64::from(self.table.app_count());
        for index in (FACTORY..=start).rev().chain(start + 1..slots) {
            let slot = u32::try_from(index).ok();
            let Some(started) = self.try_app(slot.map_or(Choice::Factory, Choice::Slot)) else {
                continue;
            };
            if let (Some(slot), true) = (slot, self.initial_contents) {
                self.write_initial_entry(slot)?;
                if self.config.anti_rollback.is_some() {
                    self.raise_secure_version(Choice::Slot(slot));
                }
            }
            return Ok(started);
        }
        self.try_app(Choice::Test).ok_or(NoBoot::NothingLoads.into())
    }

    fn try_app(&mut self, choice: Choice) -> Option<Started> {
        let region = self.region(choice);
        let app = choice.app().filter(|_| region.size != 0);
        let Some(app) = app else {
            self.event(Event::Empty(choice));
            return None;
        };
        let exempt = choice == Choice::Test && !self.config.anti_rollback_covers_test();
        if self.config.anti_rollback.is_some() && !exempt && !self.is_new_enough(choice) {
            return None;
        }
        let image = self.images.check(self.flash, region);
        if image.is_none() {
            self.event(Event::Rejected(app));
        }
        Some(Started { app, image: image? })
    }
}
