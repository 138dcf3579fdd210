//! One 4 KiB sector: its bytes and the physical condition of its cells.

use std::sync::{Arc, LazyLock, OnceLock};

use super::Digest;

/// Bytes in a page, the most that one program command can write.
pub const PAGE_SIZE: usize = 256;
/// Bytes in a sector, the least that one erase command can clear.
pub const SECTOR_SIZE: usize = 4096;
/// Bytes in a 64 KiB block, the largest erase unit below the chip.
pub const BLOCK_SIZE: usize = 64 * 1024;

/// What is wrong with the cells of a sector, as bit masks over its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Bits that read differently from read to read, until the next completed erase (fault F4).
    pub unstable: [u8; SECTOR_SIZE],
    /// Bits that read as stored now and may flip later, until the next completed erase (fault F5).
    pub weak: [u8; SECTOR_SIZE],
    /// Bits that stay 0 for ever, whatever is erased (fault F10).
    pub stuck: [u8; SECTOR_SIZE],
}

impl Condition {
    const HEALTHY: Self =
        Self { unstable: [0; SECTOR_SIZE], weak: [0; SECTOR_SIZE], stuck: [0; SECTOR_SIZE] };
}

/// The contents of a 4 KiB sector. Shared between memories until written.
#[derive(Debug)]
pub struct Sector {
    bytes: [u8; SECTOR_SIZE],
    condition: Option<Box<Condition>>,
    digest: OnceLock<Digest>,
}

impl Clone for Sector {
    fn clone(&self) -> Self {
        // A sector is cloned to be written: the digest would not survive.
        Self { bytes: self.bytes, condition: self.condition.clone(), digest: OnceLock::new() }
    }
}

impl Sector {
    /// The shared sector of that one byte value: 0xFF is an erased sector.
    #[must_use]
    pub fn filled(value: u8) -> Arc<Self> {
        static ERASED: LazyLock<Arc<Sector>> = LazyLock::new(|| Sector::new([0xFF; SECTOR_SIZE]));
        static ZERO: LazyLock<Arc<Sector>> = LazyLock::new(|| Sector::new([0; SECTOR_SIZE]));
        match value {
            0xFF => Arc::clone(&ERASED),
            0x00 => Arc::clone(&ZERO),
            other => Self::new([other; SECTOR_SIZE]),
        }
    }

    /// A healthy sector with these contents.
    #[must_use]
    pub fn new(bytes: [u8; SECTOR_SIZE]) -> Arc<Self> {
        Arc::new(Self { bytes, condition: None, digest: OnceLock::new() })
    }

    /// The stored bytes; cells that are unstable have a nominal value here.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SECTOR_SIZE] {
        &self.bytes
    }

    /// What is wrong with the cells, if anything.
    #[must_use]
    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_deref()
    }

    /// Digest of bytes and condition, computed once. Wear is not part of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            // Most metadata sectors are erased behind a short record: hash only up to the last
            // 64-byte line that is not erased. The rest follows from the fixed size.
            let (lines, _) = self.bytes.as_chunks::<64>();
            let used = lines.iter().rposition(|line| *line != [0xFF; 64]).map_or(0, |i| i + 1) * 64;
            match &self.condition {
                None => Digest::of([&self.bytes[..used]]),
                // Longer than any sector, so that no healthy content has the same input.
                Some(c) => {
                    Digest::of([&self.bytes[..], &c.unstable[..], &c.weak[..], &c.stuck[..]])
                }
            }
        })
    }

    /// The bytes, to be changed.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8; SECTOR_SIZE] {
        self.digest.take();
        &mut self.bytes
    }

    /// Changes the condition; one without any mark is dropped.
    pub(super) fn change_condition(&mut self, change: impl FnOnce(&mut Condition)) {
        self.digest.take();
        let mut condition =
            self.condition.take().unwrap_or_else(|| Box::new(Condition::HEALTHY.clone()));
        change(&mut condition);
        self.condition = (*condition != Condition::HEALTHY).then_some(condition);
    }

    /// The sector after a completed erase: all ones but for stuck bits.
    pub(super) fn erased(&self) -> Arc<Self> {
        let Some(stuck) =
            self.condition.as_ref().map(|c| &c.stuck).filter(|s| s.iter().any(|&b| b != 0))
        else {
            return Self::filled(0xFF);
        };
        let mut sector = Self::filled(0xFF).as_ref().clone();
        for (byte, stuck) in sector.bytes.iter_mut().zip(stuck) {
            *byte = !stuck;
        }
        sector.change_condition(|condition| condition.stuck = *stuck);
        Arc::new(sector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_tells_bytes_conditions_and_lengths_apart() {
        let erased = Sector::filled(0xFF);
        let mut one = erased.as_ref().clone();
        one.bytes_mut()[0] = 0xFE;
        let mut last = erased.as_ref().clone();
        last.bytes_mut()[4095] = 0xFE;
        let mut unstable = erased.as_ref().clone();
        unstable.change_condition(|c| c.unstable[0] = 1);
        let mut weak = erased.as_ref().clone();
        weak.change_condition(|c| c.weak[0] = 1);
        let all = [erased.digest(), one.digest(), last.digest(), unstable.digest(), weak.digest()];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{i}");
        }
    }

    #[test]
    fn a_written_sector_forgets_its_digest() {
        let mut sector = Sector::filled(0).as_ref().clone();
        let before = sector.digest();
        sector.bytes_mut()[9] = 1;
        assert_ne!(sector.digest(), before);
        sector.bytes_mut()[9] = 0;
        assert_eq!(sector.digest(), before);
    }

    #[test]
    fn a_completed_erase_heals_all_but_stuck_bits() {
        let mut sector = Sector::filled(0).as_ref().clone();
        sector.change_condition(|c| {
            c.unstable[1] = 0xFF;
            c.weak[2] = 0xFF;
        });
        assert!(Arc::ptr_eq(&sector.erased(), &Sector::filled(0xFF)));
        sector.change_condition(|c| c.stuck[3] = 0x81);
        let erased = sector.erased();
        assert_eq!(erased.bytes()[3], 0x7E);
        assert_eq!(erased.condition().map(|c| (c.unstable[1], c.stuck[3])), Some((0, 0x81)));
    }
}
