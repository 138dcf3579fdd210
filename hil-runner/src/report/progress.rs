//! How far a run is, while it goes on.

use super::terminal::trouble;
use super::text::visible;
use crate::run::{Outcome, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// A board's bar: name, bar, runs done of all, rate, time left, what runs.
const BAR: &str = "{prefix:14} [{bar:24}] {pos}/{len}  {rate}  {eta} left  {wide_msg}";

/// Without bars: a line each time that this share of a board's runs is done, in percent.
const SHARE: u64 = 10;

/// How far a run is: a bar for each board on a terminal, else now and then a line. What does not pass is
/// told at once.
#[derive(Clone)]
pub struct Progress(Output);

#[derive(Clone)]
enum Output {
    Bars(MultiProgress),
    Lines(Arc<Mutex<dyn Write + Send>>),
}

impl Progress {
    /// On standard error: bars if it is a terminal, else lines.
    #[must_use]
    pub fn new() -> Self {
        if io::stderr().is_terminal() {
            Self(Output::Bars(MultiProgress::new()))
        } else {
            Self::lines(io::stderr())
        }
    }

    /// Lines, to where they are wanted.
    pub fn lines(output: impl Write + Send + 'static) -> Self {
        Self(Output::Lines(Arc::new(Mutex::new(output))))
    }

    /// A board that is to do so many runs.
    #[must_use]
    pub fn board(&self, name: &str, runs: u64) -> BoardProgress {
        let bar = ProgressBar::hidden();
        bar.set_length(runs);
        bar.set_style(style());
        bar.set_prefix(visible(name));
        let bar = match &self.0 {
            Output::Bars(all) => all.add(bar),
            Output::Lines(_) => bar,
        };
        BoardProgress { progress: self.clone(), bar }
    }

    /// Shows a line, above the bars if there are any.
    pub fn say(&self, line: &str) {
        // Nobody is left to tell if this fails; the results are in the journal.
        let _ = match &self.0 {
            Output::Bars(all) => all.println(visible(line)),
            Output::Lines(output) => {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                writeln!(output, "{}", visible(line))
            }
        };
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// How far a board is.
pub struct BoardProgress {
    progress: Progress,
    bar: ProgressBar,
}

impl BoardProgress {
    /// It is now known that the board has so many runs to do: a case with a cut at every operation tells
    /// only when it has run.
    pub fn expect(&self, runs: u64) {
        self.bar.set_length(runs);
    }

    /// Says what the board does now.
    pub fn doing(&self, what: &str) {
        self.bar.set_message(visible(what));
    }

    /// A run is over.
    pub fn done(&self, outcome: &Outcome) {
        if !matches!(outcome.verdict, Verdict::Pass | Verdict::NotRun) {
            self.progress.say(&trouble(outcome));
        }
        self.bar.inc(1);
        if matches!(self.progress.0, Output::Lines(_)) {
            self.now_and_then();
        }
    }

    fn now_and_then(&self) {
        let (done, runs) = (self.bar.position(), self.bar.length().unwrap_or(0).max(1));
        let share = |done: u64| done * 100 / runs / SHARE;
        if share(done) > share(done.saturating_sub(1)) {
            let name = self.bar.prefix();
            // More may come than were expected.
            let of = if done <= runs { format!(" of {runs}") } else { String::new() };
            self.progress.say(&format!("{name}: {done}{of} runs"));
        }
    }

    /// The board has nothing more to do; its bar goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").with_key("rate", |state: &ProgressState, f: &mut dyn fmt::Write| {
        let _ = write!(f, "{:.1}/s", state.per_sec());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_well_formed() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
