//! The subject that ships: `ota-core`.

use super::{Device, Failure, Subject};
use crate::flash::{Chip, FlashError};
use ::ota_core::partition::App;
use ::ota_core::{Config, Error, Extent, Ota};

/// Bytes that a download hands over at a time. Not a divisor of the sector, so that writes straddle
/// sectors and leave unfinished words.
const CHUNK: usize = 1022;

/// `ota-core`, called as its documentation says.
#[derive(Clone, Copy, Debug)]
pub struct OtaCore {
    /// How sessions erase; `None` for the known size of the image.
    pub extent: Option<Extent>,
}

impl Default for OtaCore {
    fn default() -> Self {
        Self { extent: Some(Extent::Sequential) }
    }
}

fn open(device: Device<'_>) -> Result<Ota<&mut Chip>, Error<FlashError>> {
    let config = Config {
        requirements: *device.requirements,
        rollback: device.rollback,
        min_secure_version: *device.secure_version,
    };
    Ota::new(device.chip, *device.layout.apps(), device.running, config)
}

fn failure(error: Error<FlashError>) -> Failure {
    error.to_string()
}

impl Subject for OtaCore {
    fn name(&self) -> &'static str {
        match self.extent {
            Some(Extent::Sequential) => "ota-core",
            _ => "ota-core-bulk",
        }
    }

    fn startup(&self, device: Device<'_>) -> Result<(), Failure> {
        open(device).and_then(|mut ota| ota.recover()).map(drop).map_err(failure)
    }

    fn confirm(&self, device: Device<'_>) -> Result<(), Failure> {
        open(device).and_then(|mut ota| ota.confirm()).map(drop).map_err(failure)
    }

    fn reject(&self, device: Device<'_>) -> Result<(), Failure> {
        open(device).and_then(|mut ota| ota.reject()).map(drop).map_err(failure)
    }

    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        let update = || {
            let mut ota = open(device)?;
            let slot = ota.next_update_slot().ok_or(Error::RunningSlot)?;
            let extent = self.extent.unwrap_or(Extent::Known(image.len() as u32));
            let mut session = ota.begin(slot, extent)?;
            for chunk in image.chunks(CHUNK) {
                session.write(chunk)?;
            }
            session.end()?.select()
        };
        update().map_err(failure)
    }

    fn select_factory(&self, device: Device<'_>) -> Result<(), Failure> {
        let select = || open(device)?.verify(App::Factory)?.select();
        select().map_err(failure)
    }
}
