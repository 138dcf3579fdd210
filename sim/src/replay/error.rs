//! Why a replay file cannot be run.

use crate::explore::Finding;
use crate::flash::fault::TearMismatch;
use crate::input::InputError;
use crate::layout::LayoutError;
use crate::setup::SetupError;

/// Why a replay file cannot be run, or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// A file is not what it should be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A name stands for nothing that comes with the program.
    #[error("unknown {what} {name:?}, expected {expected}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// The names there are.
        expected: String,
    },
    /// The inline partition table is not two hexadecimal digits for each byte.
    #[error(
        "the partition table in the replay file should be an even number of hexadecimal digits"
    )]
    TableDigits,
    /// The inline partition table is not valid.
    #[error("the partition table in the replay file: {0}")]
    Layout(#[from] LayoutError),
    /// The images, the layout and the bootloader do not go together.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A cycle offers an image that is not listed.
    #[error("cycle {cycle} takes update {firmware}, but the images are numbered 0 to {last}")]
    NoFirmware {
        /// Number of the cycle, from 1.
        cycle: usize,
        /// What it offers.
        firmware: u8,
        /// The last image.
        last: usize,
    },
    /// A cut is in an operation that there is not.
    #[error("cycle {cycle} is cut in flash operation {operation}, but it has only {count}")]
    NoOperation {
        /// Number of the cycle, from 1.
        cycle: usize,
        /// The operation, from 0.
        operation: u32,
        /// How many there are.
        count: usize,
    },
    /// A cut leaves something behind that its operation cannot.
    #[error("cycle {cycle}: {source}")]
    Tear {
        /// Number of the cycle, from 1.
        cycle: usize,
        /// What is wrong.
        source: TearMismatch,
    },
    /// The power cycles of a counterexample do not break the invariant on real flash contents: the
    /// abstraction of the exploration is wrong.
    #[error("the counterexample {0:?} of the exploration does not replay")]
    NotReproduced(Finding),
}
