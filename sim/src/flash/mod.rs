//! The simulated NOR flash chip: real parts, power loss at any flash operation, and every torn
//! content that the fault model allows.
//!
//! [`Chip`] is the device: commands, simulated time, wear, power. [`Memory`] is what it stores, a
//! copy-on-write array that forks in constant time. [`fault`] says what a cut may leave behind.

mod chip;
mod digest;
mod encryption;
mod error;
pub mod fault;
mod memory;
mod noise;
mod nor;
mod operation;
mod part;
mod power;
mod sector;

pub use chip::{Chip, Counters, Recorded, Status};
pub use digest::Digest;
pub use encryption::Encryption;
pub use error::FlashError;
pub use memory::Memory;
pub use nor::Driver;
pub use operation::{EraseSize, LogEntry, Operation, OperationKind};
pub use part::{Part, Timing, TypMax};
pub use power::CutPlan;
pub use sector::{BLOCK_SIZE, Condition, PAGE_SIZE, SECTOR_SIZE, Sector};
