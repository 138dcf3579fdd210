//! Reproducible randomness.

/// A stream of pseudo-random bits that depends on its seed alone.
///
/// It is BLAKE3 in extendable-output mode: the specification fixes every bit, so a replay gives
/// the same faults on any machine and with any later version of the library.
#[derive(Clone)]
pub(crate) struct Noise {
    stream: blake3::OutputReader,
}

impl Noise {
    /// The stream number `stream` of a seed; different streams are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(&stream.to_le_bytes());
        Self { stream: hasher.finalize_xof() }
    }

    /// Fills `bytes` with random bits.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.stream.fill(bytes);
    }

    /// 32 random bits.
    pub(crate) fn word(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A number below `bound`, which must not be 0. The bias of the remainder is below 2^-32.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % u64::from(bound)) as u32
    }

    /// True with probability `per_million` in 1,000,000.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < per_million
    }
}

impl std::fmt::Debug for Noise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Noise").field("position", &self.stream.position()).finish()
    }
}
