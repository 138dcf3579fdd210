//! Tests of the processor as a whole.

mod asm;
mod compressed;
mod instructions;
mod memory;
mod program;
mod qemu;
mod random;
mod riscv_tests;
mod runs;
mod system;
