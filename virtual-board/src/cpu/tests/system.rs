//! CSRs, traps and interrupts.

use super::asm::*;
use super::memory::{CODE, DATA, DEVICE, Memory, executed};
use crate::cpu::{Cpu, Exit};

const MSTATUS: u32 = 0x300;
const MTVEC: u32 = 0x305;
const MEPC: u32 = 0x341;
const MCAUSE: u32 = 0x342;
const MTVAL: u32 = 0x343;
const MIE: u32 = 8;
const MPIE: u32 = 0x80;
const MPP: u32 = 0x1800;

const HANDLER: u32 = CODE + 0x400;

/// A processor with its trap handler at [`HANDLER`], and interrupts enabled.
fn with_handler() -> Cpu {
    let mut cpu = Cpu::new();
    cpu.state_mut().write_csr(MTVEC, HANDLER).unwrap();
    cpu.state_mut().write_csr(MSTATUS, MIE).unwrap();
    cpu
}

fn read<const N: usize>(cpu: &Cpu, numbers: [u32; N]) -> [u32; N] {
    numbers.map(|number| cpu.state().read_csr(number).unwrap())
}

/// Cause and trap value after `word`, the third instruction, trapped.
fn trap(word: u32) -> (u32, u32) {
    let mut cpu = with_handler();
    let mut memory = Memory::with_code(&[NOP, NOP, word]);
    assert_eq!(cpu.run(&mut memory, 3), Exit::Budget);
    assert_eq!((cpu.state().pc, cpu.clock()), (HANDLER, 3), "{word:#010x}");
    let [status, pc, cause, value] = read(&cpu, [MSTATUS, MEPC, MCAUSE, MTVAL]);
    assert_eq!((status, pc), (MPP | MPIE, CODE + 8));
    (cause, value)
}

#[test]
fn exceptions() {
    assert_eq!(trap(0x0000_0000), (2, 0));
    assert_eq!(trap(0xFFFF_FFFF), (2, 0xFFFF_FFFF));
    assert_eq!(trap(EBREAK), (3, EBREAK));
    assert_eq!(trap(0x9002), (3, 0x9002));
    assert_eq!(trap(ECALL), (11, 0));
    assert_eq!(trap(i_type(LOAD, 0x123, 0, 2, 10)), (5, 0x123));
    assert_eq!(trap(s_type(-1, 0, 0, 0)), (7, 0xFFFF_FFFF));
    for (number, name) in [(0x304, "mie"), (0xB00, "mcycle"), (0xC00, "cycle"), (0x180, "satp")] {
        let word = csr(2, 10, number, 0);
        assert_eq!(trap(word), (2, word), "{name}");
    }
    let write = csr(1, 0, 0xF14, 0);
    assert_eq!(trap(write), (2, write));
}

#[test]
fn a_load_that_faults_changes_no_register() {
    let (cpu, _) = executed(&[i_type(LOAD, 0, 10, 2, 10)], &[0x7000_0000]);
    assert_eq!(cpu.state().x[10], 0x7000_0000);
}

#[test]
fn fetch_faults() {
    let mut cpu = with_handler();
    let mut memory = Memory::with_code(&[i_type(JALR, 0, 10, 0, 0)]);
    cpu.state_mut().x[10] = 0x1000_0000;
    cpu.run(&mut memory, 2);
    assert_eq!(read(&cpu, [MEPC, MCAUSE, MTVAL]), [0x1000_0000, 1, 0x1000_0000]);
    assert_eq!(cpu.state().pc, HANDLER);

    // The second half of an instruction is missing.
    memory.set(CODE + 0x1FFE, &[0x13, 0]);
    cpu.state_mut().pc = CODE + 0x1FFE;
    cpu.run(&mut memory, 1);
    assert_eq!(read(&cpu, [MEPC, MCAUSE, MTVAL]), [CODE + 0x1FFE, 1, CODE + 0x2000]);

    // A handler that cannot be fetched either uses up the budget and no more.
    cpu.state_mut().write_csr(MTVEC, 0x1000_0000).unwrap();
    let clock = cpu.clock();
    cpu.state_mut().pc = 0;
    assert_eq!(cpu.run(&mut memory, 1000), Exit::Budget);
    assert_eq!(cpu.clock(), clock + 1000);
}

#[test]
fn interrupts_are_vectored_and_return() {
    let mut cpu = with_handler();
    let mut memory = Memory::with_code(&[NOP, NOP, NOP]);
    memory.set(HANDLER + 4 * 17, &MRET.to_le_bytes());
    cpu.run(&mut memory, 1);
    assert!(cpu.interrupts_enabled());
    cpu.take_interrupt(17);
    assert!(!cpu.interrupts_enabled());
    assert_eq!(cpu.state().pc, HANDLER + 4 * 17);
    assert_eq!(read(&cpu, [MEPC, MCAUSE, MSTATUS]), [CODE + 4, 0x8000_0011, MPP | MPIE]);
    assert_eq!(cpu.run(&mut memory, 10), Exit::InterruptsEnabled);
    assert_eq!((cpu.state().pc, cpu.clock()), (CODE + 4, 2));
    assert_eq!(cpu.state().read_csr(MSTATUS), Some(MPP | MPIE | MIE));

    // Back to code that had interrupts disabled.
    cpu.state_mut().write_csr(MSTATUS, 0).unwrap();
    cpu.state_mut().pc = HANDLER + 4 * 17;
    assert_eq!(cpu.run(&mut memory, 1), Exit::Budget);
    assert_eq!(read(&cpu, [MSTATUS]), [MPP | MPIE]);
}

#[test]
fn a_run_ends_when_interrupts_become_enabled_only() {
    let enable = csr(6, 0, MSTATUS, MIE);
    let mut memory = Memory::with_code(&[enable, enable, csr(7, 0, MSTATUS, MIE), enable]);
    let mut cpu = Cpu::new();
    assert_eq!(cpu.run(&mut memory, 10), Exit::InterruptsEnabled);
    assert_eq!(cpu.clock(), 1);
    assert_eq!(cpu.run(&mut memory, 10), Exit::InterruptsEnabled);
    assert_eq!(cpu.clock(), 4);
}

#[test]
fn csr_instructions() {
    let scratch = 0x340;
    for (funct3, expected) in [(1, 0x0F), (2, 0xFF), (3, 0xF0)] {
        let code = [csr(1, 0, scratch, 10), csr(funct3, 12, scratch, 11), csr(2, 13, scratch, 0)];
        let (cpu, _) = executed(&code, &[0xF0, 0x0F]);
        assert_eq!((cpu.state().x[12], cpu.state().x[13]), (0xF0, expected), "{funct3}");
    }
    for (funct3, expected) in [(5, 0x15), (6, 0xF5), (7, 0xE0)] {
        let code = [csr(1, 0, scratch, 10), csr(funct3, 12, scratch, 0x15)];
        let (cpu, _) = executed(&code, &[0xF0]);
        assert_eq!((cpu.state().x[12], cpu.state().read_csr(scratch)), (0xF0, Some(expected)));
    }
    // The register that is written may be the source.
    let (cpu, _) = executed(&[csr(1, 10, scratch, 10)], &[7]);
    assert_eq!((cpu.state().x[10], cpu.state().read_csr(scratch)), (0, Some(7)));
}

#[test]
fn fixed_bits() {
    let mut cpu = Cpu::new();
    for (number, written, expected) in [
        (MSTATUS, 0, MPP),
        (MSTATUS, 0xFFFF_FFFF, 0x0020_1899),
        (0x301, 0, 0x4010_1104),
        (MTVEC, 0x4038_01FF, 0x4038_0101),
        (MEPC, 0x4038_0103, 0x4038_0102),
        (MCAUSE, 0xFFFF_FFFF, 0x8000_001F),
        (0x7A0, 9, 1),
    ] {
        cpu.state_mut().write_csr(number, written).unwrap();
        assert_eq!(cpu.state().read_csr(number), Some(expected), "{number:#x}");
    }
    // The user's view of the status shows the user's bits.
    cpu.state_mut().write_csr(0, 0xFFFF_FFFE).unwrap();
    assert_eq!(read(&cpu, [0, MSTATUS]), [0x10, 0x0020_1898]);
    assert_eq!(read(&cpu, [0xF11, 0xF12, 0xF13, 0xF14]), [0x612, 0x8000_0001, 1, 0]);
    assert_eq!(cpu.state_mut().write_csr(0xF11, 0), None);
    assert_eq!(cpu.state().read_csr(0x304), None);
}

#[test]
fn the_counter_counts_instructions() {
    let count = |number, rd| csr(2, rd, number, 0);
    let (cpu, _) = executed(&[count(0x7E2, 12), NOP, count(0x802, 13)], &[]);
    assert_eq!(cpu.state().x[12..14], [0, 2]);
    let code = [
        csr(5, 0, 0x801, 1),
        csr(5, 0, 0x802, 0),
        NOP,
        count(0x7E2, 12),
        csr(5, 0, 0x7E1, 0),
        NOP,
        count(0x802, 13),
        csr(5, 0, 0x7E1, 1),
        count(0x802, 14),
    ];
    let (cpu, _) = executed(&code, &[]);
    // A write is seen by the next instruction as if it had counted itself.
    assert_eq!(cpu.state().x[12..15], [2, 3, 4]);
}

#[test]
fn pmp_locks_hold_until_reset() {
    let mut cpu = Cpu::new();
    let mut set = |number, value| {
        cpu.state_mut().write_csr(number, value).unwrap();
        cpu.state().read_csr(number).unwrap()
    };
    assert_eq!(set(0x3B0, 0x1234), 0x1234);
    assert_eq!(set(0x3B1, 0x2345), 0x2345);
    assert_eq!(set(0x3B2, 0x3456), 0x3456);
    // Entry 1 is locked and starts where entry 0 ends.
    assert_eq!(set(0x3A0, 0x0F_8F_0F), 0x0F_8F_0F);
    assert_eq!(set(0x3A0, 0x1F_1F_1F), 0x1F_8F_1F);
    assert_eq!(set(0x3B0, 0), 0x1234);
    assert_eq!(set(0x3B1, 0), 0x2345);
    assert_eq!(set(0x3B2, 0), 0);
    assert_eq!(set(0x3A3, 0xFFFF_FFFF), 0x9F9F_9F9F);
    cpu.reset();
    assert_eq!(read(&cpu, [0x3A0, 0x3A3, 0x3B0]), [0; 3]);
}

#[test]
fn triggers_are_kept_one_by_one() {
    let mut cpu = Cpu::new();
    for trigger in 0..8 {
        cpu.state_mut().write_csr(0x7A0, trigger).unwrap();
        cpu.state_mut().write_csr(0x7A1, 100 + trigger).unwrap();
        cpu.state_mut().write_csr(0x7A2, 200 + trigger).unwrap();
    }
    cpu.state_mut().write_csr(0x7A0, 3).unwrap();
    assert_eq!(read(&cpu, [0x7A0, 0x7A1, 0x7A2]), [3, 103, 203]);
}

#[test]
fn reset_keeps_the_clock() {
    let (mut cpu, mut memory) = executed(&[addi(10, 0, 1), csr(6, 0, MSTATUS, MIE)], &[]);
    cpu.reset();
    assert_eq!((cpu.clock(), cpu.state().pc, cpu.state().x), (2, CODE, [0; 32]));
    assert_eq!(cpu.state().read_csr(MSTATUS), Some(MPP));
    cpu.run(&mut memory, 1);
    assert_eq!(cpu.state().x[10], 1);
}

#[test]
fn waiting() {
    let mut memory = Memory::with_code(&[NOP, WFI, NOP, j_type(0, 0)]);
    let mut cpu = Cpu::new();
    assert_eq!(cpu.run(&mut memory, 10), Exit::Waiting);
    assert_eq!((cpu.state().pc, cpu.clock()), (CODE + 8, 2));
    assert_eq!(cpu.run(&mut memory, 10), Exit::Waiting);
    assert_eq!((cpu.state().pc, cpu.clock()), (CODE + 12, 4));
    assert_eq!(cpu.run(&mut memory, 10), Exit::Waiting);
    assert_eq!((cpu.state().pc, cpu.clock()), (CODE + 12, 5));
}

#[test]
fn devices_are_told_the_clock() {
    let code =
        [NOP, i_type(LOAD, 0, 10, 2, 11), NOP, s_type(0, 12, 10, 2), i_type(LOAD, 0, 10, 2, 13)];
    let mut memory = Memory::with_code(&code);
    let mut cpu = Cpu::new();
    cpu.state_mut().x[10] = DEVICE;
    cpu.state_mut().x[12] = DATA;
    assert_eq!(cpu.run(&mut memory, 100), Exit::Attention);
    assert_eq!((cpu.state().pc, cpu.clock()), (CODE + 16, 4));
    assert_eq!(memory.device, [(DATA, 3)]);
    assert_eq!(cpu.run(&mut memory, 1), Exit::Budget);
    assert_eq!((cpu.state().x[11], cpu.state().x[13]), (1, 4));
}
