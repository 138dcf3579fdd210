//! Many flash contents.

use super::boot::Outcome;
use super::bootloader::RealBootloader;
use super::compare::{Comparison, Verdict, compare};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use virtual_board::Error;

/// What came of many comparisons.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many came to each verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// For each class of tables, select entries and images: flash contents with it, and
    /// disagreements among them, explained or not.
    pub classes: BTreeMap<(&'static str, &'static str), (u64, u64)>,
    /// Boots that started an application.
    pub started: u64,
    /// Boots that ended in a reset.
    pub reset: u64,
    /// Flash operations of all boots.
    pub operations: u64,
}

impl Summary {
    /// Flash contents compared.
    pub fn states(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// Disagreements that nothing explains.
    pub fn disagreements(&self) -> u64 {
        self.verdicts.get(&Verdict::Disagreed).copied().unwrap_or_default()
    }

    fn count(&mut self, comparison: &Comparison) {
        let Comparison { state, board, verdict, .. } = comparison;
        *self.verdicts.entry(*verdict).or_default() += 1;
        let tables = std::iter::once(("partition table", state.table));
        let entries = state.entries.iter().map(|&class| ("select entry", class));
        let images = state.images.iter().map(|&(_, class)| ("image", class));
        let classes: std::collections::BTreeSet<_> = tables.chain(entries).chain(images).collect();
        for class in classes {
            let (states, differences) = self.classes.entry(class).or_default();
            *states += 1;
            *differences += u64::from(*verdict != Verdict::Agreed);
        }
        match board.outcome {
            Outcome::Started { .. } => self.started += 1,
            Outcome::Reset => self.reset += 1,
            Outcome::Stuck => {}
        }
        self.operations += board.operations.len() as u64;
    }
}

/// Compares the flash contents with these numbers, on all processors. `found` gets the disagreements,
/// in no certain order.
///
/// # Errors
/// As [`compare`].
pub fn run(
    seed: u64,
    indices: Range<u64>,
    bootloader: &RealBootloader,
    found: impl Fn(&Comparison) + Sync,
) -> Result<Summary, Error> {
    let next = AtomicU64::new(indices.start);
    let summary = Mutex::new(Summary::default());
    let work = || -> Result<(), Error> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= indices.end {
                return Ok(());
            }
            let comparison = compare(seed, index, bootloader)?;
            if comparison.verdict == Verdict::Disagreed {
                found(&comparison);
            }
            let mut summary = summary.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            summary.count(&comparison);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect::<Result<(), Error>>()
    })?;
    Ok(summary.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}
