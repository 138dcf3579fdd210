//! The boards behind a serial port, against the virtual board: the real `espflash` library, a real
//! pseudo-terminal, the firmware.

#[path = "serial/cuts.rs"]
mod cuts;
#[path = "serial/faults.rs"]
mod faults;
#[path = "serial/flash.rs"]
mod flash;
mod late_bench;
mod link;
#[path = "serial/probe.rs"]
mod probe;
#[path = "serial/update.rs"]
mod update;

use hil_runner::board::virtual_board::{VirtualBoard, VirtualConfig};
use hil_runner::board::{Board, Contents, Port};
use sim::flash::Part;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How long a device may take to start, in its own time.
const BOOT: Duration = Duration::from_secs(20);

/// A file of the firmware family.
fn firmware(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fw").join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; build the firmware first: `just fw`", path.display())
    })
}

/// A device as it is delivered, with version 1.
fn factory() -> Contents {
    let mut contents = Contents::erased(part().capacity);
    contents.put(0, firmware("v1.0.0.flash.bin"));
    contents
}

fn part() -> &'static Part {
    Part::by_name("W25Q32JV").expect("a part")
}

fn board() -> VirtualBoard {
    VirtualBoard::virtual_board(VirtualConfig {
        name: "virtual".into(),
        part: part(),
        seed: 0,
        rollback_bootloader: false,
    })
    .expect("a board")
}

/// A board with that firmware, off.
fn provisioned() -> VirtualBoard {
    let mut board = board();
    board.provision(&factory()).expect("flash");
    board
}

/// Reads the console until the firmware listens.
fn read_until_it_listens(port: &mut dyn Port) -> String {
    let mut console = read_until(port, "self-test: ");
    while !console.ends_with('\n') {
        console += &read_until(port, "");
    }
    console
}

/// Reads the console up to a text, at least one byte.
fn read_until(port: &mut dyn Port, text: &str) -> String {
    let mut console = String::new();
    port.set_timeout(BOOT);
    while console.is_empty() || !console.contains(text) {
        let mut buffer = [0; 256];
        match port.read(&mut buffer) {
            Ok(count) => console += &String::from_utf8_lossy(&buffer[..count]),
            Err(error) => panic!("no {text:?}: {error}; console:\n{console}"),
        }
    }
    console
}

/// Reads the console until the port says that the device was cut.
fn read_to_the_cut(port: &mut dyn Port) -> String {
    let mut console = Vec::new();
    port.set_timeout(BOOT);
    loop {
        let mut buffer = [0; 256];
        match port.read(&mut buffer) {
            Ok(count) => console.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => break,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&console)),
        }
    }
    String::from_utf8_lossy(&console).into_owned()
}
