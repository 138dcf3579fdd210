//! The command line.

use super::known::Known;
use super::matrix::all_layouts;
use super::prove::Prove;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ota_core::Generation;
use sim::bootloader::Bootloader;
use sim::explore::{Limits, Reductions, Usage};
use sim::flash::Part;
use sim::flash::fault::{ChipProfile, FaultClass, FaultProfile};
use sim::layout::Layout;
use sim::setup::{Rollback, subjects};
use sim::subject::Subject;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

const EXAMPLES: &str = "\
Examples:
  sim                                     all layouts, bootloaders and subjects
  sim --layout 2-slots --rollback on      one layout, with a rollback bootloader
  sim --subject esp-idf-v5.5              only the update code of ESP-IDF
  sim --bootloader v3.3 --layout 2-slots  under the bootloader of another release
  sim --encrypted --layout 2-slots        on encrypted flash
  sim --faults F0,F1                      cuts between operations, and programs cut short
  sim --profile nor-disturb               damage beside what was being written; `sim parts` lists the profiles
  sim --image app.bin --update app2.bin --partitions partitions.csv
                                          your own images and partition table
  sim replay target/counterexamples/esp-idf-v5.5-H1.json
                                          what happens in a counterexample, step by step
  sim guarantee --layout 2-slots          what one power cut comes to, step by step of an update
  sim prove --layout 2-slots              certificates that no sequence of cuts bricks a device
  sim check-certificate target/certificates/*.certificate
                                          verifies them
  sim known --only mcuboot-1966           a known bug of other code, found and not found

Exit status: 0 every verdict is as expected, 1 one is not, 2 bad input, 130 interrupted.";

/// Tries every power cut of an over-the-air update on a simulated ESP32.
///
/// From the state of a new device, power is cut at every flash operation of the update code and of the
/// bootloader, in every way that the faults allow; what remains is booted and explored in turn, until
/// no new state appears. Then any number of cuts in any order is covered. What breaks is written to
/// replay files.
#[derive(Debug, Parser)]
#[command(name = "sim", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) explore: Explore,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs a counterexample again and tells what happens step by step.
    ///
    /// Exit status: 0 the invariant breaks as recorded, 1 it does not, 2 bad input.
    Replay {
        /// A file that an exploration wrote.
        file: PathBuf,
    },
    /// Tells step by step of an update what one power cut there comes to, and how long it is vulnerable.
    ///
    /// Exit status: 0, or 2 for bad input. A broken invariant is a result like any other.
    Guarantee(Box<super::guarantee::Guarantee>),
    /// Finds known bugs of other update and storage code, and does not find them once corrected.
    ///
    /// Each bug is the published algorithm on a tiny flash, in two variants: with the bug and without.
    /// All power cuts are tried, any number of them, until a promise breaks or no new state appears.
    /// Exit status: 0 each bad variant breaks, with as few cuts as it needs, and no fixed one does;
    /// 1 otherwise; 2 bad input.
    Known(Known),
    /// Proves that no sequence of any number of power cuts breaks an invariant, and writes certificates.
    ///
    /// A certificate lists everything that a device can come to; `sim check-certificate` verifies it. What
    /// the same program has left in the directory is kept, so that a run that was stopped goes on where it was.
    /// Exit status: 0 all is proven, 1 update code that should be safe is not, 2 bad input, 130 interrupted.
    Prove(Box<Prove>),
    /// Verifies certificates, without the search that made them.
    ///
    /// Exit status: 0 all hold, 1 one does not, 2 bad input.
    CheckCertificate {
        /// Files that `sim prove` wrote.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Lists the flash parts and chip profiles: what a power cut may leave, and who says so.
    Parts,
    /// Joins what `sim prove --partition` has written in several places.
    ///
    /// Exit status: 0 all is proven, 1 something is missing or unsafe, 2 bad input.
    Merge {
        /// The directories.
        #[arg(required = true)]
        directories: Vec<PathBuf>,
    },
}

/// What to explore.
#[derive(Clone, Debug, Args)]
pub(super) struct Device {
    /// Layout to explore, may be repeated [default: the stock layouts]
    #[arg(long, value_name = "NAME", value_parser = layout, help_heading = "Device")]
    pub(super) layout: Vec<Layout>,
    /// Partition table to explore instead, CSV or binary
    #[arg(long, value_name = "FILE", conflicts_with = "layout", help_heading = "Device")]
    pub(super) partitions: Option<PathBuf>,
    /// All update code under the bootloaders of all releases, and more layouts; takes long
    #[arg(long, conflicts_with_all = ["subject", "bootloader"], help_heading = "Device")]
    pub(super) all: bool,
    /// Release of ESP-IDF that the bootloader comes from, may be repeated
    #[arg(long, value_name = "NAME", value_parser = bootloader, default_value = "v6.1")]
    #[arg(help_heading = "Device")]
    pub(super) bootloader: Vec<Generation>,
    /// Whether bootloader and application support rollback; both means without, and with it where the release
    /// has it; anti means with rollback and anti-rollback, on layouts without a factory application
    #[arg(long, value_enum, default_value = "both", help_heading = "Device")]
    pub(super) rollback: RollbackArg,
    /// Flash encryption is on; of the update code, only what can do with it is explored
    #[arg(long, help_heading = "Device")]
    pub(super) encrypted: bool,
    /// Flash part, which determines the capacity; layouts of an odd shape have their own
    #[arg(long, value_name = "NAME", default_value = "W25Q32JV", value_parser = part)]
    #[arg(help_heading = "Device")]
    pub(super) flash_part: Part,
    /// Application image that is installed at first; its header determines the chip
    #[arg(long, value_name = "FILE", requires = "update", help_heading = "Device")]
    pub(super) image: Option<PathBuf>,
    /// Application image that is offered as an update, may be repeated
    #[arg(long, value_name = "FILE", requires = "image", help_heading = "Device")]
    pub(super) update: Vec<PathBuf>,
    /// Directory with the firmware images of `just fw`, to explore unless --image names others
    #[arg(long, value_name = "DIR", help_heading = "Device")]
    pub(super) family: Option<PathBuf>,
    /// Update code to explore, may be repeated [default: what this project ships, and esp-idf-v5.5]
    #[arg(long, value_name = "NAME", value_parser = subject, help_heading = "Device")]
    pub(super) subject: Vec<&'static dyn Subject>,
}

/// How to explore it.
#[derive(Clone, Debug, Args)]
pub(super) struct Cuts {
    /// Chip profile: what a power cut may leave on the flash part; `sim parts` lists them [default: that of
    /// the part]
    #[arg(long, value_name = "NAME", value_parser = chip_profile, help_heading = "Power cuts")]
    pub(super) profile: Option<&'static ChipProfile>,
    /// Faults of a power cut instead: F0 between operations, F1 programs cut short, F2 any bit of a program,
    /// F3 erases, F6 other bytes of the sector as well
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = fault)]
    #[arg(conflicts_with = "profile", help_heading = "Power cuts")]
    pub(super) faults: Vec<FaultClass>,
    /// Seed of the torn contents that are not enumerated
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Power cuts")]
    pub(super) seed: u64,
    /// Never cut power while the bootloader writes
    #[arg(long, help_heading = "Power cuts")]
    pub(super) no_bootloader_cuts: bool,
    /// Number of threads [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Explore {
    #[command(flatten)]
    pub(super) device: Device,
    #[command(flatten)]
    pub(super) cuts: Cuts,
    /// What the applications do: the usual, or any calls in any order, any number of them
    #[arg(long, value_enum, default_value = "usual", help_heading = "Power cuts")]
    pub(super) usage: UsageArg,
    /// Reductions to do without, for small devices and few faults: that changes the speed and nothing else
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_enum,
        help_heading = "Power cuts"
    )]
    pub(super) without: Vec<Reduction>,
    /// Devices of each setup that live through random faults of all classes afterwards; 0 for none
    #[arg(long, value_name = "N", default_value_t = 500, help_heading = "Power cuts")]
    pub(super) random: u32,
    /// Stop an exploration after this many states
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub(super) max_states: u64,
    /// Where to write replay files
    #[arg(long, value_name = "DIR", default_value = "target/counterexamples")]
    pub(super) counterexamples: PathBuf,
    /// Print the results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Reduction {
    /// What runs and cuts lead to is remembered
    Runs,
    /// Partitions without an image that verifies count as one
    Contents,
    /// Select entries with a wrong CRC count by their state, and labels do not count
    Entries,
    /// Torn images with a header that promises a hash are not verified
    Hashes,
}

impl Explore {
    pub(super) fn reductions(&self) -> Reductions {
        let with = |reduction| !self.without.contains(&reduction);
        Reductions {
            contents: with(Reduction::Contents),
            entries: with(Reduction::Entries),
            hashes: with(Reduction::Hashes),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum UsageArg {
    /// Confirm or reject, then at most one update in a power cycle
    Usual,
    /// Anything at any time
    Any,
}

impl From<UsageArg> for Usage {
    fn from(usage: UsageArg) -> Self {
        match usage {
            UsageArg::Usual => Self::Usual,
            UsageArg::Any => Self::Any,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RollbackArg {
    On,
    Off,
    Both,
    Anti,
}

impl RollbackArg {
    /// The bootloaders of a release that are meant.
    pub(super) fn values(self, generation: Generation) -> &'static [Rollback] {
        match self {
            Self::On => &[Rollback::On],
            Self::Anti => &[Rollback::Anti],
            Self::Both if Bootloader::has_rollback(generation) => &[Rollback::Off, Rollback::On],
            Self::Off | Self::Both => &[Rollback::Off],
        }
    }
}

impl Cuts {
    /// What a power cut may leave on `part`.
    pub(super) fn faults_of(&self, part: &Part) -> FaultProfile {
        if self.faults.is_empty() {
            return self.profile.unwrap_or(part.profile).faults(self.seed);
        }
        let none = FaultProfile::none(self.seed);
        self.faults.iter().copied().fold(none, FaultProfile::with)
    }

    pub(super) fn limits(&self, part: &Part, usage: Usage) -> Limits {
        Limits {
            profile: self.faults_of(part),
            cut_bootloader: !self.no_bootloader_cuts,
            usage,
            max_states: u64::MAX,
            max_cuts: u32::MAX,
            remember: true,
        }
    }

    pub(super) fn threads(&self) -> NonZeroUsize {
        self.jobs.or(thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

fn layout(name: &str) -> Result<Layout, String> {
    layout_of(all_layouts(), name)
}

/// A layout on which an application can take updates wherever it runs.
pub(super) fn stock_layout(name: &str) -> Result<Layout, String> {
    layout_of(Layout::stock(), name)
}

fn layout_of(layouts: Vec<Layout>, name: &str) -> Result<Layout, String> {
    let found = layouts.iter().find(|layout| layout.name() == name).cloned();
    found.ok_or_else(|| expected(layouts.iter().map(Layout::name)))
}

pub(super) fn subject(name: &str) -> Result<&'static dyn Subject, String> {
    let found = subjects().into_iter().find(|subject| subject.name() == name);
    found.ok_or_else(|| expected(subjects().into_iter().map(|subject| subject.name())))
}

pub(super) fn bootloader(name: &str) -> Result<Generation, String> {
    let found = Generation::by_name(name);
    found.ok_or_else(|| expected(Generation::ALL.iter().map(|generation| generation.name())))
}

pub(super) fn part(name: &str) -> Result<Part, String> {
    let found = Part::by_name(name).copied();
    found.ok_or_else(|| expected(Part::ALL.iter().map(|part| part.name)))
}

fn chip_profile(name: &str) -> Result<&'static ChipProfile, String> {
    let found = ChipProfile::by_name(name);
    found.ok_or_else(|| expected(ChipProfile::ALL.iter().map(|profile| profile.name)))
}

/// The classes that the explorer enumerates; the others are too many and belong to random tests.
fn fault(name: &str) -> Result<FaultClass, String> {
    let enumerable = FaultProfile::enumerable(0);
    let class: FaultClass = name.trim().parse()?;
    let names: Vec<_> = enumerable.classes().map(|class| class.to_string()).collect();
    match enumerable.has(class) {
        true => Ok(class),
        false => Err(format!(
            "{class} cannot be enumerated, {}",
            expected(names.iter().map(String::as_str))
        )),
    }
}

fn expected<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("expected {}", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn collateral_damage_is_off_unless_asked_for() {
        let faults = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["sim"], arguments].concat())?;
            Ok::<_, clap::Error>(cli.explore.cuts.faults_of(&cli.explore.device.flash_part))
        };
        let all = FaultProfile::enumerable(1);
        assert_eq!(faults(&[]).unwrap(), all.without(FaultClass::Collateral));
        assert!(faults(&["--faults", "F0,F6"]).unwrap().has(FaultClass::Collateral));
        assert_eq!(faults(&["--profile", "nor-disturb"]).unwrap(), all);
        for wrong in [
            &["--faults", "F4"][..],
            &["--profile", "W25Q32JV"],
            &["--profile", "nor", "--faults", "F0"],
        ] {
            assert!(faults(wrong).is_err(), "{wrong:?}");
        }
    }
}
