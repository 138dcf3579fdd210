//! GDB's protocol, by hand and with GDB itself. The latter needs `gdb-multiarch`, of the Debian package
//! of that name; without it, that test passes and says so, unless `CI` is set.

use super::program::{Program, connect};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

fn start() -> (Program, String) {
    let program = Program::start(&["--port", "port", "--strap", "download", "--gdb", "0"]);
    let address = program.greeted("GDB: target remote ");
    (program, address)
}

/// Sends a packet.
fn send(stream: &mut TcpStream, packet: &str) {
    let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
    write!(stream, "${packet}#{sum:02x}").unwrap();
}

/// Receives a packet, without what runs before it.
fn receive(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    while received.len() < 3 || received[received.len() - 3] != b'#' {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.extend(byte);
    }
    stream.write_all(b"+").unwrap();
    let text = String::from_utf8(received).unwrap();
    let start = text.find('$').unwrap() + 1;
    text[start..text.len() - 3].to_owned()
}

/// Instructions executed so far, until the number is another than before.
fn runs_on(program: &mut Program) -> bool {
    let before = program.status("instructions");
    (0..1000).any(|_| program.status("instructions") != before)
}

#[test]
fn a_debugger_stops_the_board_and_lets_it_go() {
    let (mut program, address) = start();
    assert!(runs_on(&mut program));
    let mut gdb = connect(&address);
    send(&mut gdb, "?");
    assert_eq!(&receive(&mut gdb)[..3], "T05");
    assert!(!runs_on(&mut program));
    send(&mut gdb, "c");
    assert!(runs_on(&mut program));
    // Ctrl-C.
    gdb.write_all(&[3]).unwrap();
    assert_eq!(&receive(&mut gdb)[..3], "S02");
    assert!(!runs_on(&mut program));
    // GDB steps over this instruction set with breakpoints; other debuggers ask for a step.
    for _ in 0..20 {
        let before: u64 = program.status("instructions").parse().unwrap();
        send(&mut gdb, "s");
        assert_eq!(&receive(&mut gdb)[..3], "S05");
        assert_eq!(program.status("instructions"), (before + 1).to_string());
    }
    // A debugger that is gone leaves neither a halt nor breakpoints behind.
    send(&mut gdb, "Z0,40000000,2");
    assert_eq!(receive(&mut gdb), "OK");
    drop(gdb);
    assert!(runs_on(&mut program));
    assert_eq!(program.control("reset"), "ok");
    assert!(runs_on(&mut program));
}

#[test]
fn nonsense_ends_no_program() {
    let (mut program, address) = start();
    let mut gdb = connect(&address);
    gdb.write_all(&b"$$$###\x03\x00\xFF".repeat(100)).unwrap();
    gdb.write_all(&vec![b'$'; 100_000]).ok();
    drop(gdb);
    assert!(runs_on(&mut program));
    let mut gdb = connect(&address);
    send(&mut gdb, "m40000000,4");
    assert_eq!(receive(&mut gdb), "6f101069", "the jump at the reset vector");
}

/// What GDB prints for these commands, or `None` without GDB.
fn gdb(address: &str, commands: &[&str]) -> Option<String> {
    let target = format!("target remote {address}");
    let mut gdb = Command::new("gdb-multiarch");
    gdb.args(["-nx", "-batch"]);
    for command in ["set architecture riscv:rv32", &target].iter().chain(commands) {
        gdb.args(["-ex", command]);
    }
    let Ok(output) = gdb.output() else {
        assert!(std::env::var_os("CI").is_none(), "gdb-multiarch is not installed");
        eprintln!("NOT TESTED: gdb-multiarch is not installed");
        return None;
    };
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn gdb_steps_looks_and_breaks() {
    let (mut program, address) = start();
    let commands = [
        "set {int}0x3fc80000 = 0x12345678",
        "x/4xb 0x3fc80000",
        "x/4xb 0",
        "set $a0 = 0x8765",
        "print/x $a0",
        // The instruction at the reset vector jumps somewhere.
        "set $pc = 0x40000000",
        "stepi",
        "set $target = $pc",
        "print/d $target - 0x40000000",
        "set $pc = 0x40000000",
        "break *$target",
        "continue",
        "print/x $pc - $target + 0x77",
        "delete",
        "hbreak *0x40000000",
        "set $pc = 0x40000000",
        "print/x $a0",
        "detach",
    ];
    let Some(output) = gdb(&address, &commands) else { return };
    assert!(output.contains("0x3fc80000:\t0x78\t0x56\t0x34\t0x12"), "{output}");
    assert!(output.contains("Cannot access memory at address 0x0"), "{output}");
    assert_eq!(output.matches("= 0x8765\n").count(), 2, "{output}");
    assert!(output.contains("= 7824\n"), "{output}");
    assert!(output.contains("Breakpoint 1, 0x40001e90 in"), "{output}");
    assert!(output.contains("= 0x77\n"), "{output}");
    assert!(runs_on(&mut program));
}
