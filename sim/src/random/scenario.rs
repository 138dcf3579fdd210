//! What a random search generates: power cycles with faults, in a form that can be kept and replayed.

use crate::explore::{Cut, Request, Writer};
use crate::firmware::FirmwareId;
use crate::flash::fault::Fault;
use serde::{Deserialize, Serialize};

/// The life of a device from the factory on. Together with the device it determines every bit that
/// happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Seed of what unstable and weak cells show.
    pub seed: u64,
    /// The power cycles, in order.
    pub cycles: Vec<FaultyCycle>,
}

/// What the application does between its start and the next reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: it crashes, or is reset, before its first instruction.
    Crash,
    /// It starts and is reset without having confirmed itself.
    Hang,
    /// It starts and confirms itself.
    Confirm,
    /// It starts and rejects itself.
    Reject,
    /// It starts, confirms itself, and is updated to this firmware.
    Update(FirmwareId),
    /// It starts, confirms itself, and selects the factory application.
    SelectFactory,
}

impl Action {
    /// The calls to the update code, in order.
    pub(super) fn calls(self) -> Vec<Request> {
        use Request::{Confirm, Reject, SelectFactory, Startup};
        match self {
            Self::Crash => vec![],
            Self::Hang => vec![Startup],
            Self::Confirm => vec![Startup, Confirm],
            Self::Reject => vec![Startup, Reject],
            Self::Update(firmware) => Request::usual_update(firmware),
            Self::SelectFactory => vec![Startup, Confirm, SelectFactory],
        }
    }
}

/// One power cycle, and what goes wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultyCycle {
    /// What the application does. Rejecting an image that is not on trial and selecting a factory
    /// application that does not exist, or runs, are left out; an update to the firmware that runs, or
    /// to that of factory, is one to [`World::offered`](crate::explore::World::offered).
    pub action: Action,
    /// The power cut that ends the cycle. One that names an operation which never comes strikes when
    /// all is done; a tear that does not fit its operation leaves that undone. Without a cut the cycle
    /// ends with a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Fault F9: what ends the cycle in the place of the cut is a reset, and power stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// What goes wrong while power is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// An access to flash that goes wrong although power stays on. Accesses are numbered from 0 in each part
/// of a power cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// A flash operation.
    Operation {
        /// Who issues it.
        during: Writer,
        /// Its number.
        number: u32,
        /// What happens instead.
        fault: Fault,
    },
    /// A read, which fails (fault F11).
    Read {
        /// Who reads.
        during: Writer,
        /// Its number.
        number: u32,
    },
}

impl Trouble {
    /// In which part of the power cycle it happens.
    pub fn during(&self) -> Writer {
        match self {
            Self::Operation { during, .. } | Self::Read { during, .. } => *during,
        }
    }
}
