//! Decoded code: straight runs of instructions, kept until the memory they came from changes.

use super::bus::{Bus, Fault};
use super::decode::{decode, is_compressed};
use super::op::Op;

/// Blocks that can be found. More would cost memory for each machine; fewer, decoding again.
const TABLE_SIZE: usize = 4096;

/// Decoded instructions that are kept; when there are as many, all are dropped.
const OPS_MAX: usize = 32 * 1024;

/// Instructions in one block.
const BLOCK_MAX: usize = 32;

/// Code of one such piece of memory has one version ([`Bus::code_version`]).
const PAGE: u32 = 1024;

/// Instructions that stand behind one another, up to the first that always goes elsewhere.
///
/// All but the last halfword lie within one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Address of the first instruction.
    pub(super) pc: u32,
    /// Address behind the last instruction.
    pub(super) end: u32,
    /// The first instruction in [`Blocks::ops`].
    first: u32,
    /// Number of instructions.
    len: u32,
    /// Versions of the pages of the first and the last halfword.
    versions: [u32; 2],
    /// The run in which the versions were last seen to be right.
    run: u32,
}

/// Can never be looked for: addresses of instructions are even.
const EMPTY: Block = Block { pc: 1, end: 1, first: 0, len: 0, versions: [0; 2], run: 0 };

/// Decoded code.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    table: Box<[Block; TABLE_SIZE]>,
    ops: Vec<Op>,
    /// For each of `ops`, halfwords from the start of its block.
    offsets: Vec<u8>,
    /// Number of the run that is going on; never 0.
    run: u32,
    /// Addresses at which a block must end, sorted.
    stops: Vec<u32>,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self {
            table: Box::new([EMPTY; TABLE_SIZE]),
            ops: Vec::new(),
            offsets: Vec::new(),
            run: 1,
            stops: Vec::new(),
        }
    }

    /// Has blocks end before each of `stops`.
    pub(super) fn set_stops(&mut self, stops: Vec<u32>) {
        if self.stops != stops {
            self.stops = stops;
            self.clear();
        }
    }

    /// Whether there are any stops.
    #[inline]
    pub(super) fn has_stops(&self) -> bool {
        !self.stops.is_empty()
    }

    /// Whether there is a stop at `pc`.
    pub(super) fn is_stop(&self, pc: u32) -> bool {
        self.stops.binary_search(&pc).is_ok()
    }

    /// Code may have changed since the last call: its versions have to be compared again. Within a run,
    /// code changes only by a store that ends the run.
    #[inline]
    pub(super) fn start_run(&mut self) {
        self.run = self.run.wrapping_add(1);
        if self.run == 0 {
            self.clear();
            self.run = 1;
        }
    }

    /// Whether the block at `pc` is decoded and known to be right.
    #[inline(always)]
    pub(super) fn is_current(&self, pc: u32) -> bool {
        let block = &self.table[index(pc)];
        block.pc == pc && block.run == self.run
    }

    /// The block at `pc`, which [is current](Self::is_current).
    #[inline(always)]
    pub(super) fn at(&self, pc: u32) -> &Block {
        &self.table[index(pc)]
    }

    /// The instructions of `block`.
    #[inline]
    pub(super) fn ops(&self, block: &Block) -> &[Op] {
        &self.ops[block.first as usize..][..block.len as usize]
    }

    /// Address of an instruction of `block`, or behind the last one.
    pub(super) fn address(&self, block: &Block, index: usize) -> u32 {
        if index < block.len as usize {
            block.pc.wrapping_add(2 * u32::from(self.offsets[block.first as usize + index]))
        } else {
            block.end
        }
    }

    /// Whether the instruction of `block` with number `index` is at `pc`.
    pub(super) fn holds(&self, block: &Block, index: usize, pc: u32) -> bool {
        index < block.len as usize && self.address(block, index) == pc
    }

    fn clear(&mut self) {
        self.table.fill(EMPTY);
        self.ops.clear();
        self.offsets.clear();
    }

    /// Makes the block at `pc` current: compares it with memory, and decodes it if need be.
    ///
    /// # Errors
    /// With the address that could not be fetched.
    pub(super) fn check<B: Bus>(&mut self, pc: u32, bus: &mut B) -> Result<(), u32> {
        let slot = &mut self.table[index(pc)];
        if slot.pc == pc && slot.versions == versions(bus, pc, slot.end) {
            slot.run = self.run;
            return Ok(());
        }
        self.build(pc, bus)
    }

    #[cold]
    fn build<B: Bus>(&mut self, pc: u32, bus: &mut B) -> Result<(), u32> {
        if self.ops.len() + BLOCK_MAX > OPS_MAX {
            self.clear();
        }
        let first = self.ops.len();
        let mut at = pc;
        while self.ops.len() < first + BLOCK_MAX && at & !(PAGE - 1) == pc & !(PAGE - 1) {
            if at != pc && self.is_stop(at) {
                break;
            }
            let (raw, size) = match fetch(bus, at) {
                Ok(fetched) => fetched,
                Err(fault) if at == pc => return Err(fault),
                Err(_) => break,
            };
            let op = decode(raw, at);
            self.ops.push(op);
            self.offsets.push(((at - pc) / 2) as u8);
            at = at.wrapping_add(size);
            if op.kind.ends_block() {
                break;
            }
        }
        self.table[index(pc)] = Block {
            pc,
            end: at,
            first: first as u32,
            len: (self.ops.len() - first) as u32,
            versions: versions(bus, pc, at),
            run: self.run,
        };
        Ok(())
    }
}

#[inline]
fn index(pc: u32) -> usize {
    (pc >> 1) as usize % TABLE_SIZE
}

/// The versions of the code from `pc` up to `end`.
#[inline]
fn versions<B: Bus>(bus: &mut B, pc: u32, end: u32) -> [u32; 2] {
    let first = bus.code_version(pc);
    let last = end.wrapping_sub(2);
    if last & !(PAGE - 1) == pc & !(PAGE - 1) {
        [first; 2]
    } else {
        [first, bus.code_version(last)]
    }
}

/// The instruction at `address`, and its size.
///
/// # Errors
/// With the address of the half that could not be fetched.
fn fetch<B: Bus>(bus: &mut B, address: u32) -> Result<(u32, u32), u32> {
    let mut half = |address| bus.fetch(address).map_err(|Fault| address);
    let low = half(address)?;
    if is_compressed(low) {
        return Ok((u32::from(low), 2));
    }
    let high = half(address.wrapping_add(2))?;
    Ok((u32::from(high) << 16 | u32::from(low), 4))
}
