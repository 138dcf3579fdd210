//! The interrupt matrix: which source drives which line of the CPU, and which line is taken.

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const MAP_END: u32 = 4 * SOURCES as u32;
const STATUS_LOW: u32 = 0xF8;
const STATUS_HIGH: u32 = 0xFC;
const ENABLE: u32 = 0x104;
const TYPE: u32 = 0x108;
const CLEAR: u32 = 0x10C;
const EIP_STATUS: u32 = 0x110;
const PRIORITY: u32 = 0x114;
const THRESHOLD: u32 = 0x194;

const SOURCES: usize = 62;
const LINES: usize = 32;

/// The interrupt block at `0x600C_2000` (ESP32-C3 Technical Reference Manual, chapters "Interrupt
/// Matrix" and "Interrupt Controller").
///
/// Lines 1 to 31 exist; a source that is mapped to line 0 goes nowhere. A line has a priority of 1 to
/// 15, and is never taken with 0.
#[derive(Clone, Debug)]
pub(crate) struct InterruptMatrix {
    registers: Registers,
    /// Sources that are high.
    sources: u64,
    /// Sources that drive a line.
    mapped: [u64; LINES],
    /// Lines that saw a rising edge since they were cleared.
    edges: u32,
}

impl InterruptMatrix {
    /// The block after power-on.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(&[(0x100, 1), (ENABLE, 0), (TYPE, 0), (CLEAR, 0)])
            .with(&[(THRESHOLD, 0), (0x7FC, 0)])
            .with_array(0, SOURCES as u32, 0)
            .with_array(PRIORITY, LINES as u32, 0);
        Self { registers, sources: 0, mapped: Self::unmapped(), edges: 0 }
    }

    /// Sets which sources are high, a bit for each.
    pub(crate) fn set_sources(&mut self, sources: u64) {
        let rising = sources & !self.sources;
        self.sources = sources;
        if rising != 0 {
            self.edges |= self.lines_of(rising) & self.registers.get(TYPE);
        }
    }

    /// The line that the CPU takes next if it lets interrupts through: of the highest priority, then
    /// the lowest number.
    pub(crate) fn pending(&self) -> Option<u32> {
        let mut lines = self.unmasked();
        let mut best = None;
        while lines != 0 {
            let line = lines.trailing_zeros();
            lines &= lines - 1;
            let priority = self.priority(line);
            if best.is_none_or(|(highest, _)| priority > highest) {
                best = Some((priority, line));
            }
        }
        best.map(|(_, line)| line)
    }

    /// Lines that are high, enabled and of a sufficient priority.
    fn unmasked(&self) -> u32 {
        let edge = self.registers.get(TYPE);
        let levels = if self.sources == 0 { 0 } else { self.lines_of(self.sources) };
        let mut candidates = (levels & !edge | self.edges & edge) & self.registers.get(ENABLE);
        let lowest = self.registers.get(THRESHOLD).max(1);
        let mut lines = 0;
        while candidates != 0 {
            let line = candidates.trailing_zeros();
            candidates &= candidates - 1;
            lines |= u32::from(self.priority(line) >= lowest) << line;
        }
        lines
    }

    /// Lines that at least one of `sources` drives.
    fn lines_of(&self, sources: u64) -> u32 {
        let driven = self.mapped.iter().enumerate().skip(1);
        driven.fold(0, |lines, (line, mapped)| lines | u32::from(mapped & sources != 0) << line)
    }

    fn priority(&self, line: u32) -> u32 {
        self.registers.get(PRIORITY + 4 * line) & 0xF
    }

    fn unmapped() -> [u64; LINES] {
        let mut mapped = [0; LINES];
        mapped[0] = (1 << SOURCES) - 1;
        mapped
    }
}

impl Peripheral for InterruptMatrix {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            STATUS_LOW => Some(self.sources as u32),
            STATUS_HIGH => Some((self.sources >> 32) as u32),
            EIP_STATUS => Some(self.unmasked()),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        match offset {
            0..MAP_END => {
                let source = 1 << (offset / 4);
                let old = self.registers.get(offset) as usize % LINES;
                let new = value as usize % LINES;
                self.mapped[old] &= !source;
                self.mapped[new] |= source;
                self.registers.write(offset, new as u32)
            }
            STATUS_LOW | STATUS_HIGH | EIP_STATUS => Some(()),
            CLEAR => {
                self.edges &= !value;
                self.registers.write(offset, value)
            }
            _ => self.registers.write(offset, value),
        }
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
            self.mapped = Self::unmapped();
            self.edges = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);
    const UART0: u32 = 21;
    const SYSTIMER: u32 = 37;

    fn matrix(routes: &[(u32, u32, u32)]) -> InterruptMatrix {
        let mut matrix = InterruptMatrix::new();
        for &(source, line, priority) in routes {
            matrix.write(4 * source, line, NOW).expect("known");
            matrix.write(PRIORITY + 4 * line, priority, NOW).expect("known");
            let enabled = matrix.read(ENABLE, NOW).expect("known");
            matrix.write(ENABLE, enabled | 1 << line, NOW).expect("known");
        }
        matrix
    }

    #[test]
    fn a_level_line_follows_its_source() {
        let mut matrix = matrix(&[(UART0, 5, 1)]);
        matrix.write(THRESHOLD, 1, NOW).expect("known");
        assert_eq!(matrix.pending(), None);
        matrix.set_sources(1 << UART0);
        assert_eq!(matrix.pending(), Some(5));
        assert_eq!(matrix.read(EIP_STATUS, NOW), Some(1 << 5));
        matrix.set_sources(0);
        assert_eq!(matrix.pending(), None);
    }

    #[test]
    fn the_raw_levels_show_sources_however_they_are_mapped() {
        let mut matrix = InterruptMatrix::new();
        matrix.set_sources(1 << UART0 | 1 << SYSTIMER);
        assert_eq!(matrix.read(STATUS_LOW, NOW), Some(1 << UART0));
        assert_eq!(matrix.read(STATUS_HIGH, NOW), Some(1 << (SYSTIMER - 32)));
        assert_eq!(matrix.pending(), None);
    }

    #[test]
    fn enable_priority_and_threshold_hold_a_line_back() {
        let mut matrix = matrix(&[(UART0, 17, 3)]);
        matrix.set_sources(1 << UART0);
        for (register, value, pending) in [
            (THRESHOLD, 4, None),
            (THRESHOLD, 3, Some(17)),
            (PRIORITY + 4 * 17, 2, None),
            (PRIORITY + 4 * 17, 4, Some(17)),
            (ENABLE, 0, None),
            (ENABLE, 1 << 17, Some(17)),
            (THRESHOLD, 0, Some(17)),
            (PRIORITY + 4 * 17, 0, None),
        ] {
            matrix.write(register, value, NOW).expect("known");
            assert_eq!(matrix.pending(), pending, "{register:#x} = {value}");
        }
    }

    #[test]
    fn the_highest_priority_goes_first_then_the_lowest_line() {
        let mut matrix = matrix(&[(UART0, 9, 2), (SYSTIMER, 12, 7), (50, 30, 7)]);
        matrix.set_sources(1 << UART0 | 1 << SYSTIMER | 1 << 50);
        assert_eq!(matrix.pending(), Some(12));
        matrix.set_sources(1 << UART0 | 1 << 50);
        assert_eq!(matrix.pending(), Some(30));
        matrix.set_sources(1 << UART0);
        assert_eq!(matrix.pending(), Some(9));
    }

    #[test]
    fn an_edge_line_is_kept_until_cleared() {
        let mut matrix = matrix(&[(UART0, 6, 1)]);
        matrix.write(TYPE, 1 << 6, NOW).expect("known");
        matrix.set_sources(1 << UART0);
        matrix.set_sources(0);
        assert_eq!(matrix.pending(), Some(6));
        matrix.write(CLEAR, 1 << 6, NOW).expect("known");
        assert_eq!(matrix.pending(), None);
        matrix.set_sources(1 << UART0);
        assert_eq!(matrix.pending(), Some(6));
        matrix.write(CLEAR, 1 << 6, NOW).expect("known");
        // Still high, but no new edge.
        matrix.set_sources(1 << UART0);
        assert_eq!(matrix.pending(), None);
    }

    #[test]
    fn a_source_moves_with_its_map_register() {
        let mut matrix = matrix(&[(UART0, 5, 1), (SYSTIMER, 8, 1)]);
        matrix.set_sources(1 << UART0);
        matrix.write(4 * UART0, 8, NOW).expect("known");
        assert_eq!(matrix.pending(), Some(8));
        matrix.write(4 * UART0, 0, NOW).expect("known");
        matrix.write(ENABLE, u32::MAX, NOW).expect("known");
        matrix.write(PRIORITY, 15, NOW).expect("known");
        assert_eq!(matrix.pending(), None);
        matrix.write(4 * UART0, 5, NOW).expect("known");
        matrix.reset(ResetCause::Software, NOW);
        assert_eq!(matrix.pending(), None);
    }
}
