//! Expansion of 16-bit instructions (RISC-V Unprivileged ISA, extension C without floating point).

/// The 32-bit instruction that does the same as `half`, `None` when `half` is reserved or belongs to an
/// extension that the processor lacks. Hints expand to instructions without effect.
pub(super) fn expand(half: u16) -> Option<u32> {
    let c = Compressed(u32::from(half));
    match (half & 3, half >> 13) {
        (0, 0) => {
            let imm = c.spread(&[(11, 4, 2), (7, 6, 4), (6, 2, 1), (5, 3, 1)]);
            (imm != 0).then(|| i_type(imm, SP, 0, c.rd_short(), OP_IMM))
        }
        (0, 2) => Some(i_type(c.word_offset(), c.rs1_short(), 2, c.rd_short(), LOAD)),
        (0, 6) => Some(s_type(c.word_offset(), c.rd_short(), c.rs1_short())),
        (1, 0) => Some(i_type(c.imm6(), c.rd(), 0, c.rd(), OP_IMM)),
        (1, 1) => Some(jal(c.jump_offset(), RA)),
        (1, 2) => Some(i_type(c.imm6(), 0, 0, c.rd(), OP_IMM)),
        (1, 3) if c.rd() == SP => {
            let imm = c.spread(&[(12, 9, 1), (6, 4, 1), (5, 6, 1), (3, 7, 2), (2, 5, 1)]);
            (imm != 0).then(|| i_type(sign_extend(imm, 9), SP, 0, SP, OP_IMM))
        }
        (1, 3) => {
            let imm = c.imm6();
            (imm != 0).then(|| imm << 12 | c.rd() << 7 | LUI)
        }
        (1, 4) => arithmetic(c),
        (1, 5) => Some(jal(c.jump_offset(), 0)),
        (1, 6) => Some(branch(c, 0)),
        (1, 7) => Some(branch(c, 1)),
        // A shift by 32 or more is reserved for custom extensions.
        (2, 0) if half >> 12 & 1 == 0 => Some(i_type(c.imm6(), c.rd(), 1, c.rd(), OP_IMM)),
        (2, 2) if c.rd() != 0 => {
            let imm = c.spread(&[(12, 5, 1), (4, 2, 3), (2, 6, 2)]);
            Some(i_type(imm, SP, 2, c.rd(), LOAD))
        }
        (2, 4) => jump_or_move(c),
        (2, 6) => {
            let imm = c.spread(&[(9, 2, 4), (7, 6, 2)]);
            Some(s_type(imm, c.rs2(), SP))
        }
        _ => None,
    }
}

const RA: u32 = 1;
const SP: u32 = 2;

const LOAD: u32 = 0x03;
const OP_IMM: u32 = 0x13;
const STORE: u32 = 0x23;
const OP: u32 = 0x33;
const LUI: u32 = 0x37;
const BRANCH: u32 = 0x63;
const JALR: u32 = 0x67;
const JAL: u32 = 0x6F;
const EBREAK: u32 = 0x0010_0073;

/// `c.srli`, `c.srai`, `c.andi` and the operations on two short registers.
fn arithmetic(c: Compressed) -> Option<u32> {
    let rd = c.rs1_short();
    match (c.0 >> 10 & 3, c.0 >> 12 & 1, c.0 >> 5 & 3) {
        (0, 0, _) => Some(i_type(c.imm6(), rd, 5, rd, OP_IMM)),
        (1, 0, _) => Some(i_type(c.imm6() | 0x400, rd, 5, rd, OP_IMM)),
        (2, _, _) => Some(i_type(c.imm6(), rd, 7, rd, OP_IMM)),
        (3, 0, operation) => {
            let (funct7, funct3) = [(0x20, 0), (0, 4), (0, 6), (0, 7)][operation as usize];
            Some(r_type(funct7, c.rd_short(), rd, funct3, rd))
        }
        _ => None,
    }
}

/// `c.jr`, `c.mv`, `c.ebreak`, `c.jalr`, `c.add`.
fn jump_or_move(c: Compressed) -> Option<u32> {
    match (c.0 >> 12 & 1, c.rd(), c.rs2()) {
        (0, 0, 0) => None,
        (0, rs1, 0) => Some(i_type(0, rs1, 0, 0, JALR)),
        (0, rd, rs2) => Some(r_type(0, rs2, 0, 0, rd)),
        (_, 0, 0) => Some(EBREAK),
        (_, rs1, 0) => Some(i_type(0, rs1, 0, RA, JALR)),
        (_, rd, rs2) => Some(r_type(0, rs2, rd, 0, rd)),
    }
}

/// A 16-bit instruction, with names for its fields.
#[derive(Clone, Copy)]
struct Compressed(u32);

impl Compressed {
    /// The immediate whose pieces are (lowest bit in the instruction, lowest bit in the immediate, bits).
    fn spread(self, pieces: &[(u32, u32, u32)]) -> u32 {
        pieces
            .iter()
            .fold(0, |imm, &(from, to, bits)| imm | (self.0 >> from & ((1 << bits) - 1)) << to)
    }

    /// Destination, or first source, of the forms with five bits for it.
    fn rd(self) -> u32 {
        self.0 >> 7 & 31
    }

    /// Second source of the forms with five bits for it.
    fn rs2(self) -> u32 {
        self.0 >> 2 & 31
    }

    /// `rd'` or `rs2'`, one of x8 to x15.
    fn rd_short(self) -> u32 {
        8 + (self.0 >> 2 & 7)
    }

    /// `rs1'`, one of x8 to x15.
    fn rs1_short(self) -> u32 {
        8 + (self.0 >> 7 & 7)
    }

    /// The sign-extended immediate of six bits.
    fn imm6(self) -> u32 {
        sign_extend(self.spread(&[(12, 5, 1), (2, 0, 5)]), 5)
    }

    /// The offset of `c.lw` and `c.sw`.
    fn word_offset(self) -> u32 {
        self.spread(&[(10, 3, 3), (6, 2, 1), (5, 6, 1)])
    }

    fn jump_offset(self) -> u32 {
        let imm = self.spread(&[
            (12, 11, 1),
            (11, 4, 1),
            (9, 8, 2),
            (8, 10, 1),
            (7, 6, 1),
            (6, 7, 1),
            (3, 1, 3),
            (2, 5, 1),
        ]);
        sign_extend(imm, 11)
    }
}

/// `value` with the bits above `bit` set to that bit.
fn sign_extend(value: u32, bit: u32) -> u32 {
    ((value << (31 - bit)) as i32 >> (31 - bit)) as u32
}

fn i_type(imm: u32, rs1: u32, funct3: u32, rd: u32, opcode: u32) -> u32 {
    imm << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

/// A word store.
fn s_type(imm: u32, rs2: u32, rs1: u32) -> u32 {
    imm >> 5 << 25 | rs2 << 20 | rs1 << 15 | 2 << 12 | (imm & 31) << 7 | STORE
}

fn r_type(funct7: u32, rs2: u32, rs1: u32, funct3: u32, rd: u32) -> u32 {
    funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | OP
}

fn jal(offset: u32, rd: u32) -> u32 {
    (offset >> 20 & 1) << 31
        | (offset >> 1 & 0x3FF) << 21
        | (offset >> 11 & 1) << 20
        | offset & 0x000F_F000
        | rd << 7
        | JAL
}

/// `beq` or `bne` of a short register with `x0`.
fn branch(c: Compressed, funct3: u32) -> u32 {
    let imm = c.spread(&[(12, 8, 1), (10, 3, 2), (5, 6, 2), (3, 1, 2), (2, 5, 1)]);
    let offset = sign_extend(imm, 8);
    (offset >> 12 & 1) << 31
        | (offset >> 5 & 0x3F) << 25
        | c.rs1_short() << 15
        | funct3 << 12
        | (offset >> 1 & 0xF) << 8
        | (offset >> 11 & 1) << 7
        | BRANCH
}
