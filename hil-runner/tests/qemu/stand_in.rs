//! A program that takes QEMU's place where there is none: a virtual board that is called as QEMU is, and
//! answers as QEMU's GDB server does. It shows that the runner's side works, and nothing about QEMU.

use sim::flash::{Memory, Part};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use virtual_board::{Board, Config, ResetCause, Stop, Ticks};

/// Where the program finds how it was called.
const CALL: &str = "CUTPOINT_STAND_IN";
/// Simulated time between two looks at the connections.
const SLICE: Duration = Duration::from_micros(100);

/// Writes the program into a folder. It ends as if it had crashed once its console has shown `dies_at`.
pub(crate) fn program(folder: &Path, dies_at: &str) -> PathBuf {
    let path = folder.join("qemu-system-riscv32");
    let me = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\n\
         case \"$*\" in *help*) echo 'esp32c3   Espressif ESP32-C3 machine'; exit;; esac\n\
         {CALL}=\"$* dies_at={dies_at}\" exec '{}' --ignored --exact --nocapture stand_in::stands_in\n",
        me.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[ignore = "no test: the program that takes QEMU's place in the others"]
fn stands_in() {
    let Ok(call) = std::env::var(CALL) else { return };
    let (call, dies_at) = call.split_once(" dies_at=").unwrap();
    let after = |key: &str| {
        let (_, rest) = call.split_once(key).unwrap();
        rest.split([',', ' ']).next().unwrap()
    };
    let mut machine = StandIn::start(
        Path::new(after("file=")),
        after("-serial pipe:"),
        UnixStream::connect(after("-gdb unix:")).unwrap(),
    );
    let mut console = String::new();
    while let Some(shown) = machine.turn() {
        console += &String::from_utf8_lossy(&shown);
        if !dies_at.is_empty() && console.contains(dies_at) {
            eprintln!("a fatal error, as they come");
            std::process::exit(9);
        }
    }
}

struct StandIn {
    board: Board,
    flash: File,
    input: File,
    output: File,
    gdb: UnixStream,
    breakpoints: BTreeSet<u32>,
    runs: bool,
}

impl StandIn {
    fn start(flash: &Path, serial: &str, gdb: UnixStream) -> Self {
        let bytes = fs::read(flash).unwrap();
        let part = Part::by_name("W25Q32JV").unwrap();
        assert_eq!(bytes.len(), part.capacity as usize);
        let memory = Memory::with_contents(part.capacity, &bytes);
        let mut board = Board::new(Config::new(part, memory)).unwrap();
        board.flash_mut().log();
        board.power_on();
        let pipe = |end: &str| {
            // `O_NONBLOCK` of Linux.
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).custom_flags(0o4000);
            options.open(format!("{serial}.{end}")).unwrap()
        };
        let (input, output) = (pipe("in"), pipe("out"));
        gdb.set_nonblocking(true).unwrap();
        let flash = OpenOptions::new().write(true).open(flash).unwrap();
        Self { board, flash, input, output, gdb, breakpoints: BTreeSet::new(), runs: false }
    }

    /// Does a little; what the console has shown, or `None` when nobody is there any more.
    fn turn(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        let commands = received(&mut self.gdb, &mut buffer)?.to_vec();
        self.obey(&commands);
        if !self.runs {
            std::thread::sleep(Duration::from_micros(50));
            return Some(Vec::new());
        }
        let input = received(&mut self.input, &mut buffer)?;
        self.board.uart0_send(input);
        let end = self.board.now() + Ticks::from_duration(SLICE).0;
        let stop = self.board.run(end);
        let shown = self.board.uart0_output();
        self.output.write_all(&shown).unwrap();
        if stop == Stop::Breakpoint {
            self.halt("T05thread:01;");
        } else if self.board.idle_polls() > 64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Some(shown)
    }

    fn obey(&mut self, commands: &[u8]) {
        let text = String::from_utf8_lossy(commands);
        if text.contains('\u{3}') && self.runs {
            self.halt("T02thread:01;");
        }
        for command in text.split('$').skip(1).filter_map(|it| it.split('#').next()) {
            let (first, rest) = command.split_at(1);
            let number = |text: &str| u32::from_str_radix(text, 16).unwrap();
            let address = || number(rest.split(',').nth(1).unwrap());
            let answer: String = match first {
                "?" => "T05thread:01;".into(),
                "Z" | "z" => {
                    let address = address();
                    match first {
                        "Z" => self.breakpoints.insert(address),
                        _ => self.breakpoints.remove(&address),
                    };
                    "OK".into()
                }
                "g" => {
                    let state = self.board.cpu();
                    let all = state.x.iter().chain([&state.pc]);
                    all.map(|value| format!("{:08x}", value.swap_bytes())).collect()
                }
                "q" => {
                    assert_eq!(rest, "Rcmd,73797374656d5f7265736574", "system_reset");
                    self.board.reset(ResetCause::PowerOn);
                    "OK".into()
                }
                "s" => {
                    self.board.set_breakpoints(BTreeSet::new());
                    self.board.step();
                    "T05thread:01;".into()
                }
                "c" => {
                    self.board.set_breakpoints(self.breakpoints.clone());
                    self.runs = true;
                    continue;
                }
                other => panic!("{other}{rest}"),
            };
            self.say(&answer);
        }
    }

    /// Stands still, with all of flash in the file.
    fn halt(&mut self, reply: &str) {
        self.runs = false;
        for entry in self.board.flash_mut().take_log() {
            let memory = self.board.flash().memory();
            let range = entry.operation.range(memory.capacity());
            self.flash.write_all_at(&memory.to_vec(range.clone()), range.start.into()).unwrap();
        }
        self.board.flash_mut().log();
        self.say(reply);
    }

    fn say(&mut self, text: &str) {
        let sum = text.bytes().fold(0_u8, u8::wrapping_add);
        // The runner may be gone.
        let _ = write!(self.gdb, "+${text}#{sum:02x}");
    }
}

/// What has come; `None` at the end.
fn received<'a>(stream: &mut impl Read, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    match stream.read(buffer) {
        Ok(0) => None,
        Ok(count) => Some(&buffer[..count]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(&[]),
        Err(_) => None,
    }
}
