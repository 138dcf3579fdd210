//! The control socket.

use super::program::Program;

fn number(program: &mut Program, key: &str) -> u64 {
    program.status(key).parse().unwrap()
}

#[test]
fn power_and_straps() {
    let mut program = Program::start(&["--port", "port"]);
    assert_eq!(program.status("power"), "on");
    assert_eq!(program.control("power off"), "ok");
    assert_eq!(program.status("power"), "off");
    let stopped = program.control("time");
    assert_eq!(program.control("time"), stopped, "time passes without power");
    assert_eq!(program.control("strap download"), "ok");
    let boots = number(&mut program, "boots");
    assert_eq!(program.control("power on"), "ok");
    assert_eq!(program.control("reset"), "ok");
    // The loader waits: no watchdog starts the board again.
    assert_eq!(number(&mut program, "boots"), boots + 2);
    assert_eq!(program.status("strap"), "download");
    assert_eq!(program.quit(), 0);
}

#[test]
fn a_planned_cut_takes_power_until_it_is_given_back() {
    let mut program = Program::start(&["--port", "port", "--cut", "time=4m"]);
    let commands = number(&mut program, "commands");
    assert_eq!(program.control("cut tomorrow").split(' ').next(), Some("error"));
    assert_eq!(program.control(&format!("cut command={}", commands + 100_000_000)), "ok");
    assert_eq!(program.control("cut cancel"), "ok");
    assert_eq!(program.control("cut console=invalid header"), "ok");
    assert!(program.said("power lost at ").ends_with("no flash operation under way"));
    assert_eq!(program.status("power"), "off");
    assert_eq!(program.control("power on"), "ok");
    assert_eq!(program.status("power"), "on");
}

#[test]
fn snapshots_go_back() {
    let mut program = Program::start(&["--port", "port"]);
    assert_eq!(program.control("power off"), "ok");
    let before = program.control("status");
    assert_eq!(program.control("snapshot save a"), "ok");
    assert_eq!(program.control("power on"), "ok");
    assert_ne!(program.control("status"), before);
    assert_eq!(program.control("snapshot restore a"), "ok");
    assert_eq!(program.control("status"), before);
    assert_eq!(program.control("snapshot restore b"), "error no snapshot 'b'");
}

#[test]
fn the_flash_file_is_written_when_asked_and_at_the_end() {
    let mut program = Program::start(&["--port", "port", "--part", "W25Q16JV"]);
    let file = program.path("flash.bin");
    assert!(!file.exists());
    assert_eq!(program.control("save"), "ok");
    assert_eq!(file.metadata().unwrap().len(), 2 << 20);
    let (socket, port) = (program.path("control"), program.path("port"));
    assert!(socket.exists() && port.exists());
    assert_eq!(program.quit(), 0);
    assert!(!socket.exists() && !port.is_symlink(), "sockets and links are left behind");

    let mut program = Program::start(&["--port", "port", "--discard"]);
    let file = program.path("flash.bin");
    assert!(program.control("save").starts_with("error"));
    assert_eq!(program.quit(), 0);
    assert!(!file.exists());
}
