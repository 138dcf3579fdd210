//! The system timer: two counters at 16 MHz and three comparators.

use super::{Peripheral, ResetCause, Scope, registers::Registers};
use crate::time::Ticks;

const CONF: u32 = 0x00;
const UNIT_OP: u32 = 0x04;
const UNIT_LOAD_HI: u32 = 0x0C;
const TARGET_HI: u32 = 0x1C;
const TARGET_CONF: u32 = 0x34;
const UNIT_VALUE_HI: u32 = 0x40;
const COMP_LOAD: u32 = 0x50;
const UNIT_LOAD: u32 = 0x5C;
const INT_ENA: u32 = 0x64;
const INT_RAW: u32 = 0x68;
const INT_CLR: u32 = 0x6C;
const INT_ST: u32 = 0x70;

/// UNIT_OP: latch the counter; the latched value is there.
const UPDATE: u32 = 1 << 30;
const VALUE_VALID: u32 = 1 << 29;
/// TARGET_CONF: which unit, one time or again and again, and how often.
const UNIT_SEL: u32 = 1 << 31;
const PERIOD_MODE: u32 = 1 << 30;
const PERIOD: u32 = 0x03FF_FFFF;

const UNITS: usize = 2;
const TARGETS: usize = 3;
/// Bits of CONF that let unit 0 or 1 count and target 0, 1 or 2 compare.
const UNIT_WORK_EN: [u32; UNITS] = [1 << 30, 1 << 29];
const TARGET_WORK_EN: [u32; TARGETS] = [1 << 24, 1 << 23, 1 << 22];

/// Ticks in a cycle, 16 MHz.
const CYCLE: u64 = Ticks::PER_SECOND / 16_000_000;
/// Counters have 52 bits. A target at most half of that back has been reached already.
const MASK: u64 = (1 << 52) - 1;
const BEHIND: u64 = 1 << 51;

/// Interrupt source of target 0; those of the others follow.
const SOURCE: u32 = 37;

/// Registers with their reset values (ESP-IDF `systimer_reg.h`; crate `esp32c3`, `systimer`).
const TABLE: &[(u32, u32)] =
    &[(CONF, 0x4600_0000), (INT_ENA, 0), (INT_RAW, 0), (INT_CLR, 0), (INT_ST, 0)];

/// A counter: `value` at `since`.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    running: bool,
    value: u64,
    since: Ticks,
}

impl Unit {
    fn count(&self, now: Ticks) -> u64 {
        let cycles = if self.running { (now - self.since) / CYCLE } else { 0 };
        self.value.wrapping_add(cycles) & MASK
    }

    /// When the counter reaches `target`, at once if it has passed it.
    fn when(&self, target: u64) -> Option<Ticks> {
        let ahead = target.wrapping_sub(self.value) & MASK;
        let cycles = if ahead >= BEHIND { 0 } else { ahead };
        self.running.then(|| self.since + cycles.saturating_mul(CYCLE))
    }

    fn set_running(&mut self, running: bool, now: Ticks) {
        if running != self.running {
            *self = Self { running, value: self.count(now), since: now };
        }
    }
}

/// The system timer.
///
/// A comparator works with what COMP_LOAD took over, and fires once for each value. In periodic mode it
/// goes on from there by one period after the other. That the units stand still while the CPU is
/// stalled is not modelled: nothing stalls it.
#[derive(Clone, Debug)]
pub(crate) struct Systimer {
    registers: Registers,
    units: [Unit; UNITS],
    /// Value at which each comparator fires next.
    due: [Option<u64>; TARGETS],
}

impl Systimer {
    /// The timer as after power-on.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(TABLE)
            .with_array(UNIT_OP, 2, 0)
            .with_array(UNIT_LOAD_HI, 4, 0)
            .with_array(TARGET_HI, 6, 0)
            .with_array(TARGET_CONF, 3, 0)
            .with_array(UNIT_VALUE_HI, 4, 0)
            .with_array(COMP_LOAD, 3, 0)
            .with_array(UNIT_LOAD, 2, 0);
        let mut timer = Self { registers, units: [Unit::default(); UNITS], due: [None; TARGETS] };
        timer.configure(Ticks(0));
        timer
    }

    fn configure(&mut self, now: Ticks) {
        let conf = self.registers.get(CONF);
        for (unit, enable) in self.units.iter_mut().zip(UNIT_WORK_EN) {
            unit.set_running(conf & enable != 0, now);
        }
    }

    /// What the comparator of a target works with.
    fn load(&mut self, target: usize, now: Ticks) {
        let config = self.target_conf(target);
        self.due[target] = if config & PERIOD_MODE == 0 {
            let high = TARGET_HI + 8 * target as u32;
            Some(self.wide(high) & MASK)
        } else {
            let start = self.units[unit_of(config)].count(now);
            Some(start.wrapping_add(period(config)) & MASK)
        };
    }

    fn target_conf(&self, target: usize) -> u32 {
        self.registers.get(TARGET_CONF + 4 * target as u32)
    }

    fn wide(&self, high: u32) -> u64 {
        u64::from(self.registers.get(high)) << 32 | u64::from(self.registers.get(high + 4))
    }

    fn set_wide(&mut self, high: u32, value: u64) {
        self.registers.set(high, (value >> 32) as u32);
        self.registers.set(high + 4, value as u32);
    }

    fn fires_at(&self, target: usize) -> Option<Ticks> {
        let enabled = self.registers.get(CONF) & TARGET_WORK_EN[target] != 0;
        let due = self.due[target].filter(|_| enabled)?;
        self.units[unit_of(self.target_conf(target))].when(due)
    }

    fn status(&self) -> u32 {
        self.registers.get(INT_RAW) & self.registers.get(INT_ENA)
    }
}

fn unit_of(config: u32) -> usize {
    usize::from(config & UNIT_SEL != 0)
}

/// A period of nothing would fire for ever at one moment.
fn period(config: u32) -> u64 {
    u64::from(config & PERIOD).max(1)
}

/// Index of a register among `count` that are `step` bytes apart from `first` on.
fn index(offset: u32, first: u32, count: usize) -> Option<usize> {
    let index = offset.checked_sub(first)? as usize / 4;
    (index < count).then_some(index)
}

impl Peripheral for Systimer {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            INT_ST => Some(self.status()),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, now: Ticks) -> Option<()> {
        if let Some(unit) = index(offset, UNIT_OP, UNITS) {
            if value & UPDATE != 0 {
                let count = self.units[unit].count(now);
                self.set_wide(UNIT_VALUE_HI + 8 * unit as u32, count);
                self.registers.set(offset, VALUE_VALID);
            }
        } else if let Some(target) = index(offset, TARGET_CONF, TARGETS) {
            let turns = value & !self.target_conf(target) & PERIOD_MODE != 0;
            self.registers.set(offset, value);
            if turns {
                self.load(target, now);
            }
        } else if let Some(target) = index(offset, COMP_LOAD, TARGETS) {
            self.load(target, now);
        } else if let Some(unit) = index(offset, UNIT_LOAD, UNITS) {
            self.units[unit].value = self.wide(UNIT_LOAD_HI + 8 * unit as u32) & MASK;
            self.units[unit].since = now;
        } else {
            match offset {
                CONF => {
                    self.registers.set(offset, value);
                    self.configure(now);
                }
                INT_CLR => self.registers.set(INT_RAW, self.registers.get(INT_RAW) & !value),
                INT_RAW | INT_ST => {}
                _ if index(offset, UNIT_VALUE_HI, 2 * UNITS).is_some() => {}
                _ => return self.registers.write(offset, value),
            }
        }
        self.advance(now);
        Some(())
    }

    fn reset(&mut self, cause: ResetCause, now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
            self.units = [Unit::default(); UNITS];
            self.due = [None; TARGETS];
            self.configure(now);
        }
    }

    fn advance(&mut self, now: Ticks) {
        for target in 0..TARGETS {
            if self.fires_at(target).is_none_or(|at| now < at) {
                continue;
            }
            self.registers.set(INT_RAW, self.registers.get(INT_RAW) | 1 << target);
            let config = self.target_conf(target);
            let count = self.units[unit_of(config)].count(now);
            self.due[target] = self.due[target].filter(|_| config & PERIOD_MODE != 0).map(|due| {
                let late = count.wrapping_sub(due) & MASK;
                due.wrapping_add((late / period(config) + 1) * period(config)) & MASK
            });
        }
    }

    fn next_event(&self) -> Option<Ticks> {
        (0..TARGETS).filter_map(|target| self.fires_at(target)).min()
    }

    fn interrupts(&self) -> u64 {
        u64::from(self.status()) << SOURCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = Ticks::PER_SECOND / 1000;

    /// As esp-hal reads it: latch, wait for "valid", read.
    fn count(timer: &mut Systimer, unit: u32, now: Ticks) -> u64 {
        timer.write(UNIT_OP + 4 * unit, UPDATE, now);
        assert_eq!(timer.read(UNIT_OP + 4 * unit, now), Some(VALUE_VALID));
        timer.wide(UNIT_VALUE_HI + 8 * unit)
    }

    fn enable(timer: &mut Systimer, target: usize, now: Ticks) {
        let conf = timer.registers.get(CONF);
        timer.write(CONF, conf | TARGET_WORK_EN[target], now);
        timer.write(INT_ENA, 7, now);
    }

    #[test]
    fn units_count_at_16_megahertz() {
        let mut timer = Systimer::new();
        assert_eq!(count(&mut timer, 0, Ticks(Ticks::PER_SECOND)), 16_000_000);
        assert_eq!(count(&mut timer, 1, Ticks(Ticks::PER_SECOND)), 0, "off after reset");
        let now = Ticks(2 * Ticks::PER_SECOND);
        timer.write(CONF, 0x6600_0000, now);
        timer.write(UNIT_LOAD_HI + 8, 0x8_0000, now);
        timer.write(UNIT_LOAD_HI + 12, 5, now);
        timer.write(UNIT_LOAD + 4, 1, now);
        assert_eq!(count(&mut timer, 1, now + 30), 0x8_0000 << 32 | 6);
        timer.reset(ResetCause::Software, now);
        assert_eq!(count(&mut timer, 0, now + 60), 2);
    }

    #[test]
    fn a_target_fires_once() {
        let mut timer = Systimer::new();
        enable(&mut timer, 1, Ticks(0));
        timer.write(TARGET_HI + 12, 16_000, Ticks(0));
        assert_eq!(timer.next_event(), None, "not loaded");
        timer.write(COMP_LOAD + 4, 1, Ticks(0));
        assert_eq!(timer.next_event(), Some(Ticks(MILLISECOND)));
        timer.advance(Ticks(MILLISECOND - 1));
        assert_eq!(timer.interrupts(), 0);
        timer.advance(Ticks(MILLISECOND));
        assert_eq!(timer.interrupts(), 1 << 38);
        assert_eq!(timer.next_event(), None);
        timer.write(INT_CLR, 2, Ticks(2 * MILLISECOND));
        assert_eq!(timer.interrupts(), 0);
        // A target that has passed fires at once.
        timer.write(COMP_LOAD + 4, 1, Ticks(2 * MILLISECOND));
        assert_eq!(timer.interrupts(), 1 << 38);
    }

    #[test]
    fn a_period_keeps_its_beat() {
        let mut timer = Systimer::new();
        let start = Ticks(300);
        timer.write(TARGET_CONF, 16_000, start);
        timer.write(COMP_LOAD, 1, start);
        timer.write(TARGET_CONF, PERIOD_MODE | 16_000, start);
        enable(&mut timer, 0, start);
        let mut fired = 0;
        while let Some(at) = timer.next_event().filter(|at| at.0 <= 300 + 20 * MILLISECOND) {
            fired += 1;
            assert_eq!(at, start + fired * MILLISECOND);
            timer.advance(at);
            assert_eq!(timer.interrupts(), 1 << 37);
            timer.write(INT_CLR, 1, at + 1);
        }
        assert_eq!(fired, 20);
        // Nobody looked for a long time.
        timer.advance(start + 1000 * MILLISECOND + 7);
        assert_eq!(timer.next_event(), Some(start + 1001 * MILLISECOND));
    }

    #[test]
    fn the_other_unit_can_be_chosen() {
        let mut timer = Systimer::new();
        enable(&mut timer, 2, Ticks(0));
        timer.write(TARGET_CONF + 8, UNIT_SEL, Ticks(0));
        timer.write(TARGET_HI + 20, 10, Ticks(0));
        timer.write(COMP_LOAD + 8, 1, Ticks(0));
        assert_eq!(timer.next_event(), None, "unit 1 stands");
        let conf = timer.registers.get(CONF);
        timer.write(CONF, conf | UNIT_WORK_EN[1], Ticks(1000));
        assert_eq!(timer.next_event(), Some(Ticks(1300)));
        timer.advance(Ticks(1300));
        assert_eq!(timer.interrupts(), 1 << 39);
    }
}
