//! Inventories, and how boards come into them.

#![allow(missing_docs)]

mod common;
mod pty_board;

use common::repository;
use hil_runner::bench::{
    Bench, Found, Identity, PortInfo, UsbId, discover, identify, merge, parse, schema,
};
use hil_runner::board::RigError;
use hil_runner::scenario::{ChipName, CutKind, Diagnostic};
use pty_board::{PtyBoard, hold, text};
use serialport::{SerialPort, TTYPort};
use std::fs;
use std::path::Path;
use std::process::Command;
use virtual_board::Strap;

const EXAMPLE: &str = include_str!("../../scenarios/bench.example.toml");

fn read(source: &str) -> Result<Bench, Vec<Diagnostic>> {
    parse(Path::new("/bench/bench.toml"), source)
}

#[test]
fn the_example_is_right() {
    let bench = read(EXAMPLE).unwrap_or_else(|wrong| panic!("{}", wrong[0].render(false)));
    let names: Vec<_> = bench.boards.iter().map(|board| board.name.as_str()).collect();
    let expected = ["desk", "hub", "rack", "bare-module", "reset-only", "virtual-1", "virtual-2"];
    assert_eq!(names, expected);
    let kinds: Vec<_> = bench
        .boards
        .iter()
        .filter_map(|board| Some(board.serial.as_ref()?.power.as_ref().unwrap().kinds()))
        .collect();
    use CutKind::{EnReset, Rail, UsbPort};
    assert_eq!(kinds, [[UsbPort], [UsbPort], [Rail], [Rail], [EnReset]]);
    let desk = bench.board("desk").unwrap();
    assert_eq!(
        (desk.chip, desk.flash, desk.key()),
        (ChipName::Esp32c3, 4 << 20, "60:55:f9:c0:ff:ee")
    );
    assert_eq!(bench.board("virtual-2").unwrap().key(), "virtual-2");
}

#[test]
fn the_stored_schema_is_current() {
    let stored = fs::read_to_string(repository("scenarios/bench.schema.json")).unwrap_or_default();
    assert!(stored == schema(), "hil-runner schema --bench > scenarios/bench.schema.json");
}

/// The example with this in place of that.
fn with(old: &str, new: &str) -> String {
    assert!(EXAMPLE.contains(old), "{old}");
    EXAMPLE.replacen(old, new, 1)
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (source, code, underlined) in [
        (with("flash = \"4 MB\"", "flash 4"), "E002", ""),
        (with("tags =", "tag ="), "E003", "tag"),
        (with("hub-port = 3", "hub-prt = 3"), "E003", "hub-prt"),
        (with("vid = 0x1A86, ", ""), "E004", "{ pid = 0x7523 }"),
        (with("channel = 2", "channel = \"2\""), "E005", "\"2\""),
        (with("\"esp32c3\"", "\"esp32c33\""), "E006", "\"esp32c33\""),
        (with("60:55:f9:c0:ff:ee", "60:55:f9"), "E006", "\"60:55:f9\""),
        (with("\"4 MB\"", "\"5 MB\""), "E006", "\"5 MB\""),
        (with("\"usb-port\"", "\"mains\""), "E006", "\"mains\""),
        (with("\"5 s\"", "\"soon\""), "E006", "\"soon\""),
        (with("millivolts = 3300", "millivolts = 12000"), "E006", "12000"),
        (with("usb-hub = \"1-1\"", "usb-hub = \"one\""), "E006", "\"one\""),
        (with("count = 2", "count = 0"), "E006", "0"),
        (with("\"303A:1001\"", "\"jtag\""), "E006", "\"jtag\""),
        (with("usb-hub = \"1-1\"\n", ""), "E007", "hub-port"),
        (with("channel = 2", "usb-hub = \"1-1\""), "E008", "relay"),
        (with("\"hub\"", "\"desk\""), "E035", "\"desk\""),
        (format!("{EXAMPLE}\n[[virtual]]\nname = \"virtual-1\"\n"), "E035", "\"virtual-1\""),
        (with("40:4c:ca:00:00:01", "60:55:F9:C0:FF:EE"), "E035", "\"60:55:F9:C0:FF:EE\""),
        (with("ttyUSB2", "ttyUSB1"), "E035", "\"/dev/ttyUSB1\""),
    ] {
        let wrong = read(&source).unwrap_err();
        let codes: Vec<_> = wrong.iter().map(|it| it.code.name()).collect();
        assert!(codes.contains(&code), "{code}: {wrong:?}\n{source}");
        let found = wrong.iter().find(|it| it.code.name() == code).unwrap();
        assert_eq!(&source[found.span.clone()], underlined, "{}", found.render(false));
    }
}

#[test]
fn a_mistake_looks_like_that_of_a_scenario() {
    let wrong = read(&with("cuts = \"usb-port\"", "cuts = \"usb\"")).unwrap_err();
    let text = wrong[0].render(false);
    assert!(
        text.starts_with("error[E006]: `cuts` cannot be `usb`\n  --> /bench/bench.toml:16:8"),
        "{text}"
    );
    assert!(text.contains("^^^^^") && text.contains("did you mean `usb-port`?"), "{text}");
}

fn identity(mac: &str) -> Identity {
    Identity { chip: ChipName::Esp32c3, mac: mac.into(), flash: 4 << 20 }
}

fn found(path: &str, serial: Option<&str>, place: &str, mac: &str) -> Found {
    let usb = UsbId { vid: 0x303A, pid: 0x1001, serial: serial.map(str::to_owned) };
    let port = PortInfo { path: path.into(), usb: Some(usb), usb_path: Some(place.into()) };
    Found { port, answer: Ok(identity(mac)) }
}

#[test]
fn what_a_person_wrote_stays() {
    let mine = "\
# Ask Ana before you unplug anything.
[[board]]
name = \"ana\" # hers
chip = \"esp32c3\"
mac = \"60:55:F9:00:00:01\"
flash = \"4 MB\"
port = \"/dev/ttyACM7\" # moves
notes = \"the one with the dent\"

[board.power]
usb-hub = \"1-1\"
hub-port = 2

[[virtual]]
name = \"v\"
";
    let here = [
        found("/dev/ttyACM0", None, "1-1", "60:55:f9:00:00:01"),
        found("/dev/ttyACM1", Some("60:55:F9:00:00:02"), "1-2", "60:55:f9:00:00:02"),
        Found { port: PortInfo::at("/dev/ttyS0"), answer: Err(RigError::new("no chip answers")) },
        // The same board at its second port.
        found("/dev/ttyUSB0", None, "1-3", "60:55:f9:00:00:02"),
    ];
    let merged = merge(mine, &here).unwrap();
    assert_eq!(
        (&merged.added[..], &merged.moved[..]),
        (&["esp32c3-000002".to_owned()][..], &["ana".to_owned()][..])
    );
    let new = "
[[board]]
name = \"esp32c3-000002\"
chip = \"esp32c3\"
mac = \"60:55:f9:00:00:02\"
flash = \"4 MB\"
port = { vid = 0x303A, pid = 0x1001, serial = \"60:55:F9:00:00:02\" }
usb-path = \"1-2\"
";
    for line in mine.replace("/dev/ttyACM7", "/dev/ttyACM0").lines() {
        assert!(merged.text.contains(line), "{line} is not in\n{}", merged.text);
    }
    assert!(merged.text.contains(new), "{}", merged.text);
    assert_eq!(read(&merged.text).unwrap().boards.len(), 3);
    // Nothing changes any more.
    let again = merge(&merged.text, &here).unwrap();
    assert_eq!((again.text, again.added, again.moved), (merged.text, vec![], vec![]));
}

#[test]
fn a_new_inventory_is_right_and_its_names_are_unique() {
    let here = [
        found("/dev/ttyUSB0", None, "1-1", "60:55:f9:00:00:01"),
        found("/dev/ttyUSB1", None, "1-2", "a0:b7:65:00:00:01"),
    ];
    let merged = merge("", &here).unwrap();
    let bench = read(&merged.text).unwrap();
    let names: Vec<_> = bench.boards.iter().map(|board| board.name.as_str()).collect();
    assert_eq!(names, ["esp32c3-000001", "esp32c3-000001-2"]);
    assert!(merged.text.starts_with("# The boards of this bench."), "{}", merged.text);
    let again = merge(&merged.text, &here).unwrap();
    assert_eq!((again.text, again.added, again.moved), (merged.text, vec![], vec![]));
}

#[test]
fn each_port_is_listed_with_what_came_of_it() {
    let ports = ["a", "b", "c"].map(PortInfo::at);
    let all = discover(ports.to_vec(), |port| match port.path.to_str().unwrap() {
        "a" => Ok(identity("60:55:f9:00:00:01")),
        "b" => Err(RigError::new("nobody there")),
        _ => panic!("a library that panics"),
    });
    let paths: Vec<_> = all.iter().map(|it| it.port.clone()).collect();
    assert_eq!(paths, ports);
    assert_eq!(all[0].answer, Ok(identity("60:55:f9:00:00:01")));
    assert_eq!(all[1].answer, Err(RigError::new("nobody there")));
    assert!(all[2].answer.is_err());
}

#[test]
fn a_virtual_board_says_who_it_is() {
    let board = PtyBoard::start(Strap::Download);
    let port = PortInfo::at(&board.port);
    assert_eq!(identify(&port), Ok(identity("60:55:f9:c0:ff:ee")));
    // It can be asked again.
    assert_eq!(identify(&port), Ok(identity("60:55:f9:c0:ff:ee")));
}

#[test]
fn ports_without_a_board_say_why() {
    let (_host, line) = TTYPort::pair().unwrap();
    let path = line.name().unwrap();
    let _held = hold(line);
    let error = identify(&PortInfo::at(&path)).unwrap_err().to_string();
    assert!(error.starts_with("no chip answers: "), "{error}");
    let _user = serialport::new(&path, 115_200).open().unwrap();
    let error = identify(&PortInfo::at(&path)).unwrap_err().to_string();
    assert!(error.contains("is in use by another program"), "{error}");
    assert!(identify(&PortInfo::at("/dev/no-such-port")).is_err());
}

#[test]
fn the_program_writes_what_it_finds() {
    let board = PtyBoard::start(Strap::Download);
    let file = board.path("bench.toml");
    fs::write(&file, "# mine\n").unwrap();
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_hil-runner"))
            .env("XDG_STATE_HOME", board.path("state"))
            .args(["discover", "--port", &text(&board.port), "--port", "/dev/no-such-port"])
            .args(["--write", &text(&file)])
            .output()
            .unwrap()
    };
    let output = run();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(shown.contains("ESP32-C3") && shown.contains("1 of 2 ports answer"), "{shown}");
    assert!(shown.contains("new: esp32c3-c0ffee"), "{shown}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("# mine\n"), "{written}");
    assert_eq!(read(&written).unwrap().boards.len(), 1);
    run();
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    // An inventory with a mistake is not written.
    fs::write(&file, "[[board]]\nname = 1\n").unwrap();
    assert_eq!(run().status.code(), Some(2));
    assert_eq!(fs::read_to_string(&file).unwrap(), "[[board]]\nname = 1\n");
}
