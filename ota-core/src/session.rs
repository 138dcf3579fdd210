//! Writing a new image to a slot.

use crate::error::Error;
use crate::image;
use crate::ota::{Ota, Verified};
use crate::otadata::SECTOR_SIZE;
use crate::partition::{App, Region, Slot};
use crate::records::erase_checked;
use embedded_storage::nor_flash::MultiwriteNorFlash;

/// How much of the slot a session erases, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The image has this many bytes: as many sectors are erased at the start.
    Known(u32),
    /// The size is unknown: the whole slot is erased at the start (`OTA_SIZE_UNKNOWN`).
    Unknown,
    /// Each sector is erased when the first byte for it arrives (`OTA_WITH_SEQUENTIAL_WRITES`).
    Sequential,
}

impl Extent {
    /// Bytes that must fit the slot for certain.
    pub(crate) fn size(self) -> u32 {
        match self {
            Self::Known(size) => size,
            Self::Unknown | Self::Sequential => 0,
        }
    }
}

/// Flash writes are at least this well aligned; the bytes of an unfinished unit wait in memory.
const UNIT: usize = 4;

/// An open slot. Dropping it abandons the update and leaves boot selection as it was.
#[derive(Debug)]
pub struct Session<'a, F> {
    ota: &'a mut Ota<F>,
    at: Paused,
}

/// A session without its flash, for code that cannot keep a borrow from one packet of a download to
/// the next. It does nothing by itself; see [`Ota::unpause`].
#[derive(Clone, Copy, Debug, Hash)]
pub struct Paused {
    slot: Slot,
    region: Region,
    /// Everything below this offset of the slot is erased or written, and nothing else is.
    erased: u32,
    /// Offset of the next byte, including those in `tail`.
    position: u32,
    tail: [u8; UNIT],
    tail_len: usize,
    sequential: bool,
    /// End of the furthest byte written.
    written: u32,
}

impl Paused {
    /// The slot that is being written.
    pub fn slot(&self) -> Slot {
        self.slot
    }
}

impl<'a, F: MultiwriteNorFlash> Session<'a, F> {
    pub(crate) fn begin(
        ota: &'a mut Ota<F>,
        slot: Slot,
        region: Region,
        extent: Extent,
    ) -> Result<Self, Error<F::Error>> {
        let erased = match extent {
            Extent::Known(size) => size.next_multiple_of(SECTOR_SIZE).min(region.size),
            Extent::Unknown => region.size,
            Extent::Sequential => 0,
        };
        erase_checked(&mut ota.flash, region.offset, region.offset + erased)?;
        let mut session = Self::at(ota, slot, region, 0, erased);
        session.at.sequential = extent == Extent::Sequential;
        Ok(session)
    }

    pub(crate) fn resume(ota: &'a mut Ota<F>, slot: Slot, region: Region, written: u32) -> Self {
        let start = written - written % SECTOR_SIZE;
        Self::at(ota, slot, region, start, start)
    }

    fn at(ota: &'a mut Ota<F>, slot: Slot, region: Region, position: u32, erased: u32) -> Self {
        let at = Paused {
            slot,
            region,
            erased,
            position,
            tail: [0xFF; UNIT],
            tail_len: 0,
            sequential: true,
            written: position,
        };
        Self { ota, at }
    }

    pub(crate) fn unpause(ota: &'a mut Ota<F>, at: Paused) -> Self {
        Self { ota, at }
    }

    /// Gives the flash back until [`Ota::unpause`].
    pub fn pause(self) -> Paused {
        self.at
    }

    /// Offset in the slot at which [`write`](Self::write) goes on, in bytes.
    pub fn position(&self) -> u32 {
        self.at.position
    }

    /// The slot that is being written.
    pub fn slot(&self) -> Slot {
        self.at.slot
    }

    /// Appends data of any length (`esp_ota_write`).
    ///
    /// After an error the bytes count as not written; the session can only be dropped.
    ///
    /// # Errors
    /// [`Error::NotAnImage`] for a wrong first byte, [`Error::TooLarge`] past the end of the slot,
    /// flash errors.
    pub fn write(&mut self, mut data: &[u8]) -> Result<(), Error<F::Error>> {
        self.check_room(self.at.position, data.len())?;
        self.check_first_byte(self.at.position, data)?;
        while self.at.tail_len > 0 && !data.is_empty() {
            let (byte, rest) = data.split_at(1);
            self.push_tail(byte)?;
            data = rest;
        }
        let (units, rest) = data.split_at(data.len() - data.len() % UNIT);
        self.program(self.at.position, units)?;
        self.at.position += units.len() as u32;
        self.push_tail(rest)
    }

    fn push_tail(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        for &byte in bytes {
            if let Some(place) = self.at.tail.get_mut(self.at.tail_len) {
                *place = byte;
            }
            self.at.tail_len += 1;
            self.at.position += 1;
            if self.at.tail_len == UNIT {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Programs the unfinished unit, filled up with 0xFF.
    fn flush(&mut self) -> Result<(), Error<F::Error>> {
        if self.at.tail_len > 0 {
            let start = self.at.position - self.at.tail_len as u32;
            let unit = core::mem::replace(&mut self.at.tail, [0xFF; UNIT]);
            self.at.tail_len = 0;
            self.program(start, &unit)?;
        }
        Ok(())
    }

    /// Writes data at an offset of the slot (`esp_ota_write_with_offset`), in a session that erased
    /// its extent at the start. No byte may be written twice.
    ///
    /// # Errors
    /// [`Error::NotAligned`] unless offset and length are multiples of 4 and the place was erased at
    /// the start; otherwise as [`write`](Self::write).
    pub fn write_at(&mut self, offset: u32, data: &[u8]) -> Result<(), Error<F::Error>> {
        let end = self.check_room(offset, data.len())?;
        let aligned = offset.is_multiple_of(UNIT as u32) && data.len().is_multiple_of(UNIT);
        if !aligned || self.at.sequential || end > self.at.erased {
            return Err(Error::NotAligned { offset });
        }
        self.check_first_byte(offset, data)?;
        self.program(offset, data)
    }

    /// Ends the session and verifies what the slot holds (`esp_ota_end`).
    ///
    /// # Errors
    /// [`Error::NothingWritten`], [`Error::Incomplete`], [`Error::Image`], flash errors. The slot then
    /// holds no image that anything selects.
    pub fn end(mut self) -> Result<Verified<'a, F>, Error<F::Error>> {
        self.flush()?;
        if self.at.written == 0 {
            return Err(Error::NothingWritten);
        }
        let Self { ota, at: Paused { slot, written, .. } } = self;
        let verified = ota.verify(App::Ota(slot))?;
        let length = verified.info().len;
        if length > written {
            return Err(Error::Incomplete { length, written });
        }
        Ok(verified)
    }

    /// Abandons the update (`esp_ota_abort`). Dropping the session does the same.
    pub fn abort(self) {}

    fn check_room(&self, offset: u32, len: usize) -> Result<u32, Error<F::Error>> {
        let available = self.at.region.size;
        let size = u32::try_from(len).ok().and_then(|len| offset.checked_add(len));
        match size {
            Some(end) if end <= available => Ok(end),
            _ => Err(Error::TooLarge { size: size.unwrap_or(u32::MAX), available }),
        }
    }

    fn check_first_byte(&self, offset: u32, data: &[u8]) -> Result<(), Error<F::Error>> {
        match data.first() {
            Some(&found) if offset == 0 && found != image::MAGIC => {
                Err(Error::NotAnImage { found })
            }
            _ => Ok(()),
        }
    }

    fn program(&mut self, offset: u32, data: &[u8]) -> Result<(), Error<F::Error>> {
        let mut offset = offset;
        let mut data = data;
        while !data.is_empty() {
            let in_sector = (SECTOR_SIZE - offset % SECTOR_SIZE) as usize;
            let (chunk, rest) = data.split_at(in_sector.min(data.len()));
            let end = offset + chunk.len() as u32;
            if end > self.at.erased {
                let from = self.at.region.offset + self.at.erased;
                erase_checked(&mut self.ota.flash, from, from + SECTOR_SIZE)?;
                self.at.erased += SECTOR_SIZE;
            }
            self.ota.flash.write(self.at.region.offset + offset, chunk).map_err(Error::Flash)?;
            self.at.written = self.at.written.max(end);
            offset = end;
            data = rest;
        }
        Ok(())
    }
}
