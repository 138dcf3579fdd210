//! The program: what its commands do.

mod args;
mod flash_file;

use crate::connect::{
    Connections, Console, Control, End, GdbServer, Plan, Rfc2217, Session, Symbols, cut,
};
use args::{Cli, Command, Run, Trace};
use clap::Parser;
use flash_file::FlashFile;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use virtual_board::serve::{DEFAULT_BAUD, Pty};
use virtual_board::{Board, Config, Pacing, Unimplemented};

/// The text of `--until` did not appear in time.
const TOO_LATE: u8 = 1;
/// An input or an argument is wrong.
const BAD_INPUT: u8 = 2;
/// A signal; what shells report for a program that ends by SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    run(&args).map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::from(BAD_INPUT)
        },
        ExitCode::from,
    )
}

fn run(args: &Run) -> Result<u8, String> {
    let mut symbols = Symbols::default();
    for elf in &args.elf {
        symbols.add(elf)?;
    }
    let cuts = args
        .cut
        .iter()
        .map(|text| cut::parse(text, &symbols).map_err(|error| format!("--cut {text}: {error}")));
    let plan = Plan {
        cuts: cuts.collect::<Result<_, _>>()?,
        limit: args.limit,
        until: args.until.clone(),
        baud: args.baud,
        trace_flash: args.trace == Some(Trace::Flash),
    };
    let mut file = FlashFile::open(args.flash.as_deref(), args.part)?;
    if let Some(image) = &args.image {
        file.write_image(image)?;
    }
    if let Some(warning) = file.warning() {
        eprintln!("warning: {warning}");
    }
    let board = Board::new(Config {
        rom: args.rom(),
        identity: args.identity(),
        pacing: if args.baud { Pacing::Baud(DEFAULT_BAUD) } else { Pacing::Turbo },
        seed: args.seed,
        ..Config::new(file.part, file.memory.clone())
    })
    .map_err(|error| error.to_string())?;
    let connections = connect(args)?;
    let kept = args.flash.is_some() && !args.discard;
    let mut save = |board: &Board| match kept {
        true => file.save(board.flash().memory()),
        false => Err("there is no flash file to write".into()),
    };
    let strap = args.strap.into();
    let session = Session::new(board, connections, plan, strap, &symbols, &mut save, on_signal()?);
    let (end, board) = session.run().map_err(|error| error.to_string())?;
    if args.unimplemented {
        list_unimplemented(&board);
    }
    if kept {
        file.save(board.flash().memory())?;
    }
    Ok(match end {
        End::Limit if args.until.is_some() => TOO_LATE,
        End::Text | End::Limit | End::Quit => 0,
        End::Interrupted => INTERRUPTED,
    })
}

/// Opens what the arguments ask for, and says where it is when that is not obvious.
fn connect(args: &Run) -> Result<Connections, String> {
    let mut connections = Connections::default();
    let at_path = |path: &Path, error: &dyn Display| format!("{}: {error}", path.display());
    let at_address = |address: SocketAddr, error: &dyn Display| format!("{address}: {error}");
    if let Some(path) = &args.port {
        let port = Pty::open(Some(path)).map_err(|error| at_path(path, &error))?;
        eprintln!("UART0: {}", port.path().display());
        connections.port = Some(port);
    }
    if let Some(path) = &args.usb {
        let port = Pty::open(Some(path)).map_err(|error| at_path(path, &error))?;
        eprintln!("USB: {}", port.path().display());
        connections.usb = Some(port);
    }
    if let Some(address) = args.rfc2217 {
        let open = || Rfc2217::listen(address).and_then(|server| Ok((server.address()?, server)));
        let (address, server) = open().map_err(|error| at_address(address, &error))?;
        eprintln!("UART0: rfc2217://{address}");
        connections.rfc2217 = Some(server);
    }
    if let Some(address) = args.gdb {
        let open = || GdbServer::listen(address).and_then(|server| Ok((server.address()?, server)));
        let (address, server) = open().map_err(|error| at_address(address, &error))?;
        eprintln!("GDB: target remote {address}");
        connections.gdb = Some(server);
    }
    if let Some(path) = &args.control {
        connections.control = Some(Control::listen(path).map_err(|error| at_path(path, &error))?);
        eprintln!("Control: {}", path.display());
    }
    if args.console || (args.port.is_none() && args.rfc2217.is_none()) {
        connections.console = Some(Console::open().map_err(|error| error.to_string())?);
    }
    Ok(connections)
}

/// A socket that becomes readable at a signal to end.
fn on_signal() -> Result<UnixStream, String> {
    let (mut writer, reader) = UnixStream::pair().map_err(|error| error.to_string())?;
    ctrlc::set_handler(move || {
        let _ = writer.write_all(&[0]);
    })
    .map_err(|error| error.to_string())?;
    Ok(reader)
}

fn list_unimplemented(board: &Board) {
    for (address, accesses) in board.unimplemented() {
        let Unimplemented { reads, writes, .. } = accesses;
        eprintln!("not modelled: register {address:#010x}: {reads} reads, {writes} writes");
    }
    for (command, count) in board.flash().unknown_commands() {
        eprintln!("not modelled: flash command {command:#04x}: {count} times");
    }
}
