//! The run loop.

use super::bus::{Bus, Fault, Stored, Width};
use super::csr::{Cause, Csrs};
use super::op::{Kind, Op};
use super::{Cpu, Exit, Resume, State};

/// How the execution of a block ended.
enum End {
    /// Behind the last instruction that was to be executed.
    Through,
    /// With a jump to this address.
    Jump(u32),
    /// With a store that the run has to end behind.
    Attention,
    /// With an instruction that cannot be completed, and the trap value.
    Trap(Cause, u32),
    /// With an instruction that does more than compute.
    System(Op),
}

impl Cpu {
    /// Executes `budget` instructions, fewer when something ends the run earlier. Interrupts are taken
    /// between runs only.
    pub(crate) fn run<B: Bus>(&mut self, bus: &mut B, budget: u64) -> Exit {
        let Self { state, blocks, resume, stopped } = self;
        state.pc &= !1;
        blocks.start_run();
        let start = state.clock;
        let deadline = start.saturating_add(budget);
        let stepping_off = stopped.take() == Some((state.pc, start));
        let (mut from, mut begin) = match resume.take() {
            Some(resume) if resume.pc == state.pc => (resume.block, resume.index),
            _ => (state.pc, 0),
        };

        // Where the clock and the next instruction are while a run goes on.
        let mut clock = start;
        let mut pc = state.pc;
        let exit = 'run: loop {
            if clock >= deadline {
                break Exit::Budget;
            }
            if blocks.has_stops() && blocks.is_stop(pc) && !(stepping_off && clock == start) {
                *stopped = Some((pc, clock));
                break Exit::Breakpoint;
            }
            if !blocks.is_current(from)
                && let Err(address) = blocks.check(from, bus)
            {
                if begin == 0 {
                    clock += 1;
                    pc = state.csrs.exception(Cause::FetchFault, pc, address);
                }
                (from, begin) = (pc, 0);
                continue;
            }
            let block = blocks.at(from);
            if begin != 0 && !blocks.holds(block, begin, pc) {
                // The code where the last run ended is another by now.
                (from, begin) = (pc, 0);
                continue;
            }
            let ops = blocks.ops(block);
            loop {
                let left = usize::try_from(deadline - clock).unwrap_or(usize::MAX);
                let end = ops.len().min(begin.saturating_add(left));
                // What the clock was, or would have been, at the first instruction of the block.
                let base = clock.wrapping_sub(begin as u64);
                let ops_left = &ops[begin..end];
                let ended =
                    execute(ops_left, &mut state.x, &state.csrs, &mut clock, block.end, bus);
                let index = clock.wrapping_sub(base) as usize;
                match ended {
                    End::Through if index < ops.len() => {
                        pc = blocks.address(block, index);
                        *resume = Some(Resume { pc, block: block.pc, index });
                        break 'run Exit::Budget;
                    }
                    End::Through => pc = block.end,
                    End::Jump(target) => {
                        clock += 1;
                        pc = target;
                        if target == block.pc && clock < deadline && !blocks.has_stops() {
                            begin = 0;
                            continue;
                        }
                    }
                    End::Attention => {
                        clock += 1;
                        pc = blocks.address(block, index + 1);
                        *resume = Some(Resume { pc, block: block.pc, index: index + 1 });
                        break 'run Exit::Attention;
                    }
                    End::Trap(cause, value) => {
                        clock += 1;
                        pc = state.csrs.exception(cause, blocks.address(block, index), value);
                    }
                    End::System(op) => {
                        let at = blocks.address(block, index);
                        let exit = state.system(op, at, block.end, clock);
                        clock += 1;
                        pc = state.pc;
                        if let Some(exit) = exit {
                            break 'run exit;
                        }
                    }
                }
                break;
            }
            (from, begin) = (pc, 0);
        };
        state.clock = clock;
        state.pc = pc;
        exit
    }
}

/// Executes `ops` up to the first that ends the block, which is not counted in `clock`. `behind` is the
/// address behind the block.
#[inline(always)]
fn execute<B: Bus>(
    ops: &[Op],
    x: &mut [u32; 32],
    csrs: &Csrs,
    clock: &mut u64,
    behind: u32,
    bus: &mut B,
) -> End {
    let mut now = *clock;
    let end = 'block: {
        for op in ops {
            let rd = usize::from(op.rd & 31);
            let a = x[usize::from(op.rs1 & 31)];
            let b = x[usize::from(op.rs2 & 31)];
            let imm = op.imm;
            macro_rules! branch {
                ($taken:expr) => {
                    if $taken {
                        break 'block End::Jump(imm);
                    }
                };
            }
            macro_rules! load {
                ($width:ident, $extend:expr) => {{
                    let address = a.wrapping_add(imm);
                    match bus.load(address, Width::$width, now) {
                        Ok(value) => x[rd] = $extend(value),
                        Err(Fault) => break 'block End::Trap(Cause::LoadFault, address),
                    }
                    x[0] = 0;
                }};
            }
            macro_rules! store {
                ($width:ident) => {{
                    let address = a.wrapping_add(imm);
                    match bus.store(address, Width::$width, b, now) {
                        Ok(Stored::Plain) => {}
                        Ok(Stored::Attention) => break 'block End::Attention,
                        Err(Fault) => break 'block End::Trap(Cause::StoreFault, address),
                    }
                }};
            }
            match op.kind {
                Kind::Nop => {}
                Kind::Li => x[rd] = imm,
                Kind::Addi => x[rd] = a.wrapping_add(imm),
                Kind::Slti => x[rd] = u32::from((a as i32) < imm as i32),
                Kind::Sltiu => x[rd] = u32::from(a < imm),
                Kind::Xori => x[rd] = a ^ imm,
                Kind::Ori => x[rd] = a | imm,
                Kind::Andi => x[rd] = a & imm,
                // Shifts take the low five bits of their operand, as the wrapping shifts here do.
                Kind::Slli => x[rd] = a.wrapping_shl(imm),
                Kind::Srli => x[rd] = a.wrapping_shr(imm),
                Kind::Srai => x[rd] = (a as i32).wrapping_shr(imm) as u32,
                Kind::Add => x[rd] = a.wrapping_add(b),
                Kind::Sub => x[rd] = a.wrapping_sub(b),
                Kind::Sll => x[rd] = a.wrapping_shl(b),
                Kind::Slt => x[rd] = u32::from((a as i32) < b as i32),
                Kind::Sltu => x[rd] = u32::from(a < b),
                Kind::Xor => x[rd] = a ^ b,
                Kind::Srl => x[rd] = a.wrapping_shr(b),
                Kind::Sra => x[rd] = (a as i32).wrapping_shr(b) as u32,
                Kind::Or => x[rd] = a | b,
                Kind::And => x[rd] = a & b,
                Kind::Mul => x[rd] = a.wrapping_mul(b),
                Kind::Mulh => x[rd] = upper(i64::from(a as i32) * i64::from(b as i32)),
                Kind::Mulhsu => x[rd] = upper(i64::from(a as i32) * i64::from(b)),
                Kind::Mulhu => x[rd] = ((u64::from(a) * u64::from(b)) >> 32) as u32,
                Kind::Div => x[rd] = divide(a as i32, b as i32) as u32,
                Kind::Divu => x[rd] = a.checked_div(b).unwrap_or(u32::MAX),
                Kind::Rem => x[rd] = remainder(a as i32, b as i32) as u32,
                Kind::Remu => x[rd] = a.checked_rem(b).unwrap_or(a),
                Kind::Lb => load!(Byte, |value| value as i8 as u32),
                Kind::Lh => load!(Half, |value| value as i16 as u32),
                Kind::Lw => load!(Word, |value| value),
                Kind::Lbu => load!(Byte, |value| value),
                Kind::Lhu => load!(Half, |value| value),
                Kind::Sb => store!(Byte),
                Kind::Sh => store!(Half),
                Kind::Sw => store!(Word),
                Kind::Beq => branch!(a == b),
                Kind::Bne => branch!(a != b),
                Kind::Blt => branch!((a as i32) < b as i32),
                Kind::Bge => branch!(a as i32 >= b as i32),
                Kind::Bltu => branch!(a < b),
                Kind::Bgeu => branch!(a >= b),
                Kind::Counter => {
                    x[rd] = csrs.counter(now);
                    x[0] = 0;
                }
                Kind::Jal => {
                    x[rd] = behind;
                    x[0] = 0;
                    break 'block End::Jump(imm);
                }
                Kind::Jalr => {
                    x[rd] = behind;
                    x[0] = 0;
                    break 'block End::Jump(a.wrapping_add(imm) & !1);
                }
                Kind::Spin
                | Kind::Fence
                | Kind::Csr
                | Kind::Ecall
                | Kind::Ebreak
                | Kind::Mret
                | Kind::Wfi
                | Kind::Illegal => break 'block End::System(*op),
            }
            now += 1;
        }
        End::Through
    };
    *clock = now;
    end
}

fn upper(product: i64) -> u32 {
    (product >> 32) as u32
}

fn divide(a: i32, b: i32) -> i32 {
    if b == 0 { -1 } else { a.wrapping_div(b) }
}

fn remainder(a: i32, b: i32) -> i32 {
    if b == 0 { a } else { a.wrapping_rem(b) }
}

impl State {
    /// Executes an instruction that does more than compute, which is at `pc`. `behind` is the address
    /// behind it, and `clock` counts the instructions before it.
    fn system(&mut self, op: Op, pc: u32, behind: u32, clock: u64) -> Option<Exit> {
        self.pc = behind;
        match op.kind {
            Kind::Spin => {
                self.pc = pc;
                return Some(Exit::Waiting);
            }
            Kind::Wfi => return Some(Exit::Waiting),
            Kind::Mret => return self.may_enable_interrupts(|state| state.pc = state.csrs.leave()),
            Kind::Csr => {
                let mut known = None;
                let exit = self.may_enable_interrupts(|state| known = state.csr(op.imm, clock));
                if known.is_some() {
                    return exit;
                }
                self.pc = self.csrs.exception(Cause::Illegal, pc, op.imm);
            }
            Kind::Ecall => self.pc = self.csrs.exception(Cause::EnvironmentCall, pc, 0),
            Kind::Ebreak => self.pc = self.csrs.exception(Cause::Breakpoint, pc, op.imm),
            Kind::Illegal => self.pc = self.csrs.exception(Cause::Illegal, pc, op.imm),
            _ => {}
        }
        None
    }

    fn may_enable_interrupts(&mut self, change: impl FnOnce(&mut Self)) -> Option<Exit> {
        let before = self.csrs.interrupts_enabled();
        change(self);
        (!before && self.csrs.interrupts_enabled()).then_some(Exit::InterruptsEnabled)
    }

    /// Executes a CSR instruction, `None` when it is illegal.
    fn csr(&mut self, instruction: u32, clock: u64) -> Option<()> {
        let number = instruction >> 20;
        let source = instruction >> 15 & 31;
        let rd = (instruction >> 7 & 31) as usize;
        let operand = if instruction >> 14 & 1 == 0 { self.x[source as usize] } else { source };
        let old = self.csrs.read(number, clock)?;
        let new = match instruction >> 12 & 3 {
            1 => Some(operand),
            // Setting or clearing no bits is no write, so that read-only registers can be read.
            _ if source == 0 => None,
            2 => Some(old | operand),
            _ => Some(old & !operand),
        };
        if let Some(new) = new {
            self.csrs.write(number, new, clock)?;
        }
        self.x[rd] = old;
        self.x[0] = 0;
        Some(())
    }
}
