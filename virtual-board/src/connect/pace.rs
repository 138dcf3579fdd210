//! How fast simulated time may pass.

use std::time::{Duration, Instant};
use virtual_board::Ticks;

/// How far simulated time may be ahead.
const LEAD: Duration = Duration::from_millis(5);

/// Keeps simulated time from running away while the board only waits for somebody outside.
#[derive(Debug)]
pub(super) struct Pace {
    real: Instant,
    simulated: Ticks,
}

impl Pace {
    /// Both clocks agree now.
    pub(super) fn start(simulated: Ticks) -> Self {
        Self { real: Instant::now(), simulated }
    }

    /// How long to wait in real time so that simulated time is not too far ahead.
    pub(super) fn ahead(&self, simulated: Ticks) -> Duration {
        let passed = Ticks(simulated - self.simulated).duration();
        passed.saturating_sub(self.real.elapsed() + LEAD)
    }
}
