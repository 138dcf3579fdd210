//! How select entries are read from and written to flash so that no cut can make them lie.
//!
//! Two facts make a plain erase-and-program unsafe: the CRC does not cover the state, and a torn
//! erase can turn a rejected entry into a bootable one. Therefore
//! - an entry is **retired** by programming its CRC word to zero before the erase starts. That one
//!   word decides: before, the entry is what it was; after, nothing can make it count again.
//! - an entry is **written** with its CRC word last, when the rest has been read back. That one word
//!   decides again: until it is complete there is no entry, and then its state is already whole.

use crate::error::EntryError;
use crate::otadata::{self, CRC_OFFSET, ENTRY_SIZE, SECTOR_SIZE, Sector, SelectEntry, State};
use embedded_storage::nor_flash::MultiwriteNorFlash;

/// How often an erase or a program is tried before the sector counts as broken.
pub(crate) const ATTEMPTS: usize = 3;

/// What two reads of a select entry say about it. Where they differ, this is the first one's.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) seq: u32,
    pub(crate) state: State,
    pub(crate) crc_ok: bool,
    /// The bootloader may choose it now.
    pub(crate) valid: bool,
    /// Every bit is as an erase leaves it.
    pub(crate) blank: bool,
    /// Both reads agreed. A cell that an interrupted operation left half-way may not.
    stable: bool,
}

impl Reading {
    /// An entry that the bootloader may choose now and at every later boot.
    pub(crate) fn is_sound(&self) -> bool {
        self.stable && self.valid
    }

    /// What an interrupted operation left behind.
    pub(crate) fn is_torn(&self) -> bool {
        !self.stable || !(self.blank || self.crc_ok)
    }
}

/// Both select entries.
#[derive(Clone, Copy)]
pub(crate) struct Readings {
    first: Reading,
    second: Reading,
}

impl Readings {
    pub(crate) fn of(&self, sector: Sector) -> &Reading {
        match sector {
            Sector::First => &self.first,
            Sector::Second => &self.second,
        }
    }

    pub(crate) fn both(&self) -> [&Reading; 2] {
        [&self.first, &self.second]
    }

    /// The sector of the entry that the next boot chooses.
    pub(crate) fn active(&self) -> Option<Sector> {
        let [first, second] = self.both().map(|reading| reading.valid.then_some(reading.seq));
        otadata::newer(first, second)
    }
}

/// The select entries of the otadata partition that starts at a sector of the flash.
pub(crate) struct Records<'a, F> {
    flash: &'a mut F,
    offset: u32,
}

impl<'a, F: MultiwriteNorFlash> Records<'a, F> {
    pub(crate) fn new(flash: &'a mut F, offset: u32) -> Self {
        Self { flash, offset }
    }

    /// Reads both entries, each twice.
    pub(crate) fn read(&mut self) -> Result<Readings, EntryError<F::Error>> {
        Ok(Readings { first: self.reading(Sector::First)?, second: self.reading(Sector::Second)? })
    }

    fn reading(&mut self, sector: Sector) -> Result<Reading, EntryError<F::Error>> {
        let (entry, stable) = self.read_twice(sector)?;
        Ok(Reading {
            seq: entry.seq,
            state: entry.state,
            crc_ok: entry.crc_ok(),
            valid: entry.is_valid(),
            blank: entry == SelectEntry::BLANK,
            stable,
        })
    }

    /// The entry as the first of two reads sees it, and whether the second agrees.
    pub(crate) fn read_twice(
        &mut self,
        sector: Sector,
    ) -> Result<(SelectEntry, bool), EntryError<F::Error>> {
        let mut first = [0; ENTRY_SIZE];
        let mut second = [0; ENTRY_SIZE];
        let at = self.offset + sector.offset();
        self.flash.read(at, &mut first).map_err(EntryError::Flash)?;
        self.flash.read(at, &mut second).map_err(EntryError::Flash)?;
        Ok((SelectEntry::parse(&first), first == second))
    }

    /// Makes an entry stop to count, for good, and erases its sector.
    pub(crate) fn retire(&mut self, sector: Sector) -> Result<(), EntryError<F::Error>> {
        let at = self.offset + sector.offset();
        let (entry, stable) = self.read_twice(sector)?;
        if !stable || entry.crc_ok() {
            self.program(at + CRC_OFFSET as u32, &[0; 4])?;
        }
        erase_checked(self.flash, at, at + SECTOR_SIZE)
    }

    /// Replaces whatever stands in a sector by an entry.
    pub(crate) fn write(
        &mut self,
        sector: Sector,
        seq: u32,
        state: State,
    ) -> Result<(), EntryError<F::Error>> {
        let at = self.offset + sector.offset();
        let entry = SelectEntry::new(seq, state);
        let without_crc = SelectEntry { crc: u32::MAX, ..entry };
        let bytes = entry.emit();
        let (body, crc) = bytes.split_at(CRC_OFFSET);
        for _ in 0..ATTEMPTS {
            self.retire(sector)?;
            self.program(at, body)?;
            if self.read_twice(sector)? != (without_crc, true) {
                continue;
            }
            self.program(at + CRC_OFFSET as u32, crc)?;
            if self.read_twice(sector)? == (entry, true) {
                return Ok(());
            }
        }
        Err(EntryError::WriteFailed { offset: at })
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), EntryError<F::Error>> {
        self.flash.write(at, bytes).map_err(EntryError::Flash)
    }
}

/// Erases `from..to` (sector aligned) and reads it back; a sector that is not blank is tried again.
///
/// ESP-IDF's documentation of NVS ("Unstable power conditions") reports erases that did not complete
/// without any error.
pub(crate) fn erase_checked<F: MultiwriteNorFlash>(
    flash: &mut F,
    from: u32,
    to: u32,
) -> Result<(), EntryError<F::Error>> {
    flash.erase(from, to).map_err(EntryError::Flash)?;
    let mut at = from;
    while at < to {
        let mut attempts = 1;
        while !is_blank(flash, at)? {
            if attempts == ATTEMPTS {
                return Err(EntryError::EraseFailed { offset: at });
            }
            flash.erase(at, at + SECTOR_SIZE).map_err(EntryError::Flash)?;
            attempts += 1;
        }
        at += SECTOR_SIZE;
    }
    Ok(())
}

fn is_blank<F: MultiwriteNorFlash>(
    flash: &mut F,
    sector: u32,
) -> Result<bool, EntryError<F::Error>> {
    let mut chunk = [0; 256];
    for at in (sector..sector + SECTOR_SIZE).step_by(chunk.len()) {
        flash.read(at, &mut chunk).map_err(EntryError::Flash)?;
        if chunk.iter().any(|&byte| byte != 0xFF) {
            return Ok(false);
        }
    }
    Ok(true)
}
