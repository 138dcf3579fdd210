//! One boot: on the board, and in the model.

use super::bootloader::{RealBootloader, Rules};
use super::image::{DROM, IROM, WINDOW};
use super::state::{FlashState, PART};
use ota_core::image::{self, ChipId, ImageInfo, Requirements};
use ota_core::partition::Region;
use ota_core::table::BootTable;
use sim::bootloader::{BootInput, FullCheck, ImageCheck, NoBoot, Started};
use sim::flash::{Chip, Driver, LogEntry, Memory, Operation};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use virtual_board::{Board, ChipIdentity, Config, Error, Stop, Ticks};

/// Where the chip begins after a reset.
const RESET_VECTOR: u32 = 0x4000_0000;
/// Longest boot, in simulated time. The bootloader's own watchdog waits for nine seconds.
const LIMIT: Duration = Duration::from_secs(10);
/// Where images hold what tells them apart, from their start.
const MARK: u32 = 0xB0;
const MARK_LEN: u32 = 8;
/// Unit in which flash is mapped.
const MMU_PAGE: u32 = 0x1_0000;

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An application runs.
    Started {
        /// Its first instruction.
        entry: u32,
        /// The bytes by which images are told apart, as the application would read them; `None` if
        /// nothing is mapped there.
        mark: Option<[u8; MARK_LEN as usize]>,
    },
    /// The bootloader resets the chip.
    Reset,
    /// Neither within ten seconds.
    Stuck,
}

/// All that is compared of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// How it ended.
    pub outcome: Outcome,
    /// The flash operations, in order.
    pub operations: Vec<Operation>,
    /// The whole flash afterwards.
    pub memory: Memory,
}

/// Boots the board.
///
/// # Errors
/// As [`Board::new`].
pub(super) fn on_board(state: &FlashState) -> Result<(Boot, String), Error> {
    let mut config = Config::new(&PART, state.memory.clone());
    config.seed = state.index;
    let mut board = Board::new(config)?;
    board.flash_mut().log();
    board.power_on();
    board.step();
    board.set_breakpoints(BTreeSet::from([RESET_VECTOR, IROM]));
    let stop = board.run(Ticks::from_duration(LIMIT));
    let outcome = match (stop, board.cpu().pc) {
        (Stop::Breakpoint, IROM) => {
            let mut bytes = (DROM + MARK..).map(|address| board.peek(address));
            let mut mark = [0; MARK_LEN as usize];
            let read = mark.iter_mut().try_for_each(|byte| {
                *byte = bytes.next()??;
                Some(())
            });
            Outcome::Started { entry: IROM, mark: read.map(|()| mark) }
        }
        (Stop::Breakpoint, _) => Outcome::Reset,
        _ => Outcome::Stuck,
    };
    let operations = operations(board.flash_mut().take_log());
    let memory = board.flash().memory().clone();
    let console = String::from_utf8_lossy(&board.uart0_output()).into_owned();
    Ok((Boot { outcome, operations, memory }, console))
}

/// What the model makes of flash contents.
pub(super) struct Modelled {
    pub(super) boot: Boot,
    /// Its steps, a line each.
    pub(super) story: String,
    /// Whether an application starts that has no code or no constants on flash.
    pub(super) lacks_segment: bool,
}

/// Asks the model. Images that begin at one of the offsets in `refused` do not load.
pub(super) fn in_model(
    state: &FlashState,
    bootloader: &RealBootloader,
    refused: &BTreeSet<u32>,
) -> Modelled {
    let mut chip =
        Chip::with_memory(PART, state.memory.clone()).with_driver(Driver::ESP_IDF_BOOTLOADER);
    chip.log();
    let rules = bootloader.rules;
    let mut images = Images { check: FullCheck { requirements: requirements(rules) }, refused };
    let mut story = String::new();
    let model = bootloader.model();
    let generation = rules.generation;
    let chip_size = generation.chip_size(state.spi_size);
    let outcome = match BootTable::load(&mut chip, model.table_offset, chip_size, generation) {
        Ok(table) => model
            .run_with_table(&table, &mut chip, &mut images, BootInput::default(), |event| {
                story += &format!("{event}\n");
            })
            .map(|boot| boot.outcome),
        Err(error) => {
            story += &format!("{error}\n");
            Ok(Err(NoBoot::PartitionTable))
        }
    };
    let operations = operations(chip.take_log());
    let memory = chip.memory().clone();
    let (outcome, lacks_segment) = match outcome {
        Ok(Ok(started)) => started_in(&mut chip, &started),
        Ok(Err(_)) => (Outcome::Reset, false),
        Err(_) => (Outcome::Stuck, false),
    };
    Modelled { boot: Boot { outcome, operations, memory }, story, lacks_segment }
}

/// The checks of the model, and images that fail for reasons that it does not know.
struct Images<'a> {
    check: FullCheck,
    refused: &'a BTreeSet<u32>,
}

impl ImageCheck<Chip> for Images<'_> {
    fn check(&mut self, flash: &mut Chip, region: Region) -> Option<ImageInfo> {
        self.check.check(flash, region).filter(|_| !self.refused.contains(&region.offset))
    }
}

/// What the application finds in the first 64 KiB of its windows, and whether one of them is empty.
fn started_in(chip: &mut Chip, started: &Started) -> (Outcome, bool) {
    let mut first_page = None;
    let mut windows = BTreeSet::from([DROM, IROM]);
    for segment in image::segments(chip, started.image.region).into_iter().flatten().flatten() {
        let window = segment.load_addr & !(WINDOW - 1);
        if segment.data.size > 0 && [DROM, IROM].contains(&window) {
            windows.remove(&window);
            if segment.load_addr % WINDOW < MMU_PAGE {
                first_page = Some(segment.data.offset - segment.load_addr % MMU_PAGE);
            }
        }
    }
    let mark = first_page.map(|start| {
        let mut mark = [0; MARK_LEN as usize];
        chip.memory().read(start + MARK, &mut mark);
        mark
    });
    (Outcome::Started { entry: started.image.entry, mark }, !windows.is_empty())
}

/// What the bootloader demands of an image on this chip.
fn requirements(rules: Rules) -> Requirements {
    let ChipIdentity { revision, block_version, .. } = ChipIdentity::default();
    let number = |(major, minor): (u8, u8)| u16::from(major) * 100 + u16::from(minor);
    Requirements {
        chip_revision: rules.chip_revision.then_some(number(revision)),
        block_revision: rules.generation.checks_block_revision().then_some(number(block_version)),
        ..Requirements::bootloader(ChipId::ESP32C3, rules.generation)
    }
}

fn operations(log: Vec<LogEntry>) -> Vec<Operation> {
    log.into_iter().map(|entry| entry.operation).collect()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { entry, mark: Some(mark) } => {
                write!(f, "starts at {entry:#x} the image with the mark {mark:02x?}")
            }
            Self::Started { entry, mark: None } => {
                write!(f, "starts at {entry:#x}, with nothing mapped for data")
            }
            Self::Reset => f.write_str("resets"),
            Self::Stuck => f.write_str("neither starts an application nor resets"),
        }
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.outcome)?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "  {operation}"))?;
        write!(f, "  flash afterwards: {:?}", self.memory.digest_all())
    }
}
