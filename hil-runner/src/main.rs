//! `hil-runner`: checks, plans and formats update scenarios.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
