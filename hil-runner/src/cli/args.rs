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

Exit status: 0 success, 2 an argument or a scenario file is wrong.";

/// Update scenarios for ESP32 devices: what is done, where power fails, and what must then hold.
///
/// A scenario is a TOML file; docs/scenarios.md says how to write one. None of these commands needs
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
    /// Prints the JSON Schema of scenario files, for editors.
    Schema,
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
