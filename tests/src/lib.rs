//! End-to-end and differential tests that cross the crates of the workspace.

pub mod differential;
pub mod foreign;
pub mod full_stack;
pub mod machine_code;
pub mod seeded;
pub mod source_copy;
