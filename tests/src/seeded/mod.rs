//! Seeded bugs in the firmware, and which scenarios of `scenarios/` find which.

pub mod page;
pub mod suite;
pub mod trial;
