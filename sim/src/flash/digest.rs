//! 128-bit content digests.

use std::fmt;
use std::hash::{Hash, Hasher};

/// The first 128 bits of a BLAKE3 hash: the identity of flash contents.
///
/// 128 bits keep the chance of any collision among 10^9 states below 10^-20.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of the parts, one after the other without separators.
    #[must_use]
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.into()
    }

    /// The digest of what a value feeds to a hasher. It tells values of one type apart, not types.
    #[must_use]
    pub fn of_value(value: &impl Hash) -> Self {
        let mut state = State(blake3::Hasher::new());
        value.hash(&mut state);
        state.0.into()
    }
}

/// Hands on what is hashed, to be digested.
struct State(blake3::Hasher);

impl Hasher for State {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [low @ .., _, _, _, _, _, _, _, _] = Digest::from(self.0.clone()).0;
        u64::from_le_bytes(low)
    }
}

impl From<blake3::Hasher> for Digest {
    fn from(hasher: blake3::Hasher) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
