//! MCUboot: a bootloader that swaps the images of two slots, and swaps them back unless the new one
//! confirms itself.
//!
//! What the swap algorithms share: images, trailers, the decision to swap, and the application. The
//! facts are from MCUboot's design document (`docs/design.md` of <https://github.com/mcu-tools/mcuboot>)
//! and from the issues that each model names.
//!
//! Left out of all models: signatures (an image is valid when all of it is there), encryption,
//! several images, logical sectors, security counters. An image takes the first two bytes of each of
//! its sectors, and copying a sector copies those. The magic has two bytes, a status entry one.

mod device;
mod image;
pub(super) mod swap_move;
pub(super) mod swap_offset;
pub(super) mod swap_scratch;
mod trailer;

use device::{App, Expected};
use image::{Header, Image};
use trailer::{Flag, Magic, SwapType, Trailer};

use crate::flash::SECTOR_SIZE;
use crate::machine::{Run, Stop};
use std::fmt;

/// What a device does between power-on and its end, with the expectations of [`Expected`].
type Cycle = Run<Expected>;

/// Size of a sector, as addresses are counted.
const SECTOR: u32 = SECTOR_SIZE as u32;

/// Where things lie on flash.
#[derive(Clone, Copy, Debug)]
struct Slots {
    /// First sector of the slot that images run from.
    primary: u32,
    /// The sector with its trailer.
    primary_trailer: u32,
    /// First sector of the other slot.
    secondary: u32,
    /// The sector with its trailer, its last.
    secondary_trailer: u32,
    /// Where an update's first sector is written.
    upload: u32,
    /// Size of the flash in bytes.
    capacity: u32,
}

/// Where a swap stands.
#[derive(Clone, Copy, Debug)]
struct Status {
    /// What the trailer says about it.
    kind: SwapType,
    /// Completed status entries; 0 when nothing was swapped yet.
    done: u32,
    /// Whether the primary slot's trailer holds this status already.
    in_primary: bool,
    /// The sector whose trailer holds it.
    trailer: u32,
}

/// A way to swap two slots.
trait Swap: fmt::Debug + Sync {
    /// Where things lie.
    fn slots(&self) -> Slots;

    /// What the device is shipped with, and what it is updated to, and back.
    fn images(&self) -> [Image; 2] {
        [Image::A, Image::B]
    }

    /// What the application may be asked to do.
    fn apps(&self) -> &'static [App];

    /// Finds out whether a swap was interrupted.
    fn status(&self, run: &mut Cycle) -> Result<Status, Stop>;

    /// What the trailers ask for.
    fn swap_type(&self, run: &mut Cycle) -> Result<SwapType, Stop>;

    /// The headers of the images that lay in the primary and the secondary slot when the swap
    /// began, if one did; without a status, of those that lie there now.
    fn headers(&self, run: &mut Cycle, status: Option<&Status>) -> Result<Headers, Stop>;

    /// The status by which headers are found when an interrupted swap has been completed.
    fn completed<'a>(&self, _status: &'a Status) -> Option<&'a Status> {
        None
    }

    /// Begins a swap of so many sectors, or goes on with it.
    fn swap(&self, run: &mut Cycle, status: &mut Status, sectors: u32) -> Result<(), Stop>;

    /// There is nothing in the secondary slot although the trailers ask for a swap.
    fn nothing_to_swap(&self, _run: &mut Cycle) -> Result<(), Stop> {
        Ok(())
    }
}

/// The headers of two images, as far as there are any.
type Headers = [Option<Header>; 2];

/// Runs the bootloader: what it starts.
fn boot(swap: &dyn Swap, run: &mut Cycle) -> Result<Image, Stop> {
    let slots = swap.slots();
    let mut status = swap.status(run)?;
    let resumed = status.done > 0;
    let mut headers = swap.headers(run, Some(&status))?;
    if resumed && headers.contains(&None) {
        run.note("the image headers are not where the swap status says");
    } else if resumed {
        run.note(format!("goes on with the interrupted swap ({})", status.kind));
        let sectors = trailer::read_swap_size(run, status.trailer)?;
        swap.swap(run, &mut status, sectors)?;
        finish(run, &slots, status.kind)?;
        headers = swap.headers(run, swap.completed(&status))?;
    } else {
        let kind = validated(swap, run, &headers, status.kind)?;
        if kind != SwapType::None {
            run.note(format!("swaps ({kind})"));
            status.kind = kind;
            let sectors = headers.iter().flatten().map(|it| it.sectors).max().unwrap_or(0);
            swap.swap(run, &mut status, sectors)?;
            finish(run, &slots, kind)?;
            headers = swap.headers(run, None)?;
        }
    }
    let valid = match headers[0] {
        Some(header) => image::verify(run, slots.primary, header.sectors)?,
        None => None,
    };
    valid.ok_or_else(|| Stop::broken("bootable", "no valid image in the primary slot"))
}

/// The swap that is due, unless the secondary slot has no valid image: then that is erased.
fn validated(
    swap: &dyn Swap,
    run: &mut Cycle,
    headers: &Headers,
    interrupted: SwapType,
) -> Result<SwapType, Stop> {
    let slots = swap.slots();
    let kind = match interrupted {
        SwapType::None => swap.swap_type(run)?,
        kind => kind,
    };
    if kind == SwapType::None {
        return Ok(kind);
    }
    let Some(Header { at, sectors }) = headers[1] else {
        let erased = image::erased(run, slots.secondary)? && image::erased(run, slots.upload)?;
        if erased {
            run.erase(slots.secondary_trailer)?;
            swap.nothing_to_swap(run)?;
        } else {
            erase_secondary(run, &slots)?;
        }
        return Ok(SwapType::None);
    };
    if image::verify(run, at, sectors)?.is_some() {
        return Ok(kind);
    }
    erase_secondary(run, &slots)?;
    Ok(SwapType::None)
}

/// Erases all sectors of the secondary slot, from the first to the trailer.
fn erase_secondary(run: &mut Cycle, slots: &Slots) -> Result<(), Stop> {
    (slots.secondary..=slots.secondary_trailer)
        .step_by(SECTOR_SIZE)
        .try_for_each(|sector| run.erase(sector))
}

/// Notes in the primary slot's trailer that the swap is over.
fn finish(run: &mut Cycle, slots: &Slots, kind: SwapType) -> Result<(), Stop> {
    let trailer = Trailer::read(run, slots.primary_trailer)?;
    if matches!(kind, SwapType::Revert | SwapType::Permanent) && trailer.image_ok == Flag::Unset {
        trailer::write_image_ok(run, slots.primary_trailer)?;
    }
    if let Expected::Due { old, new } = *run.expected() {
        // From here on the trial counts, even if power is cut before the image starts.
        run.expect(Expected::Asked { old, new });
    }
    trailer::write_copy_done(run, slots.primary_trailer)
}

/// Begins a status in a trailer, as a swap of that kind finds it again after a cut.
fn init_status(
    run: &mut Cycle,
    slots: &Slots,
    sector: u32,
    kind: SwapType,
    sectors: u32,
) -> Result<(), Stop> {
    let image_ok = Trailer::read(run, slots.secondary_trailer)?.image_ok;
    trailer::write_swap_type(run, sector, kind)?;
    if image_ok == Flag::Set {
        trailer::write_image_ok(run, sector)?;
    }
    trailer::write_swap_size(run, sector, sectors)?;
    trailer::write_magic(run, sector)
}

/// Decides as MCUboot's tables of the trailers' contents do, row by row. `any_magic`: whether a revert
/// needs nothing of the secondary slot's magic.
fn decide(primary: Trailer, secondary: Trailer, any_magic: bool) -> SwapType {
    if secondary.magic == Magic::Good {
        match secondary.image_ok {
            Flag::Unset => return SwapType::Test,
            Flag::Set => return SwapType::Permanent,
            Flag::Bad => {}
        }
    }
    let unconfirmed = primary.magic == Magic::Good
        && primary.image_ok == Flag::Unset
        && primary.copy_done == Flag::Set;
    let revert = unconfirmed && (any_magic || secondary.magic == Magic::Unset);
    if revert { SwapType::Revert } else { SwapType::None }
}
