//! What a cut leaves in encrypted flash, block by block.

use super::{Plan, Tear, WordValue};
use crate::flash::Encryption;

const BLOCK: u32 = Encryption::BLOCK_SIZE as u32;

impl Plan<'_> {
    /// Plans every combination of the blocks of a program of at most two: each old, new or noise.
    pub(super) fn program_blocks(&mut self, words: &[u32]) {
        let mut rests = vec![Tear::Untouched, Tear::Complete];
        if blocks(words).len() > 1 {
            let half = BLOCK - self.range.start % BLOCK;
            let halves = [Tear::Prefix { bytes: half }, Tear::Suffix { from: half }];
            self.single.extend_from_slice(&halves);
            rests.extend(halves);
        }
        self.noise(&rests, words);
    }

    /// Plans every combination of the blocks of encrypted flash that `words` lie in, each noise or as one of
    /// the `rests` leaves it. One torn word makes noise of its block. What the other words hold follows from
    /// the operation alone, so the combinations mean the same on a device whose ciphertext is another one.
    pub(super) fn noise(&mut self, rests: &[Tear], words: &[u32]) {
        let blocks = blocks(words);
        let torn = |block: &u32| {
            let mut inside = words.iter().filter(|&&word| block_of(word) == *block);
            inside.find_map(|&word| {
                let (old, new) = (self.before.word(word), self.complete.word(word));
                let other = |value: &u32| ![old, new].contains(value);
                let value = self.values(word, &[]).into_iter().rfind(other)?;
                Some(WordValue { offset: word, value })
            })
        };
        let torn: Vec<_> = blocks.iter().filter_map(torn).collect();
        self.exhaustive &= torn.len() == blocks.len();
        for rest in rests {
            for chosen in 1u32..1 << torn.len() {
                let words = (0..).zip(&torn).filter(|(bit, _)| chosen >> bit & 1 == 1);
                let words = words.map(|(_, word)| *word).collect();
                self.single.push(Tear::Words { rest: Box::new(rest.clone()), words });
            }
        }
    }
}

/// Whether the blocks that changing words lie in are more than a prefix and a suffix can tell apart.
pub(super) fn too_many(words: &[u32]) -> bool {
    blocks(words).len() > 2
}

/// The block of encrypted flash that an address lies in.
fn block_of(address: u32) -> u32 {
    address / BLOCK
}

/// The blocks of encrypted flash that ascending addresses lie in.
fn blocks(words: &[u32]) -> Vec<u32> {
    let mut blocks: Vec<u32> = words.iter().map(|&word| block_of(word)).collect();
    blocks.dedup();
    blocks
}
