//! The device side of SMP, the protocol of MCUmgr, over a serial console, driving
//! [`ota_core`].
//!
//! An [`Agent`] takes console input in pieces of any size and answers through the [`Board`]. Log lines
//! may share the console in both directions. [`Traced`] wraps the flash driver, so that each erase and
//! each write is announced on the console before it starts, for benches that cut power on it.
//!
//! Which groups and commands there are, and which errors they give, is in `docs/smp-group.md`.
//!
//! `no_std`, no allocation, no `unsafe`; no input makes it panic.
#![no_std]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

mod agent;
mod board;
mod cbor;
mod cutpoint;
mod error;
mod frame;
mod hashes;
mod header;
mod img;
mod os;
mod text;
mod trace;
mod upload;
mod version;

pub use agent::{Agent, RESPONSE_LEN};
pub use board::{Board, FirmwareInfo, ResetReason};
pub use cutpoint::{GROUP, GROUP_VERSION};
pub use trace::{Sink, Trace, Traced, TracedError};
