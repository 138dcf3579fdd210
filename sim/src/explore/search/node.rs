//! What the search knows of a device.

use crate::explore::cycle::{Cut, Request, Writer};
use crate::explore::hit::Hit;
use crate::explore::leftover::Holding;
use crate::explore::state::State;
use crate::explore::summary::{BootSummary, Start};
use crate::firmware::FirmwareId;
use ota_core::partition::App;
use std::rc::Rc;

/// One edge of the search: what happens to a device next.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The call that is made; `None` for the bootloader, or a reset.
    pub(super) request: Option<Request>,
    pub(super) cut: Option<Cut>,
    /// What a partition must hold for that, by number.
    pub(super) holding: Option<Holding>,
}

/// The situation of a device: without power, or with an application that runs and has made its calls so
/// far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Situation {
    /// What flash holds, and what is expected.
    pub(crate) state: State,
    /// The partition of the application that runs.
    pub(crate) running: Option<App>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) situation: Situation,
    pub(super) parent: u32,
    /// What led here from the parent.
    pub(super) step: Step,
    pub(super) cuts: u32,
    /// Flash operations of the application in this power cycle so far.
    pub(super) operations: usize,
    pub(super) hit: Option<Hit>,
    /// The boot of this power cycle, if there was one.
    pub(super) boot: Option<Rc<BootSummary>>,
    pub(super) expanded: bool,
}

/// What else is known of a situation that is added.
#[derive(Clone, Copy)]
pub(super) struct Place<'s> {
    pub(super) hit: Option<Hit>,
    pub(super) operations: usize,
    pub(super) boot: &'s Rc<BootSummary>,
}

/// A run that a cut ends.
pub(super) struct Interrupted<'s> {
    /// The device meanwhile.
    pub(super) inside: &'s State,
    pub(super) during: Writer,
    pub(super) written: Option<usize>,
}

/// An update of a slot that holds what another one left.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) node: u32,
    pub(super) start: Start,
    /// The slot by number, and whose upload was cut.
    pub(super) left: (usize, FirmwareId),
    /// It was tried on as many contents of the slot.
    pub(super) tried: usize,
}
