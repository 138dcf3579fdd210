//! The serial port, as pseudo-terminal and over TCP, against the loader in ROM.

use super::program::{DOWNLOAD, Program, connect};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The request that every serial tool starts with, and the ROM's answer to it, which comes eight times
/// (esptool documentation, "Serial Protocol"). A tool repeats it, since the ROM measures the rate of the
/// line in the first one and may miss it.
fn sync() -> Vec<u8> {
    let head = [0xC0, 0x00, 0x08, 0x24, 0x00, 0, 0, 0, 0, 0x07, 0x07, 0x12, 0x20];
    [&head[..], &[0x55; 32], &[0xC0]].concat().repeat(4)
}
const SYNC_ANSWER: [u8; 14] = [0xC0, 0x01, 0x08, 4, 0, 7, 7, 0x12, 0x20, 0, 0, 0, 0, 0xC0];

/// Reads until the bytes end like this.
fn read_until(port: &mut impl Read, end: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    while !received.ends_with(end) {
        let mut byte = [0];
        port.read_exact(&mut byte).unwrap();
        received.extend(byte);
    }
    received
}

fn open(program: &Program, name: &str) -> File {
    OpenOptions::new().read(true).write(true).open(program.path(name)).unwrap()
}

#[test]
fn the_loader_answers_on_the_pseudo_terminal() {
    for baud in [&[][..], &["--baud"]] {
        let mut program =
            Program::start(&[baud, &["--port", "port", "--strap", "download"]].concat());
        // What is printed while the port is not open is lost.
        assert_eq!(program.control("power off"), "ok");
        let mut port = open(&program, "port");
        assert_eq!(program.control("power on"), "ok");
        assert_eq!(read_until(&mut port, b"download\r\n"), DOWNLOAD.as_bytes());
        port.write_all(&sync()).unwrap();
        read_until(&mut port, &SYNC_ANSWER.repeat(8));
    }
}

#[test]
fn a_wrong_rate_garbles_until_the_client_goes() {
    let mut program = Program::start(&["--baud", "--port", "port", "--strap", "download"]);
    let mut banner = |rate| {
        assert_eq!(program.control("power off"), "ok");
        let mut port = open(&program, "port");
        if let Some(rate) = rate {
            let mut settings = tcgetattr(&port).unwrap();
            settings.set_speed(rate).unwrap();
            tcsetattr(&port, OptionalActions::Now, &settings).unwrap();
        }
        assert_eq!(program.control("power on"), "ok");
        let mut bytes = [0; DOWNLOAD.len()];
        port.read_exact(&mut bytes[..10]).unwrap();
        if bytes.starts_with(b"ESP-ROM:") {
            port.read_exact(&mut bytes[10..]).unwrap();
        }
        bytes
    };
    assert_eq!(banner(None), DOWNLOAD.as_bytes());
    assert_ne!(banner(Some(921_600)), DOWNLOAD.as_bytes());
    assert_eq!(banner(None), DOWNLOAD.as_bytes());
}

#[test]
fn the_loader_answers_on_usb() {
    let mut program = Program::start(&["--usb", "usb", "--port", "port", "--strap", "download"]);
    assert_eq!(program.control("power off"), "ok");
    let mut port = open(&program, "usb");
    assert_eq!(program.control("power on"), "ok");
    let banner = read_until(&mut port, b"download\r\n");
    assert!(banner.starts_with(b"ESP-ROM"), "{}", String::from_utf8_lossy(&banner));
    port.write_all(&sync()).unwrap();
    read_until(&mut port, &SYNC_ANSWER.repeat(8));
}

/// Sets a control line over RFC 2217: 8 and 9 DTR, 11 and 12 RTS, on and off.
fn set_line(port: &mut TcpStream, control: u8) {
    port.write_all(&[255, 250, 44, 5, control, 255, 240]).unwrap();
    read_until(port, &[255, 250, 44, 105, control, 255, 240]);
}

#[test]
fn control_lines_choose_what_boots() {
    let mut program = Program::start(&["--rfc2217", "0", "--console"]);
    let address = program.greeted("UART0: rfc2217://");
    let mut port = connect(&address);
    // DTR off, RTS on: reset. DTR on, RTS off: boot strap low.
    for control in [9, 11] {
        set_line(&mut port, control);
    }
    assert_eq!(program.status("reset"), "held");
    let stopped = program.control("time");
    assert_eq!(program.control("time"), stopped, "time passes in reset");
    for control in [8, 12] {
        set_line(&mut port, control);
    }
    let banner = read_until(&mut port, b"download\r\n");
    assert!(banner.ends_with(DOWNLOAD.as_bytes()), "{}", String::from_utf8_lossy(&banner));
    port.write_all(&sync()).unwrap();
    read_until(&mut port, &SYNC_ANSWER.repeat(8));
    for control in [9, 11, 12] {
        set_line(&mut port, control);
    }
    read_until(&mut port, b"boot:0xc (SPI_FAST_FLASH_BOOT)");
}
