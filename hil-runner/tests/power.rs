//! Switches at work: on a virtual board, with several processes, and when one of them is killed.

#![allow(missing_docs)]

mod pty_board;

use hil_runner::bench::open_port;
use hil_runner::power::{Life, SerialSigns, SignsOfLife};
use pty_board::{PtyBoard, text};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use virtual_board::Strap;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(100);

/// Writes an inventory with the board; `off` and `on` are what the switch does besides switching.
fn inventory(board: &PtyBoard, off: &str, on: &str) {
    let power = text(&board.path("power"));
    let contents = format!(
        "[[board]]
name = 'desk'
chip = 'esp32c3'
mac = '60:55:f9:c0:ff:ee'
flash = '4 MB'
port = '{}'

[board.power]
off-command = ['sh', '-c', 'echo 0 > {power}; {off}']
on-command = ['sh', '-c', 'echo 1 > {power}; {on}']
cuts = 'rail'
limit = '100 s'
",
        text(&board.port)
    );
    fs::write(board.path("bench.toml"), contents).unwrap();
}

fn command(board: &PtyBoard, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hil-runner"));
    command.current_dir(&board.folder).env("XDG_STATE_HOME", board.path("state"));
    command.arg("power").args(arguments).arg("desk").stdin(Stdio::null());
    command
}

fn run(board: &PtyBoard, arguments: &[&str]) -> Output {
    command(board, arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A fifo for a switch to say that it is being used, or to wait at.
fn fifo(board: &PtyBoard, name: &str) -> String {
    let path = text(&board.path(name));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// Waits until the switch opens the fifo for writing and has closed it.
fn wait_at(path: &str) {
    File::open(path).unwrap().read_to_end(&mut Vec::new()).unwrap();
}

/// A runner that has switched the board off, and whose switch waits at the fifo `go`.
fn runner_at_off(board: &PtyBoard) -> (Child, String) {
    let (off, go) = (fifo(board, "off"), fifo(board, "go"));
    inventory(board, &format!(": > {off}; : < {go}"), "true");
    let runner = command(board, &["test", "--repeat", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_at(&off);
    assert!(!board.has_power());
    (runner, go)
}

#[test]
fn a_switch_is_measured_on_a_board_that_writes_all_the_time() {
    let board = PtyBoard::start(Strap::FlashBoot);
    inventory(&board, "true", "true");
    let output = run(&board, &["test", "--repeat", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with("command sh: cuts of kind rail\n"), "{shown}");
    for row in ["end of the command, off", "board off", "end of the command, on", "board writes"] {
        let line = shown.lines().find(|line| line.contains(row)).unwrap();
        assert!(line.contains("2 of 2"), "{shown}");
    }
    assert!(board.has_power());
}

#[test]
fn a_switch_that_does_nothing_is_found_out() {
    let board = PtyBoard::start(Strap::FlashBoot);
    // It switches on again at once: the board writes on.
    let power = text(&board.path("power"));
    inventory(&board, "true", "true");
    let contents = fs::read_to_string(board.path("bench.toml")).unwrap();
    fs::write(board.path("bench.toml"), contents.replace(&format!("echo 0 > {power}"), "true"))
        .unwrap();
    let output = run(&board, &["test", "--repeat", "1"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("0 of 1") && shown.contains("not always seen off"), "{shown}");
}

#[test]
fn a_port_that_goes_with_the_board_is_its_end() {
    let mut board = PtyBoard::start(Strap::Download);
    let port = board.port.clone();
    let mut signs = SerialSigns::new(move || open_port(&port));
    // The loader says nothing more.
    assert_eq!(signs.wait_for_life(Duration::from_millis(50)).unwrap(), Life::Quiet);
    board.unplug();
    assert!(signs.wait_for_end(LONG).unwrap().is_some());
}

#[test]
fn a_board_is_switched_by_hand() {
    let board = PtyBoard::start(Strap::FlashBoot);
    inventory(&board, "true", "true");
    assert!(run(&board, &["off"]).status.success());
    assert!(!board.has_power());
    // It was meant: nothing gives power back by itself.
    assert!(run(&board, &["off"]).status.success());
    assert!(run(&board, &["on"]).status.success());
    assert!(board.has_power());
}

#[test]
fn errors_say_whose_they_are() {
    let board = PtyBoard::start(Strap::FlashBoot);
    inventory(&board, "echo no such hub; exit 4", "true");
    let output = run(&board, &["off"]);
    assert_eq!(output.status.code(), Some(3));
    let text = stderr(&output);
    assert!(text.contains("desk: power off: `sh -c") && text.contains("no such hub"), "{text}");

    let contents = fs::read_to_string(board.path("bench.toml")).unwrap();
    fs::write(board.path("bench.toml"), contents.replace("'desk'", "'shelf'")).unwrap();
    let output = run(&board, &["off"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no board `desk`; there are: shelf"), "{}", stderr(&output));

    fs::write(board.path("bench.toml"), "[[board]]\nnam = 'desk'\n").unwrap();
    let output = run(&board, &["off"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `name`?"), "{}", stderr(&output));
}

#[test]
fn a_switch_that_fails_in_a_measurement_leaves_the_board_on() {
    let board = PtyBoard::start(Strap::FlashBoot);
    inventory(&board, "exit 1", "true");
    let output = run(&board, &["test", "--repeat", "1"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(board.has_power());
}

#[test]
fn a_killed_runner_leaves_no_board_without_power() {
    let board = PtyBoard::start(Strap::FlashBoot);
    let (mut runner, go) = runner_at_off(&board);
    runner.kill().unwrap();
    runner.wait().unwrap();
    // Its switch goes on by itself and ends.
    drop(File::options().write(true).open(&go).unwrap());
    assert!(!board.has_power());
    // The next start, here one that is about another board.
    let mut next = command(&board, &["on", "--bench", "no-such.toml"]);
    let output = next.output().unwrap();
    let text = stderr(&output);
    assert!(text.contains("desk: on again; a runner that was killed left it off"), "{text}");
    assert!(board.has_power());
    assert!(!stderr(&run(&board, &["on"])).contains("on again"));
}

#[test]
fn a_board_in_use_is_waited_for() {
    let board = PtyBoard::start(Strap::FlashBoot);
    let (mut runner, go) = runner_at_off(&board);
    let mut next = command(&board, &["on"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(next.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let holder = format!("desk: in use by process {} (power test); waiting\n", runner.id());
    assert_eq!(line, holder);
    // It is the other one's business that the board is off.
    assert!(!board.has_power());
    assert_eq!(next.try_wait().unwrap(), None);
    drop(File::options().write(true).open(&go).unwrap());
    assert!(runner.wait().unwrap().success());
    assert!(next.wait().unwrap().success());
}

#[test]
fn a_board_whose_user_was_killed_is_free() {
    let board = PtyBoard::start(Strap::FlashBoot);
    let (mut runner, go) = runner_at_off(&board);
    let mut next = command(&board, &["on"]).stderr(Stdio::piped()).spawn().unwrap();
    BufReader::new(next.stderr.take().unwrap()).read_line(&mut String::new()).unwrap();
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(next.wait().unwrap().success());
    assert!(board.has_power());
    drop(File::options().write(true).open(&go).unwrap());
}
