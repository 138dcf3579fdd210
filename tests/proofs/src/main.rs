//! The program that `scripts/prove-pure` makes theorems about.
//!
//! It holds functions with a plain calling convention, which hand each argument to the function of
//! `ota-core`, or of the bootloader model, that a theorem is about. They are never called here: they are
//! executed symbolically. Run, the program checks what is cheaper to try than to derive: the CRC of all
//! 2^32 sequence numbers.

mod boot;
/// The bootloader model as it is, without the rest of the simulator.
#[path = "../../../sim/src/bootloader/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the simulator uses what is not used here")]
mod bootloader;
mod crc;
mod flash;
mod otadata;
mod table;
mod tables;

use std::hint::black_box;
use std::process::ExitCode;

fn main() -> ExitCode {
    black_box((otadata::exported(), table::exported(), tables::exported(), boot::exported()));
    black_box(flash::exported());
    if crc::check() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
