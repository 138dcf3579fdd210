//! How a power cycle runs: the bootloader, then the calls of the application.

use super::cycle::Request;
use super::genuine::{Selection, check_selections};
use super::hit::content_of;
use super::spec::{Booted, Broken, Spec};
use super::state::{Content, Contents};
use super::wear::check_wear;
use super::world::{Expected, World};
use crate::bootloader::{Boot, BootInput, Choice, Event, FullCheck, ImageCheck};
use crate::firmware::FirmwareId;
use crate::flash::{Chip, Driver, FlashError, Memory, Recorded};
use crate::subject::{Call, Device, Failure, Observer, Unobserved};
use ota_core::partition::{App, Region};
use std::ops::Range;

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

impl World<'_> {
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
