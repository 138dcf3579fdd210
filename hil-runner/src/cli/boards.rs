//! The boards that a run gets.

use super::args::BoardArgs;
use hil_runner::board::virtual_board::{VirtualBoard, VirtualConfig};
use hil_runner::board::{Board, ModelBoard, RigError};
use hil_runner::run::{Pool, Seat};
use hil_runner::scenario::{Case, Device};
use sim::flash::Part;
use std::io;
use std::sync::{Mutex, PoisonError};

/// The boards that were asked for; `None` when they cannot be had, which was said.
pub(super) fn pools(args: &BoardArgs) -> io::Result<Option<Vec<Pool>>> {
    let mut pools = Vec::new();
    let names = if args.board.is_empty() { vec!["model".to_owned()] } else { args.board.clone() };
    for name in &names {
        match name.as_str() {
            "model" => pools.push(made("model", args, |device| {
                Ok(Box::new(ModelBoard::new("model", &device.flash, device.rollback)))
            })),
            "virtual" => {
                let rollback_bootloader = args.rollback_bootloader.is_some();
                pools.push(made("virtual", args, move |device| {
                    let config = VirtualConfig {
                        name: "virtual".into(),
                        part: kept(device.flash),
                        seed: 0,
                        rollback_bootloader,
                    };
                    Ok(Box::new(VirtualBoard::virtual_board(config)?))
                }));
            }
            other => {
                eprintln!("error: there is no board `{other}`: there are model and virtual");
                return Ok(None);
            }
        }
    }
    Ok(Some(pools))
}

/// A flash part that stays. Scenarios name few.
fn kept(part: Part) -> &'static Part {
    static PARTS: Mutex<Vec<&Part>> = Mutex::new(Vec::new());
    let mut parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
    match parts.iter().find(|kept| ***kept == part) {
        Some(kept) => kept,
        None => {
            let kept = Box::leak(Box::new(part));
            parts.push(kept);
            kept
        }
    }
}

/// Boards that are made when they are needed.
fn made<F>(name: &str, args: &BoardArgs, make: F) -> Pool
where
    F: Fn(&Device) -> Result<Box<dyn Board>, RigError> + Clone + Send + 'static,
{
    let count = args.jobs();
    let named = |number| if count == 1 { name.into() } else { format!("{name}-{number}") };
    let seats = (1..=count).map(|number| {
        let name = named(number);
        Box::new(Made { name, case: String::new(), make: make.clone(), board: None })
            as Box<dyn Seat>
    });
    Pool { seats: seats.collect() }
}

/// Boards made one for each case.
struct Made<F> {
    name: String,
    case: String,
    make: F,
    board: Option<Box<dyn Board>>,
}

impl<F> Seat for Made<F>
where
    F: Fn(&Device) -> Result<Box<dyn Board>, RigError> + Send,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    fn board(&mut self, case: &Case) -> Result<&mut dyn Board, RigError> {
        if self.case != case.name {
            self.case.clone_from(&case.name);
            self.board = None;
        }
        let board = match self.board.take() {
            Some(board) => board,
            None => (self.make)(&case.device)?,
        };
        Ok(self.board.insert(board).as_mut())
    }
}
