//! What stays the same during an exploration, and how one power cycle runs in it.

use super::cycle::Request;
use super::encrypted::Encrypted;
use super::genuine::{Selection, check_selections};
use super::hit::content_of;
use super::leftover::sectors_of;
use super::reductions::Reductions;
use super::spec::{Booted, Broken, Candidates, Spec, Trial, Usage};
use super::state::{Content, Contents};
use super::verdicts::Verdicts;
use super::wear::check_wear;
use crate::bootloader::{Boot, BootInput, Bootloader, Choice, Event, FullCheck, ImageCheck};
use crate::firmware::{Firmware, FirmwareId};
use crate::flash::{Chip, Digest, Driver, FlashError, Memory, Part, Recorded, SECTOR_SIZE, Sector};
use crate::layout::{Layout, TABLE_OFFSET};
use crate::subject::{Call, Device, Failure, Observer, Subject, Unobserved};
use ota_core::image::{self, Header, Requirements};
use ota_core::partition::{App, Region};
use ota_core::table::BootTable;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
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
    table: BootTable,
    /// What sequence numbers are alike modulo.
    pub(super) seq_modulus: u32,
    offers: Vec<FirmwareId>,
    verdicts: Verdicts,
    pub(super) reductions: Reductions,
    pub(super) encryption: Option<Encrypted>,
    identified: RefCell<HashMap<(u32, Digest), Content>>,
    /// What [`Content::Exact`] numbers.
    exact: RefCell<Vec<Vec<Arc<Sector>>>>,
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

/// What a run of the bootloader did.
#[derive(Debug)]
pub struct BootRun {
    /// What it came to.
    pub boot: Boot,
    /// Every step, if asked for.
    pub events: Vec<Event>,
    /// Its flash operations.
    pub recorded: Vec<Recorded>,
    /// Flash afterwards.
    pub memory: Memory,
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

/// What a call of the application did.
#[derive(Debug)]
pub struct CallRun {
    /// Which call.
    pub request: Request,
    /// What it reported.
    pub result: Result<(), Failure>,
    /// Its operations, as a range of all operations of the application in this power cycle.
    pub operations: Range<usize>,
    /// Security version in eFuse before it.
    pub required: u32,
    /// Security version in eFuse afterwards.
    pub secure_version: u32,
    /// Flash afterwards.
    pub memory: Memory,
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

impl CallRun {
    /// The invariants that the call broke, whatever is expected. `recorded` are the operations of the
    /// application in this power cycle.
    pub(crate) fn broken(&self, world: &World<'_>, recorded: &[Recorded]) -> Vec<Broken> {
        let recorded = &recorded[self.operations.clone()];
        let call = self.request.call();
        let wear = check_wear(world, call, recorded.iter().map(|done| &done.operation));
        let first = recorded.first().filter(|_| call == Call::Update);
        let selection = first.and_then(|first| {
            let selections = recorded.iter().filter_map(|done| Selection::after(world, done));
            check_selections(&world.raw_entries(&first.before), selections)
        });
        wear.into_iter().chain(selection).collect()
    }

    /// Whether the running image was confirmed.
    pub(crate) fn confirmed(&self) -> bool {
        self.request == Request::Confirm && self.result.is_ok()
    }

    /// How it counts if it reported an error: not, where update code may refuse.
    pub(crate) fn failure(&self, world: &World<'_>, spec: Spec) -> Option<Broken> {
        world.failure(self.request, &self.result, spec, self.required)
    }

    /// What to expect after it.
    pub(crate) fn then(&self, world: &World<'_>, running: FirmwareId, spec: Spec) -> Spec {
        let expected = Expected { spec, required: self.required, running };
        let wrote = !self.operations.is_empty();
        world.expected_after(self.request, self.result.is_ok(), wrote, expected)
    }
}

/// What the application did in a power cycle.
#[derive(Debug)]
pub struct AppRun {
    /// The calls, in order; the last one may have failed.
    pub calls: Vec<CallRun>,
    /// All flash operations.
    pub recorded: Vec<Recorded>,
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

    /// Runs the bootloader on `memory` and records its flash operations. Its verdicts on images are
    /// remembered by the digest of what they were passed on.
    pub fn boot(&self, memory: Memory, secure_version: u32, explain: bool) -> BootRun {
        self.boot_with(memory, secure_version, &mut &self.verdicts, explain)
    }

    /// As [`boot`](Self::boot), with other verdicts on images.
    pub fn boot_with(
        &self,
        memory: Memory,
        secure_version: u32,
        images: &mut impl ImageCheck<Chip>,
        explain: bool,
    ) -> BootRun {
        let mut chip = self.chip(memory).with_driver(Driver::ESP_IDF_BOOTLOADER);
        chip.record();
        let mut events = Vec::new();
        let note = |event| {
            if explain {
                events.push(event);
            }
        };
        let boot = self
            .boot_on(&mut chip, secure_version, images, note)
            .expect("power stays on while operations are recorded");
        let recorded = chip.take_recording();
        BootRun { boot, events, recorded, memory: chip.into_memory() }
    }

    /// Runs the bootloader on a chip that may fail, with every image read through it.
    ///
    /// # Errors
    /// The chip lost power.
    pub(crate) fn boot_through(
        &self,
        chip: &mut Chip,
        secure_version: u32,
    ) -> Result<Boot, FlashError> {
        let mut images = FullCheck { requirements: self.verdicts.requirements };
        self.boot_on(chip, secure_version, &mut images, |_| ())
    }

    /// Runs the bootloader on a chip whose reads all show what is stored.
    ///
    /// # Errors
    /// The chip lost power.
    pub(crate) fn boot_stored(
        &self,
        chip: &mut Chip,
        secure_version: u32,
    ) -> Result<Boot, FlashError> {
        self.boot_on(chip, secure_version, &mut &self.verdicts, |_| ())
    }

    fn boot_on(
        &self,
        chip: &mut Chip,
        secure_version: u32,
        images: &mut impl ImageCheck<Chip>,
        on_event: impl FnMut(Event),
    ) -> Result<Boot, FlashError> {
        let input = BootInput { secure_version, ..BootInput::default() };
        self.bootloader.run_with_table(&self.table, chip, images, input, on_event)
    }

    /// What a boot that started `app` was, given what the partitions hold.
    pub(crate) fn booted(&self, contents: &Contents, app: App, boot: &Boot) -> Booted {
        self.booted_content(content_of(contents, app), app, boot)
    }

    /// What a boot that started `app` was, given what its partition holds.
    pub(super) fn booted_content(&self, content: Content, app: App, boot: &Boot) -> Booted {
        let firmware = match content {
            Content::Firmware(id) => Some(id),
            _ => None,
        };
        Booted {
            firmware,
            first_choice: boot.selected.and_then(Choice::app) == Some(app),
            on_trial: self.bootloader.rollback && app != App::Factory,
        }
    }

    /// Runs the application of a power cycle with `secure_version` in eFuse, and records its flash operations.
    /// An error of a call does not keep it from making the next.
    pub fn act(
        &self,
        memory: Memory,
        secure_version: u32,
        running: App,
        requests: &[Request],
    ) -> AppRun {
        let mut chip = self.chip(memory).with_driver(Driver::PAGES);
        chip.record();
        let calls = self.act_on(&mut chip, secure_version, running, requests, |_| true);
        AppRun { calls, recorded: chip.take_recording() }
    }

    /// Runs the application of a power cycle on a chip that may fail, up to the call after which it does not
    /// `go_on`.
    pub(crate) fn act_on(
        &self,
        chip: &mut Chip,
        mut secure_version: u32,
        running: App,
        requests: &[Request],
        go_on: impl Fn(&CallRun) -> bool,
    ) -> Vec<CallRun> {
        let mut calls = Vec::new();
        for &request in requests {
            let run = self.call_on(chip, secure_version, running, request, &mut Unobserved);
            let last = !go_on(&run);
            secure_version = run.secure_version;
            calls.push(run);
            if last {
                break;
            }
        }
        calls
    }

    /// Runs one call and records its flash operations, and which partitions it accessed, one bit each.
    /// Where the observer stops it, the result says nothing.
    pub(super) fn call(
        &self,
        memory: Memory,
        secure_version: u32,
        running: App,
        request: Request,
        observer: &mut dyn Observer,
    ) -> (CallRun, Vec<Recorded>, u32) {
        let mut chip = self.chip(memory).with_driver(Driver::PAGES);
        chip.record();
        let run = self.call_on(&mut chip, secure_version, running, request, observer);
        let bit = |region: Region| chip.accessed(region.offset..region.offset + region.size);
        let partitions = self.partitions().enumerate();
        let accessed = partitions.filter(|(_, region)| region.is_some_and(bit));
        let accessed = accessed.fold(0, |all, (index, _)| all | 1 << index);
        (run, chip.take_recording(), accessed)
    }

    fn call_on(
        &self,
        chip: &mut Chip,
        required: u32,
        running: App,
        request: Request,
        observer: &mut dyn Observer,
    ) -> CallRun {
        let start = chip.operations() as usize;
        let mut secure_version = required;
        let device = Device {
            chip: &mut *chip,
            layout: self.layout,
            requirements: &self.requirements,
            running,
            rollback: self.bootloader.rollback,
            anti_rollback: self.bootloader.anti_rollback,
            secure_version: &mut secure_version,
            observer,
        };
        let result = match request {
            Request::Startup => self.subject.startup(device),
            Request::Confirm => self.subject.confirm(device),
            Request::Reject => self.subject.reject(device),
            Request::Update(id) => {
                self.subject.update(device, &self.firmware[usize::from(id)].bytes)
            }
            Request::SelectFactory => self.subject.select_factory(device),
        };
        let operations = start..chip.operations() as usize;
        let memory = chip.memory().clone();
        CallRun { request, result, operations, required, secure_version, memory }
    }
}
