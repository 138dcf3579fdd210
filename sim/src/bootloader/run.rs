//! One run of the bootloader: its state, and the order of its phases.

use super::event::{Choice, Event, NoBoot, Why};
use super::image_check::ImageCheck;
use super::power_loss::PowerLoss;
use super::{BootInput, Bootloader, Reset};
use embedded_storage::nor_flash::NorFlash;
use ota_core::image::ImageInfo;
use ota_core::partition::{App, Region};
use ota_core::table::BootTable;

/// What a run of the bootloader came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The application that starts, or why there is none.
    pub outcome: Result<Started, NoBoot>,
    /// What boot selection chose, before any fallback: the choice of the last pass, or of the pins.
    pub selected: Option<Choice>,
    /// Security version in eFuse after the run.
    pub secure_version: u32,
}

impl Boot {
    /// The application that starts, if any.
    pub fn app(&self) -> Option<App> {
        self.outcome.ok().map(|started| started.app)
    }
}

/// An application that starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Which one.
    pub app: App,
    /// Its image, and the partition that holds it.
    pub image: ImageInfo,
}

/// Result of one step: the run goes on, or it stops.
pub(super) type Step<T, E> = Result<T, Stop<E>>;

/// Why a run stops before an application starts.
pub(super) enum Stop<E> {
    Reset(NoBoot),
    PowerLoss(E),
}

impl<E> From<NoBoot> for Stop<E> {
    fn from(reason: NoBoot) -> Self {
        Self::Reset(reason)
    }
}

/// The state of a run.
pub(super) struct Run<'a, F, I, E> {
    pub(super) config: &'a Bootloader,
    pub(super) table: &'a BootTable,
    pub(super) flash: &'a mut F,
    pub(super) images: &'a mut I,
    pub(super) on_event: E,
    /// Security version in eFuse.
    pub(super) secure_version: u32,
    /// otadata holds nothing, so the first slot that loads gets an entry.
    pub(super) initial_contents: bool,
}

impl<F, I, E: FnMut(Event)> Run<'_, F, I, E> {
    pub(super) fn event(&mut self, event: Event) {
        (self.on_event)(event);
    }

    /// The partition that a choice names; all zero if there is none.
    pub(super) fn region(&self, choice: Choice) -> Region {
        match choice {
            Choice::Factory => self.table.factory,
            Choice::Slot(slot) => self.table.slot(slot),
            Choice::Test => self.table.test,
        }
    }
}

impl<F: NorFlash<Error: PowerLoss>, I, E> Run<'_, F, I, E> {
    /// `Some` on success, `None` on an error that the bootloader ignores.
    pub(super) fn unless_power_lost<T>(
        &self,
        result: Result<T, F::Error>,
    ) -> Step<Option<T>, F::Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_power_loss() => Err(Stop::PowerLoss(error)),
            Err(_) => Ok(None),
        }
    }
}

impl<F, I, E> Run<'_, F, I, E>
where
    F: NorFlash<Error: PowerLoss>,
    I: ImageCheck<F>,
    E: FnMut(Event),
{
    pub(super) fn run(mut self, input: BootInput) -> Result<Boot, F::Error> {
        let mut selected = None;
        let outcome =
            self.select_with_pins(input).and_then(|choice| self.load(*selected.insert(choice)));
        let outcome = match outcome {
            Ok(started) => {
                self.event(Event::Started(started.app, started.image));
                Ok(started)
            }
            Err(Stop::Reset(reason)) => {
                self.event(Event::Reset(reason));
                Err(reason)
            }
            Err(Stop::PowerLoss(error)) => return Err(error),
        };
        Ok(Boot { outcome, selected, secure_version: self.secure_version })
    }

    /// Boot selection, then the pins, which a wake from deep sleep leaves alone. The order matters:
    /// the rewrites of the first pass are on flash before a pin is looked at (ESP-IDF
    /// `bootloader_start.c`, `selected_boot_partition`).
    fn select_with_pins(&mut self, input: BootInput) -> Step<Choice, F::Error> {
        let choice = self.select()?;
        if input.reset == Reset::DeepSleepWake {
            return Ok(choice);
        }
        if let (Some(factory_reset), true) = (&self.config.factory_reset, input.hold_factory_reset)
        {
            self.event(Event::FactoryReset);
            self.erase_data(factory_reset)?;
            return self.select();
        }
        if self.config.test_pin && input.hold_test {
            if self.table.test.offset == 0 {
                return Err(NoBoot::NoTestApp.into());
            }
            self.event(Event::Selected { choice: Choice::Test, why: Why::TestPin });
            return Ok(Choice::Test);
        }
        Ok(choice)
    }
}
