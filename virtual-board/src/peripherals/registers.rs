//! Plain storage behind register addresses.

use std::sync::Arc;

/// The registers that a block has, each with its reset value, as storage. A block puts its special
/// behaviour around it.
///
/// Offsets are word-aligned. A clone copies the values and shares the table.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    layout: Arc<Layout>,
    values: Box<[u32]>,
}

#[derive(Debug)]
struct Layout {
    /// For each word of the block: position of its value + 1, or 0 where no register is.
    positions: Box<[u16]>,
    reset: Box<[u32]>,
}

impl Registers {
    /// Registers from `(offset, reset value)`, in any order. Of two entries with one offset the later
    /// counts.
    pub(crate) fn new(table: &[(u32, u32)]) -> Self {
        let words = table.iter().map(|&(offset, _)| offset as usize / 4 + 1).max().unwrap_or(0);
        let mut positions = vec![0_u16; words];
        let mut reset = Vec::with_capacity(table.len());
        for &(offset, value) in table {
            match &mut positions[offset as usize / 4] {
                position @ 0 => {
                    reset.push(value);
                    *position = reset.len() as u16;
                }
                position => reset[usize::from(*position) - 1] = value,
            }
        }
        let values = reset.clone().into();
        Self {
            layout: Arc::new(Layout { positions: positions.into(), reset: reset.into() }),
            values,
        }
    }

    /// The same with further registers; an entry replaces an earlier one with its offset.
    pub(crate) fn with(self, table: &[(u32, u32)]) -> Self {
        Self::new(&self.table().chain(table.iter().copied()).collect::<Vec<_>>())
    }

    /// The same with `count` further registers from `offset` on, one a word.
    pub(crate) fn with_array(self, offset: u32, count: u32, reset: u32) -> Self {
        let array = (0..count).map(|index| (offset + 4 * index, reset));
        self.with(&array.collect::<Vec<_>>())
    }

    /// A register's value, or `None` where no register is.
    #[inline]
    pub(crate) fn read(&self, offset: u32) -> Option<u32> {
        Some(self.values[self.position(offset)?])
    }

    /// Sets a register, or returns `None` where no register is.
    #[inline]
    pub(crate) fn write(&mut self, offset: u32, value: u32) -> Option<()> {
        self.values[self.position(offset)?] = value;
        Some(())
    }

    /// Value of a register that the table has.
    #[inline]
    pub(crate) fn get(&self, offset: u32) -> u32 {
        debug_assert!(self.position(offset).is_some(), "no register at {offset:#x}");
        self.read(offset).unwrap_or(0)
    }

    /// Sets a register that the table has.
    #[inline]
    pub(crate) fn set(&mut self, offset: u32, value: u32) {
        let done = self.write(offset, value);
        debug_assert!(done.is_some(), "no register at {offset:#x}");
    }

    /// Gives every register its reset value.
    pub(crate) fn reset(&mut self) {
        self.values.copy_from_slice(&self.layout.reset);
    }

    fn position(&self, offset: u32) -> Option<usize> {
        let position = *self.layout.positions.get(offset as usize / 4)?;
        usize::from(position).checked_sub(1)
    }

    fn table(&self) -> impl Iterator<Item = (u32, u32)> {
        let words = self.layout.positions.iter().enumerate();
        words.filter(|&(_, &position)| position != 0).map(|(word, &position)| {
            (4 * word as u32, self.layout.reset[usize::from(position) - 1])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_knows_and_nothing_else() {
        let mut registers =
            Registers::new(&[(0x10, 5), (0x04, 7), (0x10, 6)]).with_array(0x20, 2, 9);
        assert_eq!(registers.read(0x04), Some(7));
        assert_eq!(registers.read(0x10), Some(6));
        assert_eq!(registers.read(0x24), Some(9));
        for unknown in [0x00, 0x08, 0x28, 0xFFF_FFFC] {
            assert_eq!(registers.read(unknown), None);
            assert_eq!(registers.write(unknown, 1), None);
        }
        assert_eq!(registers.write(0x04, 1), Some(()));
        assert_eq!(registers.get(0x04), 1);
        registers.reset();
        assert_eq!(registers.get(0x04), 7);
    }

    #[test]
    fn a_clone_is_independent() {
        let mut one = Registers::new(&[(0, 0)]);
        let two = one.clone();
        one.set(0, 3);
        assert_eq!((one.get(0), two.get(0)), (3, 0));
    }
}
