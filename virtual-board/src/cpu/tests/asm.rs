//! Encoders for the instruction formats (RISC-V Unprivileged ISA, "Base Instruction Formats").

/// Major opcodes.
pub(super) const LOAD: u32 = 0x03;
pub(super) const OP_IMM: u32 = 0x13;
pub(super) const AUIPC: u32 = 0x17;
pub(super) const STORE: u32 = 0x23;
pub(super) const OP: u32 = 0x33;
pub(super) const LUI: u32 = 0x37;
pub(super) const BRANCH: u32 = 0x63;
pub(super) const JALR: u32 = 0x67;
pub(super) const JAL: u32 = 0x6F;

pub(super) const ECALL: u32 = 0x0000_0073;
pub(super) const EBREAK: u32 = 0x0010_0073;
pub(super) const MRET: u32 = 0x3020_0073;
pub(super) const WFI: u32 = 0x1050_0073;
pub(super) const NOP: u32 = 0x0000_0013;

pub(super) fn r_type(funct7: u32, rs2: u32, rs1: u32, funct3: u32, rd: u32) -> u32 {
    funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | OP
}

pub(super) fn i_type(opcode: u32, imm: i32, rs1: u32, funct3: u32, rd: u32) -> u32 {
    (imm as u32) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

pub(super) fn s_type(imm: i32, rs2: u32, rs1: u32, funct3: u32) -> u32 {
    let imm = imm as u32;
    (imm >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 31) << 7 | STORE
}

pub(super) fn b_type(offset: i32, rs2: u32, rs1: u32, funct3: u32) -> u32 {
    let imm = offset as u32;
    (imm >> 12 & 1) << 31
        | (imm >> 5 & 0x3F) << 25
        | rs2 << 20
        | rs1 << 15
        | funct3 << 12
        | (imm >> 1 & 0xF) << 8
        | (imm >> 11 & 1) << 7
        | BRANCH
}

pub(super) fn u_type(opcode: u32, imm: u32, rd: u32) -> u32 {
    imm & 0xFFFF_F000 | rd << 7 | opcode
}

pub(super) fn j_type(offset: i32, rd: u32) -> u32 {
    let imm = offset as u32;
    (imm >> 20 & 1) << 31
        | (imm >> 1 & 0x3FF) << 21
        | (imm >> 11 & 1) << 20
        | (imm >> 12 & 0xFF) << 12
        | rd << 7
        | JAL
}

pub(super) fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(OP_IMM, imm, rs1, 0, rd)
}

/// `csrrw`, `csrrs`, `csrrc` and their immediate forms (`funct3` 1, 2, 3 and 5, 6, 7).
pub(super) fn csr(funct3: u32, rd: u32, number: u32, rs1: u32) -> u32 {
    number << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73
}
