//! Random programs, run here and by `qemu-riscv32`: registers and memory must end equal.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::memory::{CODE, Memory};
use super::program::{DATA, DATA_SIZE, Program};
use super::random::Random;
use crate::cpu::{Cpu, Exit};

/// Programs that are compared, and items in each. An item is one instruction or a few.
const PROGRAMS: u64 = 48;
const ITEMS: usize = 3000;

/// Set it to do without the emulator.
const WITHOUT: &str = "CUTPOINT_WITHOUT_QEMU";

/// An ELF executable with one segment at [`CODE`], which is also its entry.
fn elf(image: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    // The segment has to have the same place within a page in the file and in memory.
    const OFFSET: u32 = 0x1000;
    let mut file = Vec::new();
    file.extend(b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    let halves = |file: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    let words = |file: &mut Vec<u8>, values: &[u32]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    // Executable, RISC-V, version 1, entry, program headers, no sections, compressed code.
    halves(&mut file, &[2, 243]);
    words(&mut file, &[1, CODE, 52, 0, 1]);
    halves(&mut file, &[52, 32, 1, 0, 0, 0]);
    let size = image.len() as u32;
    words(&mut file, &[1, OFFSET, CODE, CODE, size, size, 7, 0x1000]);
    assert_eq!(file.len(), HEADERS as usize);
    file.resize(OFFSET as usize, 0);
    file.extend(image);
    file
}

/// The data of `program` after `qemu-riscv32` ran it.
fn run_in_qemu(program: &Program) -> Vec<u8> {
    // The emulator runs only what is marked as executable.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempfile()
        .expect("a temporary file");
    file.write_all(&elf(&program.image)).expect("the file takes the program");
    let output = Command::new("qemu-riscv32").arg(file.path()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("qemu-riscv32: {error}; install the package qemu-user, or set {WITHOUT}=1")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {}: {}: {errors}", program.seed, output.status);
    output.stdout
}

/// The data of `program` after the processor ran it in runs of random length.
fn run_here(program: &Program) -> Vec<u8> {
    let mut memory = Memory::default();
    memory.add(CODE, program.image.clone());
    let mut cpu = Cpu::new();
    cpu.set_breakpoints(&[program.end].into());
    let mut random = Random(program.seed);
    let mut exit = Exit::Budget;
    while exit == Exit::Budget && cpu.clock() < 1_000_000 {
        exit = cpu.run(&mut memory, random.below(200).into());
    }
    assert_eq!(exit, Exit::Breakpoint, "seed {}: at {:#x}", program.seed, cpu.state().pc);
    memory.bytes(DATA, DATA_SIZE).expect("the program has data").to_vec()
}

fn agrees(seed: u64, items: usize) -> bool {
    let program = Program::random(seed, items);
    let expected = run_in_qemu(&program);
    assert_eq!(expected.len(), DATA_SIZE, "seed {seed}: the program wrote its data");
    run_here(&program) == expected
}

#[test]
fn random_programs_end_as_in_qemu() {
    if std::env::var_os(WITHOUT).is_some() {
        eprintln!("SKIPPED: {WITHOUT} is set, nothing was compared with qemu-riscv32");
        return;
    }
    for seed in 0..PROGRAMS {
        if !agrees(seed, ITEMS) {
            // A shorter program of the same seed is a prefix of a longer one.
            let all: Vec<usize> = (0..=ITEMS).collect();
            let first = all.partition_point(|&items| agrees(seed, items));
            let program = Program::random(seed, first);
            panic!("seed {seed}: item {first} differs, code before the end {:x?}", program.tail);
        }
    }
}
