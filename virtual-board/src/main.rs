//! `virtual-board`: an ESP32-C3 on the command line, with serial ports, power switch and debugger.

mod cli;
mod connect;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
