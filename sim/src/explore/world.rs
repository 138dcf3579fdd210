//! What stays the same during an exploration.

use super::cycle::Request;
use super::encrypted::Encrypted;
use super::leftover::sectors_of;
use super::reductions::Reductions;
use super::spec::{Broken, Candidates, Spec, Trial, Usage};
use super::state::{Content, Contents};
use super::verdicts::Verdicts;
use crate::bootloader::Bootloader;
use crate::firmware::{Firmware, FirmwareId};
use crate::flash::{Chip, Digest, Memory, Part, Sector};
use crate::layout::{Layout, TABLE_OFFSET};
use crate::subject::{Failure, Subject};
use ota_core::image::Requirements;
use ota_core::partition::{App, Region};
use ota_core::table::BootTable;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// A device, its firmware images and the update code on it.
#[derive(Debug)]
pub struct World<'a> {
    /// The partitions.
    pub layout: &'a Layout,
    /// The bootloader.
    pub bootloader: Bootloader,
    /// What the update code demands of an image. The bootloader demands the same, but for
    /// [`strict`](Requirements::strict).
    pub requirements: Requirements,
    /// The images: the first is what the device leaves the factory with; the others are offered as
    /// updates, in turn, and so is the first where there is no factory partition to keep it. An image
    /// that stands in the list twice is told apart by where it runs: in factory or in a slot.
    pub firmware: &'a [Firmware],
    /// The update code under test.
    pub subject: &'a dyn Subject,
    /// The flash part.
    pub part: Part,
    pub(super) table: BootTable,
    /// What sequence numbers are alike modulo.
    pub(super) seq_modulus: u32,
    offers: Vec<FirmwareId>,
    pub(super) verdicts: Verdicts,
    pub(super) reductions: Reductions,
    pub(super) encryption: Option<Encrypted>,
    pub(super) identified: RefCell<HashMap<(u32, Digest), Content>>,
    /// What [`Content::Exact`] numbers.
    pub(super) exact: RefCell<Vec<Vec<Arc<Sector>>>>,
    pub(super) shipped: RefCell<HashMap<Contents, Memory>>,
    sectors: Vec<Vec<Arc<Sector>>>,
}

/// Why a device cannot be explored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// The bootloader refuses the partition table.
    #[error("the bootloader refuses the partition table: {0}")]
    Table(String),
    /// An image does not fit.
    #[error("image {name} has {length} bytes, the smallest slot of {layout} only {available}")]
    TooLarge {
        /// The image.
        name: String,
        /// Its length in bytes.
        length: u32,
        /// The layout.
        layout: String,
        /// Bytes in the smallest slot.
        available: u32,
    },
    /// The update code would not start on it.
    #[error("{subject} refuses the partition table of {layout}: {reason}")]
    Refused {
        /// The update code.
        subject: &'static str,
        /// The layout.
        layout: String,
        /// Why.
        reason: String,
    },
    /// There must be another image to update to, from each.
    #[error("the images must differ: two, and with a factory partition two besides the one in it")]
    TooFewImages,
    /// ESP-IDF's anti-rollback does not support a factory application.
    #[error(
        "anti-rollback goes with slots alone, and {0} has a factory application: choose another layout"
    )]
    FactoryUnderAntiRollback(String),
    /// Update code that goes on with interrupted uploads is not explored under anti-rollback.
    #[error(
        "{0} goes on with interrupted uploads, which is not explored under anti-rollback: choose other update code"
    )]
    ResumesUnderAntiRollback(&'static str),
    /// The update code cannot run on encrypted flash.
    #[error("{subject} cannot run with flash encryption: {reason}")]
    PlainOnly {
        /// The update code.
        subject: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// There are too many images to tell apart.
    #[error("{0} images are too many, expected at most {max}", max = Candidates::MAX)]
    TooManyImages(usize),
}

/// What is expected of an application before a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) spec: Spec,
    /// Security version in eFuse.
    pub(crate) required: u32,
    /// The image that runs.
    pub(crate) running: FirmwareId,
}

/// The images that are offered as updates, each once: all but the one in factory.
fn offers(firmware: &[Firmware], has_factory: bool) -> Vec<FirmwareId> {
    let last =
        |id: usize| !firmware[id + 1..].iter().any(|later| later.bytes == firmware[id].bytes);
    let ids = usize::from(has_factory)..firmware.len();
    ids.filter(|&id| last(id)).map(|id| id as FirmwareId).collect()
}

/// The least common multiple of two counts, without those that are 0.
fn common_multiple(one: u32, other: u32) -> u32 {
    let [one, other] = [one, other].map(|count| count.max(1));
    let (mut divisor, mut rest) = (one, other);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    one / divisor * other
}

impl<'a> World<'a> {
    /// Puts `subject` on a device.
    ///
    /// # Errors
    /// [`WorldError`] when image, layout and bootloader do not go together.
    pub fn new(
        layout: &'a Layout,
        bootloader: Bootloader,
        requirements: Requirements,
        firmware: &'a [Firmware],
        subject: &'a dyn Subject,
        part: Part,
    ) -> Result<Self, WorldError> {
        if let Some(reason) = subject.refusal(layout) {
            let (subject, layout) = (subject.name(), layout.name().into());
            return Err(WorldError::Refused { subject, layout, reason });
        }
        let apps = layout.apps();
        let offers = offers(firmware, apps.factory().is_some());
        if offers.len() < 2 {
            return Err(WorldError::TooFewImages);
        }
        if bootloader.anti_rollback.is_some() && apps.factory().is_some() {
            return Err(WorldError::FactoryUnderAntiRollback(layout.name().into()));
        }
        if bootloader.anti_rollback.is_some() && subject.resumes() {
            return Err(WorldError::ResumesUnderAntiRollback(subject.name()));
        }
        if firmware.len() > Candidates::MAX {
            return Err(WorldError::TooManyImages(firmware.len()));
        }
        let partitions = apps.slots().chain(apps.factory());
        let available = partitions.map(|region| region.size).min().unwrap_or(0);
        if let Some(image) = firmware.iter().find(|image| image.info.len > available) {
            return Err(WorldError::TooLarge {
                name: image.name.clone(),
                length: image.info.len,
                layout: layout.name().into(),
                available,
            });
        }
        let mut memory = Memory::erased(part.capacity);
        memory.set(TABLE_OFFSET, layout.table());
        let mut chip = Chip::with_memory(part, memory);
        let chip_size = bootloader.generation.chip_size(bootloader.spi_size);
        let table = BootTable::load(&mut chip, TABLE_OFFSET, chip_size, bootloader.generation)
            .map_err(|error| WorldError::Table(error.to_string()))?;
        let sectors = offers.iter().map(|&id| sectors_of(&firmware[usize::from(id)])).collect();
        let seq_modulus = common_multiple(table.app_count(), apps.unbroken_count().into());
        let verdicts = Verdicts::new(Requirements { strict: false, ..requirements });
        Ok(Self {
            layout,
            bootloader,
            requirements,
            firmware,
            subject,
            part,
            table,
            seq_modulus,
            offers,
            verdicts,
            reductions: Reductions::ALL,
            encryption: None,
            identified: RefCell::default(),
            exact: RefCell::default(),
            shipped: RefCell::default(),
            sectors,
        })
    }

    /// The same device, explored with these reductions alone.
    #[must_use]
    pub fn with_reductions(self, reductions: Reductions) -> Self {
        Self { reductions, ..self }
    }

    /// The firmware that is offered to a device that runs `running`: the next update in turn that is not
    /// too old for `required`, the security version in eFuse.
    pub fn offered(&self, running: FirmwareId, required: u32) -> FirmwareId {
        let offers = self.in_turn(running);
        let new_enough = |&&id: &&FirmwareId| !self.is_too_old(id, required);
        *offers.iter().find(new_enough).unwrap_or(&offers[0])
    }

    /// Whether anti-rollback keeps an image from running.
    pub(crate) fn is_too_old(&self, firmware: FirmwareId, required: u32) -> bool {
        self.bootloader.anti_rollback.is_some() && self.secure_version(firmware) < required
    }

    /// All firmware that may be offered to a device that runs `running`, the next in turn first.
    fn in_turn(&self, running: FirmwareId) -> Vec<FirmwareId> {
        let at = self.offers.iter().position(|&id| id == running);
        let (before, after) = self.offers.split_at(at.map_or(0, |at| at + 1));
        let turn = after.iter().chain(before).copied();
        turn.filter(|&id| id != running).collect()
    }

    /// The images that are offered as updates, as they stand on flash.
    pub(crate) fn sectors(&self) -> impl Iterator<Item = (FirmwareId, &[Arc<Sector>])> {
        self.offers.iter().copied().zip(self.sectors.iter().map(Vec::as_slice))
    }

    /// The application partitions in the order of [`Contents`].
    pub(crate) fn partitions(&self) -> impl Iterator<Item = Option<Region>> + '_ {
        let apps = self.layout.apps();
        std::iter::once(apps.factory()).chain(apps.numbered_slots())
    }

    /// Whether an application there can be offered updates. One in the only slot cannot replace itself: where
    /// there is a factory application, it returns to that, which takes the update.
    pub(crate) fn takes_updates(&self, running: App) -> bool {
        let apps = self.layout.apps();
        running == App::Factory || apps.factory().is_none() || apps.slot_count() > 1
    }

    /// The security version of an image.
    fn secure_version(&self, firmware: FirmwareId) -> u32 {
        self.firmware[usize::from(firmware)].info.secure_version.unwrap_or(0)
    }

    /// What stands for a security version: only that of an image matters, one more than that of all images,
    /// and one that does not fit eFuse.
    pub(super) fn comparable(&self, version: u32) -> u32 {
        let field_bits = self.bootloader.anti_rollback.map_or(0, |config| config.field_bits);
        let versions = (0..self.firmware.len()).map(|id| self.secure_version(id as FirmwareId));
        let greatest = versions.max().unwrap_or(0);
        if version > field_bits { u32::MAX } else { version.min(greatest.saturating_add(1)) }
    }

    /// The security versions that a torn description is tried with.
    pub(super) fn comparable_versions(&self) -> Vec<u32> {
        let field_bits = self.bootloader.anti_rollback.map_or(0, |config| config.field_bits);
        let mut versions: Vec<_> =
            (0..=field_bits).map(|version| self.comparable(version)).collect();
        versions.dedup();
        versions
    }

    /// How the result of a call counts, with `required` in eFuse: not, where update code may refuse.
    pub(crate) fn failure(
        &self,
        request: Request,
        result: &Result<(), Failure>,
        spec: Spec,
        required: u32,
    ) -> Option<Broken> {
        let message = result.as_ref().err()?;
        let too_old = request.offered().is_some_and(|id| self.is_too_old(id, required));
        (!too_old && !spec.may_refuse(request)).then(|| Broken::failed(request.call(), message))
    }

    /// What to expect after a call. An image that is refused as too old is not selected, whatever was written.
    pub(crate) fn expected_after(
        &self,
        request: Request,
        success: bool,
        wrote: bool,
        Expected { spec, required, running }: Expected,
    ) -> Spec {
        let too_old = request.offered().is_some_and(|id| self.is_too_old(id, required));
        match spec.trial {
            _ if success => spec.after(request, running),
            Trial::None | Trial::Running(_) if too_old => spec,
            _ => spec.after_failure(request, wrote),
        }
    }

    /// The calls that an application which runs may make next. Where an update may go on with what another
    /// one left, or the next in turn may be too old, all are offered.
    pub(crate) fn requests(
        &self,
        usage: Usage,
        spec: &Spec,
        running: App,
        firmware: FirmwareId,
    ) -> Vec<Request> {
        let mut offers = self.in_turn(firmware);
        let in_turn = !self.subject.resumes() && self.bootloader.anti_rollback.is_none();
        if usage == Usage::Usual && in_turn {
            offers.truncate(1);
        }
        let mut requests = vec![Request::Confirm, Request::Reject];
        if self.takes_updates(running) {
            requests.extend(offers.into_iter().map(Request::Update));
        }
        if running != App::Factory && self.layout.apps().factory().is_some() {
            requests.push(Request::SelectFactory);
        }
        requests.retain(|&request| spec.allows(request, usage));
        requests
    }
}
