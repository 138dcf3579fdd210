//! The program that `scripts/prove-pure` makes theorems about.
//!
//! It holds functions with a plain calling convention, which hand each argument to the function of
//! `ota-core` that a theorem is about. They are never called here: they are executed symbolically. Run, the
//! program checks what is cheaper to try than to derive: the CRC of all 2^32 sequence numbers.

mod crc;
mod flash;
mod layouts;
mod otadata;
mod table;
mod tables;

use std::hint::black_box;
use std::process::ExitCode;

fn main() -> ExitCode {
    black_box((otadata::exported(), table::exported(), tables::exported()));
    black_box((layouts::exported(), flash::exported()));
    if crc::check() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
