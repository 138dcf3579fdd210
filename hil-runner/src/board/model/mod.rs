//! The flash model as a board: `sim`'s flash and model of the bootloader, with the update agent in
//! process.
//!
//! No machine code runs. What the family's images do on a device is acted out by their version: the agent
//! answers, or the image crashes, hangs, or refuses to be confirmed. What it does to flash is done by the
//! code that ships, `update-agent` and `ota-core`.

mod device;
mod firmware;
mod flash;

use super::{
    Board, Checkpoint, Contents, CutPlan, CutReport, Operation, Port, Recording, RigError,
};
use crate::scenario::{BoardKind, Capability, ResetKind};
pub(crate) use device::Done;
use device::{Cause, Device, Recorded};
use sim::flash::{Memory, Part};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The flash model.
#[derive(Debug)]
pub struct ModelBoard {
    name: String,
    device: Arc<Mutex<Device>>,
}

impl ModelBoard {
    /// A device with that flash part, its flash erased, under a bootloader with rollback or without.
    #[must_use]
    pub fn new(name: impl Into<String>, part: &Part, rollback: bool) -> Self {
        Self { name: name.into(), device: Arc::new(Mutex::new(Device::new(part, rollback))) }
    }

    /// All of flash, as it is now.
    pub(crate) fn memory(&self) -> Memory {
        self.device().memory().clone()
    }

    /// All of flash, as the last cut left it.
    pub(crate) fn memory_at_cut(&self) -> Option<Memory> {
        self.device().memory_at_cut().cloned()
    }

    /// The operations of a recording; `None` if it is one of another board.
    pub(crate) fn done(recording: &Recording) -> Option<Vec<Done>> {
        recording.downcast_ref().map(Recorded::done)
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        lock(&self.device)
    }

    fn port(&self, start: u64) -> Box<dyn Port> {
        Box::new(ModelPort { device: Arc::clone(&self.device), start })
    }
}

fn lock(device: &Mutex<Device>) -> MutexGuard<'_, Device> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board for ModelBoard {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> BoardKind {
        BoardKind::Model
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        let offers = BoardKind::Model.offers(capability);
        (!offers).then(|| format!("the flash model cannot {capability}"))
    }

    fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        self.device().provision(contents)
    }

    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        let mut device = self.device();
        device.stop();
        let memory = device.memory();
        if range.is_empty() || range.end > memory.capacity() {
            return Err(RigError::new(format!("{range:#x?} is no range of the flash")));
        }
        Ok(memory.to_vec(range))
    }

    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.device().overwrite(offset, bytes)
    }

    fn start(&mut self, _: Duration) -> Result<Box<dyn Port>, RigError> {
        let console = self.device().start();
        Ok(self.port(console))
    }

    fn stop(&mut self) -> Result<(), RigError> {
        self.device().stop();
        Ok(())
    }

    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        let cause = match kind {
            ResetKind::EnReset => Cause::PowerOn,
            ResetKind::Watchdog => Cause::Watchdog,
            ResetKind::Software | ResetKind::DebugReset => {
                return Err(RigError::new("the flash model has no such reset"));
            }
        };
        let console = self.device().reset(cause);
        Ok(self.port(console))
    }

    fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError> {
        self.device().plan_cut(plan)
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        self.device().take_cut()
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        self.device().take_operations()
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        Some(Box::new(self.device().clone()))
    }

    fn rewind(&mut self, checkpoint: &Checkpoint) -> Result<Box<dyn Port>, RigError> {
        let kept = checkpoint.downcast_ref::<Device>();
        let kept = kept.ok_or_else(|| RigError::new("a checkpoint of another board"))?;
        let console = self.device().rewind(kept);
        Ok(self.port(console))
    }

    fn record(&mut self, _: f64) -> bool {
        self.device().record();
        true
    }

    fn take_recording(&mut self) -> Option<Recording> {
        Some(Box::new(self.device().take_recording()?))
    }

    fn cut_in(&mut self, recording: &Recording, plan: &CutPlan) -> Result<bool, RigError> {
        let recorded = recording.downcast_ref::<Recorded>();
        let recorded = recorded.ok_or_else(|| RigError::new("a recording of another board"))?;
        self.device().cut_in(recorded, plan)
    }

    fn fingerprint(&mut self) -> Option<[u8; 16]> {
        Some(self.device().memory().digest_all().0)
    }
}

/// The console of one start.
#[derive(Debug)]
struct ModelPort {
    device: Arc<Mutex<Device>>,
    start: u64,
}

impl ModelPort {
    fn device(&self) -> io::Result<MutexGuard<'_, Device>> {
        let device = lock(&self.device);
        if device.starts() == self.start {
            Ok(device)
        } else {
            Err(io::Error::new(ErrorKind::ConnectionAborted, "the device was interrupted"))
        }
    }
}

impl Read for ModelPort {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.device()?.read(buffer) {
            // Nothing happens on the device before it is sent something.
            0 => Err(ErrorKind::TimedOut.into()),
            length => Ok(length),
        }
    }
}

impl Write for ModelPort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.device()?.receive(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Port for ModelPort {
    fn set_timeout(&mut self, _: Duration) {}
}
