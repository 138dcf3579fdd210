//! How fast simulated time may pass.

use crate::time::Ticks;
use std::time::{Duration, Instant};

/// How far simulated time may be ahead.
const LEAD: Duration = Duration::from_millis(5);

/// Keeps simulated time from running away while the board only waits for somebody outside.
#[derive(Debug)]
pub struct Pace {
    real: Instant,
    simulated: Ticks,
}

impl Pace {
    /// Both clocks agree now.
    #[must_use]
    pub fn start(simulated: Ticks) -> Self {
        Self { real: Instant::now(), simulated }
    }

    /// How long to wait in real time so that simulated time is not too far ahead.
    #[must_use]
    pub fn ahead(&self, simulated: Ticks) -> Duration {
        let passed = Ticks(simulated - self.simulated).duration();
        passed.saturating_sub(self.real.elapsed() + LEAD)
    }
}
