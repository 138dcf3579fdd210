//! Flash, through the chip's serial loader.

use super::control::Found;
use super::sectors::{Pieces, SECTOR, joined};
use crate::board::{Contents, RigError};
use crate::scenario::ChipName;
use espflash::connection::{Connection, ResetAfterOperation, ResetBeforeOperation};
use espflash::flasher::Flasher;
use espflash::image_format::Segment;
use espflash::target::{Chip, DefaultProgressCallback};
use md5::{Digest, Md5};
use serialport::TTYPort;
use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;

/// Bytes of flash in an answer of the loader.
const BLOCK: u32 = 4096;
/// How many answers may be on their way; the loader sends one at a time whatever this says.
const IN_FLIGHT: u32 = 64;

/// A chip in its serial loader, with `espflash`'s program for it in RAM.
pub(super) struct Loader {
    flasher: Flasher,
    path: PathBuf,
}

impl Loader {
    /// Starts the loader and gives it the program.
    pub(super) fn connect(serial: TTYPort, found: &Found) -> Result<Self, RigError> {
        let before = match found.lines {
            true => ResetBeforeOperation::DefaultReset,
            false => ResetBeforeOperation::NoReset,
        };
        // It stays there: what comes next may be another access to flash.
        let after = ResetAfterOperation::NoResetNoStub;
        let connection =
            Connection::new(serial, found.usb.clone(), after, before, super::CONSOLE_BAUD);
        let baud = Some(found.baud).filter(|&baud| baud > super::CONSOLE_BAUD);
        let flasher = Flasher::connect(connection, true, true, true, Some(chip(found.chip)), baud)
            .map_err(|error| {
                let path = found.path.display();
                let advice = match found.lines {
                    true => "is it a board with that chip, and does its cable carry data?",
                    false => "its serial loader must run: nothing here can reset it into it",
                };
                RigError::new(format!("{path}: the chip's serial loader: {error}; {advice}"))
            })?;
        Ok(Self { flasher, path: found.path.clone() })
    }

    /// Makes flash hold exactly this. What is so already is left alone; what was changed is read back as a
    /// checksum.
    pub(super) fn provision(
        &mut self,
        contents: &Contents,
        is_erased: &mut dyn FnMut(Range<u32>) -> Option<bool>,
    ) -> Result<(), RigError> {
        let pieces = Pieces::of(contents)?;
        let mut dirty = Vec::new();
        for piece in pieces.erased {
            if !self.is_erased(piece.clone(), is_erased)? {
                dirty.push(piece);
            }
        }
        for range in joined(dirty) {
            let length = range.end - range.start;
            let erased = self.flasher.erase_region(range.start, length);
            erased.map_err(|error| self.failed("erase", &range, &error))?;
            if !self.is_erased(range.clone(), is_erased)? {
                return Err(self.failed("erase", &range, &"it is not erased afterwards"));
            }
        }
        self.write(pieces.written)
    }

    /// Reads flash.
    pub(super) fn read(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let length = range.end - range.start;
        // The library gives what it has read only as a file.
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("flash");
        let read = self.flasher.read_flash(range.start, length, BLOCK, IN_FLIGHT, file.clone());
        read.map_err(|error| self.failed("read", &range, &error))?;
        Ok(std::fs::read(file)?)
    }

    /// Overwrites bytes; those around them stay.
    pub(super) fn overwrite(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let beyond = || RigError::new(format!("{} bytes at {offset:#x} do not fit", bytes.len()));
        let length = u32::try_from(bytes.len()).map_err(|_| beyond())?;
        let end = offset.checked_add(length).ok_or_else(beyond)?;
        let start = offset - offset % SECTOR;
        let end = end.checked_next_multiple_of(SECTOR).ok_or_else(beyond)?;
        let mut sectors = self.read(start..end)?;
        sectors[(offset - start) as usize..][..bytes.len()].copy_from_slice(bytes);
        self.write(vec![(start, sectors)])
    }

    /// Writes whole sectors, and compares their checksums.
    fn write(&mut self, pieces: Vec<(u32, Vec<u8>)>) -> Result<(), RigError> {
        let segments: Vec<Segment<'_>> = pieces
            .into_iter()
            .map(|(addr, bytes)| Segment { addr, data: Cow::Owned(bytes) })
            .collect();
        let written = self.flasher.write_bins_to_flash(&segments, &mut DefaultProgressCallback);
        written.map_err(|error| {
            RigError::new(format!("{}: flash could not be written: {error}", self.path.display()))
        })
    }

    /// Whether all bits of a range are set.
    fn is_erased(
        &mut self,
        range: Range<u32>,
        known: &mut dyn FnMut(Range<u32>) -> Option<bool>,
    ) -> Result<bool, RigError> {
        if let Some(erased) = known(range.clone()) {
            return Ok(erased);
        }
        let length = range.end - range.start;
        let sum = self.flasher.checksum_md5(range.start, length);
        let sum = sum.map_err(|error| self.failed("read", &range, &error))?;
        let blank = Md5::digest(vec![0xFF; length as usize]);
        Ok(sum.to_be_bytes() == blank.as_slice())
    }

    fn failed(&self, what: &str, range: &Range<u32>, error: &dyn std::fmt::Display) -> RigError {
        let Range { start, end } = range;
        let path = self.path.display();
        RigError::new(format!("{path}: flash {start:#x}..{end:#x}: {what}: {error}"))
    }
}

fn chip(name: ChipName) -> Chip {
    match name {
        ChipName::Esp32 => Chip::Esp32,
        ChipName::Esp32c3 => Chip::Esp32c3,
        ChipName::Esp32c6 => Chip::Esp32c6,
        ChipName::Esp32h2 => Chip::Esp32h2,
        ChipName::Esp32s3 => Chip::Esp32s3,
    }
}
