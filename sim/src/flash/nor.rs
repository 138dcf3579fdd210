//! The chip behind the embedded-storage traits, as a driver presents it.

use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash, check_erase, check_read, check_write,
};

use std::sync::Arc;

use super::{BLOCK_SIZE, Chip, Encryption, EraseSize, FlashError, PAGE_SIZE, SECTOR_SIZE};

/// How a driver splits accesses into commands: the units that a power cut can separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Most bytes in one program command, 4 to 256, a multiple of 4. Commands never cross a page.
    pub program_bytes: u32,
    /// Whether aligned 64 KiB are erased with one block command instead of 16 sector commands.
    pub block_erase: bool,
}

impl Driver {
    /// A driver that uses whole pages and blocks.
    pub const PAGES: Self = Self { program_bytes: 256, block_erase: true };
    /// ESP-IDF's `spi_flash` driver in an application: 64 bytes, 64 KiB blocks (unless
    /// `SPI_FLASH_BYPASS_BLOCK_ERASE` is set).
    pub const ESP_IDF_APP: Self = Self { program_bytes: 64, block_erase: true };
    /// The ROM routines that ESP-IDF's bootloader calls: 32 bytes, 64 KiB blocks.
    pub const ESP_IDF_BOOTLOADER: Self = Self { program_bytes: 32, block_erase: true };

    /// Bytes of the first program command for data at `address`.
    fn chunk(self, address: u32) -> usize {
        let to_page_end = PAGE_SIZE - address as usize % PAGE_SIZE;
        to_page_end.min(self.program_bytes.clamp(4, PAGE_SIZE as u32) as usize & !3)
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::PAGES
    }
}

impl ErrorType for Chip {
    type Error = FlashError;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.check_power()?;
        check_read(self, offset, bytes.len())?;
        match self.encryption_at(offset) {
            None => self.read_bytes(offset, bytes),
            Some(encryption) => self.read_encrypted(&encryption, offset, bytes),
        }
    }

    fn capacity(&self) -> usize {
        self.part.capacity as usize
    }
}

impl NorFlash for Chip {
    // ESP chips write flash in words at least, and encrypted flash in more, which only a run can tell.
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.check_power()?;
        check_erase(self, from, to)?;
        let block = BLOCK_SIZE as u32;
        let mut at = from;
        while at < to {
            let whole = self.driver.block_erase && at.is_multiple_of(block) && to - at >= block;
            let size = if whole { EraseSize::Block64K } else { EraseSize::Sector4K };
            self.write_enable()?;
            self.erase_unit(size, at)?;
            self.finish(at)?;
            at += size.bytes(self.part.capacity);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.check_power()?;
        check_write(self, offset, bytes.len())?;
        if let Some(encryption) = self.encryption_at(offset) {
            return self.write_encrypted(&encryption, offset, bytes);
        }
        let driver = self.driver;
        self.program(offset, bytes, |at, left| left.min(driver.chunk(at)))
    }
}

/// Words may be written again as long as only bits are cleared.
impl MultiwriteNorFlash for Chip {}

impl Chip {
    fn encryption_at(&self, offset: u32) -> Option<Arc<Encryption>> {
        self.encryption.clone().filter(|encryption| encryption.covers(offset))
    }

    fn read_encrypted(
        &mut self,
        encryption: &Encryption,
        offset: u32,
        bytes: &mut [u8],
    ) -> Result<(), FlashError> {
        let skipped = offset as usize % Encryption::BLOCK_SIZE;
        let whole = (skipped + bytes.len()).next_multiple_of(Encryption::BLOCK_SIZE);
        let mut blocks = vec![0; whole];
        let start = offset - skipped as u32;
        self.read_bytes(start, &mut blocks)?;
        encryption.decrypt(start, &mut blocks);
        bytes.copy_from_slice(&blocks[skipped..skipped + bytes.len()]);
        Ok(())
    }

    fn write_encrypted(
        &mut self,
        encryption: &Encryption,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), FlashError> {
        let (block, row) = (Encryption::BLOCK_SIZE, Encryption::ROW_SIZE);
        if !(offset as usize).is_multiple_of(block) || !bytes.len().is_multiple_of(block) {
            return Err(FlashError::NotAligned);
        }
        let mut ciphertext = bytes.to_vec();
        encryption.encrypt(offset, &mut ciphertext);
        let whole_row = |at: u32, left| (at as usize).is_multiple_of(row) && left >= row;
        self.program(offset, &ciphertext, |at, left| if whole_row(at, left) { row } else { block })
    }

    /// Programs `bytes` in one operation after the other, of a length that depends on its address and on
    /// how many bytes are left.
    fn program(
        &mut self,
        offset: u32,
        bytes: &[u8],
        length: impl Fn(u32, usize) -> usize,
    ) -> Result<(), FlashError> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(length(at, rest.len()));
            self.write_enable()?;
            self.program_page(at, chunk)?;
            self.finish(at)?;
            at += chunk.len() as u32;
            rest = tail;
        }
        Ok(())
    }

    /// Waits for the operation at `address` and reads its status.
    fn finish(&mut self, address: u32) -> Result<(), FlashError> {
        self.wait_ready();
        if self.status()?.failed { Err(FlashError::WornOut { address }) } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "nor_tests.rs"]
mod tests;
