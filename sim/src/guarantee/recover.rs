//! What becomes of a device after one power cut.

use super::life::{CRASH, Images, Performed, Will, rewrites_active};
use super::step::{Phase, Step};
use crate::explore::{
    Content, Cycle, Finding, Hazard, Invariant, State, Trial, What, World, torn_state,
};
use crate::flash::{Digest, Memory};
use crate::replay::{CycleTrace, Device, ReplayError};
use ota_core::partition::App;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

/// What boots when power returns, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boots {
    /// The bootloader gives up.
    Nothing,
    /// An image that is neither the old nor the new one.
    Other,
    /// The factory application, where it is neither the old nor the new image, or is returned to.
    Factory,
    /// What ran before the update.
    Old,
    /// What the update brings.
    New,
}

impl fmt::Display for Boots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "NOTHING",
            Self::Other => "OTHER",
            Self::Factory => "factory",
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// What is lost, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// The image that ran: neither it nor the new one boots.
    Image,
    /// An update that had been selected with success: it is forgotten.
    Update,
    /// The confirmation: the device rolls back, although the new image had begun to confirm itself.
    Confirmation,
    /// The rejection: the image that rejected itself runs again.
    Rejection,
    /// The trial: the new image runs, and is kept although it does not confirm itself.
    Trial,
    /// The download: what is missing must be sent, or all of it where the update code does not resume.
    Download,
    /// The selection: the slot holds the image in full, and nothing selects it.
    Selection,
    /// Nothing.
    Nothing,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Update => "update",
            Self::Confirmation => "confirmation",
            Self::Rejection => "rejection",
            Self::Trial => "trial",
            Self::Download => "download",
            Self::Selection => "selection",
            Self::Nothing => "nothing",
        })
    }
}

/// Whether the device takes another update without outside help, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Updates {
    /// Not at the second try either.
    Never,
    /// The first try fails, the second one, after a reset, succeeds.
    SecondTry,
    /// The first try succeeds, and the image boots.
    FirstTry,
}

/// What becomes of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    pub(super) boots: Boots,
    pub(super) lost: Lost,
    pub(super) updates: Updates,
    /// The invariants that break, now or in what the application may do next.
    pub(super) breaks: Vec<Finding>,
}

/// How a finding shows after a cut.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// How.
    pub(super) what: What,
    /// The power cycles after the cut.
    pub(super) cycles: Vec<Cycle>,
}

/// An outcome, and how each of its findings shows.
pub(super) struct Recovery {
    pub(super) outcome: Outcome,
    pub(super) shown: BTreeMap<Finding, Shown>,
}

/// Devices with the same key recover alike.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    state: State,
    /// Update code that resumes an upload sees more of flash than a [`State`] tells.
    flash: Option<Digest>,
    phase: Phase,
    step: Step,
    images: Images,
    /// What hazards are told apart by.
    hits_active: bool,
    rewrites_active: bool,
    torn_state: bool,
}

/// Recovers devices, each kind once.
pub(super) struct Recoveries<'w> {
    world: &'w World<'w>,
    known: HashMap<Key, Rc<Recovery>>,
}

impl<'w> Recoveries<'w> {
    pub(super) fn new(world: &'w World<'w>) -> Self {
        Self { world, known: HashMap::new() }
    }

    /// What becomes of the device when power fails in `performed` and leaves `memory`.
    pub(super) fn after(
        &mut self,
        performed: &Performed,
        memory: Memory,
    ) -> Result<Rc<Recovery>, ReplayError> {
        let world = self.world;
        let recorded = &performed.recorded;
        let [before, torn, after] =
            [&recorded.before, &memory, &recorded.after].map(|memory| world.raw_entries(memory));
        let torn_state = torn_state(&before, &torn, &after);
        // Once the bootloader has written all it has to, the image counts as started.
        let booted = performed.booted.as_ref().filter(|it| world.raw_entries(&it.memory) == torn);
        let mut device = booted.unwrap_or(&performed.device).clone();
        device.tear(world, performed.call, recorded, memory);
        let key = Key {
            state: device.state(world),
            flash: world.subject.resumes().then(|| device.memory.digest_all()),
            phase: performed.phase,
            step: performed.step,
            images: performed.images,
            hits_active: rewrites_active(world, &recorded.before, recorded),
            rewrites_active: performed.rewrites_active,
            torn_state,
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let recovery = Rc::new(self.recover(&device, performed)?);
        self.known.insert(key, recovery.clone());
        Ok(recovery)
    }

    /// Switches the device on and lets its application do what it may, then looks at the boot after that.
    fn recover(&self, device: &Device, performed: &Performed) -> Result<Recovery, ReplayError> {
        let world = self.world;
        let mut shown = BTreeMap::new();
        let (booted, after_boot) = device.run(world, 1, &CRASH)?;
        note(&mut shown, &booted, &[CRASH]);
        let boots = boots(&booted, performed);
        let mut updates = Updates::Never;
        if let (Some(running), Ok(started)) = (booted.firmware, booted.boot.boot.outcome) {
            let mut wills = vec![Will::Update, Will::Hang, Will::Confirm];
            if matches!(after_boot.spec.trial, Trial::Running(_)) {
                wills.push(Will::Reject);
            } else if started.app != App::Factory && world.layout.apps().factory().is_some() {
                wills.push(Will::SelectFactory);
            }
            for will in wills {
                let cycle = will.cycle(world, running);
                let (done, next) = device.run(world, 1, &cycle)?;
                note(&mut shown, &done, std::slice::from_ref(&cycle));
                let (last, after) = next.run(world, 2, &CRASH)?;
                note(&mut shown, &last, &[cycle, CRASH]);
                if will == Will::Update {
                    updates = match last.firmware == Some(world.offered(running, 0)) {
                        true => Updates::FirstTry,
                        false => self.second_try(&last, &after)?,
                    };
                }
            }
        }
        let breaks: BTreeSet<_> =
            shown.keys().map(|&finding| renamed(finding, performed.rewrites_active)).collect();
        let breaks: Vec<_> = breaks.into_iter().collect();
        let lost = self.lost(performed, boots, &breaks, device);
        Ok(Recovery { outcome: Outcome { boots, lost, updates, breaks }, shown })
    }

    /// Whether an update succeeds after one that did not; `last` is the boot in between.
    fn second_try(&self, last: &CycleTrace, device: &Device) -> Result<Updates, ReplayError> {
        let Some(running) = last.firmware else { return Ok(Updates::Never) };
        let cycle = Will::Update.cycle(self.world, running);
        let (_, next) = device.run(self.world, 1, &cycle)?;
        let (booted, _) = next.run(self.world, 2, &CRASH)?;
        Ok(match booted.firmware == Some(self.world.offered(running, 0)) {
            true => Updates::SecondTry,
            false => Updates::Never,
        })
    }

    fn lost(
        &self,
        performed: &Performed,
        boots: Boots,
        breaks: &[Finding],
        device: &Device,
    ) -> Lost {
        let untried = breaks.iter().any(|finding| finding.invariant == Invariant::Rollback);
        let new = performed.images.new;
        match (performed.phase, boots) {
            (Phase::ReturnToFactory, Boots::Factory) => Lost::Nothing,
            (_, Boots::Nothing | Boots::Other | Boots::Factory) => Lost::Image,
            (Phase::Reject, Boots::New) => Lost::Rejection,
            (_, Boots::New) if untried => Lost::Trial,
            (Phase::FirstBoot, Boots::Old) => Lost::Update,
            (Phase::Confirm, Boots::Old) if new.is_some() => {
                // Without a trial the image was not to be given up, confirmed or not.
                if self.world.bootloader.rollback { Lost::Confirmation } else { Lost::Update }
            }
            (Phase::Download, Boots::Old) => {
                let contents = self.world.contents(&device.memory);
                let complete = new.is_some_and(|new| contents.contains(&Content::Firmware(new)));
                // What an earlier update left there is on its way out.
                match complete && performed.step == Step::FinishImage {
                    true => Lost::Selection,
                    false => Lost::Download,
                }
            }
            (Phase::Select | Phase::ReturnToFactory, Boots::Old) => Lost::Selection,
            (_, Boots::Old | Boots::New) => Lost::Nothing,
        }
    }
}

/// What booted.
fn boots(booted: &CycleTrace, performed: &Performed) -> Boots {
    let Ok(started) = booted.boot.boot.outcome else { return Boots::Nothing };
    let images = performed.images;
    let in_factory = started.app == App::Factory;
    match booted.firmware {
        Some(_) if in_factory && performed.phase == Phase::ReturnToFactory => Boots::Factory,
        Some(firmware) if Some(firmware) == images.new => Boots::New,
        Some(firmware) if firmware == images.old => Boots::Old,
        Some(_) if in_factory => Boots::Factory,
        _ => Boots::Other,
    }
}

/// The finding by the name that fits the whole rewrite. An entry that is rewritten in place is gone from its
/// erase to the end of its program (H1); to the explorer, which looks at each operation by itself, the
/// program is one on a spare sector.
fn renamed(finding: Finding, rewrites_active: bool) -> Finding {
    match finding.hazard {
        Some(Hazard::H4) if rewrites_active => Finding { hazard: Some(Hazard::H1), ..finding },
        _ => finding,
    }
}

/// Keeps what breaks in `trace`, the last of `cycles`, unless it showed sooner.
fn note(shown: &mut BTreeMap<Finding, Shown>, trace: &CycleTrace, cycles: &[Cycle]) {
    for violation in &trace.violations {
        let first = || Shown { what: violation.what.clone(), cycles: cycles.to_vec() };
        shown.entry(violation.finding).or_insert_with(first);
    }
}
