//! A flash chip and images of which nothing is known: a theorem says what [`read`] and its like do.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use std::hint::black_box;

/// The chip; its size is not known either.
pub(crate) struct Chip {
    pub(crate) capacity: usize,
}

/// What an operation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error that the chip reports.
    Reported,
    /// Power is gone.
    Power,
}

/// The simulator's flash error, which the bootloader model knows.
#[allow(dead_code, reason = "the chip here has errors of its own")]
pub(crate) enum FlashError {
    PowerLost,
}

/// What a theorem replaces returns 0 for success, 1 for an error that the chip reports, and 2 if power is gone.
fn outcome(code: u8) -> Result<(), Fault> {
    match code {
        0 => Ok(()),
        1 => Err(Fault::Reported),
        _ => Err(Fault::Power),
    }
}

/// The addresses of the functions, so that they are called as any other function could call them.
pub(crate) fn exported() -> [*const (); 3] {
    [chip_read as *const (), chip_erase as *const (), chip_write as *const ()]
}

#[inline(never)]
extern "C" fn chip_read(offset: u32, bytes: *mut u8, len: usize) -> u8 {
    black_box((offset, bytes, len, 1)).3
}

#[inline(never)]
extern "C" fn chip_erase(from: u32, to: u32) -> u8 {
    black_box((from, to, 2)).2
}

#[inline(never)]
extern "C" fn chip_write(offset: u32, bytes: *const u8, len: usize) -> u8 {
    black_box((offset, bytes, len, 3)).3
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Chip {
    type Error = Fault;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        outcome(chip_read(offset, bytes.as_mut_ptr(), bytes.len()))
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 0x1000;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        outcome(chip_erase(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        outcome(chip_write(offset, bytes.as_ptr(), bytes.len()))
    }
}
