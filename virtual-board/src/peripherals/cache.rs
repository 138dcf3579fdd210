//! The flash cache: its control block (EXTMEM) and the MMU table.
//!
//! The cache holds no lines here: flash is read through the table at every access. Operations on it
//! are finished as soon as they are asked for.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const LOCK_CTRL: u32 = 0x1C;
const SYNC_CTRL: u32 = 0x28;
const PRELOAD_CTRL: u32 = 0x34;
const AUTOLOAD_CTRL: u32 = 0x40;
const STATE: u32 = 0xB0;
const FREEZE: u32 = 0xCC;

const LOCK_DONE: u32 = 1 << 2;
const SYNC_START: u32 = 1 << 0;
const SYNC_DONE: u32 = 1 << 1;
const PRELOAD_START: u32 = 1 << 0;
const PRELOAD_DONE: u32 = 1 << 1;
const AUTOLOAD_DONE: u32 = 1 << 3;
const STATE_IDLE: u32 = 1;
const FREEZE_ENABLE: u32 = 1 << 0;
const FREEZE_DONE: u32 = 1 << 2;

/// The EXTMEM block at `0x600C_4000` (ESP-IDF, `extmem_reg.h`).
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    registers: Registers,
}

impl Cache {
    /// The block after power-on.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(&[])
            .with_array(0x00, 0x104 / 4, 0)
            .with(&[(0x04, 3), (0x08, 5), (0x54, 0x4200_0000), (0x58, 0x427F_FFFF)])
            .with(&[(0x5C, 0x3C00_0000), (0x60, 0x3C7F_FFFF), (0x94, u32::MAX), (0x9C, u32::MAX)])
            .with(&[(0xAC, 5), (0xB8, 7), (0xC8, 7), (0xD0, 1), (0xE0, 0x800), (0xE4, 0x800)])
            .with(&[(0xE8, 0xFF), (0xF4, 0x800), (0xF8, 0x800), (0xFC, 0xF), (0x100, 1)])
            .with(&[(0x3FC, 0)]);
        Self { registers }
    }
}

impl Peripheral for Cache {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        let value = self.registers.read(offset)?;
        Some(match offset {
            LOCK_CTRL => value | LOCK_DONE,
            SYNC_CTRL => value & !SYNC_START | SYNC_DONE,
            PRELOAD_CTRL => value & !PRELOAD_START | PRELOAD_DONE,
            AUTOLOAD_CTRL => value | AUTOLOAD_DONE,
            STATE => STATE_IDLE,
            FREEZE if value & FREEZE_ENABLE != 0 => value | FREEZE_DONE,
            FREEZE => value & !FREEZE_DONE,
            _ => value,
        })
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

/// Number of entries of the MMU table.
const ENTRIES: usize = 128;
/// The bit of an entry that says that it maps nothing.
const INVALID: u16 = 1 << 8;
/// The bits that an entry has.
const ENTRY_MASK: u32 = 0x1FF;

/// The table at `0x600C_5000` that maps pages of 64 KiB of both flash windows to pages of the flash
/// (ESP-IDF, `mmu_ll.h`).
#[derive(Clone, Debug)]
pub(crate) struct Mmu {
    entries: [u16; ENTRIES],
}

impl Mmu {
    /// A table that maps nothing.
    pub(crate) fn new() -> Self {
        Self { entries: [INVALID; ENTRIES] }
    }

    /// The flash page that entry `index` maps, in units of 64 KiB, if any.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> Option<u8> {
        let entry = *self.entries.get(index)?;
        (entry & INVALID == 0).then_some(entry as u8)
    }
}

impl Peripheral for Mmu {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        self.entries.get(offset as usize / 4).map(|&entry| entry.into())
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        let entry = self.entries.get_mut(offset as usize / 4)?;
        *entry = (value & ENTRY_MASK) as u16;
        Some(())
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.entries = [INVALID; ENTRIES];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);

    #[test]
    fn an_invalidation_is_done_at_once() {
        let mut cache = Cache::new();
        cache.write(SYNC_CTRL, SYNC_START, NOW).expect("known");
        assert_eq!(cache.read(SYNC_CTRL, NOW), Some(SYNC_DONE));
        cache.write(PRELOAD_CTRL, PRELOAD_START, NOW).expect("known");
        assert_eq!(cache.read(PRELOAD_CTRL, NOW), Some(PRELOAD_DONE));
        cache.write(LOCK_CTRL, 1, NOW).expect("known");
        assert_eq!(cache.read(LOCK_CTRL, NOW), Some(1 | LOCK_DONE));
        assert_eq!(cache.read(AUTOLOAD_CTRL, NOW), Some(AUTOLOAD_DONE));
    }

    #[test]
    fn a_freeze_is_answered_in_both_directions() {
        let mut cache = Cache::new();
        assert_eq!(cache.read(FREEZE, NOW), Some(0));
        cache.write(FREEZE, FREEZE_ENABLE, NOW).expect("known");
        let frozen = cache.read(FREEZE, NOW).expect("known");
        assert_eq!(frozen, FREEZE_ENABLE | FREEZE_DONE);
        // Software changes the one bit of what it reads.
        cache.write(FREEZE, frozen & !FREEZE_ENABLE, NOW).expect("known");
        assert_eq!(cache.read(FREEZE, NOW), Some(0));
    }

    #[test]
    fn the_cache_is_always_idle() {
        let mut cache = Cache::new();
        cache.write(STATE, 0, NOW).expect("known");
        assert_eq!(cache.read(STATE, NOW).map(|state| state & 0xFFF), Some(1));
        assert_eq!(cache.read(0x04, NOW), Some(3));
        assert_eq!(cache.read(0x200, NOW), None);
    }

    #[test]
    fn the_table_starts_invalid_and_maps_what_is_valid() {
        let mut mmu = Mmu::new();
        assert_eq!((mmu.page(0), mmu.page(127), mmu.page(128)), (None, None, None));
        assert_eq!(mmu.read(0x1FC, NOW), Some(0x100));
        assert_eq!((mmu.read(0x200, NOW), mmu.write(0x200, 0, NOW)), (None, None));

        mmu.write(0x1FC, 7, NOW).expect("known");
        assert_eq!(mmu.page(127), Some(7));
        mmu.write(0x1FC, 0x107, NOW).expect("known");
        assert_eq!(mmu.page(127), None);

        mmu.write(0, 1, NOW).expect("known");
        mmu.reset(ResetCause::SoftwareCpu, NOW);
        assert_eq!(mmu.page(0), Some(1));
        mmu.reset(ResetCause::TimerGroup0, NOW);
        assert_eq!(mmu.page(0), None);
    }
}
