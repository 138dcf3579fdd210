//! What a run executes: budgets, breakpoints, and code that changes.

use super::asm::*;
use super::memory::{CODE, Memory, executed};
use crate::cpu::{Cpu, Exit};

/// A loop of five instructions with a branch in the middle, that adds to x10.
const LOOP: [u32; 5] = [
    0x0015_0513, // addi a0, a0, 1
    0x0015_7593, // andi a1, a0, 1
    0x0005_8463, // beqz a1, +8
    0x0640_0613, // li a2, 100
    0xFF1F_F06F, // j -16
];

#[test]
fn budgets_are_kept_to_the_instruction() {
    let mut whole = Cpu::new();
    let mut memory = Memory::with_code(&LOOP);
    assert_eq!(whole.run(&mut memory, 10_000), Exit::Budget);
    assert_eq!(whole.clock(), 10_000);
    for budget in 1..12 {
        let mut parts = Cpu::new();
        while parts.clock() < 10_000 {
            let before = parts.clock();
            let budget = budget.min(10_000 - before);
            assert_eq!(parts.run(&mut memory, budget), Exit::Budget);
            assert_eq!(parts.clock(), before + budget);
        }
        assert_eq!((parts.state().x, parts.state().pc), (whole.state().x, whole.state().pc));
    }
    assert_eq!(whole.run(&mut memory, 0), Exit::Budget);
    assert_eq!(whole.clock(), 10_000);
}

#[test]
fn a_state_can_be_restored() {
    let (mut cpu, mut memory) = executed(&LOOP, &[]);
    let early = cpu.state().clone();
    cpu.run(&mut memory, 777);
    let late = cpu.state().clone();
    cpu.set_state(&early);
    assert_eq!(cpu.clock(), 5);
    cpu.run(&mut memory, 777);
    assert_eq!((cpu.state().x, cpu.state().pc, cpu.clock()), (late.x, late.pc, 782));
}

#[test]
fn breakpoints_stop_before_the_instruction() {
    let mut memory = Memory::with_code(&LOOP);
    let mut cpu = Cpu::new();
    cpu.set_breakpoints(&[CODE + 8, CODE + 12].into());
    for expected in [(8, 2), (12, 3), (8, 7), (8, 11), (12, 12)] {
        assert_eq!(cpu.run(&mut memory, 100), Exit::Breakpoint);
        assert_eq!((cpu.state().pc - CODE, cpu.clock()), expected);
    }
    // A step ends in front of a breakpoint without stopping for it; then nothing is executed.
    cpu.set_breakpoints(&[CODE + 16].into());
    assert_eq!(cpu.run(&mut memory, 1), Exit::Budget);
    assert_eq!((cpu.state().pc - CODE, cpu.clock()), (16, 13));
    assert_eq!(cpu.run(&mut memory, 1), Exit::Breakpoint);
    assert_eq!(cpu.clock(), 13);
    cpu.set_breakpoints(&[].into());
    assert_eq!(cpu.run(&mut memory, 100), Exit::Budget);
}

#[test]
fn a_breakpoint_at_a_loop_on_itself_stops_each_time() {
    let mut memory = Memory::with_code(&[addi(10, 10, 1), j_type(-4, 0)]);
    let mut cpu = Cpu::new();
    cpu.set_breakpoints(&[CODE].into());
    assert_eq!(cpu.run(&mut memory, 100), Exit::Breakpoint);
    for clock in [2, 4, 6] {
        assert_eq!(cpu.run(&mut memory, 100), Exit::Breakpoint);
        assert_eq!(cpu.clock(), clock);
    }
}

#[test]
fn code_that_a_program_changes_is_decoded_again() {
    let code = [
        s_type(12, 10, 11, 2),
        NOP,
        NOP,
        addi(12, 12, 1), // becomes `addi a2, a2, 16`
        j_type(-16, 0),
    ];
    let mut memory = Memory::with_code(&code);
    let mut cpu = Cpu::new();
    cpu.state_mut().x[10] = addi(12, 12, 16);
    cpu.state_mut().x[11] = CODE;
    assert_eq!(cpu.run(&mut memory, 100), Exit::Attention);
    assert_eq!(cpu.clock(), 1);
    cpu.run(&mut memory, 3);
    assert_eq!(cpu.state().x[12], 16);
}

#[test]
fn code_that_changes_between_runs_is_decoded_again() {
    // Each loop is left in its middle, with code of another length behind it than there was.
    let mut memory = Memory::with_code(&LOOP);
    let mut cpu = Cpu::new();
    cpu.run(&mut memory, 3);
    memory.set(CODE, &j_type(-0x10_0000, 0).to_le_bytes());
    memory.set(CODE + 12, &addi(12, 0, 7).to_le_bytes());
    cpu.run(&mut memory, 1);
    assert_eq!((cpu.state().x[12], cpu.state().pc), (7, CODE + 16));
}

#[test]
fn an_instruction_across_pages_depends_on_both() {
    let at = CODE + 1022;
    let word = addi(10, 10, 1).to_le_bytes();
    let mut memory = Memory::with_code(&[]);
    memory.set(at, &word);
    let mut cpu = Cpu::new();
    let mut run = |memory: &mut Memory| {
        cpu.state_mut().pc = at;
        cpu.run(memory, 1);
        (cpu.state().x[10], cpu.state().pc)
    };
    assert_eq!(run(&mut memory), (1, at + 4));
    memory.set(at + 2, &addi(10, 10, 0x40).to_le_bytes()[2..]);
    assert_eq!(run(&mut memory), (0x41, at + 4));
    memory.set(at, &addi(11, 10, 0x40).to_le_bytes()[..2]);
    assert_eq!(run(&mut memory), (0x41, at + 4));
}

#[test]
fn more_code_than_is_kept() {
    const MANY: usize = 40_000;
    // A small block, and so much code behind it that all blocks are dropped before it comes again.
    let mut code = vec![NOP, addi(10, 10, 7), i_type(JALR, 0, 11, 0, 0), NOP];
    code.extend([addi(10, 10, 1)].repeat(MANY));
    code.push(i_type(JALR, 0, 12, 0, 0));
    let mut memory = Memory::default();
    memory.add(CODE, code.iter().flat_map(|word| word.to_le_bytes()).collect());
    let mut cpu = Cpu::new();
    let state = cpu.state_mut();
    (state.pc, state.x[11], state.x[12]) = (CODE + 4, CODE + 16, CODE + 4);
    cpu.run(&mut memory, 3 * (MANY as u64 + 3));
    assert_eq!((cpu.state().x[10], cpu.state().pc), (3 * (MANY as u32 + 7), CODE + 4));
}
