//! The update code that most devices in the field run: ESP-IDF's application API.
//!
//! A model of *what happens on flash*: the same checks, the same flash operations and the same order
//! as the releases, neither safer nor more fragile. [`ota_ops`] follows `esp_ota_ops.c` function by
//! function; this file is the application that calls it, written as ESP-IDF's examples are, and
//! [`named_slots`] and [`ruuvi`] are ones that are written otherwise.
//!
//! Not modelled, since it touches neither otadata nor slots: messages, the list of open sessions,
//! and updates of anything but an application. Of flash encryption: that `esp_ota_write` keeps
//! back what does not fill a block of 16 bytes, as a valid image is a multiple of that long.

mod named_slots;
mod ota_ops;
mod ruuvi;

pub use self::named_slots::NamedSlots;
pub use self::ruuvi::Ruuvi;

use self::ota_ops::{Session, SetBoot};
use super::{Device, Failure, Subject};
use ::ota_core::Extent;
use ::ota_core::partition::{App, Slot};

/// Bytes that a download hands over at a time: the receive buffer of ESP-IDF's `native_ota_example`.
const CHUNK: usize = 1024;

/// A release of ESP-IDF whose application API does something else on flash than the one before.
///
/// Between v5.4 and v6.1 two things changed in `esp_ota_ops.c` that show on flash; compared function by
/// function at the tags v5.4, v5.5, v6.0 and v6.1-beta1. Confirmation, rejection and the return to
/// factory are the same in all of them, and so is what a session erases and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// v5.4, and back to v4.3, from when sessions can erase as they write.
    V5_4,
    /// v5.5: `esp_ota_begin` of a rollback build revokes the inactive select entry.
    V5_5,
    /// v6.0 and v6.1: `esp_ota_set_boot_partition` of the slot that is selected already rewrites its
    /// entry instead of the other one.
    V6_1,
}

impl Release {
    fn revokes_inactive_entry(self) -> bool {
        self >= Self::V5_5
    }

    fn set_boot(self) -> SetBoot {
        if self >= Self::V6_1 { SetBoot::InPlaceIfSelected } else { SetBoot::Inactive }
    }
}

/// The application API of ESP-IDF (`esp_ota_ops.c`), called as ESP-IDF's examples call it.
#[derive(Clone, Copy, Debug)]
pub struct EspIdf {
    /// Whose API.
    pub release: Release,
    /// How sessions erase; `None` for the known size of the image. With a size, the slot is erased
    /// before the select entry that may point to it; see [`Extent`] for the ESP-IDF names.
    pub extent: Option<Extent>,
}

/// v5.5. Erases as it writes (`OTA_WITH_SEQUENTIAL_WRITES`), like ESP-IDF's examples.
impl Default for EspIdf {
    fn default() -> Self {
        Self { release: Release::V5_5, extent: Some(Extent::Sequential) }
    }
}

impl Subject for EspIdf {
    fn name(&self) -> &'static str {
        match (self.release, self.extent) {
            (Release::V5_4, Some(Extent::Sequential)) => "esp-idf-v5.4-sequential",
            (Release::V5_4, _) => "esp-idf-v5.4",
            (Release::V5_5, Some(Extent::Sequential)) => "esp-idf-v5.5-sequential",
            (Release::V5_5, _) => "esp-idf-v5.5",
            (Release::V6_1, Some(Extent::Sequential)) => "esp-idf-v6.1-sequential",
            (Release::V6_1, _) => "esp-idf-v6.1",
        }
    }

    fn is_suspect(&self) -> bool {
        true
    }

    fn plain_only(&self) -> Option<&'static str> {
        None
    }

    /// Nothing: ESP-IDF does not look after what a power cut left behind.
    fn startup(&self, _: Device<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Calls `esp_ota_mark_app_valid_cancel_rollback` whatever runs, as applications commonly do at
    /// start-up.
    ///
    /// It works on the entry that the next boot selects, not on that of the running image. Without
    /// such an entry it returns `ESP_FAIL`, which is what happens on every start of factory:
    /// applications ignore it there, and so this is a success.
    fn confirm(&self, mut device: Device<'_>) -> Result<(), Failure> {
        match ota_ops::mark_app_valid_cancel_rollback(&mut device) {
            Err(failure) if failure == ota_ops::FAIL && device.running == App::Factory => Ok(()),
            result => result,
        }
    }

    fn reject(&self, mut device: Device<'_>) -> Result<(), Failure> {
        ota_ops::mark_app_invalid_rollback(&mut device)
    }

    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        let slot = ota_ops::next_update_partition(&device)?;
        self.update_slot(device, image, slot)
    }

    fn select_factory(&self, mut device: Device<'_>) -> Result<(), Failure> {
        ota_ops::set_boot_factory(&mut device)
    }
}

impl EspIdf {
    /// The flow of `native_ota_example`; `esp_https_ota` ends in the same calls.
    fn update_slot(&self, mut device: Device<'_>, image: &[u8], slot: Slot) -> Result<(), Failure> {
        let extent = self.extent.unwrap_or(Extent::Known(image.len() as u32));
        let revokes = self.release.revokes_inactive_entry();
        let mut session = Session::begin(&mut device, slot, extent, revokes)?;
        for chunk in image.chunks(CHUNK) {
            session.write(&mut device, chunk)?;
        }
        session.end(&mut device)?;
        ota_ops::set_boot_slot(&mut device, slot, self.release.set_boot())
    }
}

#[cfg(test)]
mod tests;
