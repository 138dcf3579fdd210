//! A flash chip of which nothing is known: a theorem says what reading it does.

use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind, ReadNorFlash};
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

/// What a theorem replaces returns 0 for success, 1 for an error that the chip reports, and 2 if power is gone.
fn outcome(code: u8) -> Result<(), Fault> {
    match code {
        0 => Ok(()),
        1 => Err(Fault::Reported),
        _ => Err(Fault::Power),
    }
}

/// The address of the function, so that it is called as any other function could call it.
pub(crate) fn exported() -> [*const (); 1] {
    [chip_read as *const ()]
}

#[inline(never)]
extern "C" fn chip_read(offset: u32, bytes: *mut u8, len: usize) -> u8 {
    black_box((offset, bytes, len, 1)).3
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
