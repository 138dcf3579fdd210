//! An application that knows its slots by name.

use super::{Device, EspIdf, Failure, Release, Subject, ota_ops};
use ::ota_core::partition::{App, Slot};

/// The application API of ESP-IDF v5.5 under an application that chooses between `ota_0` and `ota_1` itself
/// instead of asking for the next slot: it looks for the one that it does not run from
/// (`esp_partition_find_first`), as is common where there are two.
#[derive(Clone, Copy, Debug)]
pub struct NamedSlots;

/// In all else it is this.
const API: EspIdf = EspIdf { release: Release::V5_5, extent: None };

impl Subject for NamedSlots {
    fn name(&self) -> &'static str {
        "esp-idf-v5.5-named-slots"
    }

    fn is_suspect(&self) -> bool {
        true
    }

    fn plain_only(&self) -> Option<&'static str> {
        API.plain_only()
    }

    fn startup(&self, device: Device<'_>) -> Result<(), Failure> {
        API.startup(device)
    }

    fn confirm(&self, device: Device<'_>) -> Result<(), Failure> {
        API.confirm(device)
    }

    fn reject(&self, device: Device<'_>) -> Result<(), Failure> {
        API.reject(device)
    }

    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        let first = Slot::new(0);
        let runs_first = first.map(App::Ota) == Some(device.running);
        let slot = if runs_first { Slot::new(1) } else { first };
        // Of a slot that is not there it has no partition, and begin refuses that.
        let exists = |slot: &Slot| device.layout.apps().slot(*slot).is_some();
        let slot = slot.filter(exists).ok_or(ota_ops::INVALID_ARG)?;
        API.update_slot(device, image, slot)
    }

    fn select_factory(&self, device: Device<'_>) -> Result<(), Failure> {
        API.select_factory(device)
    }
}
