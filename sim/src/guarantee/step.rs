//! The steps of an update, by what a flash operation does to the device.

use crate::bootloader::Rewrite;
use crate::explore::{Content, World};
use crate::flash::{OperationKind, Recorded, SECTOR_SIZE};
use crate::subject::Call;
use ota_core::otadata::{self, SelectEntry, State};
use ota_core::partition::Region;
use serde::Serialize;
use std::fmt;

/// Where in the life of a device an operation takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The bootloader writes the first select entry of a new device.
    NewDevice,
    /// The update code writes the new image, and makes room for it.
    Download,
    /// The image is complete; the update code selects it.
    Select,
    /// The bootloader gives the new image its trial.
    FirstBoot,
    /// An application starts, and its update code looks at what it finds.
    Startup,
    /// The application keeps the image that runs.
    Confirm,
    /// The new image rejects itself.
    Reject,
    /// The bootloader gives up an image that did not confirm itself.
    RollBack,
    /// The application selects the factory application.
    ReturnToFactory,
}

impl Phase {
    /// Whether the bootloader writes, and not the update code.
    pub fn in_bootloader(self) -> bool {
        matches!(self, Self::NewDevice | Self::FirstBoot | Self::RollBack)
    }

    pub(super) fn of_call(call: Call) -> Self {
        match call {
            Call::Startup => Self::Startup,
            Call::Confirm => Self::Confirm,
            Call::Reject => Self::Reject,
            Call::Update => Self::Download,
            Call::SelectFactory => Self::ReturnToFactory,
        }
    }

    pub(super) fn of_rewrite(rewrite: Rewrite) -> Self {
        match rewrite {
            Rewrite::Initial => Self::NewDevice,
            Rewrite::Trial => Self::FirstBoot,
            Rewrite::Abort => Self::RollBack,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewDevice => "new device (bootloader)",
            Self::Download => "download",
            Self::Select => "select",
            Self::FirstBoot => "first boot (bootloader)",
            Self::Startup => "start-up",
            Self::Confirm => "confirm",
            Self::Reject => "reject",
            Self::RollBack => "roll back (bootloader)",
            Self::ReturnToFactory => "return to factory",
        })
    }
}

/// What a flash operation does, whoever does it: told from its place and from what it changes in the
/// select entries.
///
/// An entry *counts* when it is not blank and its CRC is right. The *active* entry is the one that the
/// bootloader goes by; the *other* one counts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Programs the entry that is not active, so that it counts no more.
    RetireOther,
    /// Programs the active entry, so that it counts no more.
    RetireActive,
    /// Erases a sector of otadata whose entry does not count.
    EraseSpare,
    /// Erases the entry that is not active.
    EraseOther,
    /// Erases the active entry.
    EraseActive,
    /// Programs an entry into an erased sector, in full or up to what makes it count.
    WriteEntry,
    /// Programs what makes a prepared entry count.
    CommitEntry,
    /// Programs another state into an entry that counts.
    ChangeState,
    /// Erases a part of a slot.
    EraseSlot,
    /// Programs a part of a slot.
    WriteSlot,
    /// Programs what completes the image in a slot.
    FinishImage,
    /// Changes nothing that decides what boots.
    Elsewhere,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EraseSlot => "erase the slot",
            Self::WriteSlot => "write the slot",
            Self::FinishImage => "finish the image",
            Self::RetireOther => "retire the old entry",
            Self::RetireActive => "retire the active entry",
            Self::EraseSpare => "erase a spare sector",
            Self::EraseOther => "erase the old entry",
            Self::EraseActive => "erase the active entry",
            Self::WriteEntry => "program the entry",
            Self::CommitEntry => "commit the entry",
            Self::ChangeState => "change the state",
            Self::Elsewhere => "elsewhere",
        })
    }
}

/// Where an operation lies.
pub(super) enum Site {
    /// In this application partition.
    Slot(Region),
    /// In the sector of this select entry.
    Entry(usize),
    /// In neither.
    Elsewhere,
}

impl Site {
    pub(super) fn of(world: &World<'_>, recorded: &Recorded) -> Self {
        let offset = recorded.operation.offset;
        let apps = world.layout.apps();
        let inside =
            |region: &Region| (region.offset..region.offset + region.size).contains(&offset);
        if let Some(slot) = apps.slots().chain(apps.factory()).find(inside) {
            return Self::Slot(slot);
        }
        let sector = offset.checked_sub(apps.otadata().offset).map(|at| at as usize / SECTOR_SIZE);
        sector.filter(|&sector| sector < 2).map_or(Self::Elsewhere, Self::Entry)
    }
}

fn counts(entry: &SelectEntry) -> bool {
    !entry.is_blank_or_bad_crc()
}

impl Step {
    /// What `recorded` does.
    pub(super) fn of(world: &World<'_>, recorded: &Recorded) -> Self {
        let programs = matches!(recorded.operation.kind, OperationKind::Program { .. });
        match Site::of(world, recorded) {
            Site::Slot(region) if programs => Self::of_write(world, recorded, region),
            Site::Slot(_) => Self::EraseSlot,
            Site::Entry(sector) => {
                let [before, after] =
                    [&recorded.before, &recorded.after].map(|memory| world.raw_entries(memory));
                let active = otadata::active(&before) == Some(sector);
                Self::of_entry(programs, active, &before[sector], &after[sector])
            }
            Site::Elsewhere => Self::Elsewhere,
        }
    }

    fn of_write(world: &World<'_>, recorded: &Recorded, region: Region) -> Self {
        let complete = |memory| matches!(world.content(memory, region), Content::Firmware(_));
        match !complete(&recorded.before) && complete(&recorded.after) {
            true => Self::FinishImage,
            false => Self::WriteSlot,
        }
    }

    fn of_entry(programs: bool, active: bool, before: &SelectEntry, after: &SelectEntry) -> Self {
        match (programs, counts(before), counts(after)) {
            (false, false, _) => Self::EraseSpare,
            (false, true, _) if active => Self::EraseActive,
            (false, true, _) => Self::EraseOther,
            (true, true, false) if active => Self::RetireActive,
            (true, true, false) => Self::RetireOther,
            (true, true, true) => Self::ChangeState,
            (true, false, true)
                if before.state != State::UNDEFINED || before.seq != SelectEntry::SEQ_BLANK =>
            {
                Self::CommitEntry
            }
            (true, false, _) => Self::WriteEntry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_on_an_entry_decides() {
        let blank = SelectEntry::BLANK;
        let entry = SelectEntry::new(2, State::NEW);
        let prepared = SelectEntry { crc: u32::MAX, ..entry };
        let retired = SelectEntry { crc: 0, ..entry };
        let step = |programs, before, after| Step::of_entry(programs, false, &before, &after);
        assert_eq!(step(true, blank, entry), Step::WriteEntry);
        assert_eq!(step(true, blank, prepared), Step::WriteEntry);
        assert_eq!(step(true, prepared, entry), Step::CommitEntry);
        assert_eq!(step(true, entry, retired), Step::RetireOther);
        assert_eq!(step(false, retired, blank), Step::EraseSpare);
        assert_eq!(step(false, entry, blank), Step::EraseOther);
        assert_eq!(Step::of_entry(false, true, &entry, &blank), Step::EraseActive);
        assert_eq!(Step::of_entry(true, true, &entry, &retired), Step::RetireActive);
        let aborted = SelectEntry { state: State::ABORTED, ..entry };
        assert_eq!(step(true, entry, aborted), Step::ChangeState);
    }
}
