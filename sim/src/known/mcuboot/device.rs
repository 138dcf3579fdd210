//! A device with MCUboot: the application, and what may be expected.

use super::image::Image;
use super::trailer::{self, Flag, Magic, SwapType, Trailer};
use super::{Cycle, SECTOR, Swap, boot, erase_secondary};
use crate::flash::fault::{FaultClass, FaultProfile};
use crate::flash::{Memory, Part};
use crate::machine::{Machine, Stop};
use std::fmt;

/// What may be expected to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Expected {
    /// This image and no other, for good.
    Settled {
        /// The image.
        image: Image,
        /// It refused to take an update in the last power cycle.
        refused: bool,
    },
    /// An update is being asked for: the old image or, on trial, the new one.
    Asked { old: Image, new: Image },
    /// An update was asked for with success: the new one, on trial.
    Due { old: Image, new: Image },
    /// The new image has run and has not confirmed itself: the old one.
    Trial { old: Image, new: Image },
    /// The new image is confirming itself, or has begun to erase the old one: either, for good.
    Open,
}

/// What the application is asked to do once it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum App {
    /// Nothing.
    Idle,
    /// Confirm itself.
    Confirm,
    /// Take the other image as an update and ask for a trial of it.
    Update,
    /// Erase the other image when it is on trial, and confirm itself then.
    EraseAndConfirm,
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "start",
            Self::Confirm => "start and confirm",
            Self::Update => "start and update",
            Self::EraseAndConfirm => "start, erase the other image and confirm",
        })
    }
}

/// A device whose bootloader swaps in that way.
#[derive(Debug)]
pub(super) struct Device<S>(pub(super) S);

impl<S: Swap> Machine for Device<S> {
    type Ghost = Expected;
    type Choice = App;

    fn part(&self) -> Part {
        Part::W25Q16JV
    }

    fn initial(&self) -> (Memory, Expected) {
        let slots = self.0.slots();
        let mut memory = Memory::erased(slots.capacity);
        let [image, _] = self.0.images();
        for sector in 0..image.sectors() {
            memory.set(slots.primary + sector * SECTOR, &image.record(sector));
        }
        (memory, Expected::Settled { image, refused: false })
    }

    fn choices(&self) -> &[App] {
        self.0.apps()
    }

    fn profile(&self) -> FaultProfile {
        // MCUboot takes the smallest write of the flash as atomic: a flag that shows only some of its
        // bits (F2) means nothing to it, and a swap with such a `copy-done` is never reverted.
        [FaultClass::Between, FaultClass::TornPrefix, FaultClass::TornErase, FaultClass::Repeated]
            .into_iter()
            .fold(FaultProfile::none(1), FaultProfile::with)
    }

    fn power_cycle(&self, run: &mut Cycle, app: App) -> Result<(), Stop> {
        let image = boot(&self.0, run)?;
        run.note(format!("image {image} starts"));
        started(run, image)?;
        match app {
            App::Idle => Ok(()),
            App::Confirm => confirm(&self.0, run, image),
            App::Update => update(&self.0, run, image),
            App::EraseAndConfirm => {
                if matches!(run.expected(), Expected::Trial { .. }) {
                    run.note("the application erases the other image");
                    run.expect(Expected::Open);
                    erase_secondary(run, &self.0.slots())?;
                    confirm(&self.0, run, image)?;
                }
                Ok(())
            }
        }
    }
}

/// An image runs: is it one that may?
fn started(run: &mut Cycle, image: Image) -> Result<(), Stop> {
    let settled = Expected::Settled { image, refused: false };
    let next = match *run.expected() {
        Expected::Settled { image: known, .. } if image == known => return Ok(()),
        Expected::Settled { image: known, .. } => {
            return Err(Stop::broken("atomic", format!("{image} starts, {known} was settled")));
        }
        Expected::Asked { old, new } | Expected::Due { old, new } if image == new => {
            Expected::Trial { old, new }
        }
        Expected::Asked { .. } | Expected::Open => settled,
        Expected::Due { new, .. } => {
            let what = format!("{image} starts, but a trial of {new} was asked for with success");
            return Err(Stop::broken("durable", what));
        }
        Expected::Trial { old, .. } if image == old => settled,
        Expected::Trial { .. } => {
            let what = format!("{image} starts again and has never confirmed itself");
            return Err(Stop::broken("rolled back", what));
        }
    };
    run.expect(next);
    Ok(())
}

/// The application confirms the image that runs.
fn confirm(swap: &dyn Swap, run: &mut Cycle, image: Image) -> Result<(), Stop> {
    let sector = swap.slots().primary_trailer;
    let trailer = Trailer::read(run, sector)?;
    if trailer.magic == Magic::Good && trailer.image_ok == Flag::Unset {
        run.note("the application confirms itself");
        run.expect(Expected::Open);
        trailer::write_image_ok(run, sector)?;
    }
    run.expect(Expected::Settled { image, refused: false });
    Ok(())
}

/// The application takes an update, unless a swap is due: then it would be lost.
fn update(swap: &dyn Swap, run: &mut Cycle, image: Image) -> Result<(), Stop> {
    let due = swap.swap_type(run)?;
    let settled = match *run.expected() {
        Expected::Settled { refused, .. } => Some(refused),
        _ => None,
    };
    if due != SwapType::None {
        run.note(format!("the application refuses an update: a swap is due ({due})"));
        return match settled {
            None => Ok(()),
            // The bootloader may need one start to put the trailers right.
            Some(false) => {
                run.expect(Expected::Settled { image, refused: true });
                Ok(())
            }
            Some(true) => {
                Err(Stop::broken("updatable", format!("{image} refuses an update for ever")))
            }
        };
    }
    let [shipped, other] = swap.images();
    let (slots, new) = (swap.slots(), if image == shipped { other } else { shipped });
    run.note(format!("the application takes update {new}"));
    erase_secondary(run, &slots)?;
    for sector in 0..new.sectors() {
        run.program(slots.upload + sector * SECTOR, &new.record(sector))?;
    }
    run.expect(Expected::Asked { old: image, new });
    trailer::write_magic(run, slots.secondary_trailer)?;
    run.expect(Expected::Due { old: image, new });
    trailer::write_swap_type(run, slots.secondary_trailer, SwapType::Test)
}
