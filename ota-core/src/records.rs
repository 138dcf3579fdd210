//! How select entries are read from and written to flash so that no cut can make them lie.
//!
//! Two facts make a plain erase-and-program unsafe: the CRC does not cover the state, and a torn
//! erase can turn a rejected entry into a bootable one. Therefore
//! - an entry is **retired** by programming its CRC word to zero before the erase starts. That one
//!   word decides: before, the entry is what it was; after, nothing can make it count again.
//! - an entry is **written** with its CRC word last, when the rest has been read back. That one word
//!   decides again: until it is complete there is no entry, and then its state is already whole.

use crate::error::Error;
use crate::otadata::{CRC_OFFSET, ENTRY_SIZE, SECTOR_SIZE, SelectEntry};
use embedded_storage::nor_flash::MultiwriteNorFlash;

/// How often an erase or a program is tried before the sector counts as broken.
pub(crate) const ATTEMPTS: usize = 3;

/// A select entry as two reads saw it.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) entry: SelectEntry,
    /// Both reads agreed. A cell that an interrupted operation left half-way may not.
    pub(crate) stable: bool,
}

impl Reading {
    /// An entry that the bootloader may choose now and at every later boot.
    pub(crate) fn is_sound(&self) -> bool {
        self.stable && self.entry.is_valid()
    }

    /// What an interrupted operation left behind.
    pub(crate) fn is_torn(&self) -> bool {
        !self.stable || (self.entry != SelectEntry::BLANK && !self.entry.crc_ok())
    }
}

/// The two select entries at a place on flash.
#[derive(Clone, Copy)]
pub(crate) struct Records {
    offset: u32,
}

impl Records {
    /// The entries of the otadata partition at `offset`, which must be sector aligned.
    pub(crate) fn new(offset: u32) -> Self {
        Self { offset }
    }

    fn address(self, index: usize) -> u32 {
        self.offset + if index == 0 { 0 } else { SECTOR_SIZE }
    }

    /// Reads both entries, each twice.
    pub(crate) fn read<F: MultiwriteNorFlash>(
        self,
        flash: &mut F,
    ) -> Result<[Reading; 2], Error<F::Error>> {
        Ok([self.read_one(flash, 0)?, self.read_one(flash, 1)?])
    }

    fn read_one<F: MultiwriteNorFlash>(
        self,
        flash: &mut F,
        index: usize,
    ) -> Result<Reading, Error<F::Error>> {
        let mut first = [0; ENTRY_SIZE];
        let mut second = [0; ENTRY_SIZE];
        flash.read(self.address(index), &mut first).map_err(Error::Flash)?;
        flash.read(self.address(index), &mut second).map_err(Error::Flash)?;
        Ok(Reading { entry: SelectEntry::parse(&first), stable: first == second })
    }

    /// Makes an entry stop to count, for good, and erases its sector.
    pub(crate) fn retire<F: MultiwriteNorFlash>(
        self,
        flash: &mut F,
        index: usize,
    ) -> Result<(), Error<F::Error>> {
        let at = self.address(index);
        let reading = self.read_one(flash, index)?;
        if !reading.stable || reading.entry.crc_ok() {
            flash.write(at + CRC_OFFSET as u32, &[0; 4]).map_err(Error::Flash)?;
        }
        erase_checked(flash, at, at + SECTOR_SIZE)
    }

    /// Replaces whatever stands in a sector by `entry`.
    pub(crate) fn write<F: MultiwriteNorFlash>(
        self,
        flash: &mut F,
        index: usize,
        entry: &SelectEntry,
    ) -> Result<(), Error<F::Error>> {
        let at = self.address(index);
        let bytes = entry.emit();
        let (body, crc) = bytes.split_at(CRC_OFFSET);
        for _ in 0..ATTEMPTS {
            self.retire(flash, index)?;
            flash.write(at, body).map_err(Error::Flash)?;
            let reading = self.read_one(flash, index)?;
            if !reading.stable || reading.entry != (SelectEntry { crc: u32::MAX, ..*entry }) {
                continue;
            }
            flash.write(at + CRC_OFFSET as u32, crc).map_err(Error::Flash)?;
            let reading = self.read_one(flash, index)?;
            if reading.stable && reading.entry == *entry {
                return Ok(());
            }
        }
        Err(Error::WriteFailed { offset: at })
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
) -> Result<(), Error<F::Error>> {
    flash.erase(from, to).map_err(Error::Flash)?;
    let mut at = from;
    while at < to {
        let mut attempts = 1;
        while !is_blank(flash, at)? {
            if attempts == ATTEMPTS {
                return Err(Error::EraseFailed { offset: at });
            }
            flash.erase(at, at + SECTOR_SIZE).map_err(Error::Flash)?;
            attempts += 1;
        }
        at += SECTOR_SIZE;
    }
    Ok(())
}

fn is_blank<F: MultiwriteNorFlash>(flash: &mut F, sector: u32) -> Result<bool, Error<F::Error>> {
    let mut chunk = [0; 256];
    for at in (sector..sector + SECTOR_SIZE).step_by(chunk.len()) {
        flash.read(at, &mut chunk).map_err(Error::Flash)?;
        if chunk.iter().any(|&byte| byte != 0xFF) {
            return Ok(false);
        }
    }
    Ok(true)
}
