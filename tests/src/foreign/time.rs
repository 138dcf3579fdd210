//! The firmware with two tasks of Embassy: whether it keeps time.

use std::time::Duration;

use sim::layout::Layout;
use virtual_board::Ticks;

use super::device::Device;
use super::image::Images;
use crate::full_stack::Failure;

/// What the firmware has printed in some seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timekeeping {
    /// Lines of the task that prints every 100 ms.
    pub clock: usize,
    /// Lines of the task that prints every 250 ms.
    pub counter: usize,
    /// Time from the first line of the first task to its last one, as the firmware says.
    pub own: Duration,
    /// The same in simulated time.
    pub simulated: Duration,
}

impl Timekeeping {
    /// Whether the firmware's time and the number of lines are right to 1 %, or to a single line where
    /// there are less than 100.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let expected = |period: Duration| self.simulated.as_secs_f64() / period.as_secs_f64();
        let near = |found: f64, expected: f64, least: f64| {
            (found - expected).abs() <= (expected / 100.0).max(least)
        };
        // The first line of the first task is at time zero.
        near(self.clock as f64 - 1.0, expected(Duration::from_millis(100)), 0.5)
            && near(self.counter as f64, expected(Duration::from_millis(250)), 1.0)
            && near(self.own.as_secs_f64(), self.simulated.as_secs_f64(), 0.0)
    }
}

/// Boots the firmware and lets it run until its first task has printed so many lines.
///
/// # Errors
/// When it stops before.
pub fn keep_time(layout: &Layout, images: &Images, lines: usize) -> Result<Timekeeping, Failure> {
    let mut device = Device::new(layout, &images.embassy)?;
    device.board.power_on();
    // The ROM speaks of clocks too.
    device.run_until("started")?;
    device.run_until("clock ")?;
    let start = device.board.now();
    let mut log = String::from("clock ");
    for _ in 1..lines {
        log += &device.run_until("clock ")?;
    }
    let end = device.board.now();
    log += &device.run_until("\n")?;

    let with = |prefix| log.lines().filter_map(move |line: &str| line.strip_prefix(prefix));
    let times: Vec<u64> = with("clock ").filter_map(|time| time.parse().ok()).collect();
    let own = times.last().unwrap_or(&0) - times.first().unwrap_or(&0);
    Ok(Timekeeping {
        clock: times.len(),
        counter: with("counter ").count(),
        own: Duration::from_micros(own),
        simulated: Ticks(end - start).duration(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_percent_is_enough() {
        let second = Duration::from_secs(1);
        let good =
            Timekeeping { clock: 101, counter: 40, own: 10 * second, simulated: 10 * second };
        assert!(good.is_right());
        assert!(Timekeeping { counter: 39, own: second * 99 / 10, ..good }.is_right());
        assert!(!Timekeeping { clock: 99, ..good }.is_right());
        assert!(!Timekeeping { counter: 38, ..good }.is_right());
        assert!(!Timekeeping { own: second * 98 / 10, ..good }.is_right());
    }
}
