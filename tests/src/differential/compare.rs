//! One flash contents, booted twice.

use super::boot::{Boot, Modelled, Outcome, in_model, on_board};
use super::bootloader::RealBootloader;
use super::state::FlashState;
use std::collections::BTreeSet;
use std::fmt;
use virtual_board::Error;

/// An image without code or without constants on flash.
const NO_SEGMENT: &str =
    "an image that maps no code or no constants loads, and then the bootloader aborts";
/// An image for RAM that it can't have.
const RAM: &str = "the model does not look where the RAM segments of an image go";
/// Offset in an image of the data of its first segment.
const DATA_OF_FIRST_SEGMENT: u32 = 0x20;

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Board and model agree.
    Agreed,
    /// They do not, for a reason that is known and accepted.
    Explained(&'static str),
    /// They do not.
    Disagreed,
}

/// Both boots from one flash contents.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The flash contents.
    pub state: FlashState,
    /// What the board did.
    pub board: Boot,
    /// What its console shows.
    pub console: String,
    /// What the model did.
    pub model: Boot,
    /// Its steps.
    pub story: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// Boots board and model from the contents number `index` of the sequence that follows from `seed`.
///
/// # Errors
/// As [`virtual_board::Board::new`].
pub fn compare(seed: u64, index: u64, bootloader: &RealBootloader) -> Result<Comparison, Error> {
    let state = FlashState::generate(seed, index, bootloader);
    let (board, console) = on_board(&state)?;
    let modelled = in_model(&state, bootloader, &BTreeSet::new());
    let verdict = if board == modelled.boot {
        Verdict::Agreed
    } else {
        explain(&state, bootloader, &board, &console, &modelled)
            .map_or(Verdict::Disagreed, Verdict::Explained)
    };
    let Modelled { boot: model, story, .. } = modelled;
    Ok(Comparison { state, board, console, model, story, verdict })
}

/// Why board and model differ, if the reason is one of the limits of the model and nothing else
/// differs.
fn explain(
    state: &FlashState,
    bootloader: &RealBootloader,
    board: &Boot,
    console: &str,
    modelled: &Modelled,
) -> Option<&'static str> {
    if aborted(board, console, modelled) {
        return Some(NO_SEGMENT);
    }
    let refused = refused_for_ram(console);
    if refused.is_empty() {
        return None;
    }
    let modelled = in_model(state, bootloader, &refused);
    let agreed = *board == modelled.boot || aborted(board, console, &modelled);
    agreed.then_some(RAM)
}

/// Whether the board did all that the model does and then aborted, as the application lacks a
/// segment.
fn aborted(board: &Boot, console: &str, modelled: &Modelled) -> bool {
    let expected = Boot { outcome: Outcome::Reset, ..modelled.boot.clone() };
    modelled.lacks_segment && console.contains("abort() was called") && *board == expected
}

/// Where the images begin of which the bootloader says that a segment is for RAM that it can't have.
fn refused_for_ram(console: &str) -> BTreeSet<u32> {
    let mut image = None;
    let mut refused = BTreeSet::new();
    for line in console.lines() {
        if let Some((_, segment)) = line.split_once("segment 0: paddr=") {
            // Older releases write 0x in front.
            let digits = segment.trim_start_matches("0x").get(..8);
            let data = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            image = data.map(|data| data.wrapping_sub(DATA_OF_FIRST_SEGMENT));
        } else if line.contains("invalid: ") || line.contains("overlaps") {
            refused.extend(image);
        }
    }
    refused
}

impl Comparison {
    /// What differs, in a line.
    pub fn difference(&self) -> String {
        let Self { board, model, .. } = self;
        if board.outcome != model.outcome {
            format!("board {}, model {}", board.outcome, model.outcome)
        } else if board.operations != model.operations {
            "other flash operations".into()
        } else if board.memory != model.memory {
            "other flash contents afterwards".into()
        } else {
            "nothing".into()
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlashState { index, table, entries, images, spi_size, .. } = &self.state;
        writeln!(f, "state {index}: {:?}", self.verdict)?;
        writeln!(f, "partition table: {table}; flash size in the bootloader's header: {spi_size}")?;
        writeln!(f, "select entries: {}", entries.join("; "))?;
        for (offset, class) in images {
            writeln!(f, "image at {offset:#x}: {class}")?;
        }
        writeln!(f, "\nboard: {}\n\nmodel: {}\n", self.board, self.model)?;
        writeln!(f, "the model's steps:\n{}\nthe board's console:\n{}", self.story, self.console)
    }
}
