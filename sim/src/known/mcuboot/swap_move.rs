//! MCUboot's swap-using-move, with three of its bugs: what a revert needs to be recognised.
//!
//! To swap without a scratch area, the image in the primary slot moves up by one sector, last sector
//! first; then sector by sector the other image comes down and the moved one goes over. Each step
//! leaves a status entry in the primary slot's trailer. At the end `copy-done` is set there. An image
//! on trial sets `image-ok`; if it does not, the next boot finds `copy-done` without `image-ok`
//! and swaps back. To begin that, the primary slot's trailer has to be erased, and with it the only
//! sign that a revert is due. So a trailer that asks for a permanent swap is written to the
//! secondary slot first.
//!
//! - **1966**, <https://github.com/mcu-tools/mcuboot/issues/1966>: power is cut while the magic of
//!   that trailer is written. It is neither good nor erased then, and the row of the decision table
//!   that finds a revert asked for an erased one. The image that never confirmed itself runs for ever.
//! - **2100**, <https://github.com/mcu-tools/mcuboot/pull/2100>, is the correction: a revert needs
//!   nothing of the secondary slot's magic. With a second cut that is not enough: the trailer that
//!   makes the revert safe is only written when the magic is erased. After a torn one, the primary
//!   slot's trailer is erased without it, and a cut there leaves no sign at all. Our own correction
//!   writes it unless the magic is good.
//! - **2199**, <https://github.com/mcu-tools/mcuboot/pull/2199>: the other image was erased before the
//!   one on trial was confirmed. Then a revert is due for ever and cannot be made, and an application
//!   that takes no update while a swap is due will never take one again. The correction erases the
//!   primary slot's trailer as well.
//!
//! Left out: that image headers are looked for where the status says they are.

use super::device::{App, Device};
use super::image::{Header, copy};
use super::trailer::{self, Flag, Magic, SwapType, Trailer};
use super::{Cycle, Headers, SECTOR, Slots, Status, Swap, decide, init_status};
use crate::machine::{Explore, Stop};

/// The algorithm, and which of its corrections it has.
#[derive(Clone, Copy, Debug)]
struct SwapMove {
    /// A revert needs nothing of the secondary slot's magic (2100).
    any_magic: bool,
    /// A torn magic is written again before the primary slot's trailer is erased (ours).
    prepare_unless_good: bool,
    /// A revert that cannot be made is forgotten (2199).
    forget_revert: bool,
    /// What the application may do.
    apps: &'static [App],
}

/// Before 2100.
pub(in super::super) const BUG_1966: &dyn Explore =
    &Device(SwapMove { any_magic: false, prepare_unless_good: false, ..SwapMove::CORRECT });
/// With 2100 as it was merged.
pub(in super::super) const BUG_2100: &dyn Explore =
    &Device(SwapMove { prepare_unless_good: false, ..SwapMove::CORRECT });
/// With all corrections.
pub(in super::super) const FIXED: &dyn Explore = &Device(SwapMove::CORRECT);
/// Before 2199, with an application that erases the other image.
pub(in super::super) const BUG_2199: &dyn Explore =
    &Device(SwapMove { forget_revert: false, ..SwapMove::ERASING });
/// The same application with 2199.
pub(in super::super) const FIXED_2199: &dyn Explore = &Device(SwapMove::ERASING);

const USUAL: &[App] = &[App::Idle, App::Confirm, App::Update];

impl SwapMove {
    /// All corrections.
    const CORRECT: Self =
        Self { any_magic: true, prepare_unless_good: true, forget_revert: true, apps: USUAL };

    const ERASING: Self = Self {
        apps: &[App::Idle, App::Confirm, App::Update, App::EraseAndConfirm],
        ..Self::CORRECT
    };

    /// Writes the trailer by which a revert is found again once the primary slot's is erased.
    fn prepare_revert(&self, run: &mut Cycle, sectors: u32) -> Result<(), Stop> {
        let sector = self.slots().secondary_trailer;
        let magic = Trailer::read(run, sector)?.magic;
        let needed = match magic {
            Magic::Good => false,
            Magic::Bad => self.prepare_unless_good,
            Magic::Unset => true,
        };
        if needed {
            run.erase(sector)?;
            trailer::write_image_ok(run, sector)?;
            trailer::write_swap_size(run, sector, sectors)?;
            trailer::write_magic(run, sector)?;
        }
        Ok(())
    }
}

/// Sectors for an image.
const SECTORS: u32 = 1;
/// Status entries: one for each sector that moves, two for each that is swapped.
const MOVES: u32 = SECTORS;
const ENTRIES: u32 = MOVES + 2 * SECTORS;

impl Swap for SwapMove {
    fn slots(&self) -> Slots {
        // The primary slot has one sector more, to move up by.
        let primary_trailer = (SECTORS + 1) * SECTOR;
        let secondary = primary_trailer + SECTOR;
        let secondary_trailer = secondary + SECTORS * SECTOR;
        Slots {
            primary: 0,
            primary_trailer,
            secondary,
            secondary_trailer,
            upload: secondary,
            capacity: secondary_trailer + SECTOR,
        }
    }

    fn apps(&self) -> &'static [App] {
        self.apps
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
        Ok(decide(primary, secondary, self.any_magic))
    }

    fn headers(&self, run: &mut Cycle, status: Option<&Status>) -> Result<Headers, Stop> {
        let slots = self.slots();
        if status.is_some_and(|status| status.done > 0) {
            // Only their presence matters to what follows, and that is left out.
            let known = Header { at: slots.primary, sectors: SECTORS };
            return Ok([Some(known); 2]);
        }
        Ok([Header::read(run, slots.primary)?, Header::read(run, slots.secondary)?])
    }

    fn swap(&self, run: &mut Cycle, status: &mut Status, sectors: u32) -> Result<(), Stop> {
        let Slots { primary, primary_trailer, secondary, secondary_trailer, .. } = self.slots();
        if status.done == 0 {
            if status.kind == SwapType::Revert {
                self.prepare_revert(run, sectors)?;
            }
            if !status.in_primary {
                run.erase(primary_trailer)?;
                init_status(run, &self.slots(), primary_trailer, status.kind, sectors)?;
            }
            run.erase(secondary_trailer)?;
        }
        for step in status.done..sectors {
            let sector = sectors - step;
            copy(run, primary + (sector - 1) * SECTOR, primary + sector * SECTOR)?;
            trailer::write_done(run, primary_trailer, step)?;
        }
        // Fewer sectors than there are entries for: the rest of the entries stay erased.
        let swapped = status.done.saturating_sub(MOVES);
        for step in swapped..2 * sectors {
            let sector = step / 2 * SECTOR;
            if step % 2 == 0 {
                copy(run, secondary + sector, primary + sector)?;
            } else {
                copy(run, primary + sector + SECTOR, secondary + sector)?;
            }
            trailer::write_done(run, primary_trailer, MOVES + step)?;
        }
        Ok(())
    }

    fn nothing_to_swap(&self, run: &mut Cycle) -> Result<(), Stop> {
        if self.forget_revert && self.swap_type(run)? == SwapType::Revert {
            run.erase(self.slots().primary_trailer)?;
        }
        Ok(())
    }
}
