//! How fast the interpreter is: items per second are instructions per second.
#![allow(missing_docs, reason = "the harness makes the main function")]

use divan::Bencher;
use divan::counter::ItemsCount;

use cpu::{Bus, Cpu, Exit, Fault, Stored, Width};

// The processor is not part of the crate's interface.
#[path = "../src/cpu/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "a part of it is measured")]
mod cpu;

const BASE: u32 = 0x4000_0000;
const SIZE: usize = 0x1_0000;

/// Instructions of one run.
const BUDGET: u64 = 1_000_000;

/// Memory for code and data.
struct Memory(Box<[u8; SIZE]>);

impl Memory {
    fn new(code: &[u16]) -> Self {
        let mut bytes = Box::new([0; SIZE]);
        for (to, half) in bytes.chunks_exact_mut(2).zip(code) {
            to.copy_from_slice(&half.to_le_bytes());
        }
        Self(bytes)
    }

    fn at(&mut self, address: u32, size: usize) -> Result<&mut [u8], Fault> {
        let offset = address.wrapping_sub(BASE) as usize;
        self.0.get_mut(offset..offset.saturating_add(size)).ok_or(Fault)
    }
}

impl Bus for Memory {
    #[inline]
    fn load(&mut self, address: u32, width: Width, _clock: u64) -> Result<u32, Fault> {
        match width {
            Width::Byte => self.at(address, 1).map(|bytes| u32::from(bytes[0])),
            Width::Half => self.at(address, 2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))),
            Width::Word => {
                self.at(address, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            }
        }
    }

    #[inline]
    fn store(
        &mut self,
        address: u32,
        width: Width,
        value: u32,
        _clock: u64,
    ) -> Result<Stored, Fault> {
        let value = value.to_le_bytes();
        match width {
            Width::Byte => self.at(address, 1)?.copy_from_slice(&value[..1]),
            Width::Half => self.at(address, 2)?.copy_from_slice(&value[..2]),
            Width::Word => self.at(address, 4)?.copy_from_slice(&value),
        }
        Ok(Stored::Plain)
    }

    fn fetch(&mut self, address: u32) -> Result<u16, Fault> {
        self.at(address, 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn code_version(&mut self, _address: u32) -> u32 {
        0
    }
}

fn main() {
    divan::main();
}

/// Runs `code` in runs of `budget` instructions.
fn run(bencher: Bencher<'_, '_>, code: &[u16], budget: u64) {
    let mut memory = Memory::new(code);
    let mut cpu = Cpu::new();
    let x = &mut cpu.state_mut().x;
    x[8] = BASE + 0x4000;
    x[9] = BASE + 0x8000;
    x[10] = 0x1357_9BDF;
    x[18] = 0x1000;
    bencher.counter(ItemsCount::new(BUDGET)).bench_local(|| {
        for _ in 0..BUDGET / budget {
            assert_eq!(cpu.run(&mut memory, budget), Exit::Budget);
        }
    });
}

#[divan::bench]
fn tight_loop(bencher: Bencher<'_, '_>) {
    let code = [
        0x0505, // 1: addi a0, a0, 1
        0x8DA9, // xor a1, a1, a0
        0x9613, 0x0035, // slli a2, a1, 3
        0x96B2, // add a3, a3, a2
        0x1BE3, 0xFEE5, // bne a0, a4, 1b
    ];
    run(bencher, &code, BUDGET);
}

/// A shift register decides where to go.
const BRANCHY: [u16; 24] = [
    0x7593, 0x0015, // 1: andi a1, a0, 1
    0x8105, // srli a0, a0, 1
    0xC191, // beqz a1, 2f
    0x8D21, // xor a0, a0, s0
    0x7593, 0x0025, // 2: andi a1, a0, 2
    0xC199, // beqz a1, 3f
    0x0605, // addi a2, a2, 1
    0xA011, // j 4f
    0x0685, // 3: addi a3, a3, 1
    0xE563, 0x00C6, // 4: bltu a3, a2, 5f
    0x00EF, 0x00C0, // jal 6f
    0xB7CD, // j 1b
    0x00EF, 0x00A0, // 5: jal 7f
    0xBFF1, // j 1b
    0x0705, // 6: addi a4, a4, 1
    0x8082, // ret
    0x8F11, // 7: sub a4, a4, a2
    0x8082, // ret
    0x0001,
];

#[divan::bench]
fn branchy(bencher: Bencher<'_, '_>) {
    run(bencher, &BRANCHY, BUDGET);
}

/// As a board with many events does: runs that end after a few instructions.
#[divan::bench]
fn branchy_in_runs_of_20(bencher: Bencher<'_, '_>) {
    run(bencher, &BRANCHY, 20);
}

#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    let code = [
        0x82A2, // 1: mv t0, s0
        0x8326, // mv t1, s1
        0x83CA, // mv t2, s2
        0xA503, 0x0002, // 2: lw a0, 0(t0)
        0xA583, 0x0042, // lw a1, 4(t0)
        0x2023, 0x00A3, // sw a0, 0(t1)
        0x2223, 0x00B3, // sw a1, 4(t1)
        0x02A1, // addi t0, t0, 8
        0x0321, // addi t1, t1, 8
        0x13E1, // addi t2, t2, -8
        0x95E3, 0xFE03, // bnez t2, 2b
        0xB7C5, // j 1b
    ];
    run(bencher, &code, BUDGET);
}

/// Code that is met for the first time.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let mut memory = Memory::new(&BRANCHY.repeat(1000));
    let mut cpu = Cpu::new();
    bencher.counter(ItemsCount::new(20_000_u32)).bench_local(|| {
        // Changing the breakpoints drops what was decoded.
        cpu.set_breakpoints(&[BASE + 2].into());
        cpu.set_breakpoints(&[].into());
        for block in 0..1000 {
            cpu.state_mut().pc = BASE + 48 * block;
            cpu.run(&mut memory, 20);
        }
    });
}

#[divan::bench]
fn snapshot_and_restore(bencher: Bencher<'_, '_>) {
    let mut cpu = Cpu::new();
    bencher.bench_local(|| {
        let state = divan::black_box(cpu.state().clone());
        cpu.set_state(&state);
    });
}
