//! Reading an image from front to back.

use embedded_storage::nor_flash::ReadNorFlash;
use sha2::{Digest, Sha256};

use super::ImageError;
use crate::partition::Region;
use crate::read::read_unaligned;

/// Bytes read at once. A multiple of the SHA-256 block, so that hashing needs no copies.
const WINDOW: usize = 256;

/// Bytes of an image, each read exactly once and hashed as it passes: what is checked is what was
/// hashed, even if unstable flash would read differently a second time.
pub(super) struct Stream<'f, F: ReadNorFlash> {
    flash: &'f mut F,
    region: Region,
    /// Offset of the next byte from the start of the image.
    at: u32,
    /// The bytes around `at`: those with the same `at / WINDOW`.
    window: [u8; WINDOW],
    hasher: Option<Sha256>,
    /// The first error.
    ///
    /// It stays here, and the functions that met it return [`Refused`] without it: handing it up
    /// costs every caller its many bytes in code and stack.
    verdict: Result<(), ImageError<F::Error>>,
}

/// Something is wrong with the image; the [`Stream`] knows what.
pub(super) struct Refused;

impl<'f, F: ReadNorFlash> Stream<'f, F> {
    pub(super) fn new(flash: &'f mut F, region: Region) -> Self {
        let hasher = Some(Sha256::new());
        Self { flash, region, at: 0, window: [0; WINDOW], hasher, verdict: Ok(()) }
    }

    /// Records what is wrong with the image.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&mut self, error: ImageError<F::Error>) -> Refused {
        self.verdict = Err(error);
        Refused
    }

    /// What was wrong with the image.
    pub(super) fn verdict(self) -> Result<(), ImageError<F::Error>> {
        self.verdict
    }

    /// Offset of the next byte from the start of the image.
    pub(super) fn at(&self) -> u32 {
        self.at
    }

    /// Flash offset of the image.
    pub(super) fn image_offset(&self) -> u32 {
        self.region.offset
    }

    /// Flash offset of the next byte.
    pub(super) fn flash_offset(&self) -> u32 {
        self.region.offset.saturating_add(self.at)
    }

    /// Fails unless the next `len` bytes lie in the region.
    pub(super) fn check_room(&mut self, len: u32) -> Result<(), Refused> {
        let len = self.at.saturating_add(len);
        if len > self.region.size {
            return Err(self.refuse(ImageError::TooLong { len, size: self.region.size }));
        }
        Ok(())
    }

    /// Takes at least one and at most `max` bytes; the caller has checked that there is room.
    pub(super) fn next(&mut self, max: u32) -> Result<&[u8], Refused> {
        let start = self.at as usize % WINDOW;
        if start == 0 {
            self.fill()?;
        }
        let len = (WINDOW - start).min(max as usize);
        self.at = self.at.saturating_add(len as u32);
        let bytes = self.window.get(start..start + len).unwrap_or_default();
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(bytes)
    }

    fn fill(&mut self) -> Result<(), Refused> {
        let len = self.region.size.saturating_sub(self.at).min(WINDOW as u32);
        let window = self.window.get_mut(..len as usize).unwrap_or_default();
        read_unaligned(self.flash, self.region.offset.saturating_add(self.at), window)
            .map_err(|error| self.refuse(ImageError::Read(error)))
    }

    /// Takes as many bytes as `rest` has, into it.
    #[inline(never)]
    pub(super) fn take(&mut self, mut rest: &mut [u8]) -> Result<(), Refused> {
        self.check_room(rest.len() as u32)?;
        while !rest.is_empty() {
            let from = self.next(rest.len() as u32)?;
            for (to, from) in rest.iter_mut().zip(from) {
                *to = *from;
            }
            let len = from.len();
            rest = rest.get_mut(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// The bytes at `offset` from the start of the image if they are in memory.
    pub(super) fn peek<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let base = self.at - self.at % WINDOW as u32;
        let start = offset.checked_sub(base)?;
        let filled = self.region.size.saturating_sub(base).min(WINDOW as u32);
        self.window.get(..filled as usize)?.get(start as usize..)?.first_chunk().copied()
    }

    /// Stops hashing and forgets what was hashed.
    pub(super) fn stop_hashing(&mut self) {
        self.hasher = None;
    }

    /// Stops hashing and returns the SHA-256 of all bytes taken, unless hashing was stopped before.
    pub(super) fn finish_hash(&mut self) -> Option<[u8; 32]> {
        self.hasher.take().map(|hasher| hasher.finalize().into())
    }
}

/// XOR of all bytes.
pub(super) fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}
