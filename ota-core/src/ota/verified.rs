//! Selecting what the next boot starts.

use super::Ota;
use crate::error::{EntryError, Error};
use crate::image::ImageInfo;
use crate::otadata::{Sector, State};
use crate::partition::{App, Slot};
use embedded_storage::nor_flash::MultiwriteNorFlash;

/// An image that verified a moment ago. It borrows the flash, so nothing can change in between.
#[derive(Debug)]
pub struct Verified<'a, F> {
    ota: &'a mut Ota<F>,
    app: App,
    info: ImageInfo,
}

impl<'a, F: MultiwriteNorFlash> Verified<'a, F> {
    pub(super) fn new(ota: &'a mut Ota<F>, app: App, info: ImageInfo) -> Self {
        Self { ota, app, info }
    }

    /// What the verification learned about the image.
    pub fn info(&self) -> &ImageInfo {
        &self.info
    }

    /// The partition that holds the image.
    pub fn app(&self) -> App {
        self.app
    }

    /// Makes the next boot select this image (`esp_ota_set_boot_partition`).
    ///
    /// With a rollback bootloader the image then runs once on trial. Selecting factory erases both
    /// select entries.
    ///
    /// # Errors
    /// [`Error::SecureVersionTooLow`], [`Error::SequenceExhausted`], [`Error::PendingVerify`] while the
    /// running image is on trial, [`Error::NotAnOtaSlot`] for the test application,
    /// [`Error::NotSelected`] when it is the test application that runs, flash errors. After a
    /// flash error the next boot selects what it would have selected before, or this image; after any
    /// other error, what it would have selected before.
    pub fn select(self) -> Result<(), Error<F::Error>> {
        let found = self.info.secure_version.unwrap_or(0);
        let required = self.ota.config.min_secure_version;
        if found < required {
            return Err(Error::SecureVersionTooLow { found, required });
        }
        self.ota.select(self.app)
    }
}

impl<F: MultiwriteNorFlash> Ota<F> {
    /// Makes the next boot select `target`, which was verified.
    fn select(&mut self, target: App) -> Result<(), Error<F::Error>> {
        if self.running == App::Test {
            return Err(Error::NotSelected);
        }
        self.clear_leftovers()?;
        match target {
            App::Test => return Err(Error::NotAnOtaSlot(App::Test)),
            App::Factory => self.deselect_slots()?,
            App::Ota(_) if target == self.running => self.select_running()?,
            App::Ota(slot) => self.select_slot(slot)?,
        }
        Ok(())
    }

    /// Retires both entries, the active one last: it decides alone whether a slot or factory boots.
    ///
    /// Not while the running image is on trial: without its entry nobody could tell any more that it was
    /// never confirmed, and the next update would make it permanent.
    fn deselect_slots(&mut self) -> Result<(), EntryError<F::Error>> {
        let readings = self.read()?;
        self.refuse_on_trial(&readings)?;
        let last = readings.active().unwrap_or(Sector::Second);
        for sector in [last.other(), last] {
            if !self.read()?.of(sector).blank {
                self.records().retire(sector)?;
            }
        }
        Ok(())
    }

    fn select_running(&mut self) -> Result<(), EntryError<F::Error>> {
        let readings = self.read()?;
        self.own_sector(&readings).map(drop).ok_or(EntryError::NotSelected)
    }

    fn select_slot(&mut self, slot: Slot) -> Result<(), EntryError<F::Error>> {
        let state = if self.config.rollback { State::NEW } else { State::UNDEFINED };
        if self.running == App::Factory {
            // No entry speaks for factory: it is what remains when there is none.
            self.deselect_slots()?;
        }
        let readings = self.read()?;
        self.refuse_on_trial(&readings)?;
        let unused = self.own_sector(&readings).map_or(Sector::First, Sector::other);
        let seq = self.next_seq(readings.of(unused.other()), slot)?;
        self.records().write(unused, seq, state)
    }
}
