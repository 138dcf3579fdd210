//! Updates without a cut, kept so that power can be cut at each of their flash operations.

use std::ops::Range;

use sim::layout::Layout;
use virtual_board::Snapshot;

use super::device::{Device, Moment};
use super::image::{Images, VERSIONS};
use crate::full_stack::{Boot, Failure, Phase};

/// Two updates of one device, one after the other, as they go without a cut.
#[derive(Debug)]
pub struct Recording<'a> {
    pub(super) layout: &'a Layout,
    pub(super) images: &'a Images,
    pub(super) device: Device,
    pub(super) stretches: Vec<Stretch>,
}

/// A part of an update.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Number of the update, from 1.
    pub(super) update: usize,
    pub(super) phase: Phase,
    /// Numbers of the flash operations since the device was made.
    pub(super) operations: Range<u64>,
    moments: Vec<Moment>,
    /// What ran before the update and what runs after it.
    pub(super) old: Boot,
    pub(super) new: Boot,
}

impl Stretch {
    /// The last moment kept before an operation.
    pub(super) fn before(&self, operation: u64) -> Option<&Snapshot> {
        let after = self.moments.partition_point(|moment| moment.operation <= operation);
        self.moments[..after].last().map(|moment| &moment.board)
    }
}

impl<'a> Recording<'a> {
    /// Updates a new device twice.
    ///
    /// # Errors
    /// The step that failed.
    pub fn make(layout: &'a Layout, images: &'a Images) -> Result<Self, Failure> {
        let mut device = Device::new(layout, &images.updater[0])?;
        device.moments = Some(Vec::new());
        let mut old = device.power_on()?;
        let mut stretches = Vec::new();
        for update in 1..VERSIONS.len() {
            let image = &images.updater[update];
            let mut keep = |device: &mut Device, phase, start, new: &Boot| {
                let operations = start..device.board.flash().operations();
                let moments = device.moments.replace(Vec::new()).unwrap_or_default();
                let (old, new) = (old.clone(), new.clone());
                stretches.push(Stretch { update, phase, operations, moments, old, new });
            };
            let failed = |phase: Phase| {
                let name = layout.name();
                move |failure| format!("{name}, update {update}, {phase} without a cut: {failure}")
            };
            let next = Boot { version: VERSIONS[update].into(), running: String::new() };
            let start = device.board.flash().operations();
            device.upload(image).map_err(failed(Phase::Upload))?;
            keep(&mut device, Phase::Upload, start, &next);

            let start = device.board.flash().operations();
            let new = device.activate().map_err(failed(Phase::Select))?;
            if new.version != next.version {
                return Err(failed(Phase::Select)(format!("{new} boots")));
            }
            keep(&mut device, Phase::Select, start, &new);

            let start = device.board.flash().operations();
            device.confirm().map_err(failed(Phase::Confirm))?;
            keep(&mut device, Phase::Confirm, start, &new);
            old = new;
        }
        device.moments = None;
        Ok(Self { layout, images, device, stretches })
    }
}
