//! End-to-end and differential tests that cross the crates of the workspace.

pub mod machine_code;
