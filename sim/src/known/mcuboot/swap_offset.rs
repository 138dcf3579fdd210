//! MCUboot's swap-using-offset, with the bug that a cut after the last operation bricks.
//!
//! An update is written one sector behind the start of the secondary slot. Then sector by sector, the
//! first first, the old one goes to the secondary slot and the new one comes from the sector behind.
//! To swap back, the last sector goes first and everything moves the other way. In the end the first
//! sector of the secondary slot is erased, so that no header is left there, and its trailer.
//!
//! **2169**, <https://github.com/mcu-tools/mcuboot/issues/2169>: with the algorithm as it was being
//! developed, a real board that was reset after the last erase of a revert, before `copy-done`, could
//! not read the image headers and did not boot any more. MCUboot's simulator could not show it: it cut
//! before an operation, never after the last one. The faulty code was not published; this is a way in
//! which it can have been wrong that fits all that is known: when all steps are done, the header of the
//! old image is looked for at the front of the secondary slot. That is right for an update, and for a
//! revert it does no harm as long as a header is left there, which is until the last erase. Then there is
//! none, and since nothing is written, so it is at every boot.
//!
//! Left out: trailers that hold sizes of unprotected data, and skipped empty sectors. As for
//! swap-using-move, a torn magic in the secondary slot is written again (see there, 2100): the merged
//! code has the weakness here as well.

use super::device::{App, Device};
use super::image::{Header, copy};
use super::trailer::{self, Flag, Magic, SwapType, Trailer};
use super::{Cycle, Headers, SECTOR, Slots, Status, Swap, decide, init_status};
use crate::machine::{Explore, Stop};

/// The algorithm, with and without the bug.
#[derive(Clone, Copy, Debug)]
struct SwapOffset {
    /// Where headers are when all steps of a revert are done is known.
    completed_known: bool,
}

/// As it was developed.
pub(in super::super) const BUG_2169: &dyn Explore = &Device(SwapOffset { completed_known: false });
/// As it was merged, in this respect.
pub(in super::super) const FIXED: &dyn Explore = &Device(SwapOffset { completed_known: true });

/// Sectors for an image.
const SECTORS: u32 = 1;
/// Steps for each sector.
const STEPS: u32 = 2;
const ENTRIES: u32 = STEPS * SECTORS;

impl Swap for SwapOffset {
    fn slots(&self) -> Slots {
        let primary_trailer = SECTORS * SECTOR;
        let secondary = primary_trailer + SECTOR;
        let upload = secondary + SECTOR;
        let secondary_trailer = upload + SECTORS * SECTOR;
        Slots {
            primary: 0,
            primary_trailer,
            secondary,
            secondary_trailer,
            upload,
            capacity: secondary_trailer + SECTOR,
        }
    }

    fn apps(&self) -> &'static [App] {
        &[App::Idle, App::Confirm, App::Update]
    }

    fn status(&self, run: &mut Cycle) -> Result<Status, Stop> {
        let slots = self.slots();
        let trailer = slots.primary_trailer;
        let primary = Trailer::read(run, trailer)?;
        let secondary = Trailer::read(run, slots.secondary_trailer)?;
        let under_way = primary.magic == Magic::Good
            && primary.copy_done == Flag::Unset
            && secondary.magic != Magic::Good;
        if !under_way {
            return Ok(Status { kind: SwapType::None, done: 0, in_primary: false, trailer });
        }
        let kind = trailer::read_swap_type(run, trailer)?;
        let done = trailer::read_done(run, trailer, ENTRIES)?;
        Ok(Status { kind, done, in_primary: true, trailer })
    }

    fn swap_type(&self, run: &mut Cycle) -> Result<SwapType, Stop> {
        let slots = self.slots();
        let primary = Trailer::read(run, slots.primary_trailer)?;
        let secondary = Trailer::read(run, slots.secondary_trailer)?;
        // An image that swaps back is written to the front of the secondary slot, an update is not,
        // so the two have to be told apart.
        let revert = secondary.magic == Magic::Good
            && secondary.image_ok == Flag::Unset
            && secondary.copy_done == Flag::Set;
        Ok(if revert { SwapType::Revert } else { decide(primary, secondary, true) })
    }

    fn headers(&self, run: &mut Cycle, status: Option<&Status>) -> Result<Headers, Stop> {
        let Slots { primary, secondary, upload, .. } = self.slots();
        let Some(status) = status.filter(|status| status.done > 0) else {
            let first = Header::read(run, primary)?;
            let begun = status.is_some_and(|status| status.kind == SwapType::Revert);
            let revert = begun || self.swap_type(run)? == SwapType::Revert;
            let places = if revert { [secondary, upload] } else { [upload, secondary] };
            let second = match Header::read(run, places[0])? {
                Some(header) => Some(header),
                None => Header::read(run, places[1])?,
            };
            return Ok([first, second]);
        };
        let steps = STEPS * trailer::read_swap_size(run, status.trailer)?;
        let [old, new] = if status.kind == SwapType::Revert {
            match steps.saturating_sub(status.done) {
                0 if self.completed_known => [upload, primary],
                // True of an update, whose old image ends at the front of the secondary slot.
                0 => [secondary, primary],
                1 => [upload, secondary],
                _ => [primary, secondary],
            }
        } else {
            match status.done {
                0 => [primary, upload],
                1 => [secondary, upload],
                _ => [secondary, primary],
            }
        };
        Ok([Header::read(run, old)?, Header::read(run, new)?])
    }

    fn swap(&self, run: &mut Cycle, status: &mut Status, sectors: u32) -> Result<(), Stop> {
        let slots = self.slots();
        let Slots { primary, primary_trailer, secondary, secondary_trailer, upload, .. } = slots;
        let revert = status.kind == SwapType::Revert;
        if status.done == 0 {
            if revert && Trailer::read(run, secondary_trailer)?.magic != Magic::Good {
                run.erase(secondary_trailer)?;
                trailer::write_copy_done(run, secondary_trailer)?;
                init_status(run, &slots, secondary_trailer, status.kind, sectors)?;
            }
            if !status.in_primary {
                run.erase(primary_trailer)?;
                init_status(run, &slots, primary_trailer, status.kind, sectors)?;
            }
            run.erase(secondary_trailer)?;
        }
        for step in status.done..STEPS * sectors {
            let number = step / STEPS;
            let (sector, from, to) = if revert {
                ((sectors - 1 - number) * SECTOR, secondary, upload)
            } else {
                (number * SECTOR, upload, secondary)
            };
            if step % STEPS == 0 {
                copy(run, primary + sector, to + sector)?;
            } else {
                copy(run, from + sector, primary + sector)?;
            }
            trailer::write_done(run, primary_trailer, step)?;
        }
        if revert {
            run.erase(secondary)?;
            run.erase(secondary_trailer)?;
        }
        Ok(())
    }
}
