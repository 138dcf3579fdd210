//! The boards that a run gets.

use super::args::BoardArgs;
use super::bench::restore_power;
use super::real::Real;
use super::report;
use hil_runner::bench::{Bench, StateDir, load};
use hil_runner::board::qemu::{self, QemuBoard, QemuConfig};
use hil_runner::board::virtual_board::{VirtualBoard, VirtualConfig};
use hil_runner::board::{Board, ModelBoard, RigError};
use hil_runner::run::{Pool, Seat};
use hil_runner::scenario::{Case, Device};
use sim::flash::Part;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Where the inventory lies if nobody says otherwise.
const BENCH: &str = "bench.toml";

/// The boards that were asked for; `None` when they cannot be had, which was said.
///
/// Without a word about them: those of the inventory if there is one, else virtual boards.
pub(super) fn pools(args: &BoardArgs) -> io::Result<Option<Vec<Pool>>> {
    let bench = match args.bench.exists() || args.bench != Path::new(BENCH) {
        true => match load(&args.bench) {
            Ok(bench) => Some(bench),
            Err(wrong) => {
                report(&wrong);
                return Ok(None);
            }
        },
        false => None,
    };
    let state = StateDir::of_user();
    restore_power(&state)?;
    let mut pools = Vec::new();
    let mut real = Vec::new();
    let every = |bench: &Bench| bench.boards.iter().map(|board| board.name.clone()).collect();
    let names: Vec<_> = match (&bench, args.board.as_slice()) {
        (Some(bench), []) => every(bench),
        (None, []) => {
            eprintln!("there is no {BENCH}, so virtual boards take the place of real ones");
            vec!["virtual".to_owned()]
        }
        (_, names) => names.to_vec(),
    };
    for name in &names {
        let entry = bench.as_ref().and_then(|bench| bench.board(name));
        match (name.as_str(), entry.map(|entry| (entry, &entry.serial))) {
            (_, Some((entry, Some(serial)))) => {
                let seat = Real::new(entry.clone(), serial.clone(), state.clone());
                real.push(Box::new(seat) as Box<dyn Seat>);
            }
            (_, Some((_, None))) => real.push(virtual_seat(name, args)),
            ("model", None) => pools.push(made("model", args.jobs(), |device| {
                Ok(Box::new(ModelBoard::new("model", &device.flash, device.rollback)))
            })),
            ("virtual", None) => {
                let seats = (1..=args.jobs()).map(|number| {
                    let name = if args.jobs() == 1 {
                        "virtual".into()
                    } else {
                        format!("virtual-{number}")
                    };
                    virtual_seat(&name, args)
                });
                pools.push(Pool { seats: seats.collect() });
            }
            ("qemu", None) => {
                let program = args.qemu.program();
                if let Err(error) = qemu::check(&program) {
                    eprintln!("error: {error}");
                    return Ok(None);
                }
                let rollback = args.rollback_bootloader.is_some();
                pools.push(made("qemu", args.jobs(), move |device| {
                    Ok(Box::new(qemu_board(&program, &device.flash, rollback)?))
                }));
            }
            (other, None) => {
                let more = bench.as_ref().map_or_else(Vec::new, every).join(", ");
                let more = if more.is_empty() { String::new() } else { format!(", {more}") };
                eprintln!(
                    "error: there is no board `{other}`: there are model, virtual, qemu{more}"
                );
                return Ok(None);
            }
        }
    }
    if !real.is_empty() {
        pools.push(Pool { seats: real });
    }
    Ok(Some(pools))
}

fn virtual_seat(name: &str, args: &BoardArgs) -> Box<dyn Seat> {
    let rollback_bootloader = args.rollback_bootloader.is_some();
    let make = move |device: &Device| {
        Ok(Box::new(virtual_board(device.flash, rollback_bootloader)?) as Box<dyn Board>)
    };
    Box::new(Made { name: name.into(), case: String::new(), make, board: None })
}

/// A virtual board with that flash part, which can run a bootloader with rollback or not.
pub(super) fn virtual_board(
    part: Part,
    rollback_bootloader: bool,
) -> Result<VirtualBoard, RigError> {
    let name = "virtual".into();
    let config = VirtualConfig { name, part: kept(part), seed: 0, rollback_bootloader };
    VirtualBoard::virtual_board(config)
}

/// A board in that QEMU with a flash as large as that part, which can run a bootloader with rollback or not.
pub(super) fn qemu_board(
    program: &Path,
    part: &Part,
    rollback_bootloader: bool,
) -> Result<QemuBoard, RigError> {
    QemuBoard::qemu(QemuConfig {
        name: "qemu".into(),
        program: program.into(),
        capacity: part.capacity,
        rollback_bootloader,
    })
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
fn made<F>(name: &str, count: usize, make: F) -> Pool
where
    F: Fn(&Device) -> Result<Box<dyn Board>, RigError> + Clone + Send + 'static,
{
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
