//! What an application may expect of the next boot, and the invariants that say so.

use super::cycle::Request;
use crate::firmware::FirmwareId;
use crate::subject::Call;
use ota_core::partition::Slot;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What must hold after every boot, whatever cuts came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// Some image boots: the bootloader never gives up.
    Bootable,
    /// What boots is the old or the new firmware, never a third.
    Atomic,
    /// After a successful update the new firmware boots next; what was confirmed stays.
    Durable,
    /// What an update selects is, byte for byte, an image that was offered.
    Genuine,
    /// The device can take another update without outside help.
    Updatable,
    /// An image that does not confirm itself runs at most once, then the last confirmed one runs.
    Rollback,
    /// A call costs at most the erases its design promises, also when it is tried again.
    BoundedWear,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bootable => "bootable",
            Self::Atomic => "atomic",
            Self::Durable => "durable",
            Self::Genuine => "genuine",
            Self::Updatable => "updatable",
            Self::Rollback => "rollback",
            Self::BoundedWear => "bounded wear",
        })
    }
}

/// How far an update has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trial {
    /// There is none.
    None,
    /// Power failed while one was written or selected: one of these may have been selected, or none.
    Maybe(Candidates),
    /// Selecting it reported success.
    Selected(FirmwareId),
    /// It has run, without being confirmed.
    Running(FirmwareId),
    /// Power failed while it was being confirmed.
    Confirming(FirmwareId),
}

/// Firmware that may have been selected.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Candidates(u32);

impl Candidates {
    /// Number of images that can be told apart.
    pub const MAX: usize = u32::BITS as usize;

    /// These and one more.
    #[must_use]
    pub fn with(self, firmware: FirmwareId) -> Self {
        Self(self.0 | 1_u32.checked_shl(firmware.into()).unwrap_or(0))
    }

    /// Whether it is one of them.
    pub fn contains(self, firmware: FirmwareId) -> bool {
        self.iter().any(|it| it == firmware)
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = FirmwareId> {
        (0..Self::MAX as FirmwareId).filter(move |&id| self.0 >> id & 1 == 1)
    }
}

/// What is known to the application's side about the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spec {
    /// The firmware that was confirmed last, or was installed first.
    pub good: FirmwareId,
    /// The update under way.
    pub trial: Trial,
    /// A confirmation has just reported success: the next boot must choose `good` at first choice, not
    /// reach it because another image failed.
    pub chosen: bool,
}

/// How applications use the update code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// As most do: an application that starts confirms or rejects itself, and takes at most one update
    /// in a power cycle, after it has confirmed itself; that is the next image in turn.
    Usual,
    /// They make any calls in any order, any number of them in a power cycle, and are offered any other
    /// image at any time: a second update on top of the first, an older version, a return to factory from
    /// an image on trial.
    Any,
}

/// What the boot was.
#[derive(Clone, Copy, Debug)]
pub struct Booted {
    /// The firmware that started; `None` for contents that verify but are no known image.
    pub firmware: Option<FirmwareId>,
    /// It is what boot selection chose, not a fallback.
    pub first_choice: bool,
    /// The bootloader keeps it on trial until it is confirmed: an OTA slot under a rollback bootloader.
    pub on_trial: bool,
}

/// An invariant that does not hold, and how that showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What happened instead.
    pub what: What,
}

impl Broken {
    /// A call that reported an error although nothing was in its way.
    pub(crate) fn failed(call: Call, message: &str) -> Self {
        let invariant = match call {
            Call::Startup | Call::Update | Call::SelectFactory => Invariant::Updatable,
            Call::Confirm => Invariant::Durable,
            Call::Reject => Invariant::Rollback,
        };
        Self { invariant, what: What::Failed(call, message.into()) }
    }
}

/// What happened instead of what the invariant demands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The bootloader gave up.
    NoBoot(crate::bootloader::NoBoot),
    /// This firmware booted (`None`: an unknown image) where only these may.
    Booted(Option<FirmwareId>, Vec<FirmwareId>),
    /// The confirmed image booted only because the one that was chosen failed.
    NotChosen(FirmwareId),
    /// A call failed.
    Failed(Call, String),
    /// An update selected this slot, which holds something else than an image that was offered.
    Selected(Slot),
    /// A call erased a sector too often.
    Erased {
        /// The call.
        call: Call,
        /// Start of the sector.
        offset: u32,
        /// How often it was erased.
        times: u32,
        /// How often is promised.
        promised: u32,
    },
}

impl Spec {
    /// A device as it leaves the factory with `good` installed.
    pub fn new(good: FirmwareId) -> Self {
        Self { good, trial: Trial::None, chosen: false }
    }

    /// What is expected after a boot, and what was wrong with the boot. After a violation the
    /// expectations follow what really runs, so that one is reported once.
    pub fn booted(self, boot: Booted) -> (Self, Option<Broken>) {
        let good = self.good;
        let started = |f: FirmwareId| {
            if boot.on_trial {
                Self { good, trial: Trial::Running(f), chosen: false }
            } else {
                Self::new(f)
            }
        };
        let old = Self::new(good);
        let Some(now) = boot.firmware else {
            return (old, Some(self.broken(boot)));
        };
        let next = match self.trial {
            Trial::None | Trial::Running(_) if now == good => old,
            Trial::Maybe(any) if any.contains(now) => started(now),
            Trial::Selected(new) if now == new => started(new),
            Trial::Confirming(new) if now == new => Self { chosen: false, ..self },
            Trial::Confirming(_) if now == good => old,
            // Until the application has settled it, the interrupted selection may still show.
            Trial::Maybe(_) if now == good => Self { chosen: false, ..self },
            _ => return (Self::new(now), Some(self.broken(boot))),
        };
        if self.chosen && !boot.first_choice {
            let what = What::NotChosen(now);
            return (next, Some(Broken { invariant: Invariant::Durable, what }));
        }
        (next, None)
    }

    fn broken(self, boot: Booted) -> Broken {
        let (invariant, allowed) = match self.trial {
            Trial::None => (Invariant::Atomic, vec![self.good]),
            Trial::Maybe(any) => {
                (Invariant::Atomic, std::iter::once(self.good).chain(any.iter()).collect())
            }
            Trial::Confirming(new) => (Invariant::Atomic, vec![self.good, new]),
            Trial::Selected(new) => (Invariant::Durable, vec![new]),
            Trial::Running(new) => match boot.firmware == Some(new) {
                true => (Invariant::Rollback, vec![self.good]),
                false => (Invariant::Atomic, vec![self.good]),
            },
        };
        Broken { invariant, what: What::Booted(boot.firmware, allowed) }
    }

    /// What to expect when power fails inside a call.
    #[must_use]
    pub fn during(self, request: Request) -> Self {
        let maybe = |any: Candidates, new| Trial::Maybe(any.with(new));
        let trial = match (request.offered(), self.trial) {
            (Some(new), Trial::Maybe(any)) => maybe(any, new),
            (Some(new), Trial::Selected(old) | Trial::Confirming(old)) => {
                maybe(Candidates::default().with(old), new)
            }
            (Some(new), Trial::None | Trial::Running(_)) => maybe(Candidates::default(), new),
            (None, Trial::Running(new)) if request == Request::Confirm => Trial::Confirming(new),
            (None, trial) => trial,
        };
        Self { trial, chosen: false, ..self }
    }

    /// What to expect when a call of the image `running` reported success.
    #[must_use]
    pub fn after(self, request: Request, running: FirmwareId) -> Self {
        match (request.offered(), self.trial) {
            (Some(new), _) => Self { trial: Trial::Selected(new), chosen: false, ..self },
            (None, Trial::Running(new) | Trial::Confirming(new)) if request == Request::Confirm => {
                Self { good: new, trial: Trial::None, chosen: true }
            }
            (None, Trial::None | Trial::Maybe(_)) if request == Request::Confirm => {
                Self { good: running, trial: Trial::None, chosen: true }
            }
            _ => self,
        }
    }

    /// What to expect when a call reported an error. Before it wrote anything, nothing has changed.
    #[must_use]
    pub fn after_failure(self, request: Request, wrote: bool) -> Self {
        if wrote { self.during(request) } else { self }
    }

    /// Whether update code does right to refuse a call: an update before the running image has been
    /// confirmed in this power cycle, or the confirmation of an image that the next boot will not start.
    pub fn may_refuse(self, request: Request) -> bool {
        match request {
            Request::Update(_) | Request::SelectFactory => !self.chosen,
            Request::Confirm => matches!(self.trial, Trial::Selected(_)),
            Request::Startup | Request::Reject => false,
        }
    }

    /// Whether an application makes a call at this point. One that power interrupted while it was
    /// confirmed confirms itself before it does anything else; one that is not on trial does not reject
    /// itself.
    pub(super) fn allows(self, request: Request, usage: Usage) -> bool {
        let updates = match usage {
            Usage::Any => !matches!(self.trial, Trial::Confirming(_)),
            Usage::Usual => self.chosen,
        };
        match request {
            Request::Startup => true,
            Request::Confirm => match usage {
                Usage::Any => true,
                Usage::Usual => !matches!(self.trial, Trial::Selected(_)),
            },
            Request::Reject => matches!(self.trial, Trial::Running(_)),
            Request::Update(_) | Request::SelectFactory => updates,
        }
    }
}
