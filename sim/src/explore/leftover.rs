//! What interrupted uploads leave in a slot, for update code that goes on with it.
//!
//! # What is told apart, and why that is sound
//! Code that goes on where flash proves it ([`Subject::resumes`](crate::subject::Subject::resumes)) reads
//! of a slot, before it erases what it reads:
//! - the start, to see whether it is that of the image which is offered. A slot whose first page is that
//!   of no image tells it no more than zeros do, and counts as such ([`Content::Junk`]);
//! - which sector of those that the image takes is the last one that is not blank. A cut may have torn
//!   that one, so nothing in it proves anything. Its bytes are not told apart: one torn sector stands
//!   for all, half of it as in the image and half of it zeros, to catch code that trusts it;
//! - at the end, all of the image, with its hash.
//!
//! What lies behind the longest image that starts as the slot does is not read; it counts as zeros. All
//! other sectors are kept as they are. That leaves one content for each sector of an image: the image
//! up to there. Some more come from images that start alike.
//!
//! # Why they are no part of a state
//! What stands in a slot that holds no image matters to nobody but the next update of that slot. A state
//! therefore says only whose upload was cut ([`Content::Partial`]), and the next update is tried on *all*
//! that cuts in such uploads have left in this slot, in any power cycle of the exploration. When
//! something new is left, the updates that were tried before are tried on that as well, until nothing new
//! is left. So no leftover is missed; some may be tried in company of select entries with which it
//! never occurs. That can only add findings, and those do not replay.

use super::outcome::Held;
use super::state::Content;
use super::world::World;
use crate::firmware::{Firmware, FirmwareId};
use crate::flash::{Digest, Memory, PAGE_SIZE, SECTOR_SIZE, Sector};
use ota_core::partition::Region;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Number of a slot's contents in an exploration.
pub(crate) type LeftoverId = u32;

/// What a slot holds, of all that uploads of an image leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holding {
    /// The slot, as a number of an application partition.
    pub(crate) partition: usize,
    /// The image.
    pub(crate) image: FirmwareId,
    pub(crate) id: LeftoverId,
}

/// All that uploads have left so far.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    known: RefCell<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sectors: Vec<Vec<Arc<Sector>>>,
    ids: HashMap<Digest, LeftoverId>,
    /// By partition and image.
    families: HashMap<(usize, FirmwareId), Vec<LeftoverId>>,
    /// What the upload that left each went on with.
    origins: HashMap<Holding, Option<Holding>>,
}

/// An image as it stands on flash, sector by sector.
pub(super) fn sectors_of(firmware: &Firmware) -> Vec<Arc<Sector>> {
    let sectors = firmware.bytes.chunks(SECTOR_SIZE).map(|bytes| {
        let mut sector = [0xFF; SECTOR_SIZE];
        sector[..bytes.len()].copy_from_slice(bytes);
        Sector::new(sector)
    });
    sectors.collect()
}

/// What stands for every torn sector in place of `whole`.
fn torn(whole: &Sector) -> Arc<Sector> {
    let mut bytes = *whole.bytes();
    bytes[SECTOR_SIZE / 2..].fill(0);
    Sector::new(bytes)
}

impl Leftovers {
    /// What a partition holds, with what an update may go on with.
    pub(crate) fn held(&self, world: &World<'_>, memory: &Memory, region: Region) -> Held {
        match world.content(memory, region) {
            Content::Junk if world.subject.resumes() => {
                match self.leftover(world, memory, region) {
                    Some(leftover) => Held::Leftover(leftover),
                    None => Held::Content(Content::Junk),
                }
            }
            content => Held::Content(content),
        }
    }

    fn leftover(&self, world: &World<'_>, memory: &Memory, region: Region) -> Option<LeftoverId> {
        let first = region.offset / SECTOR_SIZE as u32;
        let count = (world.dirty_size(region) / SECTOR_SIZE) as u32;
        let found: Vec<_> = (first..first + count).map(|index| memory.sector(index)).collect();
        let page = found.first()?.bytes().first_chunk::<PAGE_SIZE>();
        let blank = Sector::filled(0xFF).digest();
        let images = world.sectors().map(|(_, image)| image);
        let alike: Vec<_> =
            images.filter(|image| image[0].bytes().first_chunk::<PAGE_SIZE>() == page).collect();
        let last = |image: &[Arc<Sector>]| {
            let part = &found[..image.len().min(found.len())];
            part.iter().rposition(|sector| sector.digest() != blank)
        };
        let very_last = alike.iter().filter_map(|image| last(image)).max()?;
        let longest = alike.iter().map(|image| image.len()).max()?;
        let kept = found.iter().take(longest).map(|&sector| sector.clone());
        let behind = found.iter().skip(longest).map(|_| Sector::filled(0));
        let mut kept: Vec<_> = kept.chain(behind).collect();
        for image in &alike {
            let last = last(image)?;
            // A longer image may go on behind it, and then trust it.
            let whole = alike.iter().any(|image| {
                image.get(last).is_some_and(|sector| sector.digest() == found[last].digest())
            });
            if last == very_last || !whole {
                kept[last] = torn(&image[last]);
            }
        }
        Some(self.id(kept))
    }

    /// Puts what an upload left into a partition.
    pub(crate) fn put(&self, world: &World<'_>, memory: &mut Memory, holding: Holding) {
        let Some(region) = world.partitions().nth(holding.partition).flatten() else { return };
        let known = self.known.borrow();
        let first = region.offset / SECTOR_SIZE as u32;
        for (index, sector) in (first..).zip(&known.sectors[holding.id as usize]) {
            memory.replace(index, sector.clone());
        }
    }

    /// The number of these contents.
    pub(crate) fn id(&self, sectors: Vec<Arc<Sector>>) -> LeftoverId {
        let digests: Vec<_> = sectors.iter().map(|sector| sector.digest().0).collect();
        let mut known = self.known.borrow_mut();
        let Known { sectors: all, ids, .. } = &mut *known;
        *ids.entry(Digest::of([digests.as_flattened()])).or_insert_with(|| {
            all.push(sectors);
            all.len() as LeftoverId - 1
        })
    }

    /// Notes what a cut in an upload left, and what that upload went on with.
    pub(super) fn leave(&self, holding: Holding, before: Option<Holding>) {
        let Holding { partition, image, id } = holding;
        let mut known = self.known.borrow_mut();
        let Known { origins, families, .. } = &mut *known;
        origins.entry(holding).or_insert_with(|| {
            families.entry((partition, image)).or_default().push(id);
            before
        });
    }

    /// What was in the slot before each of the uploads that leave `holding`, the first upload first.
    pub(super) fn history(&self, holding: Holding) -> Vec<(Option<Holding>, Holding)> {
        let known = self.known.borrow();
        let mut history = Vec::new();
        let mut now = Some(holding);
        while let Some(holding) = now {
            now = known.origins.get(&holding).copied().flatten();
            history.push((now, holding));
        }
        history.reverse();
        history
    }

    /// Calls `tell` with all that uploads have left: in which partition, of which image, and what.
    pub(crate) fn each(&self, mut tell: impl FnMut(usize, FirmwareId, &[Arc<Sector>])) {
        let known = self.known.borrow();
        for (&(partition, image), ids) in &known.families {
            ids.iter().for_each(|&id| tell(partition, image, &known.sectors[id as usize]));
        }
    }

    /// Member number `index` of what cuts in uploads of `image` have left in a partition so far.
    pub(super) fn get(&self, partition: usize, image: FirmwareId, index: usize) -> Option<Holding> {
        let id = *self.known.borrow().families.get(&(partition, image))?.get(index)?;
        Some(Holding { partition, image, id })
    }
}
