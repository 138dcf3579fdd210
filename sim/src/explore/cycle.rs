//! One power cycle of a device: what the application does in it, and where power is cut.

use crate::firmware::FirmwareId;
use crate::flash::fault::Tear;
use crate::subject::Call;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A call of the application to its update code, with what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// See [`Call::Startup`].
    Startup,
    /// See [`Call::Confirm`].
    Confirm,
    /// See [`Call::Reject`].
    Reject,
    /// See [`Call::Update`]; to this firmware.
    Update(FirmwareId),
    /// See [`Call::SelectFactory`].
    SelectFactory,
}

impl Request {
    /// A power cycle with an update as most applications make it: they start, confirm themselves, and
    /// take it.
    pub fn usual_update(firmware: FirmwareId) -> Vec<Self> {
        vec![Self::Startup, Self::Confirm, Self::Update(firmware)]
    }

    /// The function that is called.
    pub fn call(self) -> Call {
        match self {
            Self::Startup => Call::Startup,
            Self::Confirm => Call::Confirm,
            Self::Reject => Call::Reject,
            Self::Update(_) => Call::Update,
            Self::SelectFactory => Call::SelectFactory,
        }
    }

    /// The firmware that is to boot next; of a return to factory, that in factory, which comes first in
    /// the list.
    pub(crate) fn offered(self) -> Option<FirmwareId> {
        match self {
            Self::Update(firmware) => Some(firmware),
            Self::SelectFactory => Some(0),
            Self::Startup | Self::Confirm | Self::Reject => None,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cycle {
    /// What the application does, in order. Nothing: it crashes, or is reset, before its first
    /// instruction.
    pub calls: Vec<Request>,
    /// The power cut that ends the cycle; without one it ends with a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl fmt::Display for Cycle {
    /// What the application does, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.calls.split_first() else {
            return f.write_str("crashes at once");
        };
        write!(f, "{}", first.call())?;
        rest.iter().try_for_each(|request| write!(f, ", {}", request.call()))
    }
}
