//! The plain way: every crash state is made, booted and recovered from, one by one.
//!
//! None of the reductions of [`explore`](super::explore) is used: no outcome of a cut is remembered, no
//! two states count as one because nobody can tell them apart, no select entry is brought into another
//! form. That makes it a yardstick for the speed of the simulator, and a check of the reductions: both
//! must find the same on a device that is small enough.

use super::cycle::{Request, Writer};
use super::hit::{Hit, recognise, torn_state};
use super::outcome::{Cuts, forged};
use super::report::Finding;
use super::run::BootRun;
use super::spec::{Broken, Invariant, Spec, Usage, What};
use super::state::{Content, Flash, State};
use super::world::World;
use crate::bootloader::{Boot, FullCheck, ImageCheck};
use crate::firmware::FirmwareId;
use crate::flash::fault::FaultProfile;
use crate::flash::{Chip, Digest, Memory, Recorded};
use crate::subject::{Call, Failure};
use ota_core::image::{ImageInfo, Requirements};
use ota_core::partition::{App, Region};
use std::collections::{BTreeSet, HashSet};

/// How the bootloader's verification of an image runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It reads and hashes the whole image at every boot.
    Full,
    /// It looks up the verdict by the digest of the partition. Of a changed partition only the changed
    /// sectors are hashed again; contents that are new are verified in full.
    Remembered,
}

/// What a plain run tries.
#[derive(Clone, Copy, Debug)]
pub struct PlainLimits {
    /// The faults.
    pub profile: FaultProfile,
    /// Whether power may fail while the bootloader writes.
    pub cut_bootloader: bool,
    /// What the applications do.
    pub usage: Usage,
    /// How images are verified.
    pub check: Check,
    /// Whether every recovery goes on with a complete update, or ends after the start-up of the
    /// application. Nested runs try everything that an application can do.
    pub update_again: bool,
}

/// What a plain run did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainReport {
    /// Flash operations at which power was cut.
    pub cut_points: u64,
    /// Crash states that were made and went on from.
    pub torn: u64,
    /// Runs of the bootloader.
    pub boots: u64,
    /// Flash operations of bootloader and application.
    pub operations: u64,
    /// Images that the bootloader looked at.
    pub verifications: u64,
    /// Bytes read by [`Check::Full`].
    pub verified_bytes: u64,
    /// Ways in which an invariant breaks.
    pub findings: BTreeSet<Finding>,
}

/// Cuts power at every flash operation of a new device's first update, in every way that the profile
/// allows, and recovers from each.
pub fn plain(world: &World<'_>, limits: &PlainLimits) -> PlainReport {
    let mut plain = Plain::new(world, limits);
    let new = Device::new(world);
    let (run, running) = plain.boot(&new);
    let mut recover = |plain: &mut Plain<'_>, next: Next| {
        if let Next::Cut(device) = next {
            plain.recover(&device);
        }
    };
    if limits.cut_bootloader {
        plain.cut_bootloader(&new, &run, &mut recover);
    }
    if let Some(running) = running {
        let offered = world.offered(running.firmware, running.device.secure_version);
        let update = Request::usual_update(offered);
        plain.act(&running, &update, true, &mut recover);
    }
    plain.report
}

/// Tries all sequences of up to `max_cycles` power cycles, in each of which the application makes up to
/// `max_calls` calls after its start-up, with up to `max_cuts` cuts. Only devices whose flash is the same bit
/// by bit, and which are in the same phase of an update, count as one.
///
/// For small devices and few faults: the number of devices grows with the power of all three.
pub fn plain_nested(
    world: &World<'_>,
    limits: &PlainLimits,
    max_cycles: u32,
    max_calls: u32,
    max_cuts: u32,
) -> PlainReport {
    let mut plain = Plain::new(world, limits);
    let mut now = vec![(Device::new(world), 0)];
    for _ in 0..max_cycles {
        let mut later = Vec::new();
        let mut known = HashSet::new();
        for (device, cuts) in now {
            plain.expand(&device, cuts < max_cuts, max_calls, &mut |_, next| {
                let (device, cuts) = match next {
                    Next::Reset(device) => (device, cuts),
                    Next::Cut(device) => (device, cuts + 1),
                };
                if known.insert((device.key(), cuts)) {
                    later.push((device, cuts));
                }
            });
        }
        now = later;
    }
    plain.report
}

/// A device without power.
#[derive(Clone, Debug)]
struct Device {
    memory: Memory,
    spec: Spec,
    secure_version: u32,
    bootloader_cut: bool,
    hit: Option<Hit>,
}

/// A device whose application has started.
#[derive(Clone)]
struct Running {
    device: Device,
    boot: Boot,
    app: App,
    firmware: FirmwareId,
}

/// How a power cycle left a device.
enum Next {
    Cut(Device),
    Reset(Device),
}

impl Device {
    fn new(world: &World<'_>) -> Self {
        let state = world.initial();
        Self {
            memory: world.memory(&state.flash),
            spec: state.spec,
            secure_version: state.secure_version,
            bootloader_cut: state.bootloader_cut,
            hit: None,
        }
    }

    fn key(&self) -> (Digest, Spec, u32, bool) {
        (self.memory.digest_all(), self.spec, self.secure_version, self.bootloader_cut)
    }
}

/// Full verification that counts what it reads.
struct Counted {
    check: FullCheck,
    verifications: u64,
    bytes: u64,
}

impl ImageCheck<Chip> for Counted {
    fn check(&mut self, chip: &mut Chip, region: Region) -> Option<ImageInfo> {
        let before = chip.counters().read_bytes;
        let verdict = self.check.check(chip, region);
        self.verifications += 1;
        self.bytes += chip.counters().read_bytes - before;
        verdict
    }
}

struct Plain<'w> {
    world: &'w World<'w>,
    limits: &'w PlainLimits,
    cuts: Cuts<'w>,
    report: PlainReport,
}

impl<'w> Plain<'w> {
    fn new(world: &'w World<'w>, limits: &'w PlainLimits) -> Self {
        let cuts = Cuts::new(world, limits.profile, false);
        Self { world, limits, cuts, report: PlainReport::default() }
    }

    /// Switches a device on, and checks what boots.
    fn boot(&mut self, device: &Device) -> (BootRun, Option<Running>) {
        let (memory, secure_version) = (device.memory.clone(), device.secure_version);
        let run = match self.limits.check {
            Check::Remembered => self.world.boot(memory, secure_version, false),
            Check::Full => {
                let requirements = Requirements { strict: false, ..self.world.requirements };
                let check = FullCheck { requirements };
                let mut images = Counted { check, verifications: 0, bytes: 0 };
                let run = self.world.boot_with(memory, secure_version, &mut images, false);
                self.report.verifications += images.verifications;
                self.report.verified_bytes += images.bytes;
                run
            }
        };
        self.report.boots += 1;
        self.report.operations += run.recorded.len() as u64;
        let started = match run.boot.outcome {
            Ok(started) => started,
            Err(reason) => {
                let broken = Broken { invariant: Invariant::Bootable, what: What::NoBoot(reason) };
                self.broken(device, &broken, &run.boot);
                return (run, None);
            }
        };
        // Of this partition only: looking at the others would verify torn images that nobody boots.
        let region = self.world.layout.apps().app(started.app);
        let content = region.map_or(Content::Absent, |r| self.world.content(&run.memory, r));
        let booted = self.world.booted_content(content, started.app, &run.boot);
        let (spec, broken) = device.spec.booted(booted);
        if let Some(broken) = broken {
            self.broken(device, &broken, &run.boot);
        }
        let running = booted.firmware.map(|firmware| Running {
            device: Device {
                memory: run.memory.clone(),
                spec,
                secure_version: run.boot.secure_version,
                ..*device
            },
            boot: run.boot,
            app: started.app,
            firmware,
        });
        (run, running)
    }

    /// Boots a device after a cut, and runs its application without another one.
    fn recover(&mut self, device: &Device) {
        if let (_, Some(running)) = self.boot(device) {
            let calls = match self.limits.update_again {
                true => {
                    let required = running.device.secure_version;
                    Request::usual_update(self.world.offered(running.firmware, required))
                }
                false => vec![Request::Startup],
            };
            self.act(&running, &calls, false, &mut |_, _| {});
        }
    }

    /// Runs every power cycle that can follow.
    fn expand(
        &mut self,
        device: &Device,
        cut: bool,
        max_calls: u32,
        next: &mut impl FnMut(&mut Self, Next),
    ) {
        let (run, running) = self.boot(device);
        if cut && self.limits.cut_bootloader {
            self.cut_bootloader(device, &run, next);
        }
        let Some(mut running) = running else { return };
        next(self, Next::Reset(running.device.clone()));
        if self.call(&mut running, Request::Startup, cut, next).is_err() {
            return;
        }
        let usage = self.limits.usage;
        let mut now = vec![running];
        for _ in 0..max_calls {
            let mut later = Vec::new();
            let mut known = HashSet::new();
            for running in now {
                let Running { device, app, firmware, .. } = &running;
                for request in self.world.requests(usage, &device.spec, *app, *firmware) {
                    let mut running = running.clone();
                    // An error does not keep the application from going on.
                    let _ = self.call(&mut running, request, cut, next);
                    if request != Request::Reject && known.insert(running.device.key()) {
                        later.push(running);
                    }
                }
            }
            now = later;
        }
    }

    fn cut_bootloader(
        &mut self,
        device: &Device,
        run: &BootRun,
        next: &mut impl FnMut(&mut Self, Next),
    ) {
        for recorded in &run.recorded {
            self.cut(device, device.spec, None, recorded, next);
        }
    }

    /// Runs the application, with a cut at any of its operations if `cut`, and a reset after any call.
    fn act(
        &mut self,
        running: &Running,
        calls: &[Request],
        cut: bool,
        next: &mut impl FnMut(&mut Self, Next),
    ) {
        let mut running = running.clone();
        for &request in calls {
            if self.call(&mut running, request, cut, next).is_err() {
                break;
            }
        }
    }

    /// Makes a call, with a cut at any of its operations if `cut`, and a reset after it.
    fn call(
        &mut self,
        running: &mut Running,
        request: Request,
        cut: bool,
        next: &mut impl FnMut(&mut Self, Next),
    ) -> Result<(), Failure> {
        let Running { device, boot, app, firmware } = running;
        let run = self.world.act(device.memory.clone(), device.secure_version, *app, &[request]);
        self.report.operations += run.recorded.len() as u64;
        let spec = device.spec;
        if cut {
            for recorded in &run.recorded {
                self.cut(device, spec.during(request), Some(request.call()), recorded, next);
            }
        }
        let mut result = Ok(());
        for call in run.calls {
            let broken = call.broken(self.world, &run.recorded);
            for broken in broken.into_iter().chain(call.failure(self.world, spec)) {
                self.broken(device, &broken, boot);
            }
            device.spec = call.then(self.world, *firmware, spec);
            device.bootloader_cut &= !call.confirmed();
            device.memory = call.memory;
            device.secure_version = call.secure_version;
            result = call.result;
            next(self, Next::Reset(device.clone()));
        }
        result
    }

    /// Every crash state of an operation of `call`, or of the bootloader.
    fn cut(
        &mut self,
        device: &Device,
        spec: Spec,
        call: Option<Call>,
        recorded: &Recorded,
        next: &mut impl FnMut(&mut Self, Next),
    ) {
        self.report.cut_points += 1;
        let before = self.world.raw_entries(&recorded.before);
        let after = self.world.raw_entries(&recorded.after);
        let hit = Hit::new(self.world, call, recorded, false);
        for crash in self.cuts.crash_states(recorded) {
            let torn = self.world.raw_entries(&crash.memory);
            if forged(&before, &torn, &after) {
                continue;
            }
            self.report.torn += 1;
            let hit = hit.with_torn_state(torn_state(&before, &torn, &after));
            let crashed = Device {
                memory: crash.memory,
                spec,
                secure_version: device.secure_version,
                bootloader_cut: device.bootloader_cut || call.is_none(),
                hit: Hit::explaining(device.hit, device.bootloader_cut, Some(hit)),
            };
            next(self, Next::Cut(crashed));
        }
    }

    fn broken(&mut self, device: &Device, broken: &Broken, boot: &Boot) {
        let state = State {
            flash: Flash {
                entries: self.world.raw_entries(&device.memory),
                contents: self.world.contents(&device.memory),
            },
            spec: device.spec,
            secure_version: device.secure_version,
            bootloader_cut: device.bootloader_cut,
        };
        let hazard = recognise(self.world, &state, device.hit, broken, boot);
        let during = if device.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        self.report.findings.insert(Finding { invariant: broken.invariant, hazard, during });
    }
}
