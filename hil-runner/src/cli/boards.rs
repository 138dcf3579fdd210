//! The boards that a run gets.

use super::args::BoardArgs;
use hil_runner::board::{Board, ModelBoard, RigError};
use hil_runner::run::{Pool, Seat};
use hil_runner::scenario::Case;
use std::io;

/// The boards that were asked for; `None` when they cannot be had, which was said.
pub(super) fn pools(args: &BoardArgs) -> io::Result<Option<Vec<Pool>>> {
    let mut pools = Vec::new();
    let names = if args.board.is_empty() { vec!["model".to_owned()] } else { args.board.clone() };
    for name in &names {
        match name.as_str() {
            "model" => pools.push(models(args.jobs())),
            other => {
                eprintln!("error: there is no board `{other}`: there are model and virtual");
                return Ok(None);
            }
        }
    }
    Ok(Some(pools))
}

fn models(count: usize) -> Pool {
    let name = |number| if count == 1 { "model".into() } else { format!("model-{number}") };
    let seats = (1..=count).map(|number| {
        Box::new(Models { name: name(number), case: String::new(), board: None }) as Box<dyn Seat>
    });
    Pool { seats: seats.collect() }
}

/// Flash models, one for each case.
struct Models {
    name: String,
    case: String,
    board: Option<ModelBoard>,
}

impl Seat for Models {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn board(&mut self, case: &Case) -> Result<&mut dyn Board, RigError> {
        if self.case != case.name {
            self.case.clone_from(&case.name);
            self.board = None;
        }
        let device = &case.device;
        let make = || ModelBoard::new("model", &device.flash, device.rollback);
        Ok(self.board.get_or_insert_with(make))
    }
}
