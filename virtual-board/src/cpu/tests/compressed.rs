//! Compressed instructions: what each stands for, and which encodings are none.

use crate::cpu::decode::decode;
use crate::cpu::op::Kind;

const PC: u32 = 0x4000_0000;

/// Each short form with the extremes of its immediate, and the long form, as GNU `as` assembles them.
const EXPANSIONS: &[(u32, u32, &str)] = &[
    (0x0048, 0x00410513, "c.addi4spn a0,sp,4"),
    (0x1FFC, 0x3FC10793, "c.addi4spn a5,sp,1020"),
    (0x0420, 0x20810413, "c.addi4spn s0,sp,520"),
    (0x4380, 0x0007A403, "c.lw s0,0(a5)"),
    (0x403C, 0x04042783, "c.lw a5,64(s0)"),
    (0x41C8, 0x0045A503, "c.lw a0,4(a1)"),
    (0x5DC8, 0x03C5A503, "c.lw a0,60(a1)"),
    (0xDFE0, 0x0687AE23, "c.sw s0,124(a5)"),
    (0xC07C, 0x04F42223, "c.sw a5,68(s0)"),
    (0x0001, 0x00000013, "c.nop"),
    (0x1501, 0xFE050513, "c.addi a0,-32"),
    (0x0FFD, 0x01FF8F93, "c.addi t6,31"),
    (0x3001, 0x801FF0EF, "c.jal .-2048"),
    (0x2FFD, 0x7FE000EF, "c.jal .+2046"),
    (0x2B91, 0x554000EF, "c.jal .+1364"),
    (0x52FD, 0xFFF00293, "c.li t0,-1"),
    (0x457D, 0x01F00513, "c.li a0,31"),
    (0x7101, 0xE0010113, "c.addi16sp sp,-512"),
    (0x617D, 0x1F010113, "c.addi16sp sp,496"),
    (0x6141, 0x01010113, "c.addi16sp sp,16"),
    (0x6171, 0x15010113, "c.addi16sp sp,336"),
    (0x6505, 0x00001537, "c.lui a0,1"),
    (0x60FD, 0x0001F0B7, "c.lui ra,31"),
    (0x7F81, 0xFFFE0FB7, "c.lui t6,0xfffe0"),
    (0x71FD, 0xFFFFF1B7, "c.lui gp,0xfffff"),
    (0x8105, 0x00155513, "c.srli a0,1"),
    (0x83FD, 0x01F7D793, "c.srli a5,31"),
    (0x847D, 0x41F45413, "c.srai s0,31"),
    (0x8485, 0x4014D493, "c.srai s1,1"),
    (0x997D, 0xFFF57513, "c.andi a0,-1"),
    (0x9881, 0xFE04F493, "c.andi s1,-32"),
    (0x88FD, 0x01F4F493, "c.andi s1,31"),
    (0x8C1D, 0x40F40433, "c.sub s0,a5"),
    (0x8FA1, 0x0087C7B3, "c.xor a5,s0"),
    (0x8D4D, 0x00B56533, "c.or a0,a1"),
    (0x8E75, 0x00D67633, "c.and a2,a3"),
    (0xB001, 0x801FF06F, "c.j .-2048"),
    (0xAFFD, 0x7FE0006F, "c.j .+2046"),
    (0xBFFD, 0xFFFFF06F, "c.j .-2"),
    (0xA46D, 0x2AA0006F, "c.j .+682"),
    (0xD001, 0xF00400E3, "c.beqz s0,.-256"),
    (0xCFFD, 0x0E078F63, "c.beqz a5,.+254"),
    (0xC54D, 0x0A050563, "c.beqz a0,.+170"),
    (0xFCFD, 0xFE049FE3, "c.bnez s1,.-2"),
    (0xEB31, 0x04071A63, "c.bnez a4,.+84"),
    (0x0FFE, 0x01FF9F93, "c.slli t6,31"),
    (0x0506, 0x00151513, "c.slli a0,1"),
    (0x4082, 0x00012083, "c.lwsp ra,0(sp)"),
    (0x5FFE, 0x0FC12F83, "c.lwsp t6,252(sp)"),
    (0x551A, 0x0A412503, "c.lwsp a0,164(sp)"),
    (0x8082, 0x00008067, "c.jr ra"),
    (0x8F82, 0x000F8067, "c.jr t6"),
    (0x857E, 0x01F00533, "c.mv a0,t6"),
    (0x80AA, 0x00A000B3, "c.mv ra,a0"),
    (0x9502, 0x000500E7, "c.jalr a0"),
    (0x957E, 0x01F50533, "c.add a0,t6"),
    (0x9086, 0x001080B3, "c.add ra,ra"),
    (0xC002, 0x00012023, "c.swsp zero,0(sp)"),
    (0xDFFE, 0x0FF12E23, "c.swsp t6,252(sp)"),
    (0xCCEE, 0x05B12C23, "c.swsp s11,88(sp)"),
];

#[test]
fn short_forms_do_what_their_long_forms_do() {
    for &(half, word, name) in EXPANSIONS {
        assert_eq!(decode(half, PC), decode(word, PC), "{name}");
    }
}

#[test]
fn the_breakpoint_keeps_its_encoding() {
    let op = decode(0x9002, PC);
    assert_eq!((op.kind, op.imm), (Kind::Ebreak, 0x9002));
}

#[test]
fn hints_do_nothing() {
    for (half, name) in [
        (0x0005, "c.nop 1"),
        (0x4005, "c.li x0, 1"),
        (0x6005, "c.lui x0, 1"),
        (0x8006, "c.mv x0, x1"),
        (0x9006, "c.add x0, x1"),
        (0x0006, "c.slli x0, 1"),
    ] {
        assert_eq!(decode(half, PC).kind, Kind::Nop, "{name}");
    }
    // These leave their register as it is.
    for (half, word, name) in [
        (0x0501, 0x0005_0513, "c.addi a0, 0"),
        (0x0502, 0x0005_1513, "c.slli a0, 0"),
        (0x8101, 0x0005_5513, "c.srli a0, 0"),
        (0x8501, 0x4005_5513, "c.srai a0, 0"),
    ] {
        assert_eq!(decode(half, PC), decode(word, PC), "{name}");
    }
}

#[test]
fn reserved_and_foreign_encodings_are_illegal() {
    for (half, name) in [
        (0x0000, "all zero"),
        (0x0004, "c.addi4spn with 0"),
        (0x2000, "c.fld"),
        (0x6000, "c.flw"),
        (0x8000, "reserved"),
        (0xA000, "c.fsd"),
        (0xE000, "c.fsw"),
        (0x6101, "c.addi16sp with 0"),
        (0x6081, "c.lui with 0"),
        (0x9105, "c.srli by 33"),
        (0x9505, "c.srai by 33"),
        (0x9D05, "c.subw"),
        (0x9D25, "c.addw"),
        (0x9D45, "reserved"),
        (0x9D65, "reserved"),
        (0x1502, "c.slli by 32"),
        (0x2002, "c.fldsp"),
        (0x4002, "c.lwsp to x0"),
        (0x6002, "c.flwsp"),
        (0x8002, "c.jr x0"),
        (0xA002, "c.fsdsp"),
        (0xE002, "c.fswsp"),
    ] {
        let op = decode(half, PC);
        assert_eq!((op.kind, op.imm), (Kind::Illegal, half), "{name}");
    }
}

#[test]
fn long_encodings_of_other_extensions_are_illegal() {
    for (word, name) in [
        (0x0000_0057, "vector"),
        (0x0000_2007, "flw"),
        (0x1000_202F, "lr.w"),
        (0x0000_003B, "addw"),
        (0x0000_3003, "ld"),
        (0x0000_3023, "sd"),
        (0x0000_2063, "branch with funct3 2"),
        (0x0000_1067, "jalr with funct3 1"),
        (0x0200_1013, "slli by 32"),
        (0x4000_1033, "sll with funct7 0x20"),
        (0x0000_4073, "system with funct3 4"),
        (0x1020_0073, "sret"),
        (0x7B20_0073, "dret"),
        (0xFFFF_FFFF, "erased flash"),
        (0x0000_001F, "48 bits"),
    ] {
        let op = decode(word, PC);
        assert_eq!((op.kind, op.imm), (Kind::Illegal, word), "{name}");
    }
}
