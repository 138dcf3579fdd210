//! End-to-end and differential tests that cross the crates of the workspace.
