//! Runs cases on boards, and keeps what came of it.

mod blank;
mod case;
mod command;
mod console;
mod cuts;
mod device;
mod exec;
mod flip;
mod host;
mod images;
mod journal;
mod judge;
mod landing;
mod otadata;
mod outcome;
pub(crate) mod point;
mod replay;
mod session;
mod smp;
mod state;
mod steps;
mod stop;

pub use case::{Options, run_case};
pub use journal::{Header, Journal, JournalError, Recorded};
pub use outcome::{
    BootRecord, CutRecord, EntryRecord, OperationRecord, Outcome, StepRecord, Verdict,
};
pub use replay::{Replay, ReplayError};
pub use session::{Event, Pool, Seat, Session};
pub use state::{Boots, CrashState, StateError};
