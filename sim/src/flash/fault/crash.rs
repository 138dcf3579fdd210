//! Every content that a cut in one operation may leave.

mod blocks;

use std::ops::{Range, RangeInclusive};

use super::{FaultClass, FaultProfile, Scope, Tear, TearMismatch, WordValue};
use crate::flash::{Memory, Operation, OperationKind, SECTOR_SIZE, noise::Noise};

/// The most outcomes that one product over words may have; a larger one is thinned out.
const PRODUCT_LIMIT: u64 = 1 << 16;

/// What the readers of the flash look at closely.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch<'a> {
    /// Ranges whose words are enumerated one by one wherever an erase or a large program crosses
    /// them, such as sequence, state and CRC of both select entries. Widened to whole words.
    pub ranges: &'a [Range<u32>],
    /// Values that readers tell apart, such as the OTA states: tried in every word that can take
    /// them.
    pub dictionary: &'a [u32],
    /// Flash holds ciphertext: of a [block](crate::flash::Encryption::BLOCK_SIZE), readers learn whether it is whole, and
    /// noise otherwise, whichever bits are torn. So blocks are enumerated instead of words.
    pub encrypted: bool,
}

/// The memory after a cut, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashState {
    /// The outcome, enough to make `memory` again.
    pub tear: Tear,
    /// The flash contents.
    pub memory: Memory,
}

/// The outcomes of a cut in `operation` on `before`, under the classes of `profile`.
///
/// - F0: untouched, complete.
/// - F1: a prefix of a program: after each byte that changes something; for large programs the
///   quarters.
/// - F2: bits of a program: every combination of its words, each old, new, one mixed value and
///   every dictionary value between the two; for large programs the second half alone, one bit
///   alone, all but one bit and two mixes, and the combinations of its watched words with the rest
///   untouched or complete.
/// - F3: an erase unit all zeros, nearly erased, two mixes; and every combination of its watched
///   words, each old, zero, ones, mixed or a dictionary value.
/// - In encrypted flash, F2 and F3: every combination of blocks, each old, new or noise, of a program of at
///   most two blocks, and of the watched blocks of an erase.
/// - F4, F5: a half-done or complete operation whose bits are unstable or weak.
/// - F6: damage to the page or the sector of a program, with nothing or all of it landed; each
///   watched word of the sector damaged alone.
/// - F9: as F0 to F3 without needing them: complete, or a mix.
///
/// Classes F7, F10 and F11 belong to a [`FaultInjector`](super::FaultInjector), F8 to the caller.
/// A few outcomes may have the same contents.
///
/// # Errors
/// [`TearMismatch`] when the operation does not fit the memory: beyond its end, across a page, or
/// an erase that does not start at its unit.
pub fn crash_states<'a>(
    before: &'a Memory,
    operation: &'a Operation,
    profile: &FaultProfile,
    watch: &Watch<'_>,
) -> Result<CrashStates<'a>, TearMismatch> {
    // Also the check that the operation fits.
    let complete = Tear::Complete.apply(before, operation)?;
    let mut plan = Plan {
        before,
        complete: &complete,
        erasing: matches!(operation.kind, OperationKind::Erase(_)),
        range: operation.range(before.capacity()),
        profile,
        watch,
        single: vec![Tear::Untouched],
        products: Vec::new(),
        exhaustive: true,
    };
    match &operation.kind {
        // Programming nothing but ones or what is there already can't be torn.
        OperationKind::Program { data } => plan.program(data),
        OperationKind::Erase(_) => plan.erase(),
    }
    let Plan { single, products, exhaustive, .. } = plan;
    Ok(CrashStates {
        before,
        operation,
        single: single.into_iter(),
        products,
        position: 0,
        rest: None,
        exhaustive,
    })
}

/// Iterator over [`crash_states`].
#[derive(Debug)]
pub struct CrashStates<'a> {
    before: &'a Memory,
    operation: &'a Operation,
    single: std::vec::IntoIter<Tear>,
    products: Vec<Product>,
    /// Next member of the last product.
    position: u64,
    /// The memory that the last product patches, made once.
    rest: Option<Memory>,
    exhaustive: bool,
}

impl CrashStates<'_> {
    /// Whether every combination of words was affordable: false when the operation was larger
    /// than the profile's `exhaustive_words` or a product was thinned out.
    #[must_use]
    pub fn exhaustive(&self) -> bool {
        self.exhaustive
    }
}

impl Iterator for CrashStates<'_> {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        // Plans hold fitting tears only; a misfit would end the iteration of its product early.
        if let Some(tear) = self.single.next() {
            let memory = tear.apply(self.before, self.operation).ok()?;
            return Some(CrashState { tear, memory });
        }
        while self.products.last().is_some_and(|product| self.position >= product.size()) {
            self.products.pop();
            self.position = 0;
            self.rest = None;
        }
        let product = self.products.last()?;
        if self.rest.is_none() {
            self.rest = Some(product.rest.apply(self.before, self.operation).ok()?);
        }
        let words = product.member(self.position);
        self.position += 1;
        let mut memory = self.rest.clone()?;
        words.iter().for_each(|word| memory.set(word.offset, &word.value.to_le_bytes()));
        Some(CrashState {
            tear: Tear::Words { rest: Box::new(product.rest.clone()), words },
            memory,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let products: u64 = self.products.iter().map(Product::size).sum();
        let left = self.single.len() + (products - self.position) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for CrashStates<'_> {}

/// All combinations of values of some words.
#[derive(Debug)]
struct Product {
    rest: Tear,
    words: Vec<(u32, Vec<u32>)>,
}

impl Product {
    fn size(&self) -> u64 {
        self.words.iter().fold(1, |size, (_, values)| size.saturating_mul(values.len() as u64))
    }

    fn member(&self, mut index: u64) -> Vec<WordValue> {
        let mut words = Vec::with_capacity(self.words.len());
        for (offset, values) in &self.words {
            let count = values.len() as u64;
            words.push(WordValue { offset: *offset, value: values[(index % count) as usize] });
            index /= count;
        }
        words
    }
}

struct Plan<'a> {
    before: &'a Memory,
    complete: &'a Memory,
    erasing: bool,
    range: Range<u32>,
    profile: &'a FaultProfile,
    watch: &'a Watch<'a>,
    single: Vec<Tear>,
    products: Vec<Product>,
    exhaustive: bool,
}

impl Plan<'_> {
    fn program(&mut self, data: &[u8]) {
        let start = self.range.start;
        let old = self.before.to_vec(self.range.clone());
        let changing: Vec<u32> =
            (0..data.len() as u32).filter(|&i| old[i as usize] & !data[i as usize] != 0).collect();
        let (Some(&first), Some(&last)) = (changing.first(), changing.last()) else {
            self.collateral();
            return;
        };
        self.single.push(Tear::Complete);
        let mut words: Vec<u32> = changing.iter().map(|i| (start + i) & !3).collect();
        words.dedup();
        let small = words.len() <= self.profile.exhaustive_words as usize
            && !(self.watch.encrypted && blocks::too_many(&words));
        self.exhaustive &= small;
        if self.has(FaultClass::TornPrefix) {
            let length = data.len() as u32;
            let cuts = if small {
                changing[..changing.len() - 1].iter().map(|i| i + 1).collect()
            } else {
                vec![first + 1, length / 4, length / 2, length / 4 * 3, last]
            };
            self.single.extend(cuts.into_iter().map(|bytes| Tear::Prefix { bytes }));
        }
        if self.has(FaultClass::TornBits) {
            if small && self.watch.encrypted {
                self.program_blocks(&words);
            } else if small {
                self.product(&[Tear::Untouched], &words);
            } else {
                self.single.extend(self.representatives(&changing, &old, data));
                let watched = self.watched(self.range.clone());
                let words: Vec<u32> = watched.into_iter().filter(|w| words.contains(w)).collect();
                self.product(&[Tear::Untouched, Tear::Complete], &words);
            }
        } else if self.has(FaultClass::Reset) {
            self.single.push(Tear::Mixed { seed: self.profile.seed });
        }
        self.collateral();
        self.marginal();
    }

    /// Typical torn contents of a large program.
    fn representatives(&self, changing: &[u32], old: &[u8], data: &[u8]) -> [Tear; 7] {
        let seed = self.profile.seed;
        let bit = |byte: u32| {
            let cleared = old[byte as usize] & !data[byte as usize];
            byte * 8 + cleared.trailing_zeros()
        };
        let (first, last) = (changing[0], changing[changing.len() - 1]);
        let middle = changing[changing.len() / 2];
        [
            Tear::Suffix { from: middle },
            Tear::OnlyBit { bit: bit(first) },
            Tear::OnlyBit { bit: bit(last) },
            Tear::AllButBit { bit: bit(first) },
            Tear::AllButBit { bit: bit(last) },
            Tear::Mixed { seed },
            Tear::Mixed { seed: seed.wrapping_add(1) },
        ]
    }

    fn erase(&mut self) {
        let seed = self.profile.seed;
        self.single.push(Tear::Complete);
        if self.has(FaultClass::TornErase) {
            let phases = [
                Tear::Zeroed,
                Tear::Mixed { seed },
                Tear::Mixed { seed: seed.wrapping_add(1) },
                Tear::NearlyErased { seed },
            ];
            let words = self.watched(self.range.clone());
            if !words.is_empty() && !self.watch.encrypted {
                // Readers that look at the record alone take it for erased or intact while the
                // rest of the unit is neither.
                let erased: Vec<_> = values(&words, |_| u32::MAX);
                let intact: Vec<_> = values(&words, |word| self.before.word(word));
                for phase in &phases {
                    for words in [&erased, &intact] {
                        let rest = Box::new(phase.clone());
                        self.single.push(Tear::Words { rest, words: words.clone() });
                    }
                }
            }
            self.single.extend(phases);
            if self.watch.encrypted {
                self.noise(&[Tear::Untouched], &words);
            } else {
                self.product(&[Tear::Untouched], &words);
            }
        } else if self.has(FaultClass::Reset) {
            self.single.push(Tear::Mixed { seed });
        }
        self.marginal();
    }

    fn collateral(&mut self) {
        if !self.has(FaultClass::Collateral) {
            return;
        }
        let seed = self.profile.seed;
        for scope in [Scope::Page, Scope::Sector] {
            for landed in [Tear::Untouched, Tear::Complete] {
                let landed = Box::new(landed);
                self.single.push(Tear::Collateral { landed, scope, seed });
            }
        }
        let sector = self.range.start / SECTOR_SIZE as u32 * SECTOR_SIZE as u32;
        for word in self.watched(sector..sector + SECTOR_SIZE as u32) {
            if self.range.start < word + 4 && word < self.range.end {
                continue;
            }
            let old = self.before.word(word);
            let damaged = self.values_between(word, &[old, 0], self.watch.dictionary, 0..=old);
            for value in damaged.into_iter().filter(|&value| value != old) {
                let words = vec![WordValue { offset: word, value }];
                self.single.push(Tear::Words { rest: Box::new(Tear::Complete), words });
            }
        }
    }

    /// Contents that read now one way, now another.
    fn marginal(&mut self) {
        let mixed = Box::new(Tear::Mixed { seed: self.profile.seed });
        if self.has(FaultClass::Unstable) {
            self.single.push(Tear::Unstable { landed: mixed });
            self.single.push(Tear::Unstable { landed: Box::new(Tear::Complete) });
        }
        if self.has(FaultClass::Weak) {
            self.single.push(Tear::Weak { landed: Box::new(Tear::Complete) });
        }
    }

    /// Plans every combination of values of `words` for each `rest`, thinned out to what
    /// [`PRODUCT_LIMIT`] allows: first the dictionary goes from the combinations and is tried word
    /// by word, then the combinations go.
    fn product(&mut self, rests: &[Tear], words: &[u32]) {
        if words.is_empty() {
            return;
        }
        let all = |dictionary: &[u32]| -> Vec<(u32, Vec<u32>)> {
            words.iter().map(|&word| (word, self.values(word, dictionary))).collect()
        };
        let mut plans = vec![all(self.watch.dictionary)];
        if size(&plans[0]) > PRODUCT_LIMIT {
            plans = plans.remove(0).into_iter().map(|word| vec![word]).collect();
            let plain = all(&[]);
            if size(&plain) <= PRODUCT_LIMIT {
                plans.push(plain);
            }
            self.exhaustive = false;
        }
        for rest in rests {
            let products = plans.iter().cloned();
            self.products.extend(products.map(|words| Product { rest: rest.clone(), words }));
        }
    }

    /// Values that a word can show after a cut: old, new, one mixed, and what is in the dictionary.
    fn values(&self, word: u32, dictionary: &[u32]) -> Vec<u32> {
        let (old, new) = (self.before.word(word), self.complete.word(word));
        if self.erasing {
            // Bits fall to 0 before they rise to 1, each in its own time: any value may show.
            self.values_between(word, &[old, 0, new], dictionary, 0..=u32::MAX)
        } else {
            self.values_between(word, &[old, new], dictionary, new..=old)
        }
    }

    /// `known` values, those of the dictionary that have all bits of the range's start and none
    /// outside its end, and one more such value that no reader knows.
    fn values_between(
        &self,
        word: u32,
        known: &[u32],
        dictionary: &[u32],
        bits: RangeInclusive<u32>,
    ) -> Vec<u32> {
        let (low, high) = bits.into_inner();
        let shape = |value: u32| (value & high) | low;
        let mut values: Vec<u32> = Vec::with_capacity(known.len() + dictionary.len() + 1);
        let dictionary = dictionary.iter().copied().filter(|&value| shape(value) == value);
        for value in known.iter().copied().chain(dictionary) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        // A few tries are enough unless hardly any bit is free.
        let mut noise = Noise::new(self.profile.seed, u64::from(word));
        let other = (0..64).map(|_| shape(noise.word())).find(|value| !values.contains(value));
        values.extend(other);
        values
    }

    /// Addresses of the watched words within a range.
    fn watched(&self, within: Range<u32>) -> Vec<u32> {
        let mut words: Vec<u32> = self
            .watch
            .ranges
            .iter()
            .flat_map(|range| {
                let start = range.start.max(within.start) & !3;
                (start..range.end.min(within.end)).step_by(4)
            })
            .collect();
        words.sort_unstable();
        words.dedup();
        words
    }

    fn has(&self, class: FaultClass) -> bool {
        self.profile.has(class)
    }
}

fn size(words: &[(u32, Vec<u32>)]) -> u64 {
    words.iter().fold(1, |size, (_, values)| size.saturating_mul(values.len() as u64))
}

fn values(words: &[u32], value: impl Fn(u32) -> u32) -> Vec<WordValue> {
    words.iter().map(|&offset| WordValue { offset, value: value(offset) }).collect()
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod tests;
