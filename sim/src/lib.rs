//! A NOR flash chip that loses power on command, a model of Espressif's second-stage bootloader, and
//! an explorer that tries every power cut of an over-the-air update.
#![deny(missing_docs)]

pub mod bootloader;
pub mod certificate;
pub mod explore;
pub mod firmware;
pub mod flash;
pub mod guarantee;
pub mod input;
pub mod known;
pub mod layout;
pub mod machine;
pub mod random;
pub mod replay;
pub mod setup;
pub mod subject;
pub mod synthetic;
