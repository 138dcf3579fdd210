//! Each instruction of RV32I and M.

use super::asm::*;
use super::memory::{CODE, DATA, executed};
use crate::cpu::Cpu;

const MIN: u32 = 0x8000_0000;
const MAX: u32 = 0x7FFF_FFFF;

/// What `word` leaves in x12, given x10 and x11.
fn result(word: u32, a: u32, b: u32) -> u32 {
    executed(&[word], &[a, b]).0.state().x[12]
}

#[test]
fn operations_on_registers() {
    for (name, funct7, funct3, a, b, expected) in [
        ("add", 0, 0, 0xFFFF_FFFF, 3, 2),
        ("sub", 0x20, 0, 2, 3, 0xFFFF_FFFF),
        ("sll", 0, 1, 0x8000_0001, 33, 2),
        ("slt", 0, 2, 0xFFFF_FFFF, 1, 1),
        ("slt", 0, 2, 1, 0xFFFF_FFFF, 0),
        ("sltu", 0, 3, 0xFFFF_FFFF, 1, 0),
        ("sltu", 0, 3, 1, 0xFFFF_FFFF, 1),
        ("xor", 0, 4, 0xFF00_FF00, 0x0FF0_0FF0, 0xF0F0_F0F0),
        ("srl", 0, 5, MIN, 36, 0x0800_0000),
        ("sra", 0x20, 5, MIN, 36, 0xF800_0000),
        ("or", 0, 6, 0xF000_000F, 0x00F0_0F00, 0xF0F0_0F0F),
        ("and", 0, 7, 0xFF00_FF00, 0x0FF0_0FF0, 0x0F00_0F00),
        ("mul", 1, 0, 0xFFFF_FFFF, 7, 0xFFFF_FFF9),
        ("mulh", 1, 1, MIN, MIN, 0x4000_0000),
        ("mulh", 1, 1, 0xFFFF_FFFF, 1, 0xFFFF_FFFF),
        ("mulhsu", 1, 2, MIN, 0xFFFF_FFFF, MIN),
        ("mulhsu", 1, 2, 1, 0xFFFF_FFFF, 0),
        ("mulhsu", 1, 2, 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF),
        ("mulhu", 1, 3, 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFE),
        ("div", 1, 4, -7_i32 as u32, 2, -3_i32 as u32),
        ("div by zero", 1, 4, 5, 0, 0xFFFF_FFFF),
        ("div overflow", 1, 4, MIN, 0xFFFF_FFFF, MIN),
        ("divu", 1, 5, MIN, 0xFFFF_FFFF, 0),
        ("divu by zero", 1, 5, 5, 0, 0xFFFF_FFFF),
        ("rem", 1, 6, -7_i32 as u32, 2, -1_i32 as u32),
        ("rem by zero", 1, 6, MIN, 0, MIN),
        ("rem overflow", 1, 6, MIN, 0xFFFF_FFFF, 0),
        ("remu", 1, 7, 7, 0xFFFF_FFFF, 7),
        ("remu by zero", 1, 7, 7, 0, 7),
    ] {
        let word = r_type(funct7, 11, 10, funct3, 12);
        assert_eq!(result(word, a, b), expected, "{name} {a:#x}, {b:#x}");
    }
}

#[test]
fn operations_on_immediates() {
    for (name, funct3, a, imm, expected) in [
        ("addi", 0, 1, -2048, 0xFFFF_F801),
        ("slti", 2, MIN, -1, 1),
        ("slti", 2, 0, -1, 0),
        ("sltiu", 3, MAX, -1, 1),
        ("xori", 4, 0x0F0F, -1, 0xFFFF_F0F0),
        ("ori", 6, 0x0F00, 0x0F0, 0x0FF0),
        ("andi", 7, 0xFFFF_FFFF, -16, 0xFFFF_FFF0),
        ("slli", 1, 3, 31, MIN),
        ("srli", 5, MIN, 31, 1),
        ("srai", 5, MIN, 31 | 0x400, 0xFFFF_FFFF),
    ] {
        assert_eq!(result(i_type(OP_IMM, imm, 10, funct3, 12), a, 0), expected, "{name} {a:#x}");
    }
    assert_eq!(result(u_type(LUI, 0xABCD_E000, 12), 0, 0), 0xABCD_E000);
    assert_eq!(result(u_type(AUIPC, 0xFFFF_F000, 12), 0, 0), CODE - 0x1000);
}

#[test]
fn x0_stays_zero() {
    for word in [
        addi(0, 10, 1),
        r_type(0, 11, 10, 0, 0),
        u_type(LUI, 0x1000, 0),
        u_type(AUIPC, 0x1000, 0),
        i_type(LOAD, 0, 13, 2, 0),
        csr(1, 0, 0x340, 10),
        csr(2, 0, 0xF11, 0),
        j_type(4, 0),
        i_type(JALR, 4, 14, 0, 0),
    ] {
        let code = [s_type(0, 10, 13, 2), word, r_type(0, 0, 0, 6, 12)];
        let (cpu, _) = executed(&code, &[1, 2, 3, DATA, CODE + 4]);
        assert_eq!((cpu.state().x[0], cpu.state().x[12]), (0, 0), "{word:#010x}");
    }
}

#[test]
fn loads_extend_and_need_no_alignment() {
    let word = 0x8899_AABB_u32;
    for (name, funct3, offset, expected) in [
        ("lb", 0, 1, 0xFFFF_FFAA),
        ("lh", 1, 1, 0xFFFF_99AA),
        ("lw", 2, 0, word),
        ("lw", 2, 1, 0x0088_99AA),
        ("lbu", 4, 1, 0xAA),
        ("lhu", 5, 1, 0x99AA),
    ] {
        let code = [s_type(0, 10, 11, 2), i_type(LOAD, offset, 11, funct3, 12)];
        let (cpu, _) = executed(&code, &[word, DATA]);
        assert_eq!(cpu.state().x[12], expected, "{name} at {offset}");
    }
}

#[test]
fn stores_write_their_width_only() {
    for (funct3, offset, expected) in
        [(0, 1, 0xFFFF_DDFF), (1, 1, 0xFFCC_DDFF), (2, 0, 0xAABB_CCDD), (2, 1, 0xBBCC_DDFF)]
    {
        let code = [addi(12, 0, -1), s_type(0, 12, 11, 2), s_type(offset, 10, 11, funct3)];
        let (_, mut memory) = executed(&code, &[0xAABB_CCDD, DATA]);
        assert_eq!(memory.word(DATA), expected, "width {funct3} at {offset}");
    }
    let (_, mut memory) = executed(&[s_type(-4, 10, 11, 2)], &[7, DATA + 0x104]);
    assert_eq!(memory.word(DATA + 0x100), 7);
}

/// Where `word` at [`CODE`] leads.
fn target(word: u32, x: &[u32]) -> Cpu {
    executed(&[word], x).0
}

#[test]
fn branches() {
    for (name, funct3, a, b, taken) in [
        ("beq", 0, 5, 5, true),
        ("beq", 0, 5, 6, false),
        ("bne", 1, 5, 6, true),
        ("bne", 1, 5, 5, false),
        ("blt", 4, MIN, 0, true),
        ("blt", 4, 0, 0, false),
        ("bge", 5, 0, 0, true),
        ("bge", 5, MIN, 0, false),
        ("bltu", 6, 0, MIN, true),
        ("bltu", 6, MIN, 0, false),
        ("bgeu", 7, MIN, 0, true),
        ("bgeu", 7, 0, MIN, false),
    ] {
        for offset in [-4096, -2, 6, 2048, 4094] {
            let expected = CODE.wrapping_add_signed(if taken { offset } else { 4 });
            let cpu = target(b_type(offset, 11, 10, funct3), &[a, b]);
            assert_eq!(cpu.state().pc, expected, "{name} {a:#x}, {b:#x}");
        }
    }
}

#[test]
fn jumps_link() {
    for offset in [-0x10_0000, -2, 0x800, 0xF_FFFE] {
        let cpu = target(j_type(offset, 1), &[]);
        assert_eq!(cpu.state().pc, CODE.wrapping_add_signed(offset));
        assert_eq!(cpu.state().x[1], CODE + 4);
    }
    // The target comes from the old value of the register, and loses its lowest bit.
    let cpu = target(i_type(JALR, -1, 10, 0, 10), &[CODE + 0x102]);
    assert_eq!((cpu.state().pc, cpu.state().x[10]), (CODE + 0x100, CODE + 4));
}
