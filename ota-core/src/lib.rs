//! Power-cut-safe over-the-air updates for devices that boot with Espressif's stock second-stage
//! bootloader.
//!
//! The crate reads and writes the flash formats of ESP-IDF: the [partition table](table), the two
//! [select entries](otadata) of the otadata partition, and [application images](image). On top of
//! them an update session writes a new image to a slot that is not running, verifies it, and selects it.
#![no_std]
#![deny(missing_docs)]

pub mod image;
pub mod otadata;
pub mod partition;
pub mod table;
