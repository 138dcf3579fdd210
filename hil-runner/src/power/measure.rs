//! How fast a switch is: from the command to the board that is really off.

use super::PowerSwitch;
use crate::board::RigError;
use std::time::{Duration, Instant};

/// What tells that a board runs.
pub trait SignsOfLife {
    /// Waits until the board is seen running, and says how well its end will be seen.
    ///
    /// # Errors
    /// The board cannot be watched.
    fn wait_for_life(&mut self, limit: Duration) -> Result<Life, RigError>;

    /// Waits until the board is seen to run no more, and says when that was; `None` if it was not seen
    /// within the limit.
    ///
    /// # Errors
    /// The board cannot be watched.
    fn wait_for_end(&mut self, limit: Duration) -> Result<Option<Instant>, RigError>;
}

/// How a board is seen running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It writes without pause, so that its silence means something. Since this moment.
    Steady(Instant),
    /// It is there, and writes too little to tell silence from its end.
    Quiet,
    /// It is not seen at all.
    Unseen,
}

/// One time off and on again. Times count from the start of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// How long the command to switch off took.
    pub off_command: Duration,
    /// When the board was off; `None` when that could not be seen.
    pub off: Option<Duration>,
    /// How long the command to switch on took.
    pub on_command: Duration,
    /// When the board ran again; `None` when that could not be seen.
    pub on: Option<Duration>,
}

/// Time limits of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a board is seen running.
    pub life: Duration,
    /// Until it is seen off.
    pub end: Duration,
}

/// Switches off and on again so many times, and measures each. The board is on afterwards, unless the
/// switch fails.
///
/// # Errors
/// The switch fails, or the board cannot be watched.
pub fn measure(
    switch: &mut dyn PowerSwitch,
    signs: &mut dyn SignsOfLife,
    cycles: u32,
    limits: Limits,
) -> Result<Vec<Cycle>, RigError> {
    let mut timed = |on: bool| -> Result<(Instant, Duration), RigError> {
        let start = Instant::now();
        switch.set(on)?;
        Ok((start, start.elapsed()))
    };
    timed(true)?;
    let mut life = signs.wait_for_life(limits.life)?;
    let mut measured = Vec::new();
    for _ in 0..cycles {
        let (start, off_command) = timed(false)?;
        // A board that is not seen on cannot be seen to go off.
        let end = match life {
            Life::Steady(_) | Life::Quiet => signs.wait_for_end(limits.end),
            Life::Unseen => Ok(None),
        };
        // Before anything else fails: the board is not left without power.
        let (again, on_command) = timed(true)?;
        let off = end?.map(|end| end.saturating_duration_since(start));
        life = signs.wait_for_life(limits.life)?;
        // A board that was not seen off may have run all the time.
        let on = match life {
            Life::Steady(since) if off.is_some() => Some(since.saturating_duration_since(again)),
            _ => None,
        };
        measured.push(Cycle { off_command, off, on_command, on });
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::CutKind;
    use std::sync::{Arc, Mutex};

    /// A switch and a board that goes off some time after it.
    #[derive(Clone)]
    struct Fake(Arc<Mutex<State>>);

    struct State {
        on: bool,
        log: Vec<&'static str>,
        life: Life,
        delay: Option<Duration>,
        switched: Instant,
        fails: bool,
    }

    fn fake(life: Life, delay: Option<u64>) -> Fake {
        let delay = delay.map(Duration::from_millis);
        let switched = Instant::now();
        let log = Vec::new();
        Fake(Arc::new(Mutex::new(State { on: false, log, life, delay, switched, fails: false })))
    }

    impl PowerSwitch for Fake {
        fn name(&self) -> String {
            "fake".into()
        }
        fn kinds(&self) -> Vec<CutKind> {
            vec![CutKind::Rail]
        }
        fn set(&mut self, on: bool) -> Result<(), RigError> {
            let mut state = self.0.lock().unwrap();
            state.on = on;
            state.switched = Instant::now();
            state.log.push(if on { "on" } else { "off" });
            Ok(())
        }
    }

    impl SignsOfLife for Fake {
        fn wait_for_life(&mut self, _: Duration) -> Result<Life, RigError> {
            let state = self.0.lock().unwrap();
            assert!(state.on);
            Ok(match state.life {
                Life::Steady(_) => Life::Steady(state.switched + Duration::from_millis(250)),
                other => other,
            })
        }
        fn wait_for_end(&mut self, _: Duration) -> Result<Option<Instant>, RigError> {
            let mut state = self.0.lock().unwrap();
            assert!(!state.on);
            state.log.push("watched");
            if state.fails {
                return Err(RigError::new("the port is broken"));
            }
            Ok(state.delay.map(|delay| state.switched + delay))
        }
    }

    fn run(fake: &Fake, cycles: u32) -> Result<Vec<Cycle>, RigError> {
        let limits = Limits { life: Duration::ZERO, end: Duration::ZERO };
        measure(&mut fake.clone(), &mut fake.clone(), cycles, limits)
    }

    #[test]
    fn times_count_from_the_command() {
        let board = fake(Life::Steady(Instant::now()), Some(70));
        let cycles = run(&board, 2).unwrap();
        assert_eq!(cycles.len(), 2);
        for cycle in cycles {
            assert!(cycle.off.unwrap() >= Duration::from_millis(70));
            assert!(cycle.on.unwrap() >= Duration::from_millis(250));
        }
        let log = &board.0.lock().unwrap().log;
        assert_eq!(log[..], ["on", "off", "watched", "on", "off", "watched", "on"]);
    }

    #[test]
    fn what_is_not_seen_is_not_measured() {
        let never_off = run(&fake(Life::Steady(Instant::now()), None), 1).unwrap();
        assert_eq!((never_off[0].off, never_off[0].on), (None, None));
        let cycles = run(&fake(Life::Quiet, None), 1).unwrap();
        assert_eq!((cycles[0].off, cycles[0].on), (None, None));
        let unseen = fake(Life::Unseen, Some(1));
        assert_eq!(run(&unseen, 1).unwrap()[0].off, None);
        assert_eq!(unseen.0.lock().unwrap().log, ["on", "off", "on"]);
    }

    #[test]
    fn a_board_that_cannot_be_watched_is_on_again() {
        let board = fake(Life::Quiet, None);
        board.0.lock().unwrap().fails = true;
        run(&board, 3).unwrap_err();
        assert!(board.0.lock().unwrap().on);
    }
}
