//! MCUboot's swap-using-scratch, with the bug that an interrupted update is not valid.
//!
//! Sector by sector, the last first: the new one goes to the scratch area, the old one to the
//! secondary slot, and the new one from the scratch area to the primary slot. Three status entries
//! for each. While the primary slot's trailer is made, the scratch area holds one, so that the kind of
//! swap is known at any time.
//!
//! **2109**, <https://github.com/mcu-tools/mcuboot/pull/2109>: while a swap is under way, the header of
//! the image that was in the primary slot may lie in the secondary slot or in the scratch area, and the
//! status tells where. When an interrupted swap had been completed, headers were read in this way once
//! more, although the images had changed places by then: the new image was checked with the size of the
//! old one and found invalid, so nothing started. With `copy-done` set, the next boot then swapped
//! back, and an update that was fine was lost. The correction reads each header from its own slot.
//!
//! The exploration of the corrected code found another weakness, which needs two cuts and which we have
//! not seen reported (**2109-merged**). A revert that is cut while the primary slot's trailer is erased
//! goes on from the trailer in the scratch area; but it begins by erasing the scratch area. A cut there
//! leaves no sign of the revert, and the image that never confirmed itself runs for ever. Our correction
//! keeps the trailer. It was found in this model, of MCUboot as of November 2024, not on a device.
//!
//! Left out: images that share a sector with the trailer, and with that the status in the scratch area.

use super::device::{App, Device};
use super::image::{Header, Image, copy};
use super::trailer::{self, Flag, Magic, SwapType, Trailer};
use super::{Cycle, Headers, SECTOR, Slots, Status, Swap, decide, init_status};
use crate::machine::{Explore, Stop};

/// The algorithm, with and without the bug.
#[derive(Clone, Copy, Debug)]
struct SwapScratch {
    /// Headers are looked for by the status when the swap is over.
    stale_headers: bool,
    /// A trailer in the scratch area is kept until there is one in the primary slot (ours).
    keep_trailer: bool,
}

/// Before 2109.
pub(in super::super) const BUG_2109: &dyn Explore =
    &Device(SwapScratch { stale_headers: true, keep_trailer: true });
/// With it, as it was merged.
pub(in super::super) const MERGED: &dyn Explore =
    &Device(SwapScratch { stale_headers: false, keep_trailer: false });
/// With all corrections.
pub(in super::super) const FIXED: &dyn Explore =
    &Device(SwapScratch { stale_headers: false, keep_trailer: true });

/// Sectors for an image: the images need different sizes to show the bug.
const SECTORS: u32 = 2;
/// Steps for each sector.
const STEPS: u32 = 3;
const ENTRIES: u32 = STEPS * SECTORS;

/// The scratch area: one sector behind the slots, its own trailer at its end.
const SCRATCH: u32 = (2 * SECTORS + 2) * SECTOR;

impl Swap for SwapScratch {
    fn slots(&self) -> Slots {
        let primary_trailer = SECTORS * SECTOR;
        let secondary = primary_trailer + SECTOR;
        Slots {
            primary: 0,
            primary_trailer,
            secondary,
            secondary_trailer: secondary + SECTORS * SECTOR,
            upload: secondary,
            capacity: SCRATCH + SECTOR,
        }
    }

    fn images(&self) -> [Image; 2] {
        [Image::C, Image::B]
    }

    fn apps(&self) -> &'static [App] {
        &[App::Idle, App::Confirm, App::Update]
    }

    fn status(&self, run: &mut Cycle) -> Result<Status, Stop> {
        let sector = self.slots().primary_trailer;
        let primary = Trailer::read(run, sector)?;
        let in_scratch = Trailer::read(run, SCRATCH)?.magic == Magic::Good;
        let trailer = match (primary.magic, primary.copy_done) {
            _ if in_scratch => SCRATCH,
            (Magic::Good | Magic::Unset, Flag::Unset) => sector,
            _ => {
                let (kind, done) = (SwapType::None, 0);
                return Ok(Status { kind, done, in_primary: false, trailer: sector });
            }
        };
        // The scratch area holds a trailer only as long as nothing was swapped.
        let done = if in_scratch { 0 } else { trailer::read_done(run, trailer, ENTRIES)? };
        let kind = trailer::read_swap_type(run, trailer)?;
        Ok(Status { kind, done, in_primary: !in_scratch, trailer })
    }

    fn swap_type(&self, run: &mut Cycle) -> Result<SwapType, Stop> {
        let slots = self.slots();
        let primary = Trailer::read(run, slots.primary_trailer)?;
        let secondary = Trailer::read(run, slots.secondary_trailer)?;
        Ok(decide(primary, secondary, true))
    }

    fn headers(&self, run: &mut Cycle, status: Option<&Status>) -> Result<Headers, Stop> {
        let Slots { primary, secondary, .. } = self.slots();
        let [old, new] = match status {
            None => [primary, secondary],
            Some(status) => {
                // The sector with the headers is the last to be swapped.
                let steps = STEPS * trailer::read_swap_size(run, status.trailer)?;
                match steps.saturating_sub(status.done) {
                    0 => [secondary, primary],
                    1 => [secondary, SCRATCH],
                    2 => [primary, SCRATCH],
                    _ => [primary, secondary],
                }
            }
        };
        Ok([Header::read(run, old)?, Header::read(run, new)?])
    }

    fn completed<'a>(&self, status: &'a Status) -> Option<&'a Status> {
        self.stale_headers.then_some(status)
    }

    fn swap(&self, run: &mut Cycle, status: &mut Status, sectors: u32) -> Result<(), Stop> {
        let slots = self.slots();
        for step in status.done..STEPS * sectors {
            let sector = (sectors - 1 - step / STEPS) * SECTOR;
            let (primary, secondary) = (slots.primary + sector, slots.secondary + sector);
            if step == 0 {
                if !(self.keep_trailer && status.trailer == SCRATCH) {
                    run.erase(SCRATCH)?;
                    init_status(run, &slots, SCRATCH, status.kind, sectors)?;
                }
                run.erase(slots.primary_trailer)?;
                init_status(run, &slots, slots.primary_trailer, status.kind, sectors)?;
            }
            match step % STEPS {
                0 => copy(run, secondary, SCRATCH)?,
                1 => copy(run, primary, secondary)?,
                _ => copy(run, SCRATCH, primary)?,
            }
            if step == 1 {
                // From here on only the primary slot's trailer says that there is a swap.
                run.erase(slots.secondary_trailer)?;
            }
            trailer::write_done(run, slots.primary_trailer, step)?;
        }
        *status = Status {
            done: STEPS * sectors,
            in_primary: true,
            trailer: slots.primary_trailer,
            ..*status
        };
        Ok(())
    }
}
