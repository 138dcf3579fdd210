//! Decoding of 32-bit instructions (RISC-V Unprivileged ISA, RV32I and M, and Zicsr).

use super::compressed;
use super::op::{Kind, Op};

/// The instruction at `pc`. `raw` has it in the low 16 or all 32 bits; whether it is a short one is in
/// its lowest two bits.
pub(super) fn decode(raw: u32, pc: u32) -> Op {
    let (word, raw) = if is_compressed(raw as u16) {
        let half = raw as u16;
        match compressed::expand(half) {
            Some(word) => (word, u32::from(half)),
            None => return with_immediate(Kind::Illegal, u32::from(half)),
        }
    } else {
        (raw, raw)
    };
    decode_word(word, raw, pc).unwrap_or(with_immediate(Kind::Illegal, raw))
}

/// Whether an instruction that starts with `half` is 16 bits long.
pub(super) fn is_compressed(half: u16) -> bool {
    half & 3 != 3
}

fn with_immediate(kind: Kind, imm: u32) -> Op {
    Op { imm, kind, rd: 0, rs1: 0, rs2: 0 }
}

/// `word` decoded, `None` when it is no instruction of this processor. `raw` is what stands in memory.
fn decode_word(word: u32, raw: u32, pc: u32) -> Option<Op> {
    let rd = (word >> 7 & 31) as u8;
    let funct3 = word >> 12 & 7;
    let rs1 = (word >> 15 & 31) as u8;
    let rs2 = (word >> 20 & 31) as u8;
    let op = |kind, imm| Op { imm, kind, rd, rs1, rs2 };
    let i = (word as i32 >> 20) as u32;
    // An operation whose result is dropped has no effect at all.
    let arithmetic = |kind, imm| {
        if rd == 0 { with_immediate(Kind::Nop, 0) } else { op(kind, imm) }
    };
    Some(match word & 0x7F {
        0x37 => arithmetic(Kind::Li, word & 0xFFFF_F000),
        0x17 => arithmetic(Kind::Li, pc.wrapping_add(word & 0xFFFF_F000)),
        0x6F => {
            let target = pc.wrapping_add(jump_offset(word));
            if rd == 0 && target == pc { op(Kind::Spin, target) } else { op(Kind::Jal, target) }
        }
        0x67 if funct3 == 0 => op(Kind::Jalr, i),
        0x63 => {
            let kind = match funct3 {
                0 => Kind::Beq,
                1 => Kind::Bne,
                4 => Kind::Blt,
                5 => Kind::Bge,
                6 => Kind::Bltu,
                7 => Kind::Bgeu,
                _ => return None,
            };
            op(kind, pc.wrapping_add(branch_offset(word)))
        }
        0x03 => {
            let kind = match funct3 {
                0 => Kind::Lb,
                1 => Kind::Lh,
                2 => Kind::Lw,
                4 => Kind::Lbu,
                5 => Kind::Lhu,
                _ => return None,
            };
            op(kind, i)
        }
        0x23 => {
            let kind = match funct3 {
                0 => Kind::Sb,
                1 => Kind::Sh,
                2 => Kind::Sw,
                _ => return None,
            };
            op(kind, i & !31 | u32::from(rd))
        }
        0x13 if rs1 == 0 && funct3 == 0 => arithmetic(Kind::Li, i),
        0x13 => {
            let kind = match (funct3, word >> 25) {
                (0, _) => Kind::Addi,
                (1, 0) => Kind::Slli,
                (2, _) => Kind::Slti,
                (3, _) => Kind::Sltiu,
                (4, _) => Kind::Xori,
                (5, 0) => Kind::Srli,
                (5, 0x20) => Kind::Srai,
                (6, _) => Kind::Ori,
                (7, _) => Kind::Andi,
                _ => return None,
            };
            arithmetic(kind, i)
        }
        0x33 => arithmetic(register_operation(funct3, word >> 25)?, 0),
        // Memory is in order here: a fence has nothing to do. Reserved forms count as fences too.
        0x0F if funct3 == 0 => with_immediate(Kind::Nop, 0),
        0x0F if funct3 == 1 => with_immediate(Kind::Fence, 0),
        0x73 => match word {
            0x0000_0073 => with_immediate(Kind::Ecall, raw),
            0x0010_0073 => with_immediate(Kind::Ebreak, raw),
            0x3020_0073 => with_immediate(Kind::Mret, raw),
            0x1050_0073 => with_immediate(Kind::Wfi, raw),
            // Reads without writing: sets or clears no bits.
            _ if matches!(funct3, 2 | 3) && rs1 == 0 && matches!(word >> 20, 0x7E2 | 0x802) => {
                op(Kind::Counter, 0)
            }
            _ if funct3 & 3 != 0 => with_immediate(Kind::Csr, raw),
            _ => return None,
        },
        _ => return None,
    })
}

fn register_operation(funct3: u32, funct7: u32) -> Option<Kind> {
    Some(match (funct7, funct3) {
        (0, 0) => Kind::Add,
        (0, 1) => Kind::Sll,
        (0, 2) => Kind::Slt,
        (0, 3) => Kind::Sltu,
        (0, 4) => Kind::Xor,
        (0, 5) => Kind::Srl,
        (0, 6) => Kind::Or,
        (0, 7) => Kind::And,
        (0x20, 0) => Kind::Sub,
        (0x20, 5) => Kind::Sra,
        (1, 0) => Kind::Mul,
        (1, 1) => Kind::Mulh,
        (1, 2) => Kind::Mulhsu,
        (1, 3) => Kind::Mulhu,
        (1, 4) => Kind::Div,
        (1, 5) => Kind::Divu,
        (1, 6) => Kind::Rem,
        (1, 7) => Kind::Remu,
        _ => return None,
    })
}

/// The immediate of the J format, sign-extended.
fn jump_offset(word: u32) -> u32 {
    (word as i32 >> 11) as u32 & 0xFFF0_0000
        | word & 0x000F_F000
        | word >> 9 & 0x800
        | word >> 20 & 0x7FE
}

/// The immediate of the B format, sign-extended.
fn branch_offset(word: u32) -> u32 {
    (word as i32 >> 19) as u32 & 0xFFFF_F000
        | word << 4 & 0x800
        | word >> 20 & 0x7E0
        | word >> 7 & 0x1E
}
