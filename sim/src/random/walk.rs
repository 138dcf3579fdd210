//! One device that lives through a scenario, and what is promised to it.

use super::generate::Accesses;
use super::scenario::{Action, FaultyCycle, Scenario, Trouble};
use crate::explore::{Booted, Broken, Content, Cut, Invariant, Spec, Trial, What, World, Writer};
use crate::firmware::FirmwareId;
use crate::flash::fault::{Fault, FaultInjector, Tear};
use crate::flash::{Chip, CutPlan, Digest, Driver, Memory, SECTOR_SIZE};
use crate::subject::Call;
use ota_core::partition::App;

/// Undisturbed power cycles within which an update must succeed.
const PEACEFUL_CYCLES: usize = 3;

/// Where a scenario ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The first promise that did not hold.
    pub broken: Option<Broken>,
    /// Digest of everything on flash at the end, conditions of the cells included.
    pub flash: Digest,
    /// Power cycles that ran.
    pub cycles: u64,
    /// Cuts, resets and faults that struck.
    pub faults: u64,
}

pub(super) fn live(world: &World<'_>, scenario: &Scenario) -> Outcome {
    let mut walk = Walk::new(world, scenario.seed);
    let lived = scenario.cycles.iter().try_for_each(|cycle| walk.cycle(cycle).map(drop));
    let broken = lived.and_then(|()| walk.peace()).err();
    Outcome { broken, flash: walk.memory.digest_all(), cycles: walk.cycles, faults: walk.faults }
}

/// The accesses of an undisturbed power cycle with an update on a new device.
pub(super) fn accesses(world: &World<'_>) -> Accesses {
    let mut walk = Walk::new(world, 0);
    let mut longest = Accesses { operations: 0, reads: 0 };
    // The first update of a device is shorter than those that have an old entry to retire.
    for _ in 0..3 {
        if walk.cycle(&peaceful(Action::Update(1))).is_err() {
            break;
        }
        longest.operations = longest.operations.max(walk.last.operations);
        longest.reads = longest.reads.max(walk.last.reads);
    }
    longest
}

fn peaceful(action: Action) -> FaultyCycle {
    FaultyCycle { action, cut: None, reset: false, troubles: Vec::new() }
}

struct Walk<'w> {
    world: &'w World<'w>,
    seed: u64,
    memory: Memory,
    spec: Spec,
    secure_version: u32,
    /// Something happened that update code can neither prevent nor see: until an image is confirmed,
    /// the device boots and can be updated, and no more than that is promised.
    doubt: bool,
    /// Factory was started although otadata may select a slot at the next boot: its image did not load,
    /// a read failed, or the bootloader could not write down that the image was rejected. Update code
    /// in factory sees no more than a selection that has not been booted yet.
    fallback: bool,
    /// A sector no longer erases: updates may fail for good.
    worn: bool,
    /// The next boot comes after a loss of power.
    power_lost: bool,
    cycles: u64,
    faults: u64,
    /// Accesses of the last application that ran.
    last: Accesses,
}

/// What of the planned troubles happened.
#[derive(Clone, Copy, Debug, Default)]
struct Struck {
    any: bool,
    read: bool,
}

impl<'w> Walk<'w> {
    fn new(world: &'w World<'w>, seed: u64) -> Self {
        let state = world.initial();
        Self {
            world,
            seed,
            memory: world.memory(&state.flash),
            spec: state.spec,
            secure_version: state.secure_version,
            doubt: false,
            fallback: false,
            worn: false,
            power_lost: false,
            cycles: 0,
            faults: 0,
            last: Accesses { operations: 0, reads: 0 },
        }
    }

    /// Runs a power cycle and says whether the last call of the application succeeded, and not by returning to
    /// factory.
    fn cycle(&mut self, cycle: &FaultyCycle) -> Result<bool, Broken> {
        self.cycles += 1;
        match self.boot(cycle)? {
            Some((app, firmware)) => self.act(cycle, app, firmware),
            None => Ok(false),
        }
    }

    /// What is promised when nothing more goes wrong: the device can be updated.
    fn peace(&mut self) -> Result<(), Broken> {
        let mut updated = false;
        for _ in 0..PEACEFUL_CYCLES {
            self.power_lost = true;
            let offered = self.world.offered(self.spec.good, self.secure_version);
            updated = self.cycle(&peaceful(Action::Update(offered)))?;
            if updated {
                break;
            }
        }
        if !updated && !self.worn {
            let what = What::Failed(Call::Update, "no update succeeds any more".into());
            return Err(Broken { invariant: Invariant::Updatable, what });
        }
        // An update that reported success on a device that was left alone counts.
        self.doubt &= !updated;
        self.power_lost = true;
        self.cycle(&peaceful(Action::Confirm)).map(drop)
    }

    /// The chip for one part of a power cycle, with what goes wrong in that part.
    fn chip(&self, cycle: &FaultyCycle, part: Writer, driver: Driver) -> Chip {
        let number = 2 * self.cycles + u64::from(part == Writer::Application);
        let seed = self.seed.wrapping_add(number);
        let troubles = || cycle.troubles.iter().filter(|trouble| trouble.during() == part);
        let operations = troubles().filter_map(|trouble| match trouble {
            Trouble::Operation { number, fault, .. } => Some((u64::from(*number), fault.clone())),
            Trouble::Read { .. } => None,
        });
        let reads = troubles().filter_map(|trouble| match trouble {
            Trouble::Operation { .. } => None,
            Trouble::Read { number, .. } => Some(u64::from(*number)),
        });
        let injector = FaultInjector::scheduled(seed, operations).with_read_faults(reads);
        let mut chip =
            self.world.chip(self.memory.clone()).with_driver(driver).with_faults(injector);
        if let Some(cut) = cycle.cut.as_ref().filter(|cut| cut.during == part) {
            let operation = u64::from(cut.operation);
            chip.plan_cut(CutPlan { operation, tear: cut.tear.clone() });
        }
        chip
    }

    /// Notes which of the planned faults happened.
    fn note(&mut self, chip: &Chip, cycle: &FaultyCycle, part: Writer) -> Struck {
        let mut struck = Struck::default();
        for trouble in cycle.troubles.iter().filter(|trouble| trouble.during() == part) {
            let happened = match trouble {
                Trouble::Operation { number, .. } => chip.operations() > u64::from(*number),
                Trouble::Read { number, .. } => chip.counters().reads > u64::from(*number),
            };
            if happened {
                self.faults += 1;
                struck.any = true;
                struck.read |= matches!(trouble, Trouble::Read { .. });
                self.worn |=
                    matches!(trouble, Trouble::Operation { fault: Fault::Stuck { .. }, .. });
            }
        }
        if !chip.is_powered() {
            self.faults += 1;
            struck.any = true;
        }
        struck
    }

    /// Runs the bootloader and says what it started; `None` when the cycle ends with it.
    fn boot(&mut self, cycle: &FaultyCycle) -> Result<Option<(App, FirmwareId)>, Broken> {
        let mut chip = self.chip(cycle, Writer::Bootloader, Driver::ESP_IDF_BOOTLOADER);
        if std::mem::take(&mut self.power_lost) {
            chip.power_on();
        }
        let reads_fail = cycle
            .troubles
            .iter()
            .any(|trouble| matches!(trouble, Trouble::Read { during: Writer::Bootloader, .. }));
        let boot = if reads_fail || chip.memory().has_conditions() {
            self.world.boot_through(&mut chip, self.secure_version)
        } else {
            self.world.boot_stored(&mut chip, self.secure_version)
        };
        let struck = self.note(&chip, cycle, Writer::Bootloader);
        // The bootloader reads nothing back, nor does it notice that a worn-out sector takes nothing.
        self.doubt |= struck.any || (self.worn && chip.operations() > 0);
        let powered = chip.is_powered();
        self.memory = chip.into_memory();
        let boot = match boot {
            Ok(boot) if powered => boot,
            _ => {
                self.power_lost = !cycle.reset;
                return Ok(None);
            }
        };
        self.secure_version = boot.secure_version;
        let started = match boot.outcome {
            Ok(started) => started,
            // It resets and tries again.
            Err(_) if struck.read => return Ok(None),
            Err(reason) => {
                let what = What::NoBoot(reason);
                return Err(Broken { invariant: Invariant::Bootable, what });
            }
        };
        let region = self.world.layout.apps().app(started.app);
        let content = region.map(|region| self.world.content(&self.memory, region));
        let Some(Content::Firmware(now)) = content else {
            let what = What::Booted(None, vec![self.spec.good]);
            return Err(Broken { invariant: Invariant::Atomic, what });
        };
        let first_choice = boot.selected.and_then(|choice| choice.app()) == Some(started.app);
        self.fallback = started.app == App::Factory && (!first_choice || struck.any);
        let on_trial = self.world.bootloader.rollback && started.app != App::Factory;
        if self.doubt {
            let trial = if on_trial { Trial::Running(now) } else { Trial::None };
            let good = if on_trial { self.spec.good } else { now };
            self.spec = Spec { good, trial, chosen: false };
        } else {
            let booted = Booted { firmware: Some(now), first_choice, on_trial };
            let (spec, broken) = self.spec.booted(booted);
            self.spec = spec;
            broken.map_or(Ok(()), Err)?;
        }
        Ok(Some((started.app, now)))
    }

    /// Runs the application and says whether its last call succeeded, and not by returning to factory.
    fn act(
        &mut self,
        cycle: &FaultyCycle,
        running: App,
        firmware: FirmwareId,
    ) -> Result<bool, Broken> {
        let action = self.sensible(cycle.action, running, firmware);
        let mut chip = self.chip(cycle, Writer::Application, Driver::PAGES);
        let (efuse, calls) = (self.secure_version, action.calls());
        let calls = self.world.act_on(&mut chip, efuse, running, &calls, |run| run.result.is_ok());
        let struck = self.note(&chip, cycle, Writer::Application);
        let count = calls.len();
        let mut success = false;
        for (index, run) in calls.into_iter().enumerate() {
            self.memory = run.memory;
            if index + 1 == count && !chip.is_powered() {
                self.spec = self.spec.during(run.request);
                success = false;
                break;
            }
            success = run.result.is_ok();
            self.secure_version = run.secure_version;
            match run.result {
                Ok(()) => {
                    self.spec = self.spec.after(run.request, firmware);
                    let settled = match run.request.call() {
                        Call::Confirm => !self.fallback,
                        Call::Update | Call::SelectFactory => true,
                        Call::Startup | Call::Reject => false,
                    };
                    self.doubt &= !settled || self.half_done();
                }
                Err(message) if !(struck.any || self.worn || self.doubt) => {
                    return Err(Broken::failed(run.request.call(), &message));
                }
                // Without a flash that does as told, an error does not say how far the call came.
                Err(_) => self.spec = self.spec.during(run.request),
            }
        }
        let collateral = |cut: &Cut| matches!(cut.tear, Tear::Collateral { .. });
        self.doubt |= !chip.is_powered() && cycle.cut.as_ref().is_some_and(collateral);
        self.doubt |= self.half_done();
        self.last =
            Accesses { operations: chip.operations() as u32, reads: chip.counters().reads as u32 };
        self.power_lost = cycle.cut.is_some() && !cycle.reset;
        Ok(success && action != Action::SelectFactory)
    }

    fn sensible(&self, action: Action, running: App, firmware: FirmwareId) -> Action {
        let factory = self.world.layout.apps().factory().is_some();
        match action {
            Action::Reject if !matches!(self.spec.trial, Trial::Running(_)) => Action::Hang,
            Action::SelectFactory if !factory || running == App::Factory => Action::Hang,
            Action::Update(_) if !self.world.takes_updates(running) => Action::SelectFactory,
            // What boots is told apart by the firmware, so no two partitions to choose from hold the same.
            Action::Update(offered)
                if offered == firmware
                    || (factory && offered == 0)
                    || self.world.is_too_old(offered, self.secure_version) =>
            {
                Action::Update(self.world.offered(firmware, self.secure_version))
            }
            _ => action,
        }
    }

    /// Whether an interrupted operation left cells in otadata that no reader can trust.
    fn half_done(&self) -> bool {
        let otadata = self.world.layout.apps().otadata();
        let sector = SECTOR_SIZE as u32;
        self.memory.conditioned().into_iter().any(|index| {
            let condition = self.memory.sector(index).condition();
            (otadata.offset..otadata.offset + otadata.size).contains(&(index * sector))
                && condition.is_some_and(|cells| {
                    cells.unstable.iter().chain(&cells.weak).any(|&mask| mask != 0)
                })
        })
    }
}
