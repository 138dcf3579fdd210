//! Power-cut-safe over-the-air updates for devices that boot with Espressif's stock second-stage
//! bootloader.
//!
//! The crate reads and writes the flash formats of ESP-IDF: the [partition table](table), the two
//! [select entries](otadata) of the otadata partition, and [application images](image). On top of
//! them [`Ota`] writes a new image to a slot that is not running, verifies it, and selects it, in an
//! order that survives a power cut at any instant.
//!
//! `no_std`, no allocation, no `unsafe`; nothing that stands on flash makes it panic.
#![no_std]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod crc;
mod error;
pub mod esp_err;
mod generation;
pub mod image;
mod ota;
pub mod otadata;
pub mod partition;
mod read;
mod records;
mod session;
pub mod table;
mod text;

pub use error::Error;
pub use generation::Generation;
pub use ota::{Config, Confirmation, Ota, Recovery, Verified};
pub use read::{ReadError, SliceFlash};
pub use session::{Extent, Paused, Session};
pub use text::Text;
