//! The flash chip behind the SPI controller, at command level.
//!
//! [`FlashDevice`] decodes commands as a real part does and carries them out on [`sim::flash::Chip`],
//! which knows busy times, latches, suspension and what a cut leaves behind. A [`PowerCut`] waits for
//! one of those commands.

mod command;
mod device;
mod power;
mod sfdp;
mod status;

pub(crate) use command::Command;
pub use device::{FlashDevice, Speed};
pub(crate) use power::PowerCut;
pub use power::{CutOutcome, CutTrigger, PowerLoss};
