//! What the commands for the boards of a bench have in common.

use super::report;
use hil_runner::bench::{BoardEntry, Lock, Queue, SerialEntry, StateDir, load};
use hil_runner::power::restore;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// Gives power back to boards that a killed runner left without, and says so.
pub(super) fn restore_power(state: &StateDir) -> io::Result<()> {
    for board in restore(state)? {
        match board.result {
            Ok(()) => {
                eprintln!("{}: on again; a runner that was killed left it off", board.board);
            }
            Err(error) => eprintln!("warning: {} may be without power: {error}", board.board),
        }
    }
    Ok(())
}

/// A real board of an inventory; `None` when the inventory is wrong, which has been reported.
pub(super) fn real_board(
    bench: &Path,
    name: &str,
) -> io::Result<Option<(BoardEntry, SerialEntry)>> {
    let boards = match load(bench) {
        Ok(bench) => bench.boards,
        Err(wrong) => {
            report(&wrong);
            return Ok(None);
        }
    };
    let names: Vec<_> = boards.iter().map(|board| board.name.clone()).collect();
    let Some(board) = boards.into_iter().find(|board| board.name == name) else {
        let there = if names.is_empty() { "none".into() } else { names.join(", ") };
        let what = format!("{} has no board `{name}`; there are: {there}", bench.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    };
    match board.serial.clone() {
        Some(serial) => Ok(Some((board, serial))),
        None => {
            Err(io::Error::other(format!("{name} is a virtual board: it needs no power switch")))
        }
    }
}

/// Waits for a board and shows the queue.
pub(super) fn lock(state: &StateDir, board: &BoardEntry, task: &str) -> io::Result<Lock> {
    Lock::acquire(state, board.key(), task, |queue| {
        eprintln!("{}", waiting(&board.name, queue));
        ControlFlow::Continue(())
    })
}

fn waiting(board: &str, queue: &Queue) -> String {
    let holder = match &queue.holder {
        Some(holder) => format!("process {} ({})", holder.pid, holder.task),
        None => "another process".into(),
    };
    let others = match &queue.waiting[..] {
        [] => String::new(),
        [_] => "; 1 other waits".into(),
        several => format!("; {} others wait", several.len()),
    };
    format!("{board}: in use by {holder}{others}; waiting")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hil_runner::bench::Holder;

    #[test]
    fn the_queue_is_shown() {
        let mut queue = Queue::default();
        assert_eq!(waiting("desk", &queue), "desk: in use by another process; waiting");
        queue.holder = Some(Holder { pid: 7, task: "first[into=0.5]".into() });
        queue.waiting = vec![8, 0];
        assert_eq!(
            waiting("desk", &queue),
            "desk: in use by process 7 (first[into=0.5]); 2 others wait; waiting"
        );
    }
}
