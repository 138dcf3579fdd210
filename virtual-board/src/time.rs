//! Simulated time.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Simulated time since the board was made, in ticks of a 480 MHz clock: the common multiple of all
/// clocks of the chip that matter (CPU 20, 40, 80 and 160 MHz, crystal 40 MHz, APB 80 MHz, systimer
/// 16 MHz). It never goes back, not even over a power cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// Ticks in one second.
    pub const PER_SECOND: u64 = 480_000_000;

    /// Ticks in one microsecond.
    pub const PER_MICROSECOND: u64 = Self::PER_SECOND / 1_000_000;

    /// The number of ticks that fit in `duration`.
    #[must_use]
    pub fn from_duration(duration: Duration) -> Self {
        Self((duration.as_nanos() * u128::from(Self::PER_SECOND) / 1_000_000_000) as u64)
    }

    /// The same span as a duration, rounded down to a nanosecond.
    #[must_use]
    pub fn duration(self) -> Duration {
        let nanos = u128::from(self.0) * 1_000_000_000 / u128::from(Self::PER_SECOND);
        Duration::from_nanos(nanos as u64)
    }
}

impl Add<u64> for Ticks {
    type Output = Self;

    fn add(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

impl Sub for Ticks {
    type Output = u64;

    /// Ticks since `earlier`, 0 when it is later.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
