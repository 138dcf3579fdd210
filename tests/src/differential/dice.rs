//! Repeatable choices.

/// Choices that follow from a seed and a number: the same on every machine, and independent from one
/// number to the next.
pub(super) struct Dice(blake3::OutputReader);

impl Dice {
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(&index.to_le_bytes());
        Self(hasher.finalize_xof())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    pub(super) fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// A number from 0 to `limit - 1`; 0 if `limit` is 0.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        self.word().checked_rem(limit).unwrap_or(0)
    }

    /// Whether something happens that happens once in `odds` times.
    pub(super) fn once_in(&mut self, odds: u32) -> bool {
        self.below(odds) == 0
    }

    /// One of `options`, which is not empty.
    pub(super) fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len() as u32) as usize]
    }
}
