//! The decoded form of an instruction.

/// What a decoded instruction does. Operands in brackets are those of [`Op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Nothing: hints, `fence`, and arithmetic into `x0`.
    Nop,
    /// `[rd] = [imm]`: `lui`, `auipc`, `li`.
    Li,
    Addi,
    Slti,
    Sltiu,
    Xori,
    Ori,
    Andi,
    Slli,
    Srli,
    Srai,
    Add,
    Sub,
    Sll,
    Slt,
    Sltu,
    Xor,
    Srl,
    Sra,
    Or,
    And,
    Mul,
    Mulh,
    Mulhsu,
    Mulhu,
    Div,
    Divu,
    Rem,
    Remu,
    Lb,
    Lh,
    Lw,
    Lbu,
    Lhu,
    Sb,
    Sh,
    Sw,
    /// Branches go to `[imm]`, an absolute address. They do not end a block.
    Beq,
    Bne,
    Blt,
    Bge,
    Bltu,
    Bgeu,
    /// Goes to `[imm]`, an absolute address.
    Jal,
    Jalr,
    /// A jump to itself that links nothing.
    Spin,
    /// `fence.i`: ends the block.
    Fence,
    /// `[rd]` = performance counter. Delay loops consist of it, so it does not end a block.
    Counter,
    /// Any other CSR instruction, which is in `[imm]` as it stands in memory.
    Csr,
    Ecall,
    /// `[imm]` is the instruction as it stands in memory.
    Ebreak,
    Mret,
    Wfi,
    /// `[imm]` is the instruction as it stands in memory.
    Illegal,
}

impl Kind {
    /// Whether no instruction of the same block may follow.
    pub(super) fn ends_block(self) -> bool {
        matches!(
            self,
            Self::Jal
                | Self::Jalr
                | Self::Spin
                | Self::Fence
                | Self::Csr
                | Self::Ecall
                | Self::Ebreak
                | Self::Mret
                | Self::Wfi
                | Self::Illegal
        )
    }
}

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    /// Immediate, sign-extended; an absolute address where it is relative to `pc` in the instruction.
    pub(super) imm: u32,
    pub(super) kind: Kind,
    /// Destination register.
    pub(super) rd: u8,
    /// First source register.
    pub(super) rs1: u8,
    /// Second source register.
    pub(super) rs2: u8,
}
