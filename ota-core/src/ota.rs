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

use crate::error::Error;
use crate::image::{self, AppDescriptor, ImageError, ImageInfo, Requirements};
use crate::otadata::{self, SelectEntry, State};
use crate::partition::{App, Region, Slot};
use crate::read::ReadError;
use crate::records::{Reading, Records, erase_checked};
use crate::session::{Extent, Session};
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

/// What [`Ota::recover`] found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Number of select entries that were retired or rewritten.
    pub repaired: u8,
    /// The next boot selects another image than the one that is running: the running one was a
    /// fallback, and a restart returns to the last good one.
    pub restart_advised: bool,
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

    /// The partitions that updates deal with.
    pub fn layout(&self) -> &AppLayout {
        &self.layout
    }

    /// The partition from which the application runs (`esp_ota_get_running_partition`).
    pub fn running(&self) -> App {
        self.running
    }

    /// Both select entries as they stand on flash.
    pub fn select_entries(&mut self) -> Result<[SelectEntry; 2], Error<F::Error>> {
        Ok(self.read()?.map(|reading| reading.entry))
    }

    /// The partition that the next boot selects (`esp_ota_get_boot_partition`).
    pub fn boot_app(&mut self) -> Result<App, Error<F::Error>> {
        let entries = self.select_entries()?;
        Ok(match otadata::active(&entries) {
            Some(index) => self.slot_of(&entries[index]).map_or(self.default_app(), App::Ota),
            None => self.default_app(),
        })
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
    pub fn state(&mut self, slot: Slot) -> Result<Option<State>, Error<F::Error>> {
        let entries = self.select_entries()?;
        let found =
            entries.iter().find(|entry| entry.crc_ok() && self.slot_of(entry) == Some(slot));
        Ok(found.map(|entry| entry.state))
    }

    /// The slot whose image was rejected last, if it still verifies
    /// (`esp_ota_get_last_invalid_partition`).
    pub fn last_invalid(&mut self) -> Result<Option<Slot>, Error<F::Error>> {
        let rejected = self
            .select_entries()?
            .into_iter()
            .filter(|entry| entry.crc_ok() && !entry.state.is_bootable())
            .max_by_key(|entry| entry.seq);
        let Some(slot) = rejected.and_then(|entry| self.slot_of(&entry)) else {
            return Ok(None);
        };
        Ok(self.verifies(App::Ota(slot))?.then_some(slot))
    }

    /// The image to which [`reject`](Self::reject) would return
    /// (`esp_ota_check_rollback_is_possible`); `None` when there is none.
    pub fn rollback_target(&mut self) -> Result<Option<App>, Error<F::Error>> {
        let readings = self.read()?;
        let Some(own) = self.own_record(&readings) else { return Ok(None) };
        let other = readings[1 - own];
        let target = match self.slot_of(&other.entry) {
            Some(slot) if other.is_sound() && App::Ota(slot) != self.running => App::Ota(slot),
            _ => App::Factory,
        };
        let exists = self.layout.app(target).is_some();
        Ok((exists && self.verifies(target)?).then_some(target))
    }

    /// Description of the image in a partition (`esp_ota_get_partition_description`).
    pub fn describe(&mut self, app: App) -> Result<AppDescriptor, Error<F::Error>> {
        let region = self.region(app)?;
        Ok(image::describe(&mut self.flash, region)?)
    }

    /// Clears what an interrupted boot or update left behind. Call it once at every start, before
    /// anything else.
    ///
    /// It writes only when something is wrong: an entry that is torn or reads differently from read to
    /// read, an active entry that is not that of the running image (the bootloader fell back), a
    /// running slot without an entry, a state that nobody writes. It never confirms anything.
    ///
    /// # Errors
    /// Flash errors, and [`Error::SequenceExhausted`].
    pub fn recover(&mut self) -> Result<Recovery, Error<F::Error>> {
        let repaired = match self.running {
            App::Ota(slot) => self.recover_slot(slot)?,
            App::Factory => self.recover_factory()?,
            // A test application is booted by a pin, whatever otadata says.
            App::Test => 0,
        };
        let restart_advised = self.running != App::Test && self.boot_app()? != self.running;
        Ok(Recovery { repaired, restart_advised })
    }

    fn recover_slot(&mut self, running: Slot) -> Result<u8, Error<F::Error>> {
        let mut repaired = 0;
        let mut readings = self.read()?;
        if self.own_record(&readings).is_none() {
            let own =
                (0..2).find(|&i| readings[i].is_sound() && self.selects(&readings[i], running));
            let own = match own {
                Some(own) => own,
                None => {
                    // Without an entry of its own, the running image depends on the order in which
                    // the bootloader tries the slots.
                    let unused = usize::from(readings[0].is_sound());
                    let seq = self.next_seq(&readings[1 - unused].entry, running)?;
                    let entry = SelectEntry::new(seq, State::UNDEFINED);
                    self.records().write(&mut self.flash, unused, &entry)?;
                    repaired += 1;
                    unused
                }
            };
            if readings[1 - own].entry.is_valid() || readings[1 - own].is_torn() {
                self.records().retire(&mut self.flash, 1 - own)?;
                repaired += 1;
            }
            readings = self.read()?;
        }
        let Some(own) = self.own_record(&readings) else { return Err(Error::NotSelected) };
        let other = &readings[1 - own];
        let same_choice = other.entry.is_valid() && self.selects(other, running);
        if other.is_torn() || same_choice {
            self.records().retire(&mut self.flash, 1 - own)?;
            repaired += 1;
        }
        // A trial that the bootloader did not record as begun would never end.
        let state = readings[own].entry.state;
        if self.config.rollback && (state == State::NEW || state.is_odd()) {
            self.rewrite_own(&readings, own, State::PENDING_VERIFY)?;
            repaired += 1;
        }
        Ok(repaired)
    }

    fn recover_factory(&mut self) -> Result<u8, Error<F::Error>> {
        let mut repaired = 0;
        for index in 0..2 {
            if self.read()?[index].is_torn() {
                self.records().retire(&mut self.flash, index)?;
                repaired += 1;
            }
        }
        // The bootloader reaches factory past an active entry only when its image does not load (or
        // a pin made it); such an entry would be tried again at every boot.
        while let Some(index) = otadata::active(&self.select_entries()?) {
            let entry = self.select_entries()?[index];
            let bootable = match self.slot_of(&entry) {
                Some(slot) => self.verifies(App::Ota(slot))?,
                None => false,
            };
            if bootable {
                break;
            }
            self.records().retire(&mut self.flash, index)?;
            repaired += 1;
        }
        Ok(repaired)
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
        let own = self.own_record(&readings).ok_or(Error::NotSelected)?;
        let state = readings[own].entry.state;
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
        let own = self.own_record(&readings).ok_or(Error::NotSelected)?;
        let target = self.rollback_target()?.ok_or(Error::NoRollbackTarget)?;
        if self.config.rollback && readings[own].entry.state == State::PENDING_VERIFY {
            return Ok(target);
        }
        if let App::Ota(slot) = target {
            // First raise the previous image above this one: it is chosen from that word on, whatever
            // becomes of the rewrite below.
            let entry = SelectEntry::new(self.next_seq(&readings[own].entry, slot)?, State::VALID);
            self.records().write(&mut self.flash, 1 - own, &entry)?;
        }
        let rejected =
            SelectEntry { label: [0xFF; 20], state: State::INVALID, ..readings[own].entry };
        self.records().write(&mut self.flash, own, &rejected)?;
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
        for (index, reading) in readings.iter().enumerate() {
            if reading.entry.crc_ok() && self.selects(reading, slot) {
                self.records().retire(&mut self.flash, index)?;
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
        let info = image::verify(&mut self.flash, region, &self.config.requirements)?;
        Ok(Verified { ota: self, app, info })
    }

    /// Erases the image that ran before this one, and its entry first
    /// (`esp_ota_erase_last_boot_app_partition`).
    ///
    /// # Errors
    /// [`Error::NoRollbackTarget`] when no entry selects another slot than the running one.
    pub fn erase_last_boot_app(&mut self) -> Result<Slot, Error<F::Error>> {
        let readings = self.read()?;
        let own = self.own_record(&readings).ok_or(Error::NotSelected)?;
        self.refuse_on_trial(&readings)?;
        let other = &readings[1 - own].entry;
        let slot = self
            .slot_of(other)
            .filter(|&slot| other.crc_ok() && App::Ota(slot) != self.running)
            .ok_or(Error::NoRollbackTarget)?;
        let region = self.region(App::Ota(slot))?;
        self.records().retire(&mut self.flash, 1 - own)?;
        erase_checked(&mut self.flash, region.offset, region.offset + region.size)?;
        Ok(slot)
    }

    /// Gives the entry of the running image a new state.
    ///
    /// In place where another good entry (or none, with factory as the image behind it) is what a cut
    /// should fall back to; in the other sector where this is the only good one.
    fn rewrite_own(
        &mut self,
        readings: &[Reading; 2],
        own: usize,
        state: State,
    ) -> Result<(), Error<F::Error>> {
        let App::Ota(running) = self.running else { return Err(Error::NotSelected) };
        let records = self.records();
        if readings[1 - own].is_sound() {
            let entry = SelectEntry::new(readings[own].entry.seq, state);
            return records.write(&mut self.flash, own, &entry);
        }
        let entry = SelectEntry::new(self.next_seq(&readings[own].entry, running)?, state);
        records.write(&mut self.flash, 1 - own, &entry)?;
        records.retire(&mut self.flash, own)
    }

    /// Makes the next boot select `target`, which was verified.
    fn select(&mut self, target: App) -> Result<(), Error<F::Error>> {
        if self.running == App::Test {
            return Err(Error::NotSelected);
        }
        self.recover()?;
        match target {
            App::Test => Err(Error::NotAnOtaSlot(App::Test)),
            App::Factory => self.deselect_slots(),
            App::Ota(_) if target == self.running => self.select_running(),
            App::Ota(slot) => self.select_slot(slot),
        }
    }

    /// Retires both entries, the active one last: it decides alone whether a slot or factory boots.
    fn deselect_slots(&mut self) -> Result<(), Error<F::Error>> {
        let first = 1 - otadata::active(&self.select_entries()?).unwrap_or(1);
        for index in [first, 1 - first] {
            if self.read()?[index].entry != SelectEntry::BLANK {
                self.records().retire(&mut self.flash, index)?;
            }
        }
        Ok(())
    }

    fn select_running(&mut self) -> Result<(), Error<F::Error>> {
        let readings = self.read()?;
        match self.own_record(&readings) {
            Some(_) => Ok(()),
            None => Err(Error::NotSelected),
        }
    }

    fn select_slot(&mut self, slot: Slot) -> Result<(), Error<F::Error>> {
        let state = if self.config.rollback { State::NEW } else { State::UNDEFINED };
        if self.running == App::Factory {
            // No entry speaks for factory: it is what remains when there is none.
            self.deselect_slots()?;
        }
        let readings = self.read()?;
        self.refuse_on_trial(&readings)?;
        let index = match self.own_record(&readings) {
            Some(own) => 1 - own,
            None => 0,
        };
        let entry = SelectEntry::new(self.next_seq(&readings[1 - index].entry, slot)?, state);
        self.records().write(&mut self.flash, index, &entry)
    }

    /// While the running image is on trial, the other entry is what a failed trial returns to.
    fn refuse_on_trial(&self, readings: &[Reading; 2]) -> Result<(), Error<F::Error>> {
        match self.own_record(readings) {
            Some(own)
                if self.config.rollback && readings[own].entry.state == State::PENDING_VERIFY =>
            {
                Err(Error::PendingVerify)
            }
            _ => Ok(()),
        }
    }

    fn records(&self) -> Records {
        Records::new(self.layout.otadata().offset)
    }

    fn read(&mut self) -> Result<[Reading; 2], Error<F::Error>> {
        self.records().read(&mut self.flash)
    }

    fn region(&self, app: App) -> Result<Region, Error<F::Error>> {
        self.layout.app(app).ok_or(Error::NoSuchPartition(app))
    }

    fn default_app(&self) -> App {
        if self.layout.app(App::Factory).is_some() {
            App::Factory
        } else {
            Slot::new(0).map_or(App::Factory, App::Ota)
        }
    }

    fn slot_of(&self, entry: &SelectEntry) -> Option<Slot> {
        if entry.seq == SelectEntry::SEQ_BLANK {
            return None;
        }
        let index = entry.slot_index(self.layout.slot_count().into())?;
        Slot::new(u8::try_from(index).ok()?)
    }

    fn selects(&self, reading: &Reading, slot: Slot) -> bool {
        self.slot_of(&reading.entry) == Some(slot)
    }

    /// Index of the active entry, if it is sound and selects the running slot.
    fn own_record(&self, readings: &[Reading; 2]) -> Option<usize> {
        let App::Ota(running) = self.running else { return None };
        let index = otadata::active(&[readings[0].entry, readings[1].entry])?;
        (readings[index].is_sound() && self.selects(&readings[index], running)).then_some(index)
    }

    /// A sequence number for `slot` above that of the entry which stays, also when that entry does not
    /// count now: should a cut bring it back, it loses.
    fn next_seq(&self, stays: &SelectEntry, slot: Slot) -> Result<u32, Error<F::Error>> {
        let above = stays.crc_ok().then_some(stays.seq);
        otadata::next_seq(above, slot, self.layout.slot_count().into())
            .ok_or(Error::SequenceExhausted)
    }

    fn verifies(&mut self, app: App) -> Result<bool, Error<F::Error>> {
        match self.verify(app) {
            Ok(_) => Ok(true),
            Err(error @ Error::Image(ImageError::Read(ReadError::Flash { .. }))) => Err(error),
            Err(Error::Image(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// An image that verified a moment ago. It borrows the flash, so nothing can change in between.
#[derive(Debug)]
pub struct Verified<'a, F> {
    ota: &'a mut Ota<F>,
    app: App,
    info: ImageInfo,
}

impl<F: MultiwriteNorFlash> Verified<'_, F> {
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
    /// [`Error::SecureVersionTooLow`], [`Error::SequenceExhausted`], flash errors. After an error
    /// the next boot selects what it would have selected before.
    pub fn select(self) -> Result<(), Error<F::Error>> {
        let found = self.info.secure_version.unwrap_or(0);
        let required = self.ota.config.min_secure_version;
        if found < required {
            return Err(Error::SecureVersionTooLow { found, required });
        }
        self.ota.select(self.app)
    }
}
