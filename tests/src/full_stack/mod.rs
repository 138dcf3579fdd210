//! Whole updates on the virtual board: real ROM, real bootloader, the firmware as it ships, and an MCUmgr
//! client that nobody here wrote.

mod device;
mod recording;
mod sweep;

pub use device::{Boot, Device, Failure, Images};
pub use recording::{Phase, Recording};
pub(crate) use sweep::FRACTIONS;
pub use sweep::{Cut, Outcome, Sweep, sweep};
