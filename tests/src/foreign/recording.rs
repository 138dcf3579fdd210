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
        for (update, (version, image)) in VERSIONS.iter().zip(&images.updater).enumerate().skip(1) {
            let failed = |phase: Phase| {
                let name = layout.name();
                move |failure| format!("{name}, update {update}, {phase} without a cut: {failure}")
            };
            let mut parts = Vec::new();
            let mut start = device.board.flash().operations();
            let mut keep = |device: &mut Device, phase| {
                let end = device.board.flash().operations();
                let moments = device.moments.replace(Vec::new()).unwrap_or_default();
                parts.push((phase, start..end, moments));
                start = end;
            };
            device.upload(image).map_err(failed(Phase::Upload))?;
            keep(&mut device, Phase::Upload);
            let new = device.activate().map_err(failed(Phase::Select))?;
            if new.version != *version {
                return Err(failed(Phase::Select)(format!("{new} boots")));
            }
            keep(&mut device, Phase::Select);
            device.confirm().map_err(failed(Phase::Confirm))?;
            keep(&mut device, Phase::Confirm);
            stretches.extend(parts.into_iter().map(|(phase, operations, moments)| {
                let (old, new) = (old.clone(), new.clone());
                Stretch { update, phase, operations, moments, old, new }
            }));
            old = new;
        }
        device.moments = None;
        Ok(Self { layout, images, device, stretches })
    }
}
