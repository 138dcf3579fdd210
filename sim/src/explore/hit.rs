//! What a power cut hit, and which weakness that points to.

use super::hazard::Hazard;
use super::spec::{Broken, What};
use super::state::{Content, Contents, State};
use super::world::World;
use crate::bootloader::{Boot, Choice};
use crate::flash::Recorded;
use crate::subject::Call;
use ota_core::otadata::{self, SelectEntry};
use ota_core::partition::App;

/// What the last cut on the way to a state hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    call: Option<Call>,
    /// The sector of the active entry.
    active_entry: bool,
    /// It left a well-formed entry in a state that was neither there before nor meant.
    torn_state: bool,
}

impl Hit {
    /// A cut in `recorded`, an operation of `call` or of the bootloader.
    pub(crate) fn new(
        world: &World<'_>,
        call: Option<Call>,
        recorded: &Recorded,
        torn_state: bool,
    ) -> Self {
        let active = otadata::active(&world.raw_entries(&recorded.before));
        let otadata = world.layout.apps().otadata().offset;
        let sector = |offset| offset / otadata::SECTOR_SIZE;
        let active_entry = active.is_some_and(|index| {
            sector(recorded.operation.offset) == sector(otadata) + index as u32
        });
        Self { call, active_entry, torn_state }
    }

    /// The same cut with another outcome.
    pub(crate) fn with_torn_state(self, torn_state: bool) -> Self {
        Self { torn_state, ..self }
    }

    /// The cut that explains what follows: `hit`, the latest, or one before it.
    ///
    /// What the bootloader left behind explains it better than a later cut that hits the application.
    pub(crate) fn explaining(
        before: Option<Self>,
        bootloader_cut: bool,
        hit: Option<Self>,
    ) -> Option<Self> {
        let in_application = hit.is_some_and(|hit| hit.call.is_some());
        if bootloader_cut && in_application { before } else { hit.or(before) }
    }
}

/// Whether a cut left a well-formed entry in a state that was neither there before nor meant.
pub(crate) fn torn_state(
    before: &[SelectEntry; 2],
    torn: &[SelectEntry; 2],
    after: &[SelectEntry; 2],
) -> bool {
    (0..2).any(|i| torn[i].crc_ok() && torn[i] != before[i] && torn[i] != after[i])
}

/// The weakness behind a broken invariant. `state` is the one in which it broke.
pub(crate) fn recognise(
    world: &World<'_>,
    state: &State,
    hit: Option<Hit>,
    broken: &Broken,
    boot: &Boot,
) -> Option<Hazard> {
    let entries = &state.flash.entries;
    let both_rejected = entries.iter().all(SelectEntry::is_invalid)
        && !entries.iter().all(SelectEntry::is_blank_or_bad_crc)
        && world.layout.apps().factory().is_none();
    if counts_differ(world, entries, broken, boot) {
        return Some(Hazard::H13);
    }
    match &broken.what {
        What::NotChosen(_) => return Some(Hazard::H3),
        What::Failed(Call::Confirm | Call::Reject, _) => {
            let active = otadata::active(entries).is_some();
            return Some(if active { Hazard::H3 } else { Hazard::H5 });
        }
        What::Failed(..) | What::Selected(_) | What::Erased { .. } => return None,
        What::NoBoot(_) | What::Booted(..) => {}
    }
    // The image that would have to boot is older than what was burnt.
    let outdated = |content: &Content| match content {
        Content::Firmware(id) => world.is_too_old(*id, boot.secure_version),
        _ => false,
    };
    if matches!(broken.what, What::NoBoot(_)) && state.flash.contents.iter().any(outdated) {
        return Some(Hazard::H19);
    }
    let selected = boot.selected.and_then(Choice::app);
    let selected_junk =
        selected.is_some_and(|app| content_of(&state.flash.contents, app).is_broken());
    let pointed_to = otadata::active(entries).is_some();
    Some(match hit? {
        _ if both_rejected => Hazard::H5,
        Hit { call: Some(Call::SelectFactory), .. } => Hazard::H8,
        _ if selected_junk && pointed_to => Hazard::H14,
        Hit { torn_state: true, .. } => Hazard::H2,
        Hit { active_entry: true, .. } => Hazard::H1,
        _ => Hazard::H4,
    })
}

/// Whether a gap in the numbers of slots is behind it: an update fails, or any call of an application that
/// counts no slots at all, or the bootloader chose a slot that is not there, or the active entry stands for
/// another slot to the application.
fn counts_differ(
    world: &World<'_>,
    entries: &[SelectEntry; 2],
    broken: &Broken,
    boot: &Boot,
) -> bool {
    let apps = world.layout.apps();
    let [all, unbroken] = [apps.slot_count(), apps.unbroken_count()].map(u32::from);
    let active = otadata::active(entries).map(|active| &entries[active]);
    unbroken < all
        && match &broken.what {
            What::Failed(Call::Update, _) => true,
            What::Failed(..) => unbroken == 0,
            What::NotChosen(_) | What::NoBoot(_) | What::Booted(..) => {
                let selected = boot.selected.and_then(Choice::app);
                selected.is_some_and(|app| apps.app(app).is_none())
                    || active.is_some_and(|it| it.slot_index(all) != it.slot_index(unbroken))
            }
            What::Selected(_) | What::Erased { .. } => false,
        }
}

/// What the partition of `app` holds.
pub(crate) fn content_of(contents: &Contents, app: App) -> Content {
    let index = match app {
        App::Factory => 0,
        App::Ota(slot) => 1 + usize::from(slot.index()),
        App::Test => return Content::Absent,
    };
    contents[index]
}
