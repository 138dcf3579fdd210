//! The update code of Rust firmware on `esp-hal`: the crate `esp-bootloader-esp-idf`.
//!
//! A model of *what happens on flash*: the same checks, flash operations and order as its version 0.6.0,
//! neither safer nor more fragile. [`ota`] follows the crate; this file is the application that calls it,
//! by default written as the crate's own example is (`examples/ota/update` of esp-hal).
//!
//! Firmware is taken to be built with overflow checks. Where the crate then panics, the call fails with
//! the message of the panic.

mod ota;

use self::ota::OtaData;
use super::{Device, Failure, Subject};
use crate::layout::Apps;
use ::ota_core::otadata::{SECTOR_SIZE, State};
use ::ota_core::partition::{App, Slot};

/// The algorithm of the crate `esp-bootloader-esp-idf` 0.6.0, and an application on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EspHal {
    /// The application of the crate's example: it uses `OtaUpdater`, and resets otadata at its start if
    /// that cannot be read.
    Example,
    /// The same without that reset.
    WithoutReset,
    /// An application that uses `Ota`, without reset, and puts an update into the last slot that it does
    /// not run from.
    LastSlot,
}

impl Subject for EspHal {
    fn name(&self) -> &'static str {
        match self {
            Self::Example => "esp-hal",
            Self::WithoutReset => "esp-hal-no-reset",
            Self::LastSlot => "esp-hal-last-slot",
        }
    }

    fn is_suspect(&self) -> bool {
        true
    }

    /// `FlashStorage::write_encrypted` reads, erases and programs a sector as `FlashStorage::write` does.
    fn plain_only(&self) -> Option<&'static str> {
        None
    }

    fn startup(&self, device: Device<'_>) -> Result<(), Failure> {
        let mut otadata = OtaData::new(device.chip, device.layout)?;
        if *self == Self::Example && otadata.current_app_partition()?.is_err() {
            otadata.reset()?;
        }
        Ok(())
    }

    /// Goes by what the next boot selects, and does nothing where that cannot be read.
    fn confirm(&self, device: Device<'_>) -> Result<(), Failure> {
        let mut otadata = OtaData::new(device.chip, device.layout)?;
        match otadata.current_ota_state() {
            Ok(State::NEW | State::PENDING_VERIFY) => otadata.set_current_ota_state(State::VALID),
            _ => Ok(()),
        }
    }

    fn reject(&self, device: Device<'_>) -> Result<(), Failure> {
        OtaData::new(device.chip, device.layout)?.set_current_ota_state(State::INVALID)
    }

    /// Nothing verifies the image before it is selected.
    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        let layout = device.layout;
        let mut otadata = OtaData::new(device.chip, layout)?;
        let slot = match self {
            Self::Example | Self::WithoutReset => otadata.next_partition(device.running)?,
            Self::LastSlot => last_slot(layout.apps(), device.running)?,
        };
        let region = layout.apps().slot(slot).ok_or("Invalid: there is no such partition")?;
        for (offset, chunk) in
            (0..).step_by(SECTOR_SIZE as usize).zip(image.chunks(SECTOR_SIZE as usize))
        {
            otadata.write(region, offset, chunk)?;
        }
        otadata.set_current_app_partition(slot)?;
        otadata.set_current_ota_state(State::NEW)
    }

    fn select_factory(&self, device: Device<'_>) -> Result<(), Failure> {
        OtaData::new(device.chip, device.layout)?.reset()
    }
}

/// The last slot, or the one before if that runs.
fn last_slot(apps: &Apps, running: App) -> Result<Slot, Failure> {
    let slots = (0..Slot::MAX as u8).rev().filter_map(Slot::new);
    let mut slots = slots.filter(|&slot| apps.slot(slot).is_some());
    let last = slots.next().ok_or("Invalid: there is no slot")?;
    Ok(if running == App::Ota(last) { slots.next().unwrap_or(last) } else { last })
}

#[cfg(test)]
mod tests;
