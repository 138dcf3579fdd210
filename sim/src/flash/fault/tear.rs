//! One outcome of an operation that power stopped part-way.

use serde::{Deserialize, Serialize};

use super::FaultClass;
use crate::flash::{
    Memory, Operation, OperationKind, PAGE_SIZE, SECTOR_SIZE, memory::sectors, noise::Noise,
};

/// The value of one 32-bit little-endian word after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WordValue {
    /// Address, a multiple of 4.
    pub offset: u32,
    /// What the word reads as.
    pub value: u32,
}

/// How far collateral damage of a torn program reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// The 256-byte page of the program.
    Page,
    /// The 4 KiB sector of the program.
    Sector,
}

/// What an interrupted operation left behind.
///
/// A tear, the memory before and the operation determine the memory after, bit for bit. Whatever
/// the parameters, a torn program only clears bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tear {
    /// Nothing happened: the cut came just before.
    Untouched,
    /// Everything happened: the cut came just after.
    Complete,
    /// Program: only the first bytes landed.
    Prefix {
        /// How many bytes.
        bytes: u32,
    },
    /// Program: only the last bytes landed.
    Suffix {
        /// Index of the first byte that landed.
        from: u32,
    },
    /// Program: only one bit landed.
    OnlyBit {
        /// Index of the bit in the data, byte by byte from bit 0.
        bit: u32,
    },
    /// Program: every bit landed but one.
    AllButBit {
        /// Index of the bit in the data, byte by byte from bit 0.
        bit: u32,
    },
    /// Erase: the unit is all zeros, between its pre-program and its erase phase.
    Zeroed,
    /// Erase: all ones but for a few zeros.
    NearlyErased {
        /// Which zeros.
        seed: u64,
    },
    /// Each bit on its own: old or new for a program; old, 0 or 1 for an erase.
    Mixed {
        /// Which bits.
        seed: u64,
    },
    /// Some words have given values, the rest is as another tear leaves it.
    Words {
        /// The rest.
        rest: Box<Tear>,
        /// The words. For a program, they lie in its sector and their bits are clamped to what it
        /// can reach; for an erase, they lie in its unit.
        words: Vec<WordValue>,
    },
    /// Program: other bytes of the page or sector lost bits as well.
    Collateral {
        /// What happened to the program itself.
        landed: Box<Tear>,
        /// How far the damage reaches.
        scope: Scope,
        /// Which bits.
        seed: u64,
    },
    /// As another tear, and every bit that the operation would change reads differently from read
    /// to read until a completed erase.
    Unstable {
        /// The nominal contents.
        landed: Box<Tear>,
    },
    /// As another tear, and every bit that the operation would change may flip at a later power-on.
    Weak {
        /// The contents for now.
        landed: Box<Tear>,
    },
}

/// The tear cannot happen to that operation: a prefix of an erase, a word outside the unit, or an
/// operation that leaves the chip or its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the torn outcome does not fit the flash operation")]
pub struct TearMismatch;

impl Tear {
    /// The memory after `operation` on `before` ended in this way. Any outcome but
    /// [`Untouched`](Self::Untouched) of an erase costs its sectors one cycle.
    ///
    /// # Errors
    /// [`TearMismatch`] when the tear and the operation do not go together.
    pub fn apply(&self, before: &Memory, operation: &Operation) -> Result<Memory, TearMismatch> {
        let range = operation.range(before.capacity());
        let contained = range.end <= before.capacity();
        let whole = match &operation.kind {
            OperationKind::Program { data } => {
                operation.offset as usize % PAGE_SIZE + data.len() <= PAGE_SIZE
            }
            OperationKind::Erase(size) => range.start.is_multiple_of(size.bytes(before.capacity())),
        };
        if !contained || !whole {
            return Err(TearMismatch);
        }
        self.outcome(before, operation)
    }

    fn outcome(&self, before: &Memory, operation: &Operation) -> Result<Memory, TearMismatch> {
        match self {
            Self::Untouched => Ok(before.clone()),
            Self::Words { rest, words } => {
                let mut memory = rest.outcome(before, operation)?;
                set_words(&mut memory, before, operation, words)?;
                Ok(memory)
            }
            Self::Unstable { landed } => {
                let mut memory = landed.outcome(before, operation)?;
                mark(&mut memory, before, operation, |condition| &mut condition.unstable);
                Ok(memory)
            }
            Self::Weak { landed } => {
                let mut memory = landed.outcome(before, operation)?;
                mark(&mut memory, before, operation, |condition| &mut condition.weak);
                Ok(memory)
            }
            _ => match &operation.kind {
                OperationKind::Program { data } => self.program(before, operation, data),
                OperationKind::Erase(_) => self.erase(before, operation),
            },
        }
    }

    fn program(
        &self,
        before: &Memory,
        operation: &Operation,
        data: &[u8],
    ) -> Result<Memory, TearMismatch> {
        let mut memory = before.clone();
        let offset = operation.offset;
        let bit = |bit: u32| ((bit / 8) as usize, 1u8 << (bit % 8));
        match self {
            Self::Complete => memory.program(offset, data),
            Self::Prefix { bytes } => {
                memory.program(offset, data.get(..*bytes as usize).ok_or(TearMismatch)?);
            }
            Self::Suffix { from } => {
                memory.program(offset + from, data.get(*from as usize..).ok_or(TearMismatch)?);
            }
            Self::OnlyBit { bit: index } => {
                let (byte, mask) = bit(*index);
                let value = data.get(byte).ok_or(TearMismatch)? | !mask;
                memory.program(offset + byte as u32, &[value]);
            }
            Self::AllButBit { bit: index } => {
                let (byte, mask) = bit(*index);
                let mut data = data.to_vec();
                *data.get_mut(byte).ok_or(TearMismatch)? |= mask;
                memory.program(offset, &data);
            }
            Self::Mixed { seed } => {
                let mut bytes = vec![0; data.len()];
                Noise::new(*seed, u64::from(offset)).fill(&mut bytes);
                bytes.iter_mut().zip(data).for_each(|(byte, data)| *byte |= data);
                memory.program(offset, &bytes);
            }
            Self::Collateral { landed, scope, seed } => {
                memory = landed.outcome(before, operation)?;
                disturb(&mut memory, operation, data.len() as u32, *scope, *seed);
            }
            _ => return Err(TearMismatch),
        }
        Ok(memory)
    }

    fn erase(&self, before: &Memory, operation: &Operation) -> Result<Memory, TearMismatch> {
        let mut memory = before.clone();
        let range = operation.range(before.capacity());
        if matches!(self, Self::Complete) {
            memory.erase(range);
            return Ok(memory);
        }
        for index in sectors(&range) {
            memory.wear(index);
            let at = index * SECTOR_SIZE as u32;
            match self {
                Self::Zeroed if before.sector(index).condition().is_none() => {
                    memory.replace(index, super::super::Sector::filled(0));
                }
                Self::Zeroed => memory.set(at, &[0; SECTOR_SIZE]),
                Self::NearlyErased { seed } => {
                    let mut bytes = [0xFF; SECTOR_SIZE];
                    let mut noise = Noise::new(*seed, u64::from(at));
                    for _ in 0..8 {
                        let bit = noise.below(8 * SECTOR_SIZE as u32);
                        bytes[bit as usize / 8] &= !(1 << (bit % 8));
                    }
                    set_free(&mut memory, index, &bytes);
                }
                Self::Mixed { seed } => {
                    // Two random bits for each cell: old in half the cases, else 0 or 1.
                    let mut random = [[0; SECTOR_SIZE]; 2];
                    Noise::new(*seed, u64::from(at)).fill(random.as_flattened_mut());
                    let [mut bytes, keep] = random;
                    for (i, old) in before.sector(index).bytes().iter().enumerate() {
                        bytes[i] = (old & keep[i]) | (bytes[i] & !keep[i]);
                    }
                    set_free(&mut memory, index, &bytes);
                }
                _ => return Err(TearMismatch),
            }
        }
        Ok(memory)
    }

    /// The class of faults that this outcome belongs to.
    #[must_use]
    pub fn class(&self, kind: &OperationKind) -> FaultClass {
        match (self, kind) {
            (Self::Untouched | Self::Complete, _) => FaultClass::Between,
            (Self::Prefix { .. }, _) => FaultClass::TornPrefix,
            (Self::Collateral { .. }, _) => FaultClass::Collateral,
            (Self::Unstable { .. }, _) => FaultClass::Unstable,
            (Self::Weak { .. }, _) => FaultClass::Weak,
            (_, OperationKind::Erase(_)) => FaultClass::TornErase,
            (_, OperationKind::Program { .. }) => FaultClass::TornBits,
        }
    }
}

/// Sets a whole sector but for its stuck bits.
fn set_free(memory: &mut Memory, index: u32, bytes: &[u8; SECTOR_SIZE]) {
    let mut bytes = *bytes;
    if let Some(condition) = memory.sector(index).condition() {
        bytes.iter_mut().zip(&condition.stuck).for_each(|(byte, stuck)| *byte &= !stuck);
    }
    memory.set(index * SECTOR_SIZE as u32, &bytes);
}

fn set_words(
    memory: &mut Memory,
    before: &Memory,
    operation: &Operation,
    words: &[WordValue],
) -> Result<(), TearMismatch> {
    let range = operation.range(before.capacity());
    let sector = range.start / SECTOR_SIZE as u32 * SECTOR_SIZE as u32;
    for &WordValue { offset, value } in words {
        let allowed = match &operation.kind {
            OperationKind::Program { .. } => sector..sector + SECTOR_SIZE as u32,
            OperationKind::Erase(_) => range.clone(),
        };
        if !offset.is_multiple_of(4) || !allowed.contains(&offset) {
            return Err(TearMismatch);
        }
        let mut bytes = value.to_le_bytes();
        if let OperationKind::Program { data } = &operation.kind {
            let mut old = [0; 4];
            before.read(offset, &mut old);
            for (at, (byte, old)) in (offset..).zip(bytes.iter_mut().zip(old)) {
                let target = at.checked_sub(range.start).and_then(|at| data.get(at as usize));
                *byte = (*byte | target.unwrap_or(&0)) & old;
            }
        }
        memory.set(offset, &bytes);
    }
    Ok(())
}

/// Clears about one bit in eight outside the programmed bytes, within the scope.
fn disturb(memory: &mut Memory, operation: &Operation, length: u32, scope: Scope, seed: u64) {
    let size = match scope {
        Scope::Page => PAGE_SIZE,
        Scope::Sector => SECTOR_SIZE,
    } as u32;
    let start = operation.offset / size * size;
    let mut random = vec![[0; SECTOR_SIZE]; 3];
    let mut noise = Noise::new(seed, u64::from(start));
    random.iter_mut().for_each(|bytes| noise.fill(&mut bytes[..size as usize]));
    let mask: Vec<u8> =
        (0..size as usize).map(|i| random.iter().fold(0, |mask, bytes| mask | bytes[i])).collect();
    let (skip, resume) = (operation.offset - start, operation.offset + length - start);
    memory.program(start, &mask[..skip as usize]);
    memory.program(start + resume, &mask[resume as usize..]);
}

/// Marks the bits that the operation would change, or for an erase moves through the pre-program
/// phase: every bit of its unit.
fn mark(
    memory: &mut Memory,
    before: &Memory,
    operation: &Operation,
    mask: impl Fn(&mut crate::flash::Condition) -> &mut [u8; SECTOR_SIZE],
) {
    let range = operation.range(before.capacity());
    for index in sectors(&range) {
        let old = before.sector(index).bytes();
        memory.change_condition(index, |condition| {
            let stuck = condition.stuck;
            let mask = mask(condition);
            match &operation.kind {
                OperationKind::Program { data } => {
                    let start = range.start as usize % SECTOR_SIZE;
                    for (i, data) in (start..).zip(data.iter()) {
                        mask[i] |= old[i] & !data;
                    }
                }
                OperationKind::Erase(_) => {
                    mask.iter_mut().zip(stuck).for_each(|(mask, stuck)| *mask = !stuck);
                }
            }
        });
    }
}

#[cfg(test)]
#[path = "tear_tests.rs"]
mod tests;
