//! Many cases on many boards.

use super::case::{Options, leave, run_case};
use super::outcome::Outcome;
use crate::board::{Board, RigError};
use crate::scenario::{Case, Scenario};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// A place where a board is for one case after the other.
pub trait Seat: Send {
    /// The board's name in reports.
    fn name(&self) -> String;

    /// The board for a case. Modelled ones are made for it; a real one is always the same.
    ///
    /// # Errors
    /// The board cannot be had.
    fn board(&mut self, case: &Case) -> Result<&mut dyn Board, RigError>;
}

/// Boards that share the work: each case runs on one of them.
pub struct Pool {
    /// The boards.
    pub seats: Vec<Box<dyn Seat>>,
}

/// Something that happens in a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// A board begins with a case.
    Begins {
        /// The board's name.
        board: String,
        /// The case's name.
        case: String,
    },
    /// A run is over.
    Done {
        /// The board's name.
        board: String,
        /// What came of it. Modelled boards that share the work have one name there.
        outcome: Box<Outcome>,
    },
    /// A board has nothing more to do.
    Ends {
        /// The board's name.
        board: String,
    },
}

/// What a session works on.
pub struct Session {
    /// Every pool runs all cases.
    pub pools: Vec<Pool>,
    /// The scenarios.
    pub scenarios: Arc<Vec<Scenario>>,
    /// How cases are run.
    pub options: Options,
    /// What earlier sessions have done, to be left out.
    pub finished: Vec<Outcome>,
    /// Set to end the session: runs that go on come to no verdict.
    pub cancelled: Arc<AtomicBool>,
}

/// Cases of a pool that wait: indices of a scenario and of a case in it.
type Queue = Arc<Mutex<Vec<(usize, usize)>>>;

impl Session {
    /// Runs everything. Events come in the order in which things happen, and wait to be received: what is not
    /// told is not gone on from. Dropping the receiver ends the session as [`cancelled`](Self::cancelled)
    /// does.
    pub fn start(self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(1);
        let Self { pools, scenarios, options, finished, cancelled } = self;
        let options = Arc::new(options);
        let finished = Arc::new(by_case(&finished));
        for pool in pools {
            let all = scenarios.iter().enumerate();
            let all =
                all.flat_map(|(index, it)| (0..it.cases.len()).map(move |case| (index, case)));
            let queue: Queue = Arc::new(Mutex::new(all.rev().collect()));
            let left = Arc::new(Mutex::new(pool.seats.len()));
            for seat in pool.seats {
                let worker = Worker {
                    seat,
                    queue: Arc::clone(&queue),
                    left: Arc::clone(&left),
                    scenarios: Arc::clone(&scenarios),
                    options: Arc::clone(&options),
                    finished: Arc::clone(&finished),
                    cancelled: Arc::clone(&cancelled),
                    sender: sender.clone(),
                };
                tokio::task::spawn_blocking(move || worker.work());
            }
        }
        receiver
    }
}

/// What earlier sessions made of which case on which kind of board.
type Finished = BTreeMap<(String, String), Vec<Outcome>>;

fn by_case(outcomes: &[Outcome]) -> Finished {
    let mut finished = Finished::new();
    for outcome in outcomes {
        let key = (format!("{:?}", outcome.kind), outcome.case.clone());
        finished.entry(key).or_default().push(outcome.clone());
    }
    finished
}

struct Worker {
    seat: Box<dyn Seat>,
    queue: Queue,
    /// Workers of the pool that are at work.
    left: Arc<Mutex<usize>>,
    scenarios: Arc<Vec<Scenario>>,
    options: Arc<Options>,
    finished: Arc<Finished>,
    cancelled: Arc<AtomicBool>,
    sender: mpsc::Sender<Event>,
}

impl Worker {
    fn work(mut self) {
        let mut last_case = None;
        while let Some((scenario, case)) = self.next() {
            self.one(scenario, case);
            last_case = Some((scenario, case));
        }
        if let Some((scenario, case)) = last_case {
            self.leave(scenario, case);
        }
        // The last one says of the cases that nobody could take why that is.
        let last = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            *left -= 1;
            *left == 0
        };
        while last && !self.ends() {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((scenario, case)) = next else { break };
            self.one(scenario, case);
        }
        self.send(Event::Ends { board: self.seat.name() });
    }

    fn ends(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    fn send(&self, event: Event) {
        if self.sender.blocking_send(event).is_err() {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// The next case that this board can run.
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.ends() {
            return None;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let index = queue.iter().rposition(|&(scenario, case)| {
            let case = self.scenarios.get(scenario).and_then(|it| it.cases.get(case));
            case.is_some_and(|case| can(self.seat.as_mut(), case))
        })?;
        Some(queue.remove(index))
    }

    /// Leaves a real board in order, also when the session was cancelled.
    fn leave(&mut self, scenario: usize, case: usize) {
        let scenarios = Arc::clone(&self.scenarios);
        let Some(scenario) = scenarios.get(scenario) else { return };
        let Some(case) = scenario.cases.get(case) else { return };
        let board = self.seat.board(case);
        if let Err(error) = board.and_then(|board| leave(board, case, &self.options)) {
            let name = self.seat.name();
            let error = RigError::new(format!("at the end of the run: {error}"));
            let outcome = Box::new(Outcome::without_board(scenario, case, &name, &error));
            self.send(Event::Done { board: name, outcome });
        }
    }

    fn one(&mut self, scenario: usize, case: usize) {
        let scenarios = Arc::clone(&self.scenarios);
        let Some(scenario) = scenarios.get(scenario) else { return };
        let Some(case) = scenario.cases.get(case) else { return };
        let name = self.seat.name();
        self.send(Event::Begins { board: name.clone(), case: case.name.clone() });
        let sender = self.sender.clone();
        let cancelled = Arc::clone(&self.cancelled);
        let mut give = |outcome: Outcome| {
            let event = Event::Done { board: name.clone(), outcome: Box::new(outcome) };
            if sender.blocking_send(event).is_err() {
                cancelled.store(true, Ordering::Relaxed);
            }
        };
        match self.seat.board(case) {
            Ok(board) => {
                let key = (format!("{:?}", board.kind()), case.name.clone());
                let finished = self.finished.get(&key).cloned().unwrap_or_default();
                let options = Options { finished, ..(*self.options).clone() };
                run_case(board, scenario, case, &options, &self.cancelled, &mut give);
            }
            Err(error) => give(Outcome::without_board(scenario, case, &self.seat.name(), &error)),
        }
    }
}

/// Whether a board can run a case; one that cannot be had says so when it is given one.
fn can(seat: &mut dyn Seat, case: &Case) -> bool {
    let needs = crate::scenario::needs(case);
    seat.board(case).map_or(true, |board| needs.into_iter().all(|it| board.lacks(it).is_none()))
}
