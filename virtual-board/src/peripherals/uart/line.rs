//! The wire between a UART and its host.

use std::collections::VecDeque;

use crate::time::Ticks;

/// How fast bytes travel between a UART and its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pacing {
    /// As fast as the slowest software follows: a byte from the host every 256 CPU cycles, or 64 where no
    /// interrupt of the receiver is enabled, and later if the receiver is full; bytes to the host at
    /// once. Baud rates do not matter.
    #[default]
    Turbo,
    /// As on a line of which the host's end runs at this rate in bits per second, 8N1. Where the chip's
    /// rate differs, bytes arrive damaged; where software is late, they are lost.
    Baud(u32),
}

/// CPU cycles for a byte that the mask ROM and flash stubs follow while they also unpack them. Their
/// interrupts move bytes to a buffer of their own, and nothing tells the host when that is full.
const INTERRUPT_CYCLES: u64 = 256;

/// CPU cycles for a byte that software fetches when it has time, so that the receiver can be full.
const POLLED_CYCLES: u64 = 64;

/// Bits of a frame: start, 8 data, stop.
const FRAME_BITS: u64 = 10;

/// The host's end of the line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) pacing: Pacing,
    /// Ticks of a CPU clock cycle.
    pub(super) cpu_cycle: u64,
    waiting: VecDeque<u8>,
    /// When the last byte had arrived, or the line was first used after that.
    free: Ticks,
}

impl Line {
    pub(super) fn new(pacing: Pacing, cpu_cycle: u64) -> Self {
        Self { pacing, cpu_cycle, waiting: VecDeque::new(), free: Ticks::default() }
    }

    /// The host writes bytes.
    pub(super) fn send(&mut self, bytes: &[u8], now: Ticks) {
        if self.waiting.is_empty() {
            self.pause(now);
        }
        self.waiting.extend(bytes);
    }

    /// The next byte does not start before `now`.
    pub(super) fn pause(&mut self, now: Ticks) {
        self.free = self.free.max(now);
    }

    /// Forgets the bytes that have not arrived.
    pub(super) fn discard(&mut self) {
        self.waiting.clear();
    }

    /// Whether nothing is on its way to the chip.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next byte will have arrived, at a receiver that interrupts or is polled.
    pub(super) fn next_arrival(&self, interrupts: bool) -> Option<Ticks> {
        let byte_ticks = match self.pacing {
            Pacing::Turbo if interrupts => INTERRUPT_CYCLES * self.cpu_cycle,
            Pacing::Turbo => POLLED_CYCLES * self.cpu_cycle,
            Pacing::Baud(rate) => frame_ticks(rate),
        };
        (!self.waiting.is_empty()).then(|| self.free + byte_ticks)
    }

    /// Takes the byte that arrives at `arrival`.
    pub(super) fn arrive(&mut self, arrival: Ticks) -> Option<u8> {
        self.free = arrival;
        self.waiting.pop_front()
    }

    /// The host's rate in bits per second. Where it does not matter it is what the ROM starts with.
    pub(super) fn rate(&self) -> u32 {
        match self.pacing {
            Pacing::Turbo => 115_200,
            Pacing::Baud(rate) => rate,
        }
    }
}

/// Length of a frame at a rate in bits per second.
pub(super) fn frame_ticks(rate: u32) -> u64 {
    FRAME_BITS * Ticks::PER_SECOND / u64::from(rate.max(1))
}

/// Number of level changes in the frame of a byte, from the idle line on.
pub(super) fn edges(byte: u8) -> u32 {
    let levels = (u32::from(byte) | 0x100) << 2 | 1;
    ((levels ^ levels >> 1) & 0x3FF).count_ones()
}

/// What a receiver makes of a frame that was sent at another rate, sampling it in the middle of its own
/// bits: the byte, and whether the stop bit was there.
pub(super) fn sample(byte: u8, sent_at: u32, received_at: u32) -> (u8, bool) {
    // The idle line follows the frame.
    let levels = u64::MAX << 9 | u64::from(byte) << 1;
    let level = |bit: u64| {
        let sent_bits = (2 * bit + 1) * u64::from(sent_at) / (2 * u64::from(received_at.max(1)));
        levels >> sent_bits.min(63) & 1
    };
    let received = (0..8).fold(0, |received, bit| received | (level(bit + 1) as u8) << bit);
    (received, level(FRAME_BITS - 1) == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_known_bytes() {
        assert_eq!(edges(0x55), 10);
        assert_eq!(edges(0x00), 2);
        assert_eq!(edges(0xFF), 2);
        assert_eq!(edges(0xAA), 8 + 2 - 2);
        assert_eq!(edges(0x08), 4);
    }

    #[test]
    fn rates_within_the_tolerance_are_understood() {
        for byte in 0..=255 {
            for rate in [115_200, 110_000, 120_000] {
                assert_eq!(sample(byte, 115_200, rate), (byte, true), "{byte:#x} at {rate}");
            }
        }
    }

    #[test]
    fn other_rates_damage_bytes() {
        let damaged = |sent, received| {
            (0..=255).filter(|&byte| sample(byte, sent, received) != (byte, true)).count()
        };
        assert!(damaged(115_200, 122_000) > 100);
        assert!(damaged(115_200, 108_000) > 100);
        assert!(damaged(115_200, 921_600) > 200);
        assert!(damaged(921_600, 115_200) > 200);
        // A receiver eight times too fast sees the start bit for its whole frame.
        assert_eq!(sample(0x00, 115_200, 921_600), (0, false));
        assert_eq!(sample(0x00, 921_600, 0), (0xFF, true));
    }
}
