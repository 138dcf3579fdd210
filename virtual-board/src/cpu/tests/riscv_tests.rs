//! The official `riscv-tests` (rv32ui and rv32um), as binaries.

use object::{Object, ObjectSegment};

use super::memory::Memory;
use crate::cpu::Cpu;

/// Names the folder with the binaries.
const FOLDER: &str = "RISCV_TESTS";

/// Instructions that no test needs.
const LIMIT: u64 = 100_000;

/// Trap causes with which a test says that it passed, and failed.
const PASSED: u32 = 11;
const FAILED: u32 = 2;

/// Where a trap goes. There is no memory.
const HANDLER: u32 = 0x100;

/// Runs a test; the number of the case that failed, in x31, if one did.
fn run(file: &[u8]) -> Result<(), u32> {
    let file = object::File::parse(file).expect("an ELF file");
    let mut memory = Memory::default();
    for segment in file.segments() {
        let mut bytes = segment.data().expect("a segment is in its file").to_vec();
        bytes.resize(segment.size() as usize, 0);
        memory.add(segment.address() as u32, bytes);
    }
    let mut cpu = Cpu::new();
    cpu.state_mut().write_csr(0x305, HANDLER).expect("mtvec");
    cpu.state_mut().pc = file.entry() as u32;
    cpu.set_breakpoints(&[HANDLER].into());
    cpu.run(&mut memory, LIMIT);
    match cpu.state().read_csr(0x342) {
        Some(PASSED) => Ok(()),
        Some(FAILED) => Err(cpu.state().x[31]),
        cause => panic!("neither passed nor failed: cause {cause:?} at {:#x}", cpu.state().pc),
    }
}

#[test]
#[ignore = "needs the binaries that tests/cpu-riscv-tests fetches"]
fn official_tests_pass() {
    let folder = std::env::var_os(FOLDER).unwrap_or_else(|| panic!("{FOLDER} is set"));
    let mut passed = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let bytes = std::fs::read(&path).expect("a readable file");
        if let Err(case) = run(&bytes) {
            panic!("{}: case {case} failed", path.display());
        }
        passed += 1;
    }
    println!("{passed} official tests passed");
    assert!(passed >= 46, "only {passed} tests were there");
}
