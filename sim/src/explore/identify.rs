//! What a partition holds, as far as anything that runs can tell.

use super::state::Content;
use super::world::World;
use crate::firmware::FirmwareId;
use crate::flash::{Memory, SECTOR_SIZE};
use ota_core::image::{self, Header};
use ota_core::partition::Region;

impl World<'_> {
    /// What a partition holds as the bootloader sees it. Remembered by digest, as verdicts are.
    pub(crate) fn content(&self, memory: &Memory, region: Region) -> Content {
        let key = (region.offset, memory.digest(region.offset..region.offset + region.size));
        if let Some(&known) = self.identified.borrow().get(&key) {
            return known;
        }
        let content = self.identify(memory, region);
        self.identified.borrow_mut().insert(key, content);
        content
    }

    fn identify(&self, memory: &Memory, region: Region) -> Content {
        // Where an image stands twice in the list, the first is the one in factory.
        let mut ids = 0..self.firmware.len();
        let found = match self.layout.apps().factory() == Some(region) {
            true => ids.find(|&id| self.holds(memory, region, id)),
            false => ids.rfind(|&id| self.holds(memory, region, id)),
        };
        if found.is_none() && self.reductions.hashes && self.hash_protects(memory, region) {
            return self.junk(memory, region);
        }
        let chip = || self.chip(memory.clone());
        match (self.verdicts.verdict(memory, region, chip), found) {
            (None, _) => self.junk(memory, region),
            (Some(_), Some(id)) => Content::Firmware(id as FirmwareId),
            (Some(_), None) => Content::Unknown,
        }
    }

    /// Contents that do not verify.
    fn junk(&self, memory: &Memory, region: Region) -> Content {
        if self.reductions.contents {
            return self.described(memory, region);
        }
        let first = region.offset / SECTOR_SIZE as u32;
        let sectors = first..first + region.size / SECTOR_SIZE as u32;
        let mut exact = self.exact.borrow_mut();
        exact.push(sectors.map(|index| memory.sector(index).clone()).collect());
        Content::Exact(exact.len() as u32 - 1)
    }

    /// What stands for contents that do not verify. Under anti-rollback the bootloader reads the security
    /// version before it verifies an image.
    pub(super) fn described(&self, memory: &Memory, region: Region) -> Content {
        if self.bootloader.anti_rollback.is_none() {
            return Content::Junk;
        }
        let mut chip = self.chip(memory.clone());
        let description = image::describe(&mut chip, region);
        description
            .map_or(Content::Junk, |it| Content::Described(self.comparable(it.secure_version)))
    }

    /// Puts what [`Content::Exact`] numbers into a partition.
    pub(super) fn put_exact(&self, memory: &mut Memory, region: Region, id: u32) {
        let first = region.offset / SECTOR_SIZE as u32;
        let exact = self.exact.borrow();
        for (index, sector) in (first..).zip(exact.get(id as usize).into_iter().flatten()) {
            memory.replace(index, sector.clone());
        }
    }

    /// Whether a partition holds a firmware byte for byte.
    fn holds(&self, memory: &Memory, region: Region, id: usize) -> bool {
        let bytes = self.stored(region, id);
        let first = region.offset / SECTOR_SIZE as u32;
        // Most contents are those of an upload that is not complete: the end tells soonest.
        let mut sectors = bytes.chunks(SECTOR_SIZE).enumerate().rev();
        bytes.len() <= region.size as usize
            && sectors.all(|(index, bytes)| {
                memory.sector(first + index as u32).bytes().starts_with(bytes)
            })
    }

    /// Whether contents that are none of the images cannot verify: their header says that they end with a
    /// SHA-256. All that is ever written to a partition is torn parts of the images, so to match it they
    /// would have to collide with it. The explorer takes it that they do not, and verifies in full only
    /// what has a header without a hash.
    fn hash_protects(&self, memory: &Memory, region: Region) -> bool {
        let bytes: [_; 32] = self.read(memory, region.offset);
        bytes.first_chunk().and_then(Header::parse).is_none_or(|header| header.hash_appended != 0)
    }
}
