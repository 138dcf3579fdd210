//! Known bugs of other update and storage code, each as a pair: with the bug and without.
//!
//! Each is the published algorithm, written anew on a tiny geometry, with its corrections as flags, so
//! that the two variants share all code but the correction. An explorer that is worth its name finds the
//! bug in the first and nothing in the second.

mod mcuboot;
mod replay;
mod sequential_storage;

pub use replay::{KnownReplay, Outcome, ReplayError};

use crate::machine::Explore;
use mcuboot::{swap_move, swap_offset, swap_scratch};

/// A bug of published code, and the same code without it.
#[derive(Clone, Copy, Debug)]
pub struct KnownBug {
    /// Project and number, as in `mcuboot-1966`.
    pub name: &'static str,
    /// What goes wrong, in a few words.
    pub summary: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// The most power cuts that it needs.
    pub cuts: usize,
    /// The code with the bug.
    pub bad: &'static dyn Explore,
    /// The code without it.
    pub fixed: &'static dyn Explore,
}

/// With the bug or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// With the bug.
    Bad,
    /// Without it.
    Fixed,
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bad, Self::Fixed];

    /// Its name in reports and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Fixed => "fixed",
        }
    }
}

impl KnownBug {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "mcuboot-1966",
            summary: "swap-move: a torn magic at the start of a revert ends it for ever",
            source: "https://github.com/mcu-tools/mcuboot/issues/1966",
            cuts: 1,
            bad: swap_move::BUG_1966,
            fixed: swap_move::FIXED,
        },
        Self {
            name: "mcuboot-2100",
            summary: "swap-move: the correction of 1966 as merged, with a second cut",
            source: "https://github.com/mcu-tools/mcuboot/pull/2100",
            cuts: 2,
            bad: swap_move::BUG_2100,
            fixed: swap_move::FIXED,
        },
        Self {
            name: "mcuboot-2109",
            summary: "swap-scratch: the image of an interrupted update is taken for invalid",
            source: "https://github.com/mcu-tools/mcuboot/pull/2109",
            cuts: 1,
            bad: swap_scratch::BUG_2109,
            fixed: swap_scratch::FIXED,
        },
        Self {
            name: "mcuboot-2109-merged",
            summary: "swap-scratch: a revert that is cut twice is forgotten (not reported)",
            source: "https://github.com/mcu-tools/mcuboot/pull/2109",
            cuts: 2,
            bad: swap_scratch::MERGED,
            fixed: swap_scratch::FIXED,
        },
        Self {
            name: "mcuboot-2169",
            summary: "swap-offset: no boot after a cut behind the last erase of a revert",
            source: "https://github.com/mcu-tools/mcuboot/issues/2169",
            cuts: 1,
            bad: swap_offset::BUG_2169,
            fixed: swap_offset::FIXED,
        },
        Self {
            name: "mcuboot-2199",
            summary: "swap-move: a revert without an image is due for ever, no update is taken",
            source: "https://github.com/mcu-tools/mcuboot/pull/2199",
            cuts: 1,
            bad: swap_move::BUG_2199,
            fixed: swap_move::FIXED_2199,
        },
        Self {
            name: "sequential-storage-136",
            summary: "map: a value that was stored with success is gone after a restart",
            source: "https://github.com/tweedegolf/sequential-storage/issues/136",
            cuts: 1,
            bad: sequential_storage::BUG_136,
            fixed: sequential_storage::FIXED,
        },
    ];

    /// The bug of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|bug| bug.name == name)
    }

    /// One of its variants.
    #[must_use]
    pub fn variant(&self, variant: Variant) -> &'static dyn Explore {
        match variant {
            Variant::Bad => self.bad,
            Variant::Fixed => self.fixed,
        }
    }
}
