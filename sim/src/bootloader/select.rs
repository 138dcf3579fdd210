//! Boot selection: which application otadata asks for, and the rewrites of select entries that come
//! with the choice.
//!
//! Source: ESP-IDF `bootloader_utility.c` (`bootloader_utility_get_selected_boot_partition`); before v3.1
//! `bootloader_start.c`.

use super::event::{Choice, Event, NoBoot, Rewrite, Why};
use super::image_check::ImageCheck;
use super::power_loss::PowerLoss;
use super::run::{Run, Step};
use embedded_storage::nor_flash::NorFlash;
use ota_core::otadata::{self, ENTRY_SIZE, MIN_PARTITION_SIZE, SECTOR_SIZE, SelectEntry, State};

impl<F, I, E> Run<'_, F, I, E>
where
    F: NorFlash<Error: PowerLoss>,
    I: ImageCheck<F>,
    E: FnMut(Event),
{
    /// One pass of boot selection.
    pub(super) fn select(&mut self) -> Step<Choice, F::Error> {
        let (choice, why) = self.choose()?;
        self.event(Event::Selected { choice, why });
        Ok(choice)
    }

    fn choose(&mut self) -> Step<(Choice, Why), F::Error> {
        if self.table.otadata.offset == 0 {
            // Where there is fallback, it comes to the test application by itself.
            let test = !self.config.falls_back() && self.table.factory.offset == 0;
            let choice = if test { Choice::Test } else { Choice::Factory };
            return Ok((choice, Why::NoOtadata));
        }
        let mut entries = self.read_entries()?;
        self.event(Event::Entries(entries));
        self.initial_contents = false;
        if !self.config.knows_states() {
            return self.choose_without_states(&entries);
        }
        if self.config.rollback {
            self.abort_unconfirmed(&mut entries)?;
        }

        let slots = self.table.app_count();
        let initial = entries.iter().all(SelectEntry::is_blank_or_bad_crc);
        if self.config.anti_rollback.is_some() {
            if initial {
                self.initial_contents = true;
                return Ok((Choice::Factory, Why::InitialContents));
            }
        } else if slots == 0 || entries.iter().all(SelectEntry::is_invalid) {
            let why = if slots == 0 { Why::NoSlots } else { Why::BothInvalid };
            if self.table.factory.offset != 0 {
                return Ok((Choice::Factory, why));
            }
            self.initial_contents = initial;
            return Ok((Choice::Slot(0), why));
        }

        let Some(active) = self.active(&entries)? else {
            return Ok((Choice::Factory, Why::NoneActive));
        };
        let choice = self.slot_of(&entries[active])?;
        if self.config.rollback && entries[active].state == State::NEW {
            entries[active].state = State::PENDING_VERIFY;
            self.write_entry(active, &entries[active], Rewrite::Trial)?;
        }
        if self.config.anti_rollback.is_some() && entries[active].state == State::VALID {
            self.raise_secure_version(choice);
        }
        Ok((choice, Why::Active { sector: active as u8 }))
    }

    /// The choice where entries have no state, and the number of slots is not looked at first.
    fn choose_without_states(
        &mut self,
        entries: &[SelectEntry; 2],
    ) -> Step<(Choice, Why), F::Error> {
        let stateless = entries.map(|entry| SelectEntry { state: State::UNDEFINED, ..entry });
        if stateless.iter().all(SelectEntry::is_invalid) {
            if self.table.factory.offset != 0 {
                return Ok((Choice::Factory, Why::BothInvalid));
            }
            if self.config.writes_both_entries_first() {
                self.write_both_entries(entries)?;
            }
            return Ok((Choice::Slot(0), Why::BothInvalid));
        }
        match otadata::active(&stateless) {
            Some(active) => {
                let choice = self.slot_of(&stateless[active])?;
                Ok((choice, Why::Active { sector: active as u8 }))
            }
            None => Ok((Choice::Factory, Why::NoneActive)),
        }
    }

    fn read_entries(&mut self) -> Step<[SelectEntry; 2], F::Error> {
        if self.table.otadata.size < MIN_PARTITION_SIZE {
            return Err(NoBoot::OtadataTooSmall.into());
        }
        let mut entries = [SelectEntry::BLANK; 2];
        for (sector, entry) in entries.iter_mut().enumerate() {
            let mut bytes = [0; ENTRY_SIZE];
            let read = self.flash.read(self.entry_offset(sector), &mut bytes);
            self.unless_power_lost(read)?.ok_or(NoBoot::OtadataUnreadable)?;
            *entry = SelectEntry::parse(&bytes);
        }
        Ok(entries)
    }

    /// An image that was on trial and did not confirm itself loses its entry. The CRC is not looked
    /// at: a broken entry in this state is rewritten too, and stays broken.
    fn abort_unconfirmed(&mut self, entries: &mut [SelectEntry; 2]) -> Step<(), F::Error> {
        for (sector, entry) in entries.iter_mut().enumerate() {
            if entry.state == State::PENDING_VERIFY {
                entry.state = State::ABORTED;
                self.write_entry(sector, entry, Rewrite::Abort)?;
            }
        }
        Ok(())
    }

    /// The active entry. With anti-rollback, entries whose image is too old do not take part.
    fn active(&mut self, entries: &[SelectEntry; 2]) -> Step<Option<usize>, F::Error> {
        let mut candidates = *entries;
        if self.config.anti_rollback.is_some() {
            for entry in candidates.iter_mut().filter(|entry| entry.is_valid()) {
                let choice = self.slot_of(entry)?;
                if !self.is_new_enough(choice) {
                    *entry = SelectEntry::BLANK;
                }
            }
        }
        Ok(otadata::active(&candidates))
    }

    fn slot_of(&self, entry: &SelectEntry) -> Step<Choice, F::Error> {
        let slot = entry.slot_index(self.table.app_count()).ok_or(NoBoot::NoSlots)?;
        Ok(Choice::Slot(slot))
    }

    /// The first entry of a device that has none, once the image in `slot` has loaded.
    pub(super) fn write_initial_entry(&mut self, slot: u32) -> Step<(), F::Error> {
        let entry = SelectEntry::new(slot + 1, State::VALID);
        self.write_entry(0, &entry, Rewrite::Initial)
    }

    /// The first entries of a device that has none, as v2.1 writes them: it erases both sectors before it
    /// programs one, keeps the label, and stops at an error.
    fn write_both_entries(&mut self, entries: &[SelectEntry; 2]) -> Step<(), F::Error> {
        let with_seq =
            |entry: &SelectEntry, seq| SelectEntry { seq, crc: otadata::seq_crc(seq), ..*entry };
        let entries = [with_seq(&entries[0], 1), with_seq(&entries[1], 0)];
        for (sector, entry) in (0..).zip(entries) {
            self.event(Event::Write { sector, entry, rewrite: Rewrite::Initial });
        }
        let mut failed = false;
        for sector in 0..2 {
            let start = self.entry_offset(sector) / SECTOR_SIZE * SECTOR_SIZE;
            let erased = self.flash.erase(start, start.wrapping_add(SECTOR_SIZE));
            failed |= self.unless_power_lost(erased)?.is_none();
        }
        if failed {
            return Err(NoBoot::OtadataNotWritten.into());
        }
        for (sector, entry) in entries.iter().enumerate() {
            let written = self.flash.write(self.entry_offset(sector), &entry.emit());
            failed |= self.unless_power_lost(written)?.is_none();
        }
        if failed { Err(NoBoot::OtadataNotWritten.into()) } else { Ok(()) }
    }

    fn entry_offset(&self, sector: usize) -> u32 {
        self.table.otadata.offset.wrapping_add(sector as u32 * SECTOR_SIZE)
    }

    /// Erases the sector that contains the entry and programs the entry, at an address that need not
    /// be the start of the sector. No read-back, no retry; an error is logged and forgotten.
    fn write_entry(
        &mut self,
        sector: usize,
        entry: &SelectEntry,
        rewrite: Rewrite,
    ) -> Step<(), F::Error> {
        self.event(Event::Write { sector: sector as u8, entry: *entry, rewrite });
        let at = self.entry_offset(sector);
        let start = at / SECTOR_SIZE * SECTOR_SIZE;
        let written = self
            .flash
            .erase(start, start.wrapping_add(SECTOR_SIZE))
            .and_then(|()| self.flash.write(at, &entry.emit()));
        if self.unless_power_lost(written)?.is_none() {
            self.event(Event::WriteFailed);
        }
        Ok(())
    }
}
