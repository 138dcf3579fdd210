//! Why a run ends before its last step.

use crate::board::RigError;

/// Why a run stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The device was interrupted while something was done to it.
    Interrupted,
    /// Something that the scenario promises does not hold.
    Fail(String),
    /// The bench failed.
    Rig(RigError),
    /// A cut fell elsewhere.
    Missed {
        /// Where.
        what: String,
        /// Another attempt may hit.
        again: bool,
    },
    /// The run was not needed: there is no such flash operation.
    NoSuchOperation,
    /// The run was only there to count flash operations.
    Counted,
    /// The rest went as in the run of that name.
    SameAs(String),
    /// Somebody wants the runner to end.
    Cancelled,
}

impl From<RigError> for Stop {
    fn from(error: RigError) -> Self {
        Self::Rig(error)
    }
}

/// What becomes of a part of a run.
pub(super) type Run<T = ()> = Result<T, Stop>;

/// A promise that does not hold.
pub(super) fn fail<T>(what: impl Into<String>) -> Run<T> {
    Err(Stop::Fail(what.into()))
}
