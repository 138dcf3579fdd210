//! Counterexamples as files: a small JSON file holds all that is needed to run the power cycles of a
//! counterexample again, on the flash contents as they really are, and to tell what happens in words.

mod device;
mod error;
mod execute;
mod file;
mod minimise;
mod shift;
mod story;

pub use device::{DeviceSource, FirmwareSource, LayoutSource};
pub use error::ReplayError;
pub(crate) use execute::Device;
pub use execute::{CycleTrace, TornOperation, Trace, Violation};
pub use file::Replay;
pub use story::Story;
