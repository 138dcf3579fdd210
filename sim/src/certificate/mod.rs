//! Proofs that can be checked: everything that a device can come to, in a file.
//!
//! A certificate lists *all* situations that the device of an exploration can be in: a device without
//! power by what flash holds and what is expected of it, and one with an application that runs. It holds
//! if the new device is among them, if whatever happens next in each of them leads to one that is listed,
//! and if no invariant breaks in any, apart from the exceptions that it names. Then no sequence of any
//! number of power cuts leads anywhere else: that is a proof by induction over the length of the
//! sequence.
//!
//! [`check`] verifies that. It shares with the search that made the certificate what is the subject of the
//! claim, and nothing else: the flash, its faults, the bootloader, the update code, the invariants
//! ([`Spec`](crate::explore::Spec)), and which contents of flash count as one
//! ([`State`](crate::explore::State)). The order of the search, its memory of runs and of cuts, and its
//! way to tell what cannot have changed have no part in it.
//!
//! The file is text: the first line is a [`Header`], each other line a situation, or what an interrupted
//! upload left in a slot; all in JSON.

mod check;
mod file;
mod line;
mod run;
#[cfg(test)]
mod tests;

pub use check::{Checked, Refused, check};
pub use file::{Certificate, CertificateError, Exception, Header, program, prove};
