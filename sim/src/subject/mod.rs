//! The update code under test.

mod agent;
mod esp_hal;
mod esp_idf;
mod ota_core;

pub use self::agent::UpdateAgent;
pub use self::esp_hal::EspHal;
pub use self::esp_idf::{EspIdf, NamedSlots, Release, Ruuvi};
pub use self::ota_core::OtaCore;

use crate::bootloader::AntiRollback;
use crate::flash::{Chip, Digest};
use crate::layout::Layout;
use ::ota_core::image::Requirements;
use ::ota_core::partition::App;
use std::fmt;

/// Everything an application knows when it calls its update code.
#[derive(Debug)]
pub struct Device<'a> {
    /// The flash.
    pub chip: &'a mut Chip,
    /// The partitions.
    pub layout: &'a Layout,
    /// What an image must be to run here.
    pub requirements: &'a Requirements,
    /// The partition that runs.
    pub running: App,
    /// Whether the application and the bootloader were built with rollback.
    pub rollback: bool,
    /// How they were built with anti-rollback, if they were.
    pub anti_rollback: Option<AntiRollback>,
    /// Security version in eFuse. A call raises it after its last flash operation, if at all: a cut in an
    /// operation then finds it as it was before the call.
    pub secure_version: &'a mut u32,
    /// Who follows the call.
    pub observer: &'a mut dyn Observer,
}

/// Who follows a call.
pub trait Observer: fmt::Debug {
    /// The call has come to a point at which what it will do follows from flash and from what it
    /// remembers, which has this digest. Whether it may stop here, as that is known already.
    ///
    /// A subject need not have such points.
    fn knows(&mut self, chip: &Chip, remembered: Digest) -> bool;
}

/// Nobody: the call runs to its end.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn knows(&mut self, _: &Chip, _: Digest) -> bool {
        false
    }
}

/// A call of an application to its update code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// What the application does at every start, before anything else.
    Startup,
    /// The self-test passed: keep this image.
    Confirm,
    /// The self-test failed: return to the previous image.
    Reject,
    /// Download an image to the next slot and select it.
    Update,
    /// Return to the factory application.
    SelectFactory,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "startup",
            Self::Confirm => "confirm",
            Self::Reject => "reject",
            Self::Update => "update",
            Self::SelectFactory => "select factory",
        })
    }
}

/// Why a call failed, in the words of the subject.
pub type Failure = String;

/// Update code that an exploration puts on a device.
///
/// A subject keeps nothing between calls: what it must remember stands on flash.
pub trait Subject: fmt::Debug + Sync {
    /// Name for reports.
    fn name(&self) -> &'static str;

    /// Whether it is here to be found wanting: update code of others, with weaknesses of its own.
    fn is_suspect(&self) -> bool {
        false
    }

    /// Why it would refuse to start on a device with this layout, if it would. Such a device is not explored:
    /// it takes no update, and keeps what it runs.
    fn refusal(&self, _: &Layout) -> Option<Failure> {
        None
    }

    /// Whether an update goes on with what an interrupted one left in the slot. If so, it does that only
    /// where the slot starts like the image, and trusts no byte of the last sector that is not blank;
    /// and it may erase a sector twice, to start over when the image does not come out right. An
    /// exploration offers it every image at any time, not only the next in turn.
    fn resumes(&self) -> bool {
        false
    }

    /// Why it cannot run where flash is encrypted, and so is read and programmed in blocks of 16 bytes, each
    /// once after an erase; `None` if it can.
    fn plain_only(&self) -> Option<&'static str> {
        Some("it is not made for flash that is programmed in encrypted blocks of 16 bytes")
    }

    /// See [`Call::Startup`].
    ///
    /// # Errors
    /// Why the update code gave up.
    fn startup(&self, device: Device<'_>) -> Result<(), Failure>;

    /// See [`Call::Confirm`].
    ///
    /// # Errors
    /// Why the image stays unconfirmed.
    fn confirm(&self, device: Device<'_>) -> Result<(), Failure>;

    /// See [`Call::Reject`].
    ///
    /// # Errors
    /// Why the image stays selected.
    fn reject(&self, device: Device<'_>) -> Result<(), Failure>;

    /// See [`Call::Update`]. `image` is the whole image; the subject receives it piece by piece.
    ///
    /// # Errors
    /// Why the image is not selected.
    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure>;

    /// See [`Call::SelectFactory`].
    ///
    /// # Errors
    /// Why factory is not selected.
    fn select_factory(&self, device: Device<'_>) -> Result<(), Failure>;
}
