//! SYSCON, also called APB_CTRL: clock and memory controls, and the output of the random number
//! generator.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

/// Output of the random number generator (ESP-IDF, `WDEV_RND_REG`).
const RND_DATA: u32 = 0xB0;

/// The SYSCON block at `0x6002_6000`.
///
/// Its random numbers follow from a seed alone, so that a run repeats exactly; resets do not rewind
/// them.
#[derive(Clone, Debug)]
pub(crate) struct Syscon {
    registers: Registers,
    random: u64,
}

impl Syscon {
    /// A block whose random numbers follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let registers = Registers::new(&[])
            .with_array(0x00, 9, 0)
            .with(&[(0x00, 0x0000_0001), (0x04, 0x0001_0727), (0x08, 0x0000_07FF)])
            .with(&[(0x14, 0xFFFC_E030)])
            .with_array(0x28, 4, 3)
            .with_array(0x38, 4, 0)
            .with_array(0x48, 4, 0x400)
            .with_array(0x88, 20, 0)
            .with(&[(0x9C, 0x15), (0xA4, 0x3F), (0xAC, 0x3F), (0xB4, 0x6480), (0x3FC, 0)]);
        Self { registers, random: seed }
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn next_random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((word ^ (word >> 31)) >> 32) as u32
    }
}

impl Peripheral for Syscon {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            RND_DATA => Some(self.next_random()),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        self.registers.write(offset, value)
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(syscon: &mut Syscon, count: usize) -> Vec<u32> {
        (0..count).filter_map(|_| syscon.read(RND_DATA, Ticks(0))).collect()
    }

    #[test]
    fn random_numbers_change_and_follow_from_the_seed() {
        let mut syscon = Syscon::new(1);
        let first = draw(&mut syscon, 100);
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 100);
        assert_eq!(draw(&mut Syscon::new(1), 100), first);
        assert_ne!(draw(&mut Syscon::new(2), 100), first);

        syscon.reset(ResetCause::PowerOn, Ticks(0));
        assert_ne!(draw(&mut syscon, 100), first);
    }

    #[test]
    fn the_rest_is_storage() {
        let mut syscon = Syscon::new(1);
        assert_eq!(syscon.read(0x14, Ticks(0)), Some(0xFFFC_E030));
        assert_eq!(syscon.write(0x14, 1, Ticks(0)), Some(()));
        syscon.reset(ResetCause::SoftwareCpu, Ticks(0));
        assert_eq!(syscon.read(0x14, Ticks(0)), Some(1));
        syscon.reset(ResetCause::Software, Ticks(0));
        assert_eq!(syscon.read(0x14, Ticks(0)), Some(0xFFFC_E030));
        assert_eq!(syscon.read(0x58, Ticks(0)), None);
    }
}
