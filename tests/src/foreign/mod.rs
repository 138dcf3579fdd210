//! Firmware that nobody here wrote, on the virtual board: what a power cut does to a device that updates
//! itself with the published crate `esp-bootloader-esp-idf`, and whether Embassy keeps time.
//!
//! `tests/foreign-fw` has the programs; none of them uses a crate of this repository.

mod cut;
mod device;
mod image;
mod recording;
mod table;
mod time;

pub use cut::{Completion, Cut, Outcome};
pub use device::Device;
pub use image::Images;
pub use recording::Recording;
pub use table::{sweep, table};
pub use time::{Timekeeping, keep_time};
