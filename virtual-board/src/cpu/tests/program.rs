//! Random programs that end.
//!
//! A program consists of items: arithmetic, accesses to a piece of memory, jumps forward over a few items,
//! and short counted loops. It ends with storing all registers and writing the memory to standard output.

use super::asm::*;
use super::memory::CODE;
use super::random::Random;

/// Where the code may reach up to, and the data begins. The first words are the registers: at the start
/// what they are loaded with, at the end what they are.
pub(super) const DATA: u32 = CODE + 0x1_0000;
pub(super) const DATA_SIZE: usize = 0x1100;

/// Registers with a fixed meaning: the bases of memory accesses, and the counter of loops.
const SP: u32 = 2;
const MIDDLE: u32 = 3;
const SHORT_BASE: u32 = 8;
const COUNTER: u32 = 9;

pub(super) struct Program {
    pub(super) seed: u64,
    /// Code, and data from [`DATA`] on.
    pub(super) image: Vec<u8>,
    /// Address of the system call at the end.
    pub(super) end: u32,
    /// The last halfwords of the items.
    pub(super) tail: Vec<u16>,
}

/// A jump over the next items.
#[derive(Clone, Copy)]
enum Jump {
    Branch { funct3: u32, rs1: u32, rs2: u32 },
    ShortBranch { not_zero: u32, rs1: u32 },
    Jal { rd: u32 },
    ShortJal { link: bool },
    Jalr { rd: u32, base: u32, odd: i32 },
    ShortJalr { link: u32, base: u32 },
}

impl Jump {
    /// Halfwords of code.
    fn size(self) -> usize {
        match self {
            Self::ShortBranch { .. } | Self::ShortJal { .. } => 1,
            Self::Branch { .. } | Self::Jal { .. } => 2,
            Self::Jalr { .. } => 4,
            Self::ShortJalr { .. } => 5,
        }
    }

    /// The code of a jump over `offset` bytes from its own start.
    fn encode(self, offset: i32) -> Vec<u16> {
        match self {
            Self::Branch { funct3, rs1, rs2 } => long(b_type(offset, rs2, rs1, funct3)),
            Self::ShortBranch { not_zero, rs1 } => {
                let imm = offset as u32;
                let fields = (imm >> 8 & 1) << 12 | (imm >> 3 & 3) << 10 | (imm >> 6 & 3) << 5;
                let low = (imm >> 1 & 3) << 3 | (imm >> 5 & 1) << 2;
                short(1, 6 + not_zero, fields | low | (rs1 - 8) << 7)
            }
            Self::Jal { rd } => long(j_type(offset, rd)),
            Self::ShortJal { link } => {
                let imm = offset as u32;
                let high = (imm >> 11 & 1) << 12 | (imm >> 4 & 1) << 11 | (imm >> 8 & 3) << 9;
                let middle = (imm >> 10 & 1) << 8 | (imm >> 6 & 1) << 7 | (imm >> 7 & 1) << 6;
                let low = (imm >> 1 & 7) << 3 | (imm >> 5 & 1) << 2;
                short(1, if link { 1 } else { 5 }, high | middle | low)
            }
            Self::Jalr { rd, base, odd } => {
                [long(u_type(AUIPC, 0, base)), long(i_type(JALR, offset | odd, base, 0, rd))]
                    .concat()
            }
            Self::ShortJalr { link, base } => [
                long(u_type(AUIPC, 0, base)),
                long(addi(base, base, offset)),
                short(2, 4, link << 12 | base << 7),
            ]
            .concat(),
        }
    }
}

fn long(word: u32) -> Vec<u16> {
    vec![word as u16, (word >> 16) as u16]
}

fn short(quadrant: u32, funct3: u32, fields: u32) -> Vec<u16> {
    vec![(funct3 << 13 | fields | quadrant) as u16]
}

impl Program {
    /// The program of `seed` with `items` items. One with fewer items begins in the same way.
    pub(super) fn random(seed: u64, items: usize) -> Self {
        let mut random = Random(seed);
        let mut data = vec![0; DATA_SIZE];
        let corners = [0, 1, 2, 31, 0x7F, 0x80, 0x7FFF, 0x8000, 0x7FFF_FFFF, 1 << 31, u32::MAX];
        for word in data.chunks_exact_mut(4) {
            let value = if random.chance(2) { random.next() } else { random.pick(&corners) };
            word.copy_from_slice(&value.to_le_bytes());
        }

        let mut code = Vec::new();
        code.extend(long(u_type(LUI, DATA + 0x1000, MIDDLE)));
        code.extend(long(addi(MIDDLE, MIDDLE, -0x800)));
        for register in (1..32).filter(|&register| register != MIDDLE) {
            code.extend(long(i_type(LOAD, -0x800 + 4 * register as i32, MIDDLE, 2, register)));
        }
        code.extend(long(addi(SP, MIDDLE, 0x600)));
        code.extend(long(addi(SHORT_BASE, MIDDLE, -0x400)));

        // A jump is written when it is known where the items behind it are.
        let mut jumps: Vec<(usize, Jump, u32)> = Vec::new();
        for _ in 0..items {
            let jump = random.chance(6).then(|| jump(&mut random));
            let skipped = random.below(6);
            let item = item(&mut random);
            land(&mut code, &mut jumps);
            match jump {
                Some(jump) => {
                    jumps.push((code.len(), jump, skipped));
                    code.resize(code.len() + jump.size(), 0);
                }
                None => code.extend(item),
            }
        }
        while !jumps.is_empty() {
            land(&mut code, &mut jumps);
        }
        let tail = code[code.len().saturating_sub(8)..].to_vec();

        for register in 0..32 {
            code.extend(long(s_type(-0x800 + 4 * register as i32, register, MIDDLE, 2)));
        }
        let end = CODE + 2 * code.len() as u32;
        // write(1, DATA, DATA_SIZE), exit(0), with the system call numbers of Linux.
        let end = end + 4 * 6;
        for word in [
            addi(10, 0, 1),
            u_type(LUI, DATA, 11),
            u_type(LUI, 0x1000, 12),
            addi(12, 12, DATA_SIZE as i32 - 0x1000),
            addi(17, 0, 64),
            NOP,
            ECALL,
            addi(10, 0, 0),
            addi(17, 0, 93),
            ECALL,
        ] {
            code.extend(long(word));
        }

        let mut image: Vec<u8> = code.iter().flat_map(|half| half.to_le_bytes()).collect();
        assert!(image.len() <= (DATA - CODE) as usize, "seed {seed}: {} bytes", image.len());
        image.resize((DATA - CODE) as usize, 0);
        image.extend(data);
        Self { seed, image, end, tail }
    }
}

/// Writes the jumps that go to the end of `code`, and has the others go one item further.
fn land(code: &mut [u16], jumps: &mut Vec<(usize, Jump, u32)>) {
    let end = code.len();
    jumps.retain_mut(|(at, jump, skipped)| {
        if *skipped == 0 {
            let encoded = jump.encode(2 * (end - *at) as i32);
            code[*at..][..encoded.len()].copy_from_slice(&encoded);
            return false;
        }
        *skipped -= 1;
        true
    });
}

/// A register that may be written.
fn destination(random: &mut Random) -> u32 {
    random.pick(&[
        0, 1, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
        28, 29, 30, 31,
    ])
}

/// One of the eight registers of short forms that may be written, as x8 plus this.
fn short_destination(random: &mut Random) -> u32 {
    random.between(2, 7) as u32
}

fn jump(random: &mut Random) -> Jump {
    let base = 5 + random.below(3);
    match random.below(6) {
        0 | 1 => Jump::Branch {
            funct3: random.pick(&[0, 1, 4, 5, 6, 7]),
            rs1: random.below(32),
            rs2: random.below(32),
        },
        2 => Jump::ShortBranch { not_zero: random.below(2), rs1: 8 + random.below(8) },
        3 => Jump::Jal { rd: destination(random) },
        4 => Jump::ShortJal { link: random.chance(2) },
        _ if random.chance(2) => {
            Jump::Jalr { rd: destination(random), base, odd: random.between(0, 1) }
        }
        _ => Jump::ShortJalr { link: random.below(2), base },
    }
}

fn item(random: &mut Random) -> Vec<u16> {
    match random.below(16) {
        0 => counted_loop(random),
        1..=3 => access(random),
        4 => {
            // Forms that move the stack pointer: it goes back at once.
            let imm = 16 * random.pick(&[-32, -17, -16, -8, -4, -2, -1, 1, 2, 4, 8, 15, 16, 31]);
            let bits = imm as u32;
            let fields = (bits >> 9 & 1) << 12 | (bits >> 4 & 1) << 6 | (bits >> 6 & 1) << 5;
            let low = (bits >> 7 & 3) << 3 | (bits >> 5 & 1) << 2;
            [short(1, 3, fields | SP << 7 | low), long(addi(SP, SP, -imm))].concat()
        }
        // Fresh values, since most operations lose information.
        5 => {
            let offset = 4 * random.between(-0x200, 0x1FF);
            long(i_type(LOAD, offset, MIDDLE, 2, destination(random)))
        }
        6 => long(u_type(random.pick(&[LUI, AUIPC]), random.next(), destination(random))),
        _ => arithmetic(random),
    }
}

/// A loop that is executed up to eight times.
fn counted_loop(random: &mut Random) -> Vec<u16> {
    let mut code = long(addi(COUNTER, 0, random.between(1, 8)));
    let start = code.len();
    for _ in 0..1 + random.below(5) {
        code.extend(arithmetic(random));
    }
    code.extend(long(addi(COUNTER, COUNTER, -1)));
    let back = -2 * (code.len() - start) as i32;
    code.extend(long(b_type(back, 0, COUNTER, 1)));
    code
}

/// A load or store.
fn access(random: &mut Random) -> Vec<u16> {
    let offset = random.between(-0x800, 0x7FF);
    let rs2 = random.below(32);
    let rd = destination(random);
    // Bits 5:3, 2 and 6 of the offset, and bits 5, 4:2 and 7:6.
    let from_base = random.below(8) << 10 | random.below(4) << 5;
    let from_sp = random.below(64);
    match random.below(7) {
        0 | 1 => long(i_type(LOAD, offset, MIDDLE, random.pick(&[0, 1, 2, 4, 5]), rd)),
        2 | 3 => long(s_type(offset, rs2, MIDDLE, random.below(3))),
        4 => {
            let store = random.below(2) << 2;
            let register = short_destination(random);
            short(0, 2 + store, from_base | (SHORT_BASE - 8) << 7 | register << 2)
        }
        5 => short(2, 6, from_sp << 7 | rs2 << 2),
        _ if rd == 0 => long(NOP),
        _ => short(2, 2, (from_sp >> 5) << 12 | rd << 7 | (from_sp & 31) << 2),
    }
}

/// One instruction that computes.
fn arithmetic(random: &mut Random) -> Vec<u16> {
    let (rd, rs1, rs2) = (destination(random), random.below(32), random.below(32));
    let (rd_short, rs2_short) = (short_destination(random), random.below(8));
    let imm = random.between(-0x800, 0x7FF);
    let shift = random.below(32);
    let imm6 = random.below(2) << 12 | random.below(32) << 2;
    match random.below(14) {
        0..=2 => long(r_type(1, rs2, rs1, random.below(8), rd)),
        3 | 4 => long(r_type(0, rs2, rs1, random.below(8), rd)),
        5 => long(r_type(0x20, rs2, rs1, random.pick(&[0, 5]), rd)),
        6 => long(i_type(OP_IMM, imm, rs1, random.pick(&[0, 2, 3, 4, 6, 7]), rd)),
        7 => {
            let (funct3, high) = random.pick(&[(1, 0), (5, 0), (5, 0x400)]);
            long(i_type(OP_IMM, (shift | high) as i32, rs1, funct3, rd))
        }
        // c.addi, c.li and c.lui; the latter not with an immediate of 0.
        8 => short(1, random.pick(&[0, 2]), imm6 | rd << 7),
        9 => short(1, 3, imm6 | 4 | rd << 7),
        // c.srli, c.srai, c.andi and those of two short registers.
        10 => short(1, 4, random.below(2) << 10 | rd_short << 7 | shift << 2),
        11 => match random.chance(3) {
            true => short(1, 4, 2 << 10 | imm6 | rd_short << 7),
            false => short(1, 4, 3 << 10 | rd_short << 7 | random.below(4) << 5 | rs2_short << 2),
        },
        // c.mv and c.add, not from x0.
        12 => short(2, 4, random.below(2) << 12 | rd << 7 | (1 + random.below(31)) << 2),
        _ if random.chance(2) => short(2, 0, rd << 7 | shift << 2),
        // c.addi4spn, not with an immediate of 0.
        _ => short(0, 0, (1 + random.below(255)) << 5 | rd_short << 2),
    }
}
