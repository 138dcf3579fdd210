//! Flash contents as they are generated.

use super::bootloader::RealBootloader;
use super::dice::Dice;
use super::{image, otadata, table};
use ota_core::otadata::SECTOR_SIZE;
use sim::flash::{Memory, Part};

/// The flash chip of the board.
pub(super) const PART: Part = Part::W25Q32JV;
/// Where the partition table stands.
const TABLE_OFFSET: u32 = ota_core::table::DEFAULT_OFFSET;
/// Where partitions begin.
const FIRST: u32 = 0x9000;

/// Flash contents for one boot.
#[derive(Clone, Debug)]
pub struct FlashState {
    /// The number that it follows from, together with the seed.
    pub index: u64,
    /// What is special about the partition table.
    pub table: &'static str,
    /// What is special about the select entries; empty if there is no otadata.
    pub entries: Vec<&'static str>,
    /// What is special about the images, and where each stands.
    pub images: Vec<(u32, &'static str)>,
    /// Flash size in the header of the bootloader's image.
    pub spi_size: u8,
    /// The contents.
    pub memory: Memory,
}

impl FlashState {
    /// The contents number `index` of the sequence that follows from `seed`, with that bootloader.
    pub fn generate(seed: u64, index: u64, bootloader: &RealBootloader) -> Self {
        let mut dice = Dice::new(seed, index);
        let table = table::table(&mut dice);
        let mut memory = Memory::erased(PART.capacity);
        let mut images = Vec::new();
        for entry in table.entries.iter().filter(|entry| entry.is_app()) {
            // Most partitions hold an image.
            if dice.once_in(8) {
                continue;
            }
            let (class, bytes) = image::image(&mut dice, entry.region);
            if place(&mut memory, entry.region.offset, &bytes) {
                images.push((entry.region.offset, class));
            }
        }
        let mut entries = Vec::new();
        for partition in table.entries.iter().filter(|entry| entry.is_otadata()) {
            for (sector, (class, bytes)) in (0..).zip(otadata::entries(&mut dice)) {
                let at = partition.region.offset.saturating_add(sector * SECTOR_SIZE);
                if place(&mut memory, at, &bytes) {
                    entries.push(class);
                }
            }
        }
        memory.set(TABLE_OFFSET, &table.bytes);
        memory.set(0, &bootloader.image(table.spi_size));
        let (table, spi_size) = (table.class, table.spi_size);
        Self { index, table, entries, images, spi_size, memory }
    }
}

/// Puts bytes where partitions are; whether they fit.
fn place(memory: &mut Memory, offset: u32, bytes: &[u8]) -> bool {
    let room = memory.capacity().checked_sub(offset).filter(|_| offset >= FIRST);
    let fits = room.is_some_and(|room| bytes.len() as u32 <= room);
    if fits {
        memory.set(offset, bytes);
    }
    fits
}
