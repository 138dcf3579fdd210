//! Lives of a device without a power cut: what is cut, one operation at a time.

use super::step::{Phase, Site, Step};
use crate::bootloader::Event;
use crate::explore::{AppRun, BootRun, Cycle, Request, World, Writer};
use crate::firmware::FirmwareId;
use crate::flash::{Memory, Recorded};
use crate::replay::{Device, ReplayError};
use crate::subject::Call;
use ota_core::otadata;

/// What the application does in a power cycle, whichever image runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Will {
    /// Starts and is reset before it confirms itself.
    Hang,
    /// Starts and confirms itself.
    Confirm,
    /// Starts and rejects itself.
    Reject,
    /// Starts, confirms itself and takes the next update.
    Update,
    /// Starts, confirms itself and selects the factory application.
    SelectFactory,
}

impl Will {
    /// The power cycle of a device that runs `running`.
    pub(super) fn cycle(self, world: &World<'_>, running: FirmwareId) -> Cycle {
        use Request::{Confirm, Reject, SelectFactory, Startup};
        let calls = match self {
            Self::Hang => vec![Startup],
            Self::Confirm => vec![Startup, Confirm],
            Self::Reject => vec![Startup, Reject],
            Self::Update => Request::usual_update(world.offered(running, 0)),
            Self::SelectFactory => vec![Startup, Confirm, SelectFactory],
        };
        Cycle { calls, cut: None }
    }
}

/// A power cycle in which the application makes no call.
pub(super) const CRASH: Cycle = Cycle { calls: Vec::new(), cut: None };

/// Two updates in a row: the second is the one that is timed, since a device in the field has had one.
pub(super) const UPDATES: &[Will] = &[Will::Update, Will::Update, Will::Confirm];
/// An update that rejects itself, and the next one.
const REJECT: &[Will] = &[Will::Update, Will::Reject, Will::Update, Will::Confirm];
/// An update that never confirms itself, and the next one.
const ROLL_BACK: &[Will] = &[Will::Update, Will::Hang, Will::Update, Will::Confirm];
/// Updates until the active entry stands in the first sector and an older one in the second, the return to
/// factory, and the next one.
const FACTORY: &[Will] =
    &[Will::Update, Will::Update, Will::Update, Will::SelectFactory, Will::Update, Will::Confirm];

/// The lives of a device in `world`, [`UPDATES`] first. Without rollback nothing is on trial, so nothing rolls
/// back.
pub(super) fn lives(world: &World<'_>) -> Vec<&'static [Will]> {
    let mut lives = vec![UPDATES];
    if world.bootloader.rollback {
        lives.extend([REJECT, ROLL_BACK]);
    }
    if world.layout.apps().factory().is_some() {
        lives.push(FACTORY);
    }
    lives
}

/// The images that an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Images {
    /// What ran when it was offered.
    pub(super) old: FirmwareId,
    /// What was offered last.
    pub(super) new: Option<FirmwareId>,
}

/// A flash operation in the life of a device.
pub(super) struct Performed {
    pub(super) phase: Phase,
    pub(super) step: Step,
    /// The operation, with flash before and after it.
    pub(super) recorded: Recorded,
    /// The call that makes it; `None` for the bootloader.
    pub(super) call: Option<Call>,
    /// The device, with what may be expected of it when power fails now.
    pub(super) device: Device,
    /// The device once the bootloader is done, for operations of the bootloader.
    pub(super) booted: Option<Device>,
    /// The sector of an entry held the active one when the call, or the bootloader, began.
    pub(super) rewrites_active: bool,
    pub(super) images: Images,
    /// Number of the power cycle, from 0.
    pub(super) cycle: usize,
    pub(super) writer: Writer,
    /// Number of the operation among those of its writer in the cycle, from 0.
    pub(super) operation: u32,
    /// It belongs to the update that is timed in [`UPDATES`].
    pub(super) timed: bool,
}

/// A life as it was lived.
pub(super) struct Life {
    pub(super) cycles: Vec<Cycle>,
    pub(super) operations: Vec<Performed>,
}

/// Lives one of [`lives`].
///
/// # Errors
/// A power cycle does not fit the device.
pub(super) fn live(world: &World<'_>, wills: &[Will]) -> Result<Life, ReplayError> {
    let mut life = Life { cycles: Vec::new(), operations: Vec::new() };
    let mut device = Device::new(world);
    let mut images = Images { old: device.spec.good, new: None };
    for (index, will) in wills.iter().enumerate() {
        let (booted, after_boot) = device.run(world, index + 1, &CRASH)?;
        let running = booted.firmware.unwrap_or(images.old);
        let cycle = will.cycle(world, running);
        let (trace, next) = device.run(world, index + 1, &cycle)?;
        let mut now = Now { world, cycle: index, images };
        life.operations.extend(now.bootloader(&trace.boot, &device, &after_boot));
        if Some(running) != images.new {
            now.images = Images { old: running, new: None };
        }
        if let Some(app) = trace.app {
            life.operations.extend(now.application(app, after_boot, running));
        }
        images = now.images;
        life.cycles.push(cycle);
        device = next;
    }
    Ok(life)
}

/// A power cycle of a life.
struct Now<'w> {
    world: &'w World<'w>,
    cycle: usize,
    images: Images,
}

impl Now<'_> {
    /// The operations of the bootloader, on a device that is `after_boot` when it is done.
    fn bootloader(&self, run: &BootRun, device: &Device, after_boot: &Device) -> Vec<Performed> {
        let performed = |(number, recorded): (u32, &Recorded)| {
            let phase = phase_of_boot(self.world, run, recorded);
            let booted = Some(after_boot.clone());
            Performed { booted, ..self.performed(number, recorded.clone(), phase, None, device) }
        };
        (0..).zip(&run.recorded).map(performed).collect()
    }

    /// The operations of the application, on a device that runs `running`.
    fn application(
        &mut self,
        app: AppRun,
        mut device: Device,
        running: FirmwareId,
    ) -> Vec<Performed> {
        let mut performed = Vec::with_capacity(app.recorded.len());
        let mut recorded = (0..).zip(app.recorded);
        for call in app.calls {
            let request = call.request;
            if let Some(offered) = request.offered() {
                self.images = Images { old: running, new: Some(offered) };
            }
            let mut interrupted = device.clone();
            interrupted.spec = interrupted.spec.during(request);
            let of_call: Vec<_> = recorded.by_ref().take(call.operations.len()).collect();
            let in_slot = |(_, recorded): &(u32, Recorded)| {
                matches!(Site::of(self.world, recorded), Site::Slot(_))
            };
            // After the last operation on a slot, the image is selected.
            let last = of_call.iter().rposition(in_slot);
            for (index, (number, recorded)) in of_call.into_iter().enumerate() {
                let phase = match Phase::of_call(request.call()) {
                    Phase::Download if last.is_some_and(|last| index > last) => Phase::Select,
                    phase => phase,
                };
                let call = Some(request.call());
                performed.push(self.performed(number, recorded, phase, call, &interrupted));
            }
            device.spec = call.then(self.world, running, device.spec);
            device.memory = call.memory;
        }
        performed
    }

    fn performed(
        &self,
        number: u32,
        recorded: Recorded,
        phase: Phase,
        call: Option<Call>,
        device: &Device,
    ) -> Performed {
        Performed {
            phase,
            step: Step::of(self.world, &recorded),
            call,
            device: device.clone(),
            booted: None,
            rewrites_active: rewrites_active(self.world, &device.memory, &recorded),
            images: self.images,
            cycle: self.cycle,
            writer: if call.is_some() { Writer::Application } else { Writer::Bootloader },
            operation: number,
            // The second update, up to the confirmation in the cycle after it.
            timed: match self.cycle {
                1 => matches!(phase, Phase::Download | Phase::Select),
                cycle => cycle == 2,
            },
            recorded,
        }
    }
}

/// Whether an operation is on the sector that held the active entry when flash was like `start`.
pub(super) fn rewrites_active(world: &World<'_>, start: &Memory, recorded: &Recorded) -> bool {
    match Site::of(world, recorded) {
        Site::Entry(sector) => otadata::active(&world.raw_entries(start)) == Some(sector),
        Site::Slot(_) | Site::Elsewhere => false,
    }
}

/// Why the bootloader makes an operation.
fn phase_of_boot(world: &World<'_>, run: &BootRun, recorded: &Recorded) -> Phase {
    let Site::Entry(here) = Site::of(world, recorded) else { return Phase::NewDevice };
    let why = run.events.iter().find_map(|event| match event {
        Event::Write { sector, rewrite, .. } if usize::from(*sector) == here => Some(*rewrite),
        _ => None,
    });
    why.map_or(Phase::NewDevice, Phase::of_rewrite)
}
