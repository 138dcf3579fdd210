//! The command line.

use clap::{Args, Parser, Subcommand};
use hil_runner::scenario::Code;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hil-runner new scenarios/my-update.toml   write a commented starting point
  hil-runner check                          check all files below scenarios/
  hil-runner plan --tag confirm             what a run would do, on which boards, and how long
  hil-runner explain E021                   what a code means, with a wrong and a right example
  hil-runner run --board model              run everything on the flash model, in seconds
  hil-runner run --board virtual            the same on virtual boards, with the real binaries
  hil-runner discover --write bench.toml    list the real boards that are plugged in

Exit status: 0 success, 2 an argument or a scenario file is wrong; `run --help` tells of more.";

/// Update scenarios for ESP32 devices: what is done, where power fails, and what must then hold.
///
/// A scenario is a TOML file; docs/scenarios.md says how to write one, docs/running.md how to run it on the
/// flash model, on virtual boards and on real ones. Only `discover`, `power` and runs on real boards need
/// hardware.
#[derive(Debug, Parser)]
#[command(name = "hil-runner", version, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Writes a commented scenario to start from.
    New {
        /// The file to write, which must not exist; its name becomes the scenario's.
        file: PathBuf,
    },
    /// Checks scenario files and all that they name.
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Shows the cases, the kinds of boards that can run them, and about how long that takes.
    Plan {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        filter: Filter,
    },
    /// Lists the scenarios with their tags, hazards and reasons.
    List {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        filter: Filter,
    },
    /// Runs scenarios on boards, and reports which firmware booted after each cut.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Does a run again that failed.
    Replay {
        /// The file that the run left behind.
        file: PathBuf,
        #[command(flatten)]
        board: BoardArgs,
        /// Folder with the images that `just fw` builds.
        #[arg(long, value_name = "DIR", default_value = "target/fw")]
        family: PathBuf,
    },
    /// Makes the reports of a journal anew, or of one that is still being written.
    Report {
        /// The journal that a run left behind.
        journal: PathBuf,
        /// Folder for the reports.
        #[arg(long, value_name = "DIR", default_value = "target/hil")]
        results: PathBuf,
    },
    /// Writes a crash state to a board, boots it there, and compares with what the flash model predicts.
    #[command(after_help = STATE_HELP)]
    State(StateArgs),
    /// Prints the JSON Schema of scenario files, for editors.
    Schema {
        /// That of the inventory of a bench instead.
        #[arg(long)]
        bench: bool,
    },
    /// Lists the serial ports, and the boards that answer there.
    Discover(Discover),
    /// Switches the power of a board, and measures its switch.
    #[command(subcommand)]
    Power(PowerCommand),
    /// Explains a code of a diagnostic.
    Explain {
        /// The code, for example E003.
        code: Code,
    },
    /// Brings scenario files into their one way of spacing.
    Fmt {
        /// Change nothing; fail if a file would change.
        #[arg(long)]
        check: bool,
        /// Scenario files, and folders of them.
        #[arg(default_value = "scenarios")]
        paths: Vec<PathBuf>,
    },
}

const RUN_HELP: &str = "\
Examples:
  hil-runner run --board model                    all of scenarios/ on the flash model
  hil-runner run --board model --board virtual    on both, each case on each
  hil-runner run scenarios/cut-update.toml --case 'cut-update[layout=2-slots]' --at 17

Exit status: 0 all passed, 1 something failed, 2 an argument or a file is wrong, 3 the bench failed or
nothing was run, 4 passed only when tried again.";

const STATE_HELP: &str = "\
Examples:
  hil-runner state target/hil/replay/second-cut.json --to virtual   the chain of cuts of a failed run
  hil-runner state target/counterexamples/esp-idf-v5.5-H1.json --to virtual   one that sim found
  hil-runner state flash.bin --to bench-1                           flash as it was read from a device
  hil-runner state flash.bin --to qemu --qemu FILE                  the same in Espressif's QEMU

Exit status: 0 what boots is what was predicted, 1 it is something else, 2 an argument or a file is wrong,
3 the bench failed.";

/// Which state, and which board.
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// A replay of `hil-runner run`, a replay of `sim`, or all of flash (.bin).
    pub(super) file: PathBuf,
    /// `virtual`, `qemu`, or the name of a board in the inventory. Its flash is overwritten.
    #[arg(long, value_name = "BOARD")]
    pub(super) to: String,
    #[command(flatten)]
    pub(super) qemu: QemuArgs,
    /// The inventory of the bench.
    #[arg(long, value_name = "FILE", default_value = "bench.toml")]
    pub(super) bench: PathBuf,
    /// A bootloader with rollback, for states that need one. It takes the place of that in a dump.
    #[arg(long, value_name = "FILE")]
    pub(super) rollback_bootloader: Option<PathBuf>,
    /// Folder with the images that `just fw` builds.
    #[arg(long, value_name = "DIR", default_value = "target/fw")]
    pub(super) family: PathBuf,
}

/// What is run, and where.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Only cases with this in their names.
    #[arg(long, value_name = "TEXT")]
    pub(super) case: Option<String>,
    /// Only the run with these operation numbers for the cuts at every operation, as in `3,1`.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub(super) at: Option<Vec<u32>>,
    #[command(flatten)]
    pub(super) board: BoardArgs,
    /// Go on with the journal that is there; what is in it is not done again.
    #[arg(long)]
    pub(super) resume: bool,
    /// Of each cut at every operation, take the first 8 operations and then only each N-th.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) sample: u32,
    /// Print a line of JSON for each run.
    #[arg(long)]
    pub(super) json: bool,
}

impl RunArgs {
    /// Whether a case is asked for.
    pub(super) fn takes(&self, case: &str) -> bool {
        self.case.as_ref().is_none_or(|text| case.contains(text.as_str()))
    }
}

/// Which boards, and what becomes of the results.
#[derive(Debug, Args)]
pub(super) struct BoardArgs {
    /// `model`, `virtual`, `qemu`, or the name of a board in the inventory; may be repeated. Each case runs
    /// on the model, on a virtual board, in QEMU, and on one of the boards of the inventory, as far as they
    /// were named [default: all of the inventory; without one, virtual].
    #[arg(long, value_name = "NAME")]
    pub(super) board: Vec<String>,
    #[command(flatten)]
    pub(super) qemu: QemuArgs,
    /// The inventory of the bench.
    #[arg(long, value_name = "FILE", default_value = "bench.toml")]
    pub(super) bench: PathBuf,
    /// How many models, virtual boards or QEMUs share the work [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) jobs: Option<u16>,
    /// How often a run is tried when the bench fails or a cut misses. A wrong boot is never tried again.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) attempts: u32,
    /// A bootloader with rollback, for virtual boards, QEMU and real boards.
    #[arg(long, value_name = "FILE")]
    pub(super) rollback_bootloader: Option<PathBuf>,
    /// Folder for the journal, the reports and the replays.
    #[arg(long, value_name = "DIR", default_value = "target/hil")]
    pub(super) results: PathBuf,
}

impl BoardArgs {
    /// How many models, virtual boards or QEMUs share the work.
    pub(super) fn jobs(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(processors, usize::from)
    }
}

/// Which QEMU.
#[derive(Debug, Args)]
pub(super) struct QemuArgs {
    /// Espressif's QEMU, for the board `qemu` [default: $CUTPOINT_QEMU, else qemu-system-riscv32]
    #[arg(long = "qemu", value_name = "FILE")]
    pub(super) given: Option<PathBuf>,
}

impl QemuArgs {
    /// The program.
    pub(super) fn program(&self) -> PathBuf {
        let named = || std::env::var_os("CUTPOINT_QEMU").filter(|name| !name.is_empty());
        let given = self.given.clone().or_else(|| named().map(PathBuf::from));
        given.unwrap_or_else(|| "qemu-system-riscv32".into())
    }
}

/// What is plugged in.
#[derive(Debug, Args)]
pub(super) struct Discover {
    /// Add the boards that answer to this inventory; it keeps all that is in it.
    #[arg(long, value_name = "FILE")]
    pub(super) write: Option<PathBuf>,
    /// Ask only there; may be repeated [default: at all serial ports].
    #[arg(long, value_name = "PORT")]
    pub(super) port: Vec<PathBuf>,
}

/// What is done with a board's power.
#[derive(Debug, Subcommand)]
pub(super) enum PowerCommand {
    /// Switches it on.
    On(Target),
    /// Switches it off, and leaves it off.
    Off(Target),
    /// Switches it off and on again, and shows how long that takes.
    Test {
        #[command(flatten)]
        target: Target,
        /// How often.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        repeat: u32,
    },
}

/// Which board.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// Name of the board in the inventory.
    pub(super) board: String,
    /// The inventory.
    #[arg(long, value_name = "FILE", default_value = "bench.toml")]
    pub(super) bench: PathBuf,
}

/// Which files.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Scenario files, and folders of them.
    #[arg(default_value = "scenarios")]
    pub(super) paths: Vec<PathBuf>,
    /// Folder with the images that `just fw` builds.
    #[arg(long, value_name = "DIR", default_value = "target/fw")]
    pub(super) family: PathBuf,
}

/// Which of their scenarios.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only scenarios with this tag; may be repeated, then all of them.
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
