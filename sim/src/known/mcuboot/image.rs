//! Images: a record in each sector.

use super::{Cycle, SECTOR};
use crate::machine::Stop;
use std::fmt;

/// Sectors of the largest image.
const LARGEST: u32 = 2;

/// Bytes of the record.
const RECORD: usize = 2;

/// Marks a header in the first byte of a record; the rest of the byte is the image's size.
const HEADER: u8 = 0x30;

/// The images there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Image {
    /// One sector.
    A,
    /// One sector.
    B,
    /// Two sectors.
    C,
}

impl Image {
    const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// Its size.
    pub(super) fn sectors(self) -> u32 {
        match self {
            Self::A | Self::B => 1,
            Self::C => LARGEST,
        }
    }

    /// The record of one of its sectors: a header with the size, or data.
    pub(super) fn record(self, sector: u32) -> [u8; RECORD] {
        let name = match self {
            Self::A => 0x0A,
            Self::B => 0x0B,
            Self::C => 0x0C,
        };
        [if sector == 0 { HEADER | self.sectors() as u8 } else { sector as u8 }, name]
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an image header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Where it was found.
    pub(super) at: u32,
    /// Size of the image.
    pub(super) sectors: u32,
}

impl Header {
    /// The header in a sector, if there is one.
    pub(super) fn read(run: &mut Cycle, at: u32) -> Result<Option<Self>, Stop> {
        let [header, _] = run.read::<RECORD>(at)?;
        let sectors = u32::from(header ^ HEADER);
        let valid = (1..=LARGEST).contains(&sectors);
        Ok(valid.then_some(Self { at, sectors }))
    }
}

/// Whether a sector holds no record.
pub(super) fn erased(run: &mut Cycle, at: u32) -> Result<bool, Stop> {
    Ok(run.read::<RECORD>(at)? == [0xFF; RECORD])
}

/// The image of that size that lies at an address, if all of it is there: what a hash tells.
pub(super) fn verify(run: &mut Cycle, at: u32, sectors: u32) -> Result<Option<Image>, Stop> {
    for image in Image::ALL {
        let mut intact = image.sectors() == sectors;
        for sector in 0..sectors {
            intact = intact && run.read::<RECORD>(at + sector * SECTOR)? == image.record(sector);
        }
        if intact {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

/// Erases a sector and copies another one there.
pub(super) fn copy(run: &mut Cycle, from: u32, to: u32) -> Result<(), Stop> {
    run.erase(to)?;
    let record = run.read::<RECORD>(from)?;
    // Programming ones does nothing.
    if record == [0xFF; RECORD] { Ok(()) } else { run.program(to, &record) }
}
