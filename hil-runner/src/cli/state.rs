//! `state`: a crash state on any board.

use super::args::StateArgs;
use super::real::Real;
use super::{about, boards, print, report};
use hil_runner::bench::{StateDir, load};
use hil_runner::board::{RigError, qemu};
use hil_runner::run::{CrashState, Options, ReplayError, StateError};
use hil_runner::scenario::Sources;
use std::fs;
use std::io;

/// Boots a crash state and compares. Gives the exit status.
pub(super) fn state(args: &StateArgs) -> io::Result<Option<u8>> {
    let bootloader = virtual_board::stock_bootloader().map_err(io::Error::other)?;
    let rollback_bootloader = match &args.rollback_bootloader {
        Some(path) => match fs::read(path).map_err(about(path)) {
            Ok(bytes) => Some(bytes),
            Err(error) => return wrong(&error.to_string()),
        },
        None => None,
    };
    let options = Options {
        bootloader,
        rollback_bootloader,
        attempts: 1,
        dumps: None,
        only: None,
        sample: 1,
        finished: Vec::new(),
    };
    let sources = Sources { family: args.family.clone() };
    let state = match CrashState::read(&args.file, &sources, &options) {
        Ok(state) => state,
        Err(StateError::File(path, what) | StateError::Replay(ReplayError::File(path, what))) => {
            return wrong(&format!("{}: {what}", path.display()));
        }
        Err(StateError::Replay(ReplayError::Scenario(mistakes))) => {
            report(&mistakes);
            return Ok(None);
        }
    };
    if !state.summary.is_empty() {
        print(&format!("{}\n", state.summary));
    }
    let predicted = state.predicted();
    let booted = match args.to.as_str() {
        "virtual" => {
            state.boot(&mut boards::virtual_board(*state.part(), true).map_err(io::Error::other)?)
        }
        "qemu" => {
            let program = args.qemu.program();
            if let Err(error) = qemu::check(&program) {
                return wrong(&error.to_string());
            }
            boards::qemu_board(&program, state.part(), true)
                .and_then(|mut board| state.boot(&mut board))
        }
        name => {
            let bench = match load(&args.bench) {
                Ok(bench) => bench,
                Err(mistakes) => {
                    report(&mistakes);
                    return Ok(None);
                }
            };
            let Some(entry) = bench.board(name) else {
                let names = bench.boards.iter().map(|board| board.name.as_str());
                let names =
                    ["virtual", "qemu"].into_iter().chain(names).collect::<Vec<_>>().join(", ");
                return wrong(&format!("there is no board `{name}`: there are {names}"));
            };
            match &entry.serial {
                Some(serial) => {
                    let mut real = Real::new(entry.clone(), serial.clone(), StateDir::of_user());
                    real.get("crash state").and_then(|board| state.boot(board))
                }
                None => state.boot(
                    &mut boards::virtual_board(*state.part(), true).map_err(io::Error::other)?,
                ),
            }
        }
    };
    let (shown, console) = booted.map_err(|error: RigError| io::Error::other(error))?;
    print(&format!("predicted: {predicted}\n{:>9}: {shown}\n", args.to));
    if predicted.agrees(&shown) {
        print("they agree\n");
        return Ok(Some(0));
    }
    print(&format!(
        "they differ; the console:\n{}\n",
        console.escape_debug().to_string().replace("\\n", "\n")
    ));
    Ok(Some(1))
}

fn wrong(what: &str) -> io::Result<Option<u8>> {
    eprintln!("error: {what}");
    Ok(None)
}
