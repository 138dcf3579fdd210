//! The four-stage watchdog that timer groups and the RTC controller share.

use super::registers::Registers;
use crate::time::Ticks;

/// What the write protection register holds while the watchdog's registers can be written (ESP-IDF
/// `mwdt_ll.h` and `rwdt_ll.h`).
const KEY: u32 = 0x50D8_3AA1;

/// The frequency of a clock: `cycles` of it last `ticks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) cycles: u64,
    pub(super) ticks: u64,
}

impl Rate {
    /// Whole cycles in a number of ticks.
    pub(super) fn cycles_in(self, ticks: u64) -> u64 {
        (u128::from(ticks) * u128::from(self.cycles) / u128::from(self.ticks)) as u64
    }

    /// Ticks until that many cycles are over.
    pub(super) fn ticks_for(self, cycles: u64) -> u64 {
        let ticks = (u128::from(cycles) * u128::from(self.ticks)).div_ceil(self.cycles.into());
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// What happens at the end of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Action {
    #[default]
    Off,
    Interrupt,
    ResetCpu,
    ResetSystem,
    /// The RTC watchdog alone: the RTC domain as well.
    ResetChip,
}

impl Action {
    /// Reads the field of a stage; the timer groups' has two bits and never reaches the last one.
    pub(super) fn from_field(field: u32) -> Self {
        match field {
            0 => Self::Off,
            1 => Self::Interrupt,
            2 => Self::ResetCpu,
            3 => Self::ResetSystem,
            _ => Self::ResetChip,
        }
    }

    fn is_reset(self) -> bool {
        !matches!(self, Self::Off | Self::Interrupt)
    }
}

/// A stage: how many cycles it lasts and what happens then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) cycles: u64,
    pub(super) action: Action,
}

/// Stages pass one after the other and start over after the last, until somebody feeds.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    rate: Rate,
    stages: [Stage; 4],
    enabled: bool,
    stage: usize,
    /// The stage had `counted` cycles at `since`.
    since: Ticks,
    counted: u64,
}

impl Watchdog {
    /// A watchdog that is off.
    pub(super) fn new(rate: Rate) -> Self {
        let stages = [Stage::default(); 4];
        Self { rate, stages, enabled: false, stage: 0, since: Ticks(0), counted: 0 }
    }

    /// Takes over what the registers say. The running count goes on, at the new rate; a watchdog that
    /// was off starts with its first stage.
    pub(super) fn configure(&mut self, enabled: bool, rate: Rate, stages: [Stage; 4], now: Ticks) {
        if enabled && !self.enabled {
            self.feed(now);
        } else if rate != self.rate {
            self.counted += self.rate.cycles_in(now - self.since);
            self.since = now;
        }
        (self.enabled, self.rate, self.stages) = (enabled, rate, stages);
    }

    /// Back to the start of the first stage.
    pub(super) fn feed(&mut self, now: Ticks) {
        (self.stage, self.since, self.counted) = (0, now, 0);
    }

    /// When the next stage ends.
    pub(super) fn next_event(&self) -> Option<Ticks> {
        let acts = self.stages.iter().any(|stage| stage.action != Action::Off);
        (self.enabled && acts).then(|| self.stage_end())
    }

    /// Passes the stages that are over at `now`, up to one that resets.
    pub(super) fn advance(&mut self, now: Ticks, mut act: impl FnMut(Action)) {
        if !self.enabled {
            return;
        }
        for step in 0.. {
            let end = self.stage_end();
            if now < end {
                break;
            }
            let action = self.stages[self.stage].action;
            (self.stage, self.since, self.counted) = ((self.stage + 1) % 4, end, 0);
            act(action);
            if action.is_reset() {
                break;
            }
            if step == 4 {
                // Whole rounds without a reset repeat what has been done already.
                let round: u64 = self.stages.iter().map(|stage| self.length(stage)).sum();
                self.since = self.since + (now - self.since) / round * round;
            }
        }
    }

    fn stage_end(&self) -> Ticks {
        let stage = &self.stages[self.stage];
        if self.counted == 0 {
            return self.since + self.length(stage);
        }
        self.since + self.rate.ticks_for(stage.cycles.saturating_sub(self.counted))
    }

    /// Ticks in a stage; one of no cycles still takes time.
    fn length(&self, stage: &Stage) -> u64 {
        self.rate.ticks_for(stage.cycles.max(1))
    }
}

/// Whether the watchdog's registers can be written, going by the key in the register at `offset`.
pub(super) fn unlocked(registers: &Registers, offset: u32) -> bool {
    registers.get(offset) == KEY
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { cycles: 1, ticks: 10 };

    fn watchdog(actions: [Action; 4]) -> Watchdog {
        let mut watchdog = Watchdog::new(RATE);
        watchdog.configure(true, RATE, actions.map(|action| Stage { cycles: 5, action }), Ticks(0));
        watchdog
    }

    fn acts(watchdog: &mut Watchdog, now: u64) -> Vec<Action> {
        let mut acts = Vec::new();
        watchdog.advance(Ticks(now), |action| acts.push(action));
        acts
    }

    #[test]
    fn stages_follow_one_another() {
        use Action::{Interrupt, Off, ResetCpu, ResetSystem};
        let mut watchdog = watchdog([Interrupt, ResetCpu, Off, ResetSystem]);
        assert_eq!(watchdog.next_event(), Some(Ticks(50)));
        assert_eq!(acts(&mut watchdog, 49), []);
        assert_eq!(acts(&mut watchdog, 50), [Interrupt]);
        assert_eq!(watchdog.next_event(), Some(Ticks(100)));
        assert_eq!(acts(&mut watchdog, 1000), [ResetCpu], "a reset ends it");
        assert_eq!(acts(&mut watchdog, 1000), [Off, ResetSystem]);
    }

    #[test]
    fn rounds_without_a_reset_are_skipped() {
        use Action::{Interrupt, Off};
        let mut watchdog = watchdog([Interrupt, Off, Off, Off]);
        assert!(acts(&mut watchdog, 1_000_000_000_007).len() <= 9);
        assert_eq!(watchdog.next_event(), Some(Ticks(1_000_000_000_050)));
        let mut idle = Watchdog::new(RATE);
        idle.configure(true, RATE, [Stage::default(); 4], Ticks(0));
        assert_eq!(idle.next_event(), None);
        assert!(acts(&mut idle, u64::MAX / 2).len() <= 9);
    }

    #[test]
    fn another_rate_keeps_the_count() {
        let mut watchdog = watchdog([Action::Interrupt; 4]);
        let slow = Rate { cycles: 1, ticks: 100 };
        watchdog.configure(true, slow, watchdog.stages, Ticks(30));
        assert_eq!(watchdog.next_event(), Some(Ticks(30 + 2 * 100)));
    }

    #[test]
    fn feeding_starts_over_and_enabling_too() {
        let mut watchdog = watchdog([Action::Interrupt; 4]);
        acts(&mut watchdog, 60);
        watchdog.feed(Ticks(70));
        assert_eq!((watchdog.stage, watchdog.next_event()), (0, Some(Ticks(120))));
        watchdog.configure(false, RATE, watchdog.stages, Ticks(80));
        assert_eq!((watchdog.next_event(), acts(&mut watchdog, 500)), (None, vec![]));
        watchdog.configure(true, RATE, watchdog.stages, Ticks(600));
        assert_eq!(watchdog.next_event(), Some(Ticks(650)));
    }

    #[test]
    fn broken_rates_are_exact() {
        let slow = Rate { cycles: 17, ticks: 60_000 };
        assert_eq!(slow.cycles_in(480_000_000), 136_000);
        for cycles in [1, 2, 3, 1000, 136_000] {
            let ticks = slow.ticks_for(cycles);
            assert_eq!([slow.cycles_in(ticks - 1), slow.cycles_in(ticks)], [cycles - 1, cycles]);
        }
    }
}
