//! One power cycle of a device: what the application does in it, and where power is cut.

use crate::firmware::FirmwareId;
use crate::flash::fault::Tear;
use crate::subject::Call;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    pub fn calls(self) -> &'static [Call] {
        use Call::{Confirm, Reject, SelectFactory, Startup, Update};
        match self {
            Self::Crash => &[],
            Self::Hang => &[Startup],
            Self::Confirm => &[Startup, Confirm],
            Self::Reject => &[Startup, Reject],
            Self::Update(_) => &[Startup, Confirm, Update],
            Self::SelectFactory => &[Startup, Confirm, SelectFactory],
        }
    }

    /// The firmware of an update; of other actions, that in factory or installed first, which nothing but
    /// a return to factory starts.
    pub(crate) fn offered(self) -> FirmwareId {
        match self {
            Self::Update(firmware) => firmware,
            _ => 0,
        }
    }

    /// The shortest action that makes the first `calls` calls of this one.
    pub(super) fn prefix(self, calls: usize) -> Self {
        match (calls, self) {
            (0, _) => Self::Crash,
            (1, _) => Self::Hang,
            (2, Self::Update(_) | Self::SelectFactory) => Self::Confirm,
            _ => self,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash => f.write_str("crashes at once"),
            Self::Hang => f.write_str("starts, and is reset before it confirms itself"),
            Self::Confirm => f.write_str("starts and confirms itself"),
            Self::Reject => f.write_str("starts and rejects itself"),
            Self::Update(_) => f.write_str("starts, confirms itself and takes an update"),
            Self::SelectFactory => f.write_str("starts, confirms itself and selects factory"),
        }
    }
}

/// Who was writing to flash when power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writer {
    /// The bootloader.
    Bootloader,
    /// The update code.
    Application,
}

/// A power cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cut {
    /// Who was writing.
    pub during: Writer,
    /// Number of the flash operation in this part of the power cycle, from 0.
    pub operation: u32,
    /// What it left behind.
    pub tear: Tear,
}

/// One power cycle: the bootloader runs, then the application, until a cut or a reset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cycle {
    /// What the application does.
    pub action: Action,
    /// The power cut that ends the cycle; without one it ends with a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}
