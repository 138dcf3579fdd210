//! Boot selection as the running application sees and changes it.
//!
//! # What survives a cut
//! At every instant one of two things holds: the next boot selects the image that is running, or it
//! selects the image that was verified and chosen. Four rules bring that about, on top of how a single
//! entry is written (`records.rs`):
//! 1. The entry of the running image is never rewritten to select another one.
//! 2. An entry that points to a slot is retired before the slot is erased.
//! 3. Nothing is confirmed or rejected unless the active entry is that of the running image.
//! 4. What an interrupted boot or update left behind is cleared before anything new is written.

mod recover;
mod verified;

pub use recover::Recovery;
pub use verified::Verified;

use crate::error::{EntryError, Error};
use crate::image::{self, AppDescriptor, ImageError, Requirements};
use crate::otadata::{self, Sector, SelectEntry, State};
use crate::partition::{App, Region, Slot};
use crate::read::ReadError;
use crate::records::{Reading, Readings, Records, erase_checked};
use crate::session::{Extent, Paused, Session};
use crate::table::AppLayout;
use embedded_storage::nor_flash::MultiwriteNorFlash;

/// What the update code must know about the device.
#[derive(Clone, Debug)]
pub struct Config {
    /// What an image must be to run on this chip.
    pub requirements: Requirements,
    /// Whether the bootloader was built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`. A wrong value
    /// costs the trial of new images (`false` under a rollback bootloader) or leaves them on trial
    /// for ever (`true` under one without).
    pub rollback: bool,
    /// Least `secure_version` an image must have to be selected; 0 without anti-rollback.
    pub min_secure_version: u32,
}

/// What [`Ota::confirm`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The image was on trial and is now confirmed.
    Confirmed,
    /// There was nothing to do: the image is not on trial.
    NotOnTrial,
}

/// The select entries and slots of one device, seen from the application that runs on it.
///
/// ```
/// # use embedded_storage::nor_flash::MultiwriteNorFlash;
/// use ota_core::{Error, Ota, Extent};
///
/// fn update<F: MultiwriteNorFlash>(ota: &mut Ota<F>, image: &[u8]) -> Result<(), Error<F::Error>> {
///     ota.recover()?;
///     ota.confirm()?; // after the self-test
///     let slot = ota.next_update_slot().ok_or(Error::NoRollbackTarget)?;
///     let mut session = ota.begin(slot, Extent::Sequential)?;
///     for chunk in image.chunks(1024) {
///         session.write(chunk)?;
///     }
///     session.end()?.select() // only an image that verified has a `select`
/// }
/// ```
#[derive(Debug)]
pub struct Ota<F> {
    pub(crate) flash: F,
    pub(crate) config: Config,
    layout: AppLayout,
    running: App,
}

impl<F: MultiwriteNorFlash> Ota<F> {
    /// Takes over the flash of a device.
    ///
    /// `running` is the partition from which the caller executes.
    ///
    /// # Errors
    /// [`Error::UnsupportedFlash`] for a flash whose write size is above 4 bytes (encrypted flash) or
    /// whose sectors are larger than 4 KiB; [`Error::NoSuchPartition`] when `running` is not in the
    /// table.
    pub fn new(
        flash: F,
        layout: AppLayout,
        running: App,
        config: Config,
    ) -> Result<Self, Error<F::Error>> {
        let sectors_fit = otadata::SECTOR_SIZE.is_multiple_of(F::ERASE_SIZE as u32);
        let crc_word_alone = 4usize.is_multiple_of(F::WRITE_SIZE);
        if !(sectors_fit && crc_word_alone && 4usize.is_multiple_of(F::READ_SIZE)) {
            return Err(Error::UnsupportedFlash);
        }
        if layout.app(running).is_none() {
            return Err(Error::NoSuchPartition(running));
        }
        Ok(Self { flash, layout, running, config })
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.flash
    }

    /// The flash itself. What is written past the session is not protected by it.
    pub fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    /// The partitions that updates deal with.
    pub fn layout(&self) -> &AppLayout {
        &self.layout
    }

    /// The partition from which the application runs (`esp_ota_get_running_partition`).
    pub fn running(&self) -> App {
        self.running
    }

    /// Both select entries as they stand on flash.
    ///
    /// # Errors
    /// Flash errors.
    pub fn select_entries(&mut self) -> Result<[SelectEntry; 2], Error<F::Error>> {
        let mut records = self.records();
        let (first, _) = records.read_twice(Sector::First)?;
        let (second, _) = records.read_twice(Sector::Second)?;
        Ok([first, second])
    }

    /// The partition that the next boot selects (`esp_ota_get_boot_partition`).
    ///
    /// # Errors
    /// Flash errors.
    pub fn boot_app(&mut self) -> Result<App, Error<F::Error>> {
        let readings = self.read()?;
        Ok(self.chosen(&readings))
    }

    /// The slot after the running one, where the next update goes
    /// (`esp_ota_get_next_update_partition`); `None` when there is no slot but the running one.
    pub fn next_update_slot(&self) -> Option<Slot> {
        let count = self.layout.slot_count();
        let next = match self.running {
            App::Ota(slot) if slot.index() + 1 < count => slot.index() + 1,
            _ => 0,
        };
        let next = Slot::new(next)?;
        let app = App::Ota(next);
        (app != self.running && self.layout.app(app).is_some()).then_some(next)
    }

    /// State of the entry that selects a slot (`esp_ota_get_state_partition`); `None` when no entry
    /// does.
    ///
    /// # Errors
    /// Flash errors.
    pub fn state(&mut self, slot: Slot) -> Result<Option<State>, Error<F::Error>> {
        let readings = self.read()?;
        let mut found = readings.both().into_iter().filter(|r| r.crc_ok && self.selects(r, slot));
        Ok(found.next().map(|reading| reading.state))
    }

    /// The slot whose image was rejected last, if it still verifies
    /// (`esp_ota_get_last_invalid_partition`).
    ///
    /// # Errors
    /// Flash errors.
    pub fn last_invalid(&mut self) -> Result<Option<Slot>, Error<F::Error>> {
        let readings = self.read()?;
        let rejected = readings
            .both()
            .into_iter()
            .filter(|reading| reading.crc_ok && !reading.state.is_bootable())
            .max_by_key(|reading| reading.seq);
        let Some(slot) = rejected.and_then(|reading| self.slot_of(reading)) else {
            return Ok(None);
        };
        Ok(self.verifies(App::Ota(slot))?.then_some(slot))
    }

    /// The image to which [`reject`](Self::reject) would return
    /// (`esp_ota_check_rollback_is_possible`); `None` when there is none.
    ///
    /// # Errors
    /// Flash errors.
    pub fn rollback_target(&mut self) -> Result<Option<App>, Error<F::Error>> {
        let readings = self.read()?;
        Ok(match self.own_sector(&readings) {
            Some(own) => self.target_behind(readings.of(own.other()))?,
            None => None,
        })
    }

    /// What a rollback returns to when `other` is the entry beside that of the running image.
    fn target_behind(&mut self, other: &Reading) -> Result<Option<App>, EntryError<F::Error>> {
        let target = match self.slot_of(other) {
            Some(slot) if other.is_sound() && App::Ota(slot) != self.running => App::Ota(slot),
            _ => App::Factory,
        };
        Ok(self.verifies(target)?.then_some(target))
    }

    /// Description of the image in a partition (`esp_ota_get_partition_description`).
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`]; [`Error::Image`] when there is no description.
    pub fn describe(&mut self, app: App) -> Result<AppDescriptor, Error<F::Error>> {
        let region = self.region(app)?;
        Ok(image::describe(&mut self.flash, region)?)
    }

    /// SHA-256 of the first `len` bytes of a partition, whatever they are.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`]; [`Error::Image`] when the partition is shorter or can't be read.
    pub fn digest(&mut self, app: App, len: u32) -> Result<[u8; 32], Error<F::Error>> {
        let region = self.region(app)?;
        Ok(image::digest(&mut self.flash, region, len)?)
    }

    /// Confirms the running image (`esp_ota_mark_app_valid_cancel_rollback`).
    ///
    /// Does nothing for an image that is not on trial: rewriting the entry of a permanent image would
    /// add a window in which it is lost, and no benefit.
    ///
    /// # Errors
    /// [`Error::NotSelected`] when the next boot selects another image, for instance after
    /// [`Verified::select`] or when the bootloader fell back.
    pub fn confirm(&mut self) -> Result<Confirmation, Error<F::Error>> {
        let App::Ota(_) = self.running else { return Ok(Confirmation::NotOnTrial) };
        let readings = self.read()?;
        let own = self.own_sector(&readings).ok_or(Error::NotSelected)?;
        let state = readings.of(own).state;
        if !self.config.rollback || state == State::VALID || state == State::UNDEFINED {
            return Ok(Confirmation::NotOnTrial);
        }
        self.rewrite_own(&readings, own, State::VALID)?;
        Ok(Confirmation::Confirmed)
    }

    /// Rejects the running image and returns to the previous one
    /// (`esp_ota_mark_app_invalid_rollback`). The caller must restart the device afterwards.
    ///
    /// An image on trial needs no flash write for that: the bootloader aborts it at the restart.
    ///
    /// # Errors
    /// [`Error::NoRollbackTarget`] when no other image would boot, [`Error::NotSelected`] when the
    /// next boot selects another image already.
    pub fn reject(&mut self) -> Result<App, Error<F::Error>> {
        let readings = self.read()?;
        let own = self.own_sector(&readings).ok_or(Error::NotSelected)?;
        let target =
            self.target_behind(readings.of(own.other()))?.ok_or(Error::NoRollbackTarget)?;
        let Reading { seq, state, .. } = *readings.of(own);
        if self.config.rollback && state == State::PENDING_VERIFY {
            return Ok(target);
        }
        if let App::Ota(slot) = target {
            // First raise the previous image above this one: it is chosen from that word on, whatever
            // becomes of the rewrite below.
            let seq = self.next_seq(readings.of(own), slot)?;
            self.records().write(own.other(), seq, State::VALID)?;
        }
        self.records().write(own, seq, State::INVALID)?;
        Ok(target)
    }

    /// Opens a slot for a new image (`esp_ota_begin`).
    ///
    /// Whatever entry points to the slot is retired before anything is erased. An image that was
    /// selected and not booted yet is given up.
    ///
    /// # Errors
    /// [`Error::RunningSlot`], [`Error::NoSuchPartition`], [`Error::TooLarge`], and
    /// [`Error::PendingVerify`] while the running image is on trial.
    pub fn begin(&mut self, slot: Slot, extent: Extent) -> Result<Session<'_, F>, Error<F::Error>> {
        let region = self.open_slot(slot, extent.size())?;
        Session::begin(self, slot, region, extent)
    }

    /// Goes on with an image of which the first `written` bytes were written before a power cut
    /// (`esp_ota_resume`).
    ///
    /// The sector that was being written cannot be trusted, so the session continues at
    /// [`Session::position`], the start of that sector; everything from there on is erased as it is
    /// reached. The bytes before it are verified when the session ends.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn resume(&mut self, slot: Slot, written: u32) -> Result<Session<'_, F>, Error<F::Error>> {
        let region = self.open_slot(slot, written)?;
        Ok(Session::resume(self, slot, region, written))
    }

    /// Goes on with a session that was paused in this power cycle.
    ///
    /// # Errors
    /// [`Error::SlotInUse`] when the slot was selected in the meantime, so that writing to it would
    /// destroy what the next boot starts; [`Error::RunningSlot`]; flash errors.
    pub fn unpause(&mut self, paused: Paused) -> Result<Session<'_, F>, Error<F::Error>> {
        let slot = paused.slot();
        if App::Ota(slot) == self.running {
            return Err(Error::RunningSlot);
        }
        let readings = self.read()?;
        if readings.both().into_iter().any(|r| r.valid && self.selects(r, slot)) {
            return Err(Error::SlotInUse);
        }
        Ok(Session::unpause(self, paused))
    }

    fn open_slot(&mut self, slot: Slot, size: u32) -> Result<Region, Error<F::Error>> {
        let region = self.region(App::Ota(slot))?;
        if App::Ota(slot) == self.running {
            return Err(Error::RunningSlot);
        }
        if size > region.size {
            return Err(Error::TooLarge { size, available: region.size });
        }
        self.recover()?;
        let readings = self.read()?;
        self.refuse_on_trial(&readings)?;
        for sector in Sector::BOTH {
            let reading = readings.of(sector);
            if reading.crc_ok && self.selects(reading, slot) {
                self.records().retire(sector)?;
            }
        }
        Ok(region)
    }

    /// Verifies the image in a partition; what comes back can be selected.
    ///
    /// # Errors
    /// [`Error::Image`] says what is wrong with it.
    pub fn verify(&mut self, app: App) -> Result<Verified<'_, F>, Error<F::Error>> {
        let region = self.region(app)?;
        match image::verify(&mut self.flash, region, &self.config.requirements) {
            Ok(info) => Ok(Verified::new(self, app, info)),
            Err(error) => Err(Error::Image(error)),
        }
    }

    /// Erases the image that ran before this one, and its entry first
    /// (`esp_ota_erase_last_boot_app_partition`).
    ///
    /// # Errors
    /// [`Error::NoRollbackTarget`] when no entry selects another slot than the running one.
    pub fn erase_last_boot_app(&mut self) -> Result<Slot, Error<F::Error>> {
        let readings = self.read()?;
        let own = self.own_sector(&readings).ok_or(Error::NotSelected)?;
        self.refuse_on_trial(&readings)?;
        let other = readings.of(own.other());
        let slot = self
            .slot_of(other)
            .filter(|&slot| other.crc_ok && App::Ota(slot) != self.running)
            .ok_or(Error::NoRollbackTarget)?;
        let region = self.region(App::Ota(slot))?;
        self.records().retire(own.other())?;
        erase_checked(&mut self.flash, region.offset, region.offset + region.size)?;
        Ok(slot)
    }

    /// Gives the entry of the running image a new state.
    ///
    /// In place where another good entry is there to fall back to; in the other sector where this is the
    /// only good one.
    fn rewrite_own(
        &mut self,
        readings: &Readings,
        own: Sector,
        state: State,
    ) -> Result<(), EntryError<F::Error>> {
        let App::Ota(running) = self.running else { return Err(EntryError::NotSelected) };
        if readings.of(own.other()).is_sound() {
            return self.records().write(own, readings.of(own).seq, state);
        }
        let seq = self.next_seq(readings.of(own), running)?;
        self.records().write(own.other(), seq, state)?;
        self.records().retire(own)
    }

    /// While the running image is on trial, the other entry is what a failed trial returns to.
    fn refuse_on_trial(&self, readings: &Readings) -> Result<(), EntryError<F::Error>> {
        match self.own_sector(readings) {
            Some(own)
                if self.config.rollback && readings.of(own).state == State::PENDING_VERIFY =>
            {
                Err(EntryError::PendingVerify)
            }
            _ => Ok(()),
        }
    }

    fn records(&mut self) -> Records<'_, F> {
        Records::new(&mut self.flash, self.layout.otadata().offset)
    }

    fn read(&mut self) -> Result<Readings, EntryError<F::Error>> {
        self.records().read()
    }

    fn region(&self, app: App) -> Result<Region, Error<F::Error>> {
        self.layout.app(app).ok_or(Error::NoSuchPartition(app))
    }

    /// The partition that the next boot selects.
    fn chosen(&self, readings: &Readings) -> App {
        let active = readings.active().and_then(|sector| self.slot_of(readings.of(sector)));
        match active {
            Some(slot) => App::Ota(slot),
            None if self.layout.factory().is_some() => App::Factory,
            None => Slot::new(0).map_or(App::Factory, App::Ota),
        }
    }

    fn slot_of(&self, reading: &Reading) -> Option<Slot> {
        if reading.seq == SelectEntry::SEQ_BLANK {
            return None;
        }
        let index = otadata::slot_index(reading.seq, self.layout.slot_count().into())?;
        Slot::new(u8::try_from(index).ok()?)
    }

    fn selects(&self, reading: &Reading, slot: Slot) -> bool {
        self.slot_of(reading) == Some(slot)
    }

    /// The sector of the active entry, if it is sound and selects the running slot.
    fn own_sector(&self, readings: &Readings) -> Option<Sector> {
        let App::Ota(running) = self.running else { return None };
        let sector = readings.active()?;
        let reading = readings.of(sector);
        (reading.is_sound() && self.selects(reading, running)).then_some(sector)
    }

    /// A sequence number for `slot` above that of the entry which stays, also when that entry does not
    /// count now: should a cut bring it back, it loses.
    fn next_seq(&self, stays: &Reading, slot: Slot) -> Result<u32, EntryError<F::Error>> {
        let above = stays.crc_ok.then_some(stays.seq);
        otadata::next_seq(above, slot, self.layout.slot_count().into())
            .ok_or(EntryError::SequenceExhausted)
    }

    /// Whether a partition exists and holds an image that verifies.
    fn verifies(&mut self, app: App) -> Result<bool, EntryError<F::Error>> {
        match self.verify(app) {
            Ok(_) => Ok(true),
            Err(Error::Image(ImageError::Read(ReadError::Flash { source, .. }))) => {
                Err(EntryError::Flash(source))
            }
            Err(_) => Ok(false),
        }
    }
}
