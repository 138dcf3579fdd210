//! What an application may expect of the next boot, and the invariants that say so.

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
    /// Power failed while it was written or selected: it may have been selected or not.
    Maybe(FirmwareId),
    /// Selecting it reported success.
    Selected(FirmwareId),
    /// It has run, without being confirmed.
    Running(FirmwareId),
    /// Power failed while it was being confirmed.
    Confirming(FirmwareId),
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
    /// A call that reported an error.
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
            Trial::Maybe(new) | Trial::Selected(new) if now == new => started(new),
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
            Trial::Maybe(new) | Trial::Confirming(new) => (Invariant::Atomic, vec![self.good, new]),
            Trial::Selected(new) => (Invariant::Durable, vec![new]),
            Trial::Running(new) => match boot.firmware == Some(new) {
                true => (Invariant::Rollback, vec![self.good]),
                false => (Invariant::Atomic, vec![self.good]),
            },
        };
        Broken { invariant, what: What::Booted(boot.firmware, allowed) }
    }

    /// What to expect when power fails inside a call. `offered` is the firmware of an update.
    pub fn during(self, call: Call, offered: FirmwareId) -> Self {
        let trial = match (call, self.trial) {
            (Call::Confirm, Trial::Running(new)) => Trial::Confirming(new),
            (Call::Update | Call::SelectFactory, _) => Trial::Maybe(offered),
            (_, trial) => trial,
        };
        Self { trial, chosen: false, ..self }
    }

    /// What to expect when a call reported success.
    pub fn after(self, call: Call, offered: FirmwareId) -> Self {
        match (call, self.trial) {
            (Call::Confirm, Trial::Running(new) | Trial::Confirming(new)) => {
                Self { good: new, trial: Trial::None, chosen: true }
            }
            (Call::Confirm, Trial::None | Trial::Maybe(_)) => {
                Self { trial: Trial::None, chosen: true, ..self }
            }
            (Call::Update | Call::SelectFactory, _) => {
                Self { trial: Trial::Selected(offered), chosen: false, ..self }
            }
            _ => self,
        }
    }
}
