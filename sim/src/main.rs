//! `sim`: tries every power cut of an over-the-air update, and replays what it finds.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
