//! What a board must be able to do for a case, and about how long the case takes.

use super::case::{Action, Case, Cut, Place, Step, Which};
use super::file::{ChipName, CutKind, Phase, ResetKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Something that not every board can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Be that chip.
    Chip(ChipName),
    /// Run a bootloader that is built with rollback.
    RollbackBootloader,
    /// Run any firmware, not only that of the family.
    AnyFirmware,
    /// Show the firmware's console.
    Console,
    /// Be reached by programs on the host.
    HostCommands,
    /// Interrupt the device in that way.
    Cut(CutKind),
    /// Cut at a flash operation by its number.
    CountOperations,
    /// Cut inside a flash operation.
    CutInsideOperation,
    /// Cut at a text on the console.
    CutAtText,
    /// Reset the device in that way.
    Reset(ResetKind),
    /// Take power away and give it back.
    PowerCycle,
    /// Read flash.
    ReadFlash,
    /// Change single bits of flash.
    WriteFlash,
    /// Break the link in the middle of an upload.
    BreakLink,
    /// Leave it to a firmware that crashes or hangs to end in a reset by itself, by a watchdog if need be.
    SelfReset,
}

/// As a phrase that follows "it cannot".
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chip(chip) => return write!(f, "be an {}", chip.id()),
            Self::RollbackBootloader => "run a bootloader with rollback",
            Self::AnyFirmware => "run any firmware",
            Self::Console => "show a console",
            Self::HostCommands => "be reached by programs",
            Self::Cut(kind) => return write!(f, "be cut by {}", word(kind)),
            Self::CountOperations => "count flash operations",
            Self::CutInsideOperation => "be cut inside a flash operation",
            Self::CutAtText => "be cut at a text on the console",
            Self::Reset(kind) => return write!(f, "be reset by {}", word(kind)),
            Self::PowerCycle => "lose power",
            Self::ReadFlash => "have its flash read",
            Self::WriteFlash => "have bits of its flash changed",
            Self::BreakLink => "have its link broken",
            Self::SelfReset => "be left to its watchdogs",
        })
    }
}

/// A value as it is written in a file.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// What a board must be able to do for a case.
pub fn needs(case: &Case) -> BTreeSet<Capability> {
    let device = &case.device;
    let mut needs = BTreeSet::from([Capability::Chip(device.chip)]);
    if device.rollback {
        needs.insert(Capability::RollbackBootloader);
    }
    if device.commands.is_some() {
        needs.extend([Capability::AnyFirmware, Capability::Console]);
    }
    if case.images.values().any(|image| image.resets_itself) {
        needs.insert(Capability::SelfReset);
    }
    for step in &case.steps {
        needs.extend(step.cuts.iter().flat_map(of_cut));
        let after = step.after_cut.iter();
        if after.clone().any(|after| after.otadata.is_some()) {
            needs.insert(Capability::ReadFlash);
        }
        if after.clone().any(|after| !after.never.is_empty()) {
            needs.insert(Capability::Console);
        }
        needs.extend(of_action(&step.action));
    }
    needs
}

fn of_cut(cut: &Cut) -> Vec<Capability> {
    let kind = Capability::Cut(cut.kind);
    match &cut.place {
        Place::Operation { into, .. } => {
            let inside = *into > 0.0 && *into < 1.0 && cut.kind.stops_flash();
            let inside = inside.then_some(Capability::CutInsideOperation);
            [kind, Capability::CountOperations].into_iter().chain(inside).collect()
        }
        Place::Text { .. } => vec![kind, Capability::CutAtText, Capability::Console],
    }
}

fn of_action(action: &Action) -> Vec<Capability> {
    match action {
        Action::Boot { text, never, .. } if !(text.is_empty() && never.is_empty()) => {
            vec![Capability::Console]
        }
        Action::Update { break_link: Some(_), .. } => vec![Capability::BreakLink],
        Action::Reset { kind } => vec![Capability::Reset(*kind)],
        Action::PowerCycle { .. } => vec![Capability::PowerCycle],
        Action::Send { .. } | Action::WaitFor { .. } => vec![Capability::Console],
        Action::Run { until, .. } => {
            let console = until.as_ref().map(|_| Capability::Console);
            console.into_iter().chain([Capability::HostCommands]).collect()
        }
        Action::FlipBits { .. } => vec![Capability::WriteFlash],
        Action::Expect(_) => vec![Capability::ReadFlash],
        Action::ExpectStable { never, .. } if !never.is_empty() => vec![Capability::Console],
        _ => Vec::new(),
    }
}

/// Kinds of boards, for planning. When a case is run, the board itself says what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoardKind {
    /// The flash model with the update code in process.
    Model,
    /// The virtual board.
    Virtual,
    /// Espressif's QEMU.
    Qemu,
    /// A real board on a serial port.
    Serial,
    /// A real board on a serial port, with a switch for its power.
    SwitchedSerial,
}

impl BoardKind {
    /// All of them, the quickest first.
    pub const ALL: [Self; 5] =
        [Self::Model, Self::Virtual, Self::Qemu, Self::Serial, Self::SwitchedSerial];

    /// Its name in plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Virtual => "virtual",
            Self::Qemu => "qemu",
            Self::Serial => "serial",
            Self::SwitchedSerial => "serial+power",
        }
    }

    /// Whether boards of the kind can do this.
    pub fn offers(self, capability: Capability) -> bool {
        let simulated = matches!(self, Self::Model | Self::Virtual);
        let powered = simulated || matches!(self, Self::Qemu | Self::SwitchedSerial);
        match capability {
            Capability::Chip(chip) => {
                matches!(self, Self::Serial | Self::SwitchedSerial) || chip == ChipName::Esp32c3
            }
            Capability::RollbackBootloader | Capability::ReadFlash | Capability::SelfReset => true,
            Capability::WriteFlash | Capability::BreakLink | Capability::CountOperations => true,
            Capability::AnyFirmware | Capability::Console | Capability::HostCommands => {
                self != Self::Model
            }
            Capability::CutAtText => self != Self::Model,
            Capability::Cut(CutKind::Rail | CutKind::UsbPort) => powered,
            Capability::Cut(CutKind::EnReset) | Capability::Reset(ResetKind::EnReset) => true,
            Capability::Reset(ResetKind::Software) => true,
            Capability::Cut(CutKind::Watchdog) | Capability::Reset(ResetKind::Watchdog) => {
                simulated
            }
            Capability::Cut(CutKind::BrownOut) => simulated || self == Self::SwitchedSerial,
            Capability::Cut(CutKind::DebugReset) => false,
            Capability::Reset(ResetKind::DebugReset) => false,
            // QEMU does an operation at once. A real board's cut falls where it falls; read-back says where
            // that was.
            Capability::CutInsideOperation => powered && self != Self::Qemu,
            Capability::PowerCycle => powered,
        }
    }

    /// What a case needs and boards of the kind cannot do.
    pub fn lacks(self, case: &Case) -> Vec<Capability> {
        needs(case).into_iter().filter(|capability| !self.offers(*capability)).collect()
    }

    /// About how long a start takes, and a second's worth of upload in bytes.
    fn pace(self) -> (Duration, u32) {
        match self {
            Self::Model => (Duration::from_micros(200), 500_000_000),
            Self::Virtual => (Duration::from_millis(150), 1_000_000),
            Self::Qemu => (Duration::from_secs(1), 8_000),
            Self::Serial | Self::SwitchedSerial => (Duration::from_secs(3), 8_000),
        }
    }
}

/// Length of an image in bytes where it is not known.
const IMAGE: u32 = 200_000;

/// Flash operations of the update agent for a sector of an image: one erase, and two writes for each of the
/// packets of some 2000 bytes, cut at the sector's end.
const PER_SECTOR: u64 = 6;

/// About how many runs a step makes of the case: one, unless it is cut at every operation.
fn runs(step: &Step, case: &Case) -> u64 {
    let every = |cut: &&Cut| matches!(cut.place, Place::Operation { which: Which::Every, .. });
    let few = 4;
    step.cuts
        .iter()
        .filter(every)
        .map(|cut| match (&step.action, cut.during) {
            (Action::Update { image, .. }, None | Some(Phase::Upload)) => {
                u64::from(bytes(case, image) / 4096) * PER_SECTOR + 2 * few
            }
            (Action::Send { .. } | Action::Run { .. }, None | Some(Phase::Upload)) => {
                u64::from(IMAGE / 4096) * PER_SECTOR + 2 * few
            }
            _ => few,
        })
        .product()
}

fn bytes(case: &Case, image: &str) -> u32 {
    case.images.get(image).and_then(|image| image.bytes).unwrap_or(IMAGE)
}

/// About how many runs a case makes, and how long they take on a kind of board. An estimate: nobody
/// counts flash operations before they happen.
pub fn estimate(case: &Case, board: BoardKind) -> (u64, Duration) {
    let (start, rate) = board.pace();
    let runs = case.steps.iter().map(|step| runs(step, case)).fold(1, u64::saturating_mul);
    let upload = |image: &String| Duration::from_secs(bytes(case, image).into()) / rate;
    let once: Duration = case
        .steps
        .iter()
        .map(|step| {
            let cuts = start * u32::try_from(step.cuts.len()).unwrap_or(u32::MAX);
            cuts + match &step.action {
                Action::Install { image, .. } => start + upload(image),
                Action::Update { image, .. } | Action::OfferOlder { image } => upload(image),
                Action::StillUpdatable { image } => upload(image) + start * 2,
                Action::PowerCycle { off } if board != BoardKind::Model => *off,
                Action::ExpectStable { time, boots, .. } => {
                    let time = time.filter(|_| board != BoardKind::Model).unwrap_or_default();
                    time + start * boots.unwrap_or(0)
                }
                Action::Boot { .. } | Action::RollBack { .. } => start,
                _ => Duration::ZERO,
            }
        })
        .sum();
    (runs, once.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX)))
}
