//! What verification says of images, remembered.

use crate::bootloader::ImageCheck;
use crate::flash::{Chip, Digest, Memory};
use ota_core::image::{self, ImageInfo, Requirements};
use ota_core::partition::Region;
use std::cell::RefCell;
use std::collections::HashMap;

/// Remembers what verification said of contents, by their digest: the same bytes verify alike.
#[derive(Debug)]
pub(super) struct Verdicts {
    pub(super) requirements: Requirements,
    known: RefCell<HashMap<(u32, Digest), Option<ImageInfo>>>,
}

impl Verdicts {
    pub(super) fn new(requirements: Requirements) -> Self {
        Self { requirements, known: RefCell::default() }
    }

    pub(super) fn verdict(
        &self,
        memory: &Memory,
        region: Region,
        chip: impl FnOnce() -> Chip,
    ) -> Option<ImageInfo> {
        let range = region.offset..region.offset + region.size;
        let key = (region.offset, memory.digest(range));
        if let Some(&known) = self.known.borrow().get(&key) {
            return known;
        }
        let verdict = image::verify(&mut chip(), region, &self.requirements).ok();
        self.known.borrow_mut().insert(key, verdict);
        verdict
    }
}

impl ImageCheck<Chip> for &Verdicts {
    fn check(&mut self, chip: &mut Chip, region: Region) -> Option<ImageInfo> {
        let memory = chip.memory().clone();
        self.verdict(&memory, region, || chip.fork(memory.clone()))
    }
}
