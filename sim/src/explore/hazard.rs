//! Known weaknesses of the OTA mechanism, recognised in a counterexample.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A weakness that a counterexample exhibits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hazard {
    /// The chosen entry is rewritten in place; while its sector is erased it does not exist.
    H1,
    /// The CRC does not cover the state: a torn state is believed.
    H2,
    /// The active entry is not that of the running image, and is confirmed all the same.
    H3,
    /// The fallback goes by slot number, not by history.
    H4,
    /// Both entries are rejected, and there is no factory application.
    H5,
    /// Returning to factory takes two erases.
    H8,
    /// The slots have gaps in their numbers, so that bootloader and application count them differently.
    H13,
    /// A slot is erased before the entry that points to it is revoked.
    H14,
    /// Anti-rollback: the bootloader burns the security version of an image that it has not verified.
    H19,
}

impl Hazard {
    /// Every hazard that an exploration recognises.
    pub const ALL: [Self; 9] = [
        Self::H1,
        Self::H2,
        Self::H3,
        Self::H4,
        Self::H5,
        Self::H8,
        Self::H13,
        Self::H14,
        Self::H19,
    ];

    /// One sentence for reports.
    pub fn describe(self) -> &'static str {
        match self {
            Self::H1 => "the chosen select entry is rewritten in place",
            Self::H2 => "the CRC of a select entry does not cover its state",
            Self::H3 => "the entry that is confirmed is not that of the running image",
            Self::H4 => "the fallback goes by slot number, not by history",
            Self::H5 => "both select entries are rejected and there is no factory application",
            Self::H8 => "returning to factory takes two erases",
            Self::H13 => {
                "bootloader and application count slots with gaps in their numbers differently"
            }
            Self::H14 => "a slot is erased while a select entry still points to it",
            Self::H19 => "the security version of an image that does not verify is burnt",
        }
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
