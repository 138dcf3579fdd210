//! The trailer of a slot, in a sector of its own.
//!
//! From the start of the sector: the status entries, then, each in a unit of eight bytes, the swap size,
//! the swap type, `copy-done`, `image-ok` and the magic. MCUboot has them in this order at the end of
//! the slot; where in the sector makes no difference.

use super::Cycle;
use crate::machine::Stop;
use std::fmt;

const SWAP_SIZE_AT: u32 = 16;
const SWAP_TYPE_AT: u32 = SWAP_SIZE_AT + 8;
const COPY_DONE_AT: u32 = SWAP_TYPE_AT + 8;
const IMAGE_OK_AT: u32 = COPY_DONE_AT + 8;
const MAGIC_AT: u32 = IMAGE_OK_AT + 8;

/// The first bytes of the magic of MCUboot's design document, which has 16: more only make more torn
/// ones, which all read the same.
const MAGIC: [u8; 2] = [0x77, 0xC2];

/// A set flag.
const SET: u8 = 1;

/// What the magic reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Magic {
    Good,
    /// Neither the value nor erased.
    Bad,
    /// Erased.
    Unset,
}

/// What a flag reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Set,
    /// Neither set nor erased.
    Bad,
    /// Erased.
    Unset,
}

impl Flag {
    fn decode(byte: u8) -> Self {
        match byte {
            SET => Self::Set,
            0xFF => Self::Unset,
            _ => Self::Bad,
        }
    }
}

/// What to do with the two images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SwapType {
    /// Nothing.
    None,
    /// Swap, and swap back unless the new image confirms itself.
    Test,
    /// Swap for good.
    Permanent,
    /// Swap back.
    Revert,
}

impl SwapType {
    const CODES: [(u8, Self); 3] = [(2, Self::Test), (3, Self::Permanent), (4, Self::Revert)];
}

impl fmt::Display for SwapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Test => "test",
            Self::Permanent => "permanent",
            Self::Revert => "revert",
        })
    }
}

/// What is read of a trailer to decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trailer {
    pub(super) magic: Magic,
    /// The image confirmed itself.
    pub(super) image_ok: Flag,
    /// The last swap is complete.
    pub(super) copy_done: Flag,
}

impl Trailer {
    /// Reads the trailer in a sector.
    pub(super) fn read(run: &mut Cycle, sector: u32) -> Result<Self, Stop> {
        let magic = match run.read(sector + MAGIC_AT)? {
            MAGIC => Magic::Good,
            [0xFF, 0xFF] => Magic::Unset,
            _ => Magic::Bad,
        };
        let [image_ok] = run.read(sector + IMAGE_OK_AT)?;
        let [copy_done] = run.read(sector + COPY_DONE_AT)?;
        let (image_ok, copy_done) = (Flag::decode(image_ok), Flag::decode(copy_done));
        Ok(Self { magic, image_ok, copy_done })
    }
}

/// The kind of swap that is under way.
pub(super) fn read_swap_type(run: &mut Cycle, sector: u32) -> Result<SwapType, Stop> {
    let [code] = run.read(sector + SWAP_TYPE_AT)?;
    let found = SwapType::CODES.into_iter().find(|(known, _)| *known == code);
    Ok(found.map_or(SwapType::None, |(_, kind)| kind))
}

/// How many sectors the swap that is under way moves.
pub(super) fn read_swap_size(run: &mut Cycle, sector: u32) -> Result<u32, Stop> {
    let [sectors] = run.read(sector + SWAP_SIZE_AT)?;
    Ok(u32::from(sectors))
}

/// The number of the last status entry that is not erased, from 1, or 0; of `entries`.
pub(super) fn read_done(run: &mut Cycle, sector: u32, entries: u32) -> Result<u32, Stop> {
    let mut done = 0;
    for entry in 0..entries {
        if run.read(sector + entry)? != [0xFF] {
            done = entry + 1;
        }
    }
    Ok(done)
}

/// Writes the status entry number `entry`, from 0. Its value means nothing.
pub(super) fn write_done(run: &mut Cycle, sector: u32, entry: u32) -> Result<(), Stop> {
    run.program(sector + entry, &[0])
}

pub(super) fn write_magic(run: &mut Cycle, sector: u32) -> Result<(), Stop> {
    run.program(sector + MAGIC_AT, &MAGIC)
}

pub(super) fn write_image_ok(run: &mut Cycle, sector: u32) -> Result<(), Stop> {
    run.program(sector + IMAGE_OK_AT, &[SET])
}

pub(super) fn write_copy_done(run: &mut Cycle, sector: u32) -> Result<(), Stop> {
    run.program(sector + COPY_DONE_AT, &[SET])
}

pub(super) fn write_swap_type(run: &mut Cycle, sector: u32, kind: SwapType) -> Result<(), Stop> {
    let code = SwapType::CODES.into_iter().find(|(_, known)| *known == kind);
    code.map_or(Ok(()), |(code, _)| run.program(sector + SWAP_TYPE_AT, &[code]))
}

pub(super) fn write_swap_size(run: &mut Cycle, sector: u32, sectors: u32) -> Result<(), Stop> {
    run.program(sector + SWAP_SIZE_AT, &[sectors as u8])
}
