//! The bootloader model of `sim` against Espressif's bootloaders, on generated flash contents.
//!
//! The board of `virtual-board` boots from each flash contents with mask ROM and bootloader; the model
//! boots from the same. Compared are the application that starts, or that none does; the flash
//! operations, in order, with addresses and data; and the whole flash afterwards.
//!
//! A [`FlashState`] follows from a seed and a number alone.

mod boot;
mod bootloader;
mod compare;
mod dice;
mod image;
mod otadata;
mod release;
mod run;
mod state;
mod table;

pub use boot::{Boot, Outcome};
pub use bootloader::RealBootloader;
pub use compare::{Comparison, Verdict, compare};
pub use release::Release;
pub use run::{Summary, run};
pub use state::FlashState;
