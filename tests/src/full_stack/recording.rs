//! One update without a cut, kept so that power can be cut at each of its flash operations.

use std::fmt;
use std::ops::Range;

use super::device::{Device, Failure, Frame, Images};

/// A part of the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The image is sent.
    Upload,
    /// It is selected.
    Select,
    /// The device starts with it for the first time.
    Reboot,
    /// It is confirmed.
    Confirm,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upload => "upload",
            Self::Select => "select",
            Self::Reboot => "reboot",
            Self::Confirm => "confirm",
        })
    }
}

/// An update as it goes without a cut.
#[derive(Debug)]
pub struct Recording {
    phases: Vec<(Phase, Range<u64>)>,
    frames: Vec<Frame>,
}

impl Recording {
    /// Carries out an update on a new device.
    ///
    /// # Errors
    /// The step that failed.
    pub fn make(images: &Images) -> Result<(Self, Device), Failure> {
        let device = Device::new(images)?;
        device.board().power_on();
        device.boot()?;
        let mut recording = Self { phases: Vec::new(), frames: Vec::new() };
        let client = device.client()?;
        recording.phase(Phase::Upload, &device, || device.upload(&client, &images.update))?;
        recording.phase(Phase::Select, &device, || device.select(&client))?;
        recording.phase(Phase::Reboot, &device, || {
            device.reset(&client)?;
            let boot = device.boot()?;
            if boot.version == "2.0.0" { Ok(()) } else { Err(format!("runs {boot}")) }
        })?;
        recording.phase(Phase::Confirm, &device, || device.confirm(&client))?;
        Ok((recording, device))
    }

    fn phase(
        &mut self,
        phase: Phase,
        device: &Device,
        steps: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        device.take_frames();
        let start = device.board().flash().operations();
        steps().map_err(|failure| format!("{phase} without a cut: {failure}"))?;
        self.phases.push((phase, start..device.board().flash().operations()));
        self.frames.append(&mut device.take_frames());
        Ok(())
    }

    /// The parts of the update and the numbers of their flash operations.
    #[must_use]
    pub fn phases(&self) -> &[(Phase, Range<u64>)] {
        &self.phases
    }

    /// The numbers of all flash operations, with the part of the update that each is in.
    pub fn operations(&self) -> impl Iterator<Item = (Phase, u64)> + '_ {
        self.phases.iter().flat_map(|(phase, range)| range.clone().map(|number| (*phase, number)))
    }

    /// The last moment kept before an operation.
    pub(super) fn before(&self, operation: u64) -> Option<&Frame> {
        let after = self.frames.partition_point(|frame| frame.operation <= operation);
        self.frames[..after].last()
    }
}
