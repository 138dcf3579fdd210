//! Runs cases on boards, and keeps what came of it.

mod outcome;

pub use outcome::{
    BootRecord, CutRecord, EntryRecord, OperationRecord, Outcome, StepRecord, Verdict,
};
