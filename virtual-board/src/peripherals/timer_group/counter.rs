//! The 54-bit counter of a timer group.

use crate::time::Ticks;

const MASK: u64 = (1 << 54) - 1;
/// An alarm value at most this far back has been reached already.
const BEHIND: u64 = 1 << 53;

/// Bits of T0_CONFIG.
const USE_XTAL: u32 = 1 << 9;
const INCREASE: u32 = 1 << 30;
const EN: u32 = 1 << 31;

/// A counter, up or down; its value follows from the time.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    enabled: bool,
    up: bool,
    /// Ticks for one step.
    step: u64,
    /// The value at `since`, a moment at which it changed.
    value: u64,
    since: Ticks,
}

impl Default for Counter {
    fn default() -> Self {
        Self { enabled: false, up: true, step: 1, value: 0, since: Ticks(0) }
    }
}

impl Counter {
    /// Takes over T0_CONFIG and the cycles of its two clocks, in ticks. The count goes on.
    pub(super) fn configure(&mut self, config: u32, apb: u64, xtal: u64, now: Ticks) {
        let divider = match config >> 13 & 0xFFFF {
            0 => 65536,
            1 => 2,
            divider => u64::from(divider),
        };
        let step = divider * if config & USE_XTAL != 0 { xtal } else { apb };
        let enabled = config & EN != 0;
        let steps = self.steps(now);
        self.value = self.after(steps);
        // The part of a step that has passed counts only if the steps go on alike.
        let alike = self.enabled && enabled && step == self.step;
        self.since = if alike { self.since + steps * step } else { now };
        (self.enabled, self.up, self.step) = (enabled, config & INCREASE != 0, step);
    }

    /// Sets the value.
    pub(super) fn load(&mut self, value: u64, now: Ticks) {
        (self.value, self.since) = (value & MASK, now);
    }

    /// The value.
    pub(super) fn count(&self, now: Ticks) -> u64 {
        self.after(self.steps(now))
    }

    /// When the counter reaches `value`, at once if it has passed it; `None` when it stands.
    pub(super) fn when(&self, value: u64) -> Option<Ticks> {
        let value = value & MASK;
        let ahead =
            if self.up { value.wrapping_sub(self.value) } else { self.value.wrapping_sub(value) };
        let steps = if ahead & MASK >= BEHIND { 0 } else { ahead & MASK };
        self.enabled.then(|| self.since + steps.saturating_mul(self.step))
    }

    fn steps(&self, now: Ticks) -> u64 {
        if self.enabled { (now - self.since) / self.step } else { 0 }
    }

    fn after(&self, steps: u64) -> u64 {
        let value =
            if self.up { self.value.wrapping_add(steps) } else { self.value.wrapping_sub(steps) };
        value & MASK
    }
}
