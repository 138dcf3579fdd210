//! Runs explorations on all cores.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sim::explore::Progress;
use sim::setup::Setup;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// How explorations are run.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    /// Number of threads.
    pub(super) jobs: NonZeroUsize,
    /// No progress bar.
    pub(super) quiet: bool,
    /// Set when the user wants it to end.
    pub(super) interrupted: &'a AtomicBool,
}

/// Totals over all running explorations.
#[derive(Debug, Default)]
struct Totals {
    states: AtomicU64,
    pending: AtomicU64,
}

impl Runner<'_> {
    /// Does `work` with each of `setups`, and a function to call now and then with how far that is; `None`
    /// for those that were not begun when it was interrupted. When the function breaks, `work` is to end.
    pub(super) fn run<T: Send, E: Send>(
        &self,
        setups: &[Setup],
        work: impl Fn(&Setup, &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<T, E> + Sync,
    ) -> Result<Vec<Option<T>>, E> {
        let bar = self.bar(setups.len());
        let totals = Totals::default();
        let next = AtomicUsize::new(0);
        let results = Mutex::new(setups.iter().map(|_| None).collect::<Vec<_>>());
        let each = || {
            while !self.interrupted.load(Relaxed)
                && let index = next.fetch_add(1, Relaxed)
                && let Some(setup) = setups.get(index)
            {
                let result = work(setup, &mut self.watch(&totals, &bar))?;
                lock(&results)[index] = Some(result);
                bar.inc(1);
            }
            Ok(())
        };
        let threads = self.jobs.get().min(setups.len().max(1));
        let result = thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(each)).collect();
            handles.into_iter().try_for_each(|handle| match handle.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        });
        bar.finish_and_clear();
        result?;
        Ok(results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Adds up how far explorations are, for the bar.
    fn watch<'t>(
        &'t self,
        totals: &'t Totals,
        bar: &'t ProgressBar,
    ) -> impl FnMut(&Progress) -> ControlFlow<()> + use<'t> {
        let mut before = Progress::default();
        move |now| {
            totals.states.fetch_add(now.states - before.states, Relaxed);
            totals.pending.fetch_add(now.pending.wrapping_sub(before.pending), Relaxed);
            before = *now;
            let (states, pending) = (totals.states.load(Relaxed), totals.pending.load(Relaxed));
            let rate = states as f64 / bar.elapsed().as_secs_f64().max(0.1);
            bar.set_message(format!("{states} states, {rate:.0}/s, {pending} left"));
            match self.interrupted.load(Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }

    fn bar(&self, length: usize) -> ProgressBar {
        let bar = ProgressBar::new(length as u64);
        if self.quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = "{bar:30} {pos}/{len} explorations, {msg}, {elapsed}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
        bar
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
