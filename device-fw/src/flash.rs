//! The flash chip, as the update code sees it.

use core::cell::RefCell;

use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use esp_storage::{FlashStorage, FlashStorageError};

use crate::watchdog::Watchdog;

/// The flash chip. Every flash operation of the firmware goes through here, and each one counts as a
/// sign of life: erasing a slot takes longer than the watchdog waits, but [`Traced`](update_agent::Traced)
/// erases sector by sector.
pub struct Flash<'a> {
    storage: FlashStorage<'static>,
    watchdog: &'a RefCell<Watchdog>,
}

impl<'a> Flash<'a> {
    /// Takes over the flash chip.
    pub fn new(storage: FlashStorage<'static>, watchdog: &'a RefCell<Watchdog>) -> Self {
        Self { storage, watchdog }
    }

    fn access(&mut self) -> &mut FlashStorage<'static> {
        self.watchdog.borrow_mut().feed();
        &mut self.storage
    }
}

impl ErrorType for Flash<'_> {
    type Error = FlashStorageError;
}

impl ReadNorFlash for Flash<'_> {
    const READ_SIZE: usize = FlashStorage::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.access().read_nor(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.storage.capacity()
    }
}

impl NorFlash for Flash<'_> {
    const WRITE_SIZE: usize = FlashStorage::WRITE_SIZE;
    const ERASE_SIZE: usize = FlashStorage::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.access().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.access().write_nor(offset, bytes)
    }
}

impl MultiwriteNorFlash for Flash<'_> {}
