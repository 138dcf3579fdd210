//! Bounded reads of any alignment from NOR flash.

use core::fmt;

use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash, check_read};

use crate::esp_err;

/// Every read is a multiple of this many bytes, at a multiple of it: what the slowest common
/// denominator of ESP32 flash drivers (`spi_flash_read` of the mask ROM) asks for.
const ALIGN: usize = 4;

/// Bytes copied at once when the caller's range is not aligned.
const SCRATCH: usize = 64;

/// Why bytes could not be read from flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The range does not lie within the flash chip; nothing was read.
    OutOfBounds {
        /// First byte of the refused range.
        offset: u32,
        /// Length of the refused range in bytes.
        len: u32,
        /// Size of the flash chip in bytes.
        capacity: u64,
    },
    /// The flash driver failed.
    Flash {
        /// First byte of the range that was being read.
        offset: u32,
        /// What the driver reported.
        source: E,
    },
}

impl<E> ReadError<E> {
    /// The `esp_err_t` value that ESP-IDF returns in this case.
    pub fn esp_err(&self) -> Option<i32> {
        Some(match self {
            Self::OutOfBounds { .. } => esp_err::INVALID_SIZE,
            Self::Flash { .. } => esp_err::FLASH_OP_FAIL,
        })
    }
}

impl<E: fmt::Debug> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { offset, len, capacity } => write!(
                f,
                "{len} bytes at flash offset {offset:#x} do not lie within the flash of {capacity:#x} bytes"
            ),
            Self::Flash { offset, source } => {
                write!(f, "reading flash at offset {offset:#x} failed: {source:?}")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for ReadError<E> {}

/// Fills `buf` from flash at `offset`, whatever the alignment of either, and never touches bytes
/// beyond the capacity of the chip.
///
/// An aligned request goes straight to the driver in one call.
pub(crate) fn read_unaligned<F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
    buf: &mut [u8],
) -> Result<(), ReadError<F::Error>> {
    const { assert!(F::READ_SIZE.is_power_of_two() && F::READ_SIZE <= SCRATCH) }
    let align = const { if F::READ_SIZE > ALIGN { F::READ_SIZE } else { ALIGN } };

    let capacity = flash.capacity() as u64;
    let end = u64::from(offset) + buf.len() as u64;
    if end > capacity {
        // A buffer longer than `u32::MAX` cannot exist in a flash address space either.
        let len = u32::try_from(buf.len()).unwrap_or(u32::MAX);
        return Err(ReadError::OutOfBounds { offset, len, capacity });
    }
    let mut at = offset;
    let mut rest = buf;
    while !rest.is_empty() {
        let skip = at as usize % align;
        let whole = rest.len() - rest.len() % align;
        if skip == 0 && whole > 0 {
            let (now, later) = rest.split_at_mut(whole);
            read_aligned(flash, at, now)?;
            at = at.saturating_add(whole as u32);
            rest = later;
            continue;
        }
        let start = at - skip as u32;
        let mut scratch = [0; SCRATCH];
        let room = usize::try_from(capacity - u64::from(start)).unwrap_or(SCRATCH);
        let fetch = (skip + rest.len()).next_multiple_of(align).min(SCRATCH).min(room);
        let scratch = scratch.get_mut(..fetch).unwrap_or_default();
        read_aligned(flash, start, scratch)?;
        let wanted = scratch.get(skip..).unwrap_or_default();
        let take = wanted.len().min(rest.len());
        let (now, later) = rest.split_at_mut(take);
        now.copy_from_slice(wanted.get(..take).unwrap_or_default());
        at = at.saturating_add(take as u32);
        rest = later;
    }
    Ok(())
}

fn read_aligned<F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
    buf: &mut [u8],
) -> Result<(), ReadError<F::Error>> {
    flash.read(offset, buf).map_err(|source| ReadError::Flash { offset, source })
}

/// Reads `N` bytes at `offset`.
pub(crate) fn read_array<const N: usize, F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
) -> Result<[u8; N], ReadError<F::Error>> {
    let mut bytes = [0; N];
    read_unaligned(flash, offset, &mut bytes)?;
    Ok(bytes)
}

/// A byte slice as a read-only flash chip, so that the readers of this crate also work on files
/// and buffers.
///
/// ```
/// use ota_core::SliceFlash;
/// use ota_core::table::PartitionTable;
///
/// let file = [0xFF; 0xC00];
/// assert!(PartitionTable::load(&mut SliceFlash(&file), 0).is_err());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SliceFlash<'a>(
    /// The contents of the chip; byte 0 is flash offset 0.
    pub &'a [u8],
);

impl ErrorType for SliceFlash<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for SliceFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let start = offset as usize;
        let source = self.0.get(start..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(source.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A chip that takes aligned words alone, like the mask ROM's read routine.
    struct Words<'a>(&'a [u8]);

    impl ErrorType for Words<'_> {
        type Error = NorFlashErrorKind;
    }

    impl ReadNorFlash for Words<'_> {
        const READ_SIZE: usize = 4;

        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
            check_read(self, offset, bytes.len())?;
            SliceFlash(self.0).read(offset, bytes)
        }

        fn capacity(&self) -> usize {
            self.0.len()
        }
    }

    proptest! {
        #[test]
        fn any_range_reads_like_a_slice(offset in 0u32..400, len in 0usize..400) {
            let contents: Vec<u8> = (0..320).map(|i| i as u8 ^ (i >> 8) as u8).collect();
            let mut buf = std::vec![0; len];
            let result = read_unaligned(&mut Words(&contents), offset, &mut buf);
            match contents.get(offset as usize..offset as usize + len) {
                Some(expected) => prop_assert_eq!((result, buf.as_slice()), (Ok(()), expected)),
                None => {
                    let len = len as u32;
                    let error = ReadError::OutOfBounds { offset, len, capacity: 320 };
                    prop_assert_eq!(result, Err(error));
                }
            }
        }
    }

    #[test]
    fn the_last_odd_bytes_of_a_slice_are_readable() {
        let mut buf = [0; 3];
        read_unaligned(&mut SliceFlash(b"0123456"), 4, &mut buf).unwrap();
        assert_eq!(buf, *b"456");
    }
}
