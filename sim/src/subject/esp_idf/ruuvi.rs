//! An application that confirms itself with more care, and still lost the entry of its running image:
//! Ruuvi Gateway (ruuvi.gateway_esp.c), before and after its pull request 1283.

use super::ota_ops::{self, Session, SetBoot};
use super::{CHUNK, Device, Failure, Subject};
use ::ota_core::Extent;
use ::ota_core::otadata::State;

/// The update code of Ruuvi Gateway: the application API of ESP-IDF v4 with two functions of its own.
///
/// When the image that is selected does not boot, the bootloader starts another one, and then the active
/// entry is not that of the running image. `esp_ota_set_boot_partition` keeps the active entry and writes
/// over the other one, which is that of the running image.
#[derive(Clone, Copy, Debug)]
pub struct Ruuvi {
    /// Whether the entry of the running image is kept instead.
    pub fixed: bool,
}

impl Subject for Ruuvi {
    fn name(&self) -> &'static str {
        if self.fixed { "ruuvi-1283-fixed" } else { "ruuvi-1283" }
    }

    fn is_suspect(&self) -> bool {
        true
    }

    fn plain_only(&self) -> Option<&'static str> {
        None
    }

    fn startup(&self, _: Device<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Only if the running partition is on trial (`fw_update_mark_app_valid_cancel_rollback`).
    fn confirm(&self, mut device: Device<'_>) -> Result<(), Failure> {
        match ota_ops::running_state(&mut device) {
            Some(State::PENDING_VERIFY) => ota_ops::mark_app_valid_cancel_rollback(&mut device),
            _ => Ok(()),
        }
    }

    fn reject(&self, mut device: Device<'_>) -> Result<(), Failure> {
        ota_ops::mark_app_invalid_rollback(&mut device)
    }

    /// Erases the whole partition first (`esp_ota_begin_patched`).
    fn update(&self, mut device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        let slot = ota_ops::next_update_partition(&device)?;
        let mut session = Session::begin(&mut device, slot, Extent::Unknown, false)?;
        for chunk in image.chunks(CHUNK) {
            session.write(&mut device, chunk)?;
        }
        session.end(&mut device)?;
        let which = if self.fixed { SetBoot::NotOfRunning } else { SetBoot::Inactive };
        ota_ops::set_boot_slot(&mut device, slot, which)
    }

    /// The gateway has no factory partition; elsewhere it would be this.
    fn select_factory(&self, mut device: Device<'_>) -> Result<(), Failure> {
        ota_ops::set_boot_factory(&mut device)
    }
}
