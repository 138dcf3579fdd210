//! Runs power cycles on the flash contents as they really are.
//!
//! The exploration puts the simplest contents of the same [`State`] in place of every state that it
//! meets. Here nothing is replaced: what a cycle leaves behind, the next one finds.

use super::error::ReplayError;
use super::shift;
use crate::explore::{
    AppRun, BootRun, Broken, Cycle, Finding, Flash, Hit, Invariant, Request, Spec, State, What,
    World, Writer, forged, recognise, torn_state,
};
use crate::firmware::FirmwareId;
use crate::flash::{Memory, Recorded};
use crate::subject::Call;

/// A device between two power cycles.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// What flash holds.
    pub(crate) memory: Memory,
    /// What is expected of the next boot.
    pub(crate) spec: Spec,
    secure_version: u32,
    bootloader_cut: bool,
    hit: Option<Hit>,
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which, and the weakness behind it.
    pub finding: Finding,
    /// How it showed.
    pub what: What,
}

/// A power cut in a flash operation.
#[derive(Clone, Debug)]
pub struct TornOperation {
    /// The operation, with the contents before.
    pub recorded: Recorded,
    /// The contents when power returns.
    pub memory: Memory,
}

/// What happened in a power cycle.
#[derive(Debug)]
pub struct CycleTrace {
    /// Flash contents at power-on.
    pub before: Memory,
    /// The bootloader, as it runs if power stays on.
    pub boot: BootRun,
    /// The firmware that started, unless none or an unknown one did.
    pub firmware: Option<FirmwareId>,
    /// What the application did, if it came to that.
    pub app: Option<AppRun>,
    /// The cut that ended the cycle.
    pub cut: Option<TornOperation>,
    /// The invariants that broke in it.
    pub violations: Vec<Violation>,
    /// Flash contents at the end.
    pub after: Memory,
}

/// What happened in a sequence of power cycles.
#[derive(Debug)]
pub struct Trace {
    /// The cycles, in order.
    pub cycles: Vec<CycleTrace>,
}

impl Trace {
    /// Runs `cycles` from the state of a new device.
    pub(super) fn run(world: &World<'_>, cycles: &[Cycle]) -> Result<Self, ReplayError> {
        let mut device = Device::new(world);
        let mut traces = Vec::new();
        for (index, cycle) in cycles.iter().enumerate() {
            let (trace, next) = device.run(world, index + 1, cycle)?;
            traces.push(trace);
            device = next;
        }
        Ok(Self { cycles: traces })
    }

    /// Whether a cut made a well-formed entry out of words that do not belong together.
    pub(super) fn has_forged(&self, world: &World<'_>) -> bool {
        self.cycles.iter().filter_map(|cycle| cycle.cut.as_ref()).any(|cut| {
            let [before, torn, after] = [&cut.recorded.before, &cut.memory, &cut.recorded.after]
                .map(|it| world.raw_entries(it));
            forged(&before, &torn, &after)
        })
    }

    /// How `finding` shows in the last cycle.
    pub fn violation(&self, finding: &Finding) -> Option<&Violation> {
        self.cycles.last()?.violations.iter().find(|violation| violation.finding == *finding)
    }
}

impl Device {
    /// As it leaves the factory.
    pub(crate) fn new(world: &World<'_>) -> Self {
        let initial = world.initial();
        Self {
            memory: world.memory(&initial.flash),
            spec: initial.spec,
            secure_version: initial.secure_version,
            bootloader_cut: initial.bootloader_cut,
            hit: None,
        }
    }

    /// What stands for all devices that behave alike.
    pub(crate) fn state(&self, world: &World<'_>) -> State {
        State {
            flash: Flash {
                entries: world.entries(&self.memory),
                contents: world.contents(&self.memory),
            },
            spec: self.spec,
            secure_version: self.secure_version,
            bootloader_cut: self.bootloader_cut,
        }
    }

    /// Runs power cycle `number`, counted from 1.
    ///
    /// # Errors
    /// The cycle does not fit the device.
    pub(crate) fn run(
        &self,
        world: &World<'_>,
        number: usize,
        cycle: &Cycle,
    ) -> Result<(CycleTrace, Self), ReplayError> {
        check_firmware(world, number, &cycle.calls)?;
        let boot = world.boot(self.memory.clone(), self.secure_version, true);
        let mut trace = CycleTrace {
            before: self.memory.clone(),
            boot,
            firmware: None,
            app: None,
            cut: None,
            violations: Vec::new(),
            after: self.memory.clone(),
        };
        let mut next = self.clone();
        match &cycle.cut {
            Some(cut) if cut.during == Writer::Bootloader => {
                next.cut(world, number, cycle, &trace.boot.recorded, None, &mut trace.cut)?;
            }
            _ => self.start(world, number, cycle, &mut trace, &mut next)?,
        }
        trace.after = next.memory.clone();
        Ok((trace, next))
    }

    /// The rest of a cycle in which the bootloader comes to its end.
    fn start(
        &self,
        world: &World<'_>,
        number: usize,
        cycle: &Cycle,
        trace: &mut CycleTrace,
        next: &mut Self,
    ) -> Result<(), ReplayError> {
        let boot = &trace.boot;
        let state = self.state(world);
        next.memory = boot.memory.clone();
        next.secure_version = boot.boot.secure_version;
        let mut violations = Vec::new();
        let started = match boot.boot.outcome {
            Ok(started) => started,
            Err(reason) => {
                let broken = Broken { invariant: Invariant::Bootable, what: What::NoBoot(reason) };
                trace.violations.push(self.violation(world, &state, broken, boot));
                return Ok(());
            }
        };
        let booted = world.booted(&next.state(world).flash.contents, started.app, &boot.boot);
        let (spec, broken) = self.spec.booted(booted);
        violations.extend(broken.map(|broken| self.violation(world, &state, broken, boot)));
        next.spec = spec;
        trace.firmware = booted.firmware;
        if let Some(running) = booted.firmware {
            let app =
                world.act(boot.memory.clone(), boot.boot.secure_version, started.app, &cycle.calls);
            let cut = cycle.cut.as_ref().map(|cut| cut.operation as usize);
            let mut interrupted = None;
            for call in &app.calls {
                if cut.is_some_and(|cut| call.operations.contains(&cut)) {
                    interrupted = Some(call.request.call());
                    next.spec = next.spec.during(call.request);
                    break;
                }
                let failed = call.failure(world, next.spec);
                next.spec = call.then(world, running, next.spec);
                next.memory = call.memory.clone();
                next.secure_version = call.secure_version;
                for broken in call.broken(world, &app.recorded).into_iter().chain(failed) {
                    violations.push(next.violation(world, &next.state(world), broken, boot));
                }
                next.bootloader_cut &= !call.confirmed();
            }
            if cut.is_some() {
                next.cut(world, number, cycle, &app.recorded, interrupted, &mut trace.cut)?;
            }
            trace.app = Some(app);
        }
        trace.violations = violations;
        Ok(())
    }

    /// Cuts power in one of the `recorded` operations.
    fn cut(
        &mut self,
        world: &World<'_>,
        number: usize,
        cycle: &Cycle,
        recorded: &[Recorded],
        call: Option<Call>,
        torn: &mut Option<TornOperation>,
    ) -> Result<(), ReplayError> {
        let Some(cut) = &cycle.cut else { return Ok(()) };
        let Some(hit) = recorded.get(cut.operation as usize) else {
            return Err(ReplayError::NoOperation {
                cycle: number,
                operation: cut.operation,
                count: recorded.len(),
            });
        };
        let tear = shift::on_device(world, &self.memory, hit, &cut.tear);
        let memory = tear
            .apply(&hit.before, &hit.operation)
            .map_err(|source| ReplayError::Tear { cycle: number, source })?;
        self.tear(world, call, hit, memory.clone());
        *torn = Some(TornOperation { recorded: hit.clone(), memory });
        Ok(())
    }

    /// Power fails in `recorded`, an operation of `call` or of the bootloader, and leaves `memory`.
    pub(crate) fn tear(
        &mut self,
        world: &World<'_>,
        call: Option<Call>,
        recorded: &Recorded,
        memory: Memory,
    ) {
        let entries =
            [&recorded.before, &memory, &recorded.after].map(|memory| world.raw_entries(memory));
        let torn_state = torn_state(&entries[0], &entries[1], &entries[2]);
        let latest = Hit::new(world, call, recorded, torn_state);
        self.hit = Hit::explaining(self.hit, self.bootloader_cut, Some(latest));
        self.bootloader_cut |= call.is_none();
        self.memory = memory;
    }

    fn violation(
        &self,
        world: &World<'_>,
        state: &State,
        broken: Broken,
        boot: &BootRun,
    ) -> Violation {
        let during = if self.bootloader_cut { Writer::Bootloader } else { Writer::Application };
        let hazard = recognise(world, state, self.hit, &broken, &boot.boot);
        let finding = Finding { invariant: broken.invariant, hazard, during };
        Violation { finding, what: broken.what }
    }
}

fn check_firmware(world: &World<'_>, cycle: usize, calls: &[Request]) -> Result<(), ReplayError> {
    let count = world.firmware.len();
    let unknown = calls.iter().find_map(|&request| match request {
        Request::Update(firmware) if usize::from(firmware) >= count => Some(firmware),
        _ => None,
    });
    match unknown {
        Some(firmware) => Err(ReplayError::NoFirmware { cycle, firmware, last: count - 1 }),
        None => Ok(()),
    }
}
