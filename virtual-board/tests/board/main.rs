//! The board as other crates use it: real ROM, real bootloader, small programs.

mod boot;
mod common;
mod cuts;
mod determinism;
mod trouble;
