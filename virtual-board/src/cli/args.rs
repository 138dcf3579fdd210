//! The command line.

use crate::connect::{CONTROL_SYNTAX, cut};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sim::flash::Part;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use virtual_board::{ChipIdentity, RomRevision, Strap};

const EXAMPLES: &str = "\
Examples:
  virtual-board run --flash flash.bin --part W25Q32JV --strap download --port board
                                a new board that waits for a serial tool on board
  esptool --port board --before no-reset --after no-reset write-flash 0 merged.bin
                                write its flash from another terminal
  virtual-board run --image target/fw/v1.0.0.flash.bin
                                what a firmware prints that `just fw` has built
  virtual-board run --flash flash.bin --rfc2217 4000
                                for esptool --port rfc2217://localhost:4000, which resets by itself
  virtual-board run --flash flash.bin --cut operation=12,fraction=0.25 --until ready --for 5s
                                whether it boots after power was lost in the 13th flash operation
  virtual-board run --flash flash.bin --gdb 3333
                                for gdb-multiarch -ex 'target remote :3333' firmware.elf

Exit status: 0 ended as asked, 1 the text of --until did not appear in time, 2 bad input, 130 ended by a
signal. Unless the status is 2 or --discard is given, the flash file is up to date then.";

/// An ESP32-C3 in software: the chip's own ROM, a bootloader and firmware, all unmodified, on simulated
/// flash that can lose power at any moment.
#[derive(Debug, Parser)]
#[command(name = "virtual-board", version, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Turns a board on and runs it until it is told to stop.
    ///
    /// Simulated time passes as fast as this computer allows while the board does something, and no faster
    /// than real time while it only waits for a connection that could bring something. Without any
    /// connection it never waits, and the same arguments give the same run, bit for bit.
    #[command(after_help = EXAMPLES, after_long_help = after_run_help())]
    Run(Box<Run>),
}

fn after_run_help() -> String {
    let cuts = cut::SYNTAX;
    format!("Power cuts:\n{cuts}\n\nControl socket:\n{CONTROL_SYNTAX}\n\n{EXAMPLES}")
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Contents of the flash chip; written back at the end, and created erased if missing [default: an
    /// erased chip that is forgotten at the end]
    #[arg(long, value_name = "FILE", help_heading = "Board")]
    pub(super) flash: Option<PathBuf>,
    /// Merged image, with bootloader and partition table, to write to the start of the flash chip at first
    #[arg(long, value_name = "FILE", help_heading = "Board")]
    pub(super) image: Option<PathBuf>,
    /// Flash part [default: the Winbond part of the file's size, W25Q32JV for a new file]
    #[arg(long, value_name = "NAME", value_parser = part, help_heading = "Board")]
    pub(super) part: Option<&'static Part>,
    /// Never write the flash file
    #[arg(long, help_heading = "Board")]
    pub(super) discard: bool,
    /// Where the chip boots from
    #[arg(long, value_enum, default_value = "flash", help_heading = "Board")]
    pub(super) strap: StrapArg,
    /// Chip revision; it selects the mask ROM as well
    #[arg(long, value_name = "M.N", default_value = "0.4", value_parser = revision)]
    #[arg(help_heading = "Board")]
    pub(super) chip_revision: (u8, u8),
    /// MAC address in the eFuses [default: 60:55:f9:c0:ff:ee]
    #[arg(long, value_name = "A:B:C:D:E:F", value_parser = mac, help_heading = "Board")]
    pub(super) mac: Option<[u8; 6]>,
    /// Seed of everything random: RAM contents at power-on, random numbers, torn flash contents
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Board")]
    pub(super) seed: u64,
    /// Keep the serial line at the rate that the client sets: bytes take their time, and a wrong rate
    /// garbles them. Otherwise rates do not matter
    #[arg(long, help_heading = "Board")]
    pub(super) baud: bool,

    /// UART0 as standard input and output [default: if there is no other connection]
    #[arg(long, help_heading = "Connections")]
    pub(super) console: bool,
    /// UART0 as a pseudo-terminal, with a symbolic link to it here
    #[arg(long, value_name = "PATH", help_heading = "Connections")]
    pub(super) port: Option<PathBuf>,
    /// USB-Serial-JTAG as a pseudo-terminal, with a symbolic link to it here
    #[arg(long, value_name = "PATH", help_heading = "Connections")]
    pub(super) usb: Option<PathBuf>,
    /// UART0 over TCP with DTR and RTS, as RFC 2217 defines it; port 0 takes a free one
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = address, help_heading = "Connections")]
    pub(super) rfc2217: Option<SocketAddr>,
    /// A socket for power, reset, straps, cuts and snapshots: see --help
    #[arg(long, value_name = "PATH", help_heading = "Connections")]
    pub(super) control: Option<PathBuf>,
    /// A server for GDB; the board stops when GDB connects
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = address, help_heading = "Connections")]
    pub(super) gdb: Option<SocketAddr>,

    /// Cut power there and turn it on again, may be repeated for one cut after the other: see --help
    #[arg(long, value_name = "CUT", help_heading = "Run")]
    pub(super) cut: Vec<String>,
    /// ELF file with symbols for --cut pc=, may be repeated
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub(super) elf: Vec<PathBuf>,
    /// End after this simulated time
    #[arg(long = "for", value_name = "DURATION", value_parser = cut::duration)]
    #[arg(help_heading = "Run")]
    pub(super) limit: Option<Duration>,
    /// End when the console shows this text; with --for, it must do so in time
    #[arg(long, value_name = "TEXT", help_heading = "Run")]
    pub(super) until: Option<String>,
    /// Report on the standard error output as it happens
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Run")]
    pub(super) trace: Option<Trace>,
    /// At the end, list registers and flash commands that were used and are not modelled
    #[arg(long, help_heading = "Run")]
    pub(super) unimplemented: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Trace {
    /// Programs and erases
    Flash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StrapArg {
    /// Boot from flash
    Flash,
    /// Start the serial loader in ROM
    Download,
}

impl From<StrapArg> for Strap {
    fn from(strap: StrapArg) -> Self {
        match strap {
            StrapArg::Flash => Self::FlashBoot,
            StrapArg::Download => Self::Download,
        }
    }
}

impl Run {
    /// The chip that the arguments describe.
    pub(super) fn identity(&self) -> ChipIdentity {
        let usual = ChipIdentity::default();
        ChipIdentity { mac: self.mac.unwrap_or(usual.mac), revision: self.chip_revision, ..usual }
    }

    /// The ROM of the chip revision.
    pub(super) fn rom(&self) -> RomRevision {
        match self.chip_revision {
            (0, 0..3) => RomRevision::Rev0,
            (0, _) | (1, 0) => RomRevision::Rev3,
            _ => RomRevision::Rev101,
        }
    }
}

fn part(name: &str) -> Result<&'static Part, String> {
    let names = || Part::ALL.iter().map(|part| part.name).collect::<Vec<_>>().join(", ");
    Part::by_name(name).ok_or_else(|| format!("there are {}", names()))
}

fn revision(text: &str) -> Result<(u8, u8), String> {
    let parsed = text.split_once('.').and_then(|(major, minor)| {
        Some((
            major.parse().ok().filter(|&it| it <= 3)?,
            minor.parse().ok().filter(|&it| it <= 15)?,
        ))
    });
    parsed.ok_or_else(|| "a revision is like 0.4, at most 3.15".into())
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "a MAC address is like 60:55:f9:c0:ff:ee".into())
}

/// A port alone is one of the loopback interface: nobody else reaches the board unless told so.
fn address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse().map_err(|_| "neither a port nor like 127.0.0.1:4000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ports_are_local_unless_told_otherwise() {
        assert_eq!(address("0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(address("[::]:99").unwrap().to_string(), "[::]:99");
        assert!(address("99999").is_err());
    }

    #[test]
    fn revisions_and_their_rom() {
        let rom = |revision: &str| {
            let args = ["virtual-board", "run", "--flash", "x", "--chip-revision", revision];
            let Command::Run(run) = Cli::try_parse_from(args).ok()?.command;
            Some(run.rom())
        };
        assert_eq!(rom("0.2"), Some(RomRevision::Rev0));
        assert_eq!(rom("0.4"), Some(RomRevision::Rev3));
        assert_eq!(rom("1.1"), Some(RomRevision::Rev101));
        assert_eq!(rom("4.0"), None);
        assert_eq!(rom("1"), None);
    }

    #[test]
    fn mac_addresses() {
        assert_eq!(mac("60:55:f9:C0:ff:0"), Ok([0x60, 0x55, 0xF9, 0xC0, 0xFF, 0]));
        assert!(mac("60:55:f9:c0:ff").is_err());
        assert!(mac("60:55:f9:c0:ff:1ff").is_err());
    }
}
