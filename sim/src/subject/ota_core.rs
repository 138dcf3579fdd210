//! The subject that ships: `ota-core`.

use super::{Device, Failure, Subject};
use crate::flash::{Chip, FlashError};
use crate::layout::Layout;
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

fn open(device: Device<'_>) -> Result<Ota<&mut Chip>, Failure> {
    let apps = *device.layout.validated().map_err(|error| error.to_string())?;
    let config = Config {
        requirements: *device.requirements,
        rollback: device.rollback,
        min_secure_version: *device.secure_version,
    };
    Ota::new(device.chip, apps, device.running, config).map_err(failure)
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

    fn refusal(&self, layout: &Layout) -> Option<Failure> {
        layout.validated().err().map(|error| error.to_string())
    }

    fn plain_only(&self) -> Option<&'static str> {
        Some(
            "it programs the CRC of a select entry after the rest of it, which takes writes of 4 bytes; \
             encrypted flash is programmed in blocks of 16",
        )
    }

    fn startup(&self, device: Device<'_>) -> Result<(), Failure> {
        open(device)?.recover().map(drop).map_err(failure)
    }

    fn confirm(&self, device: Device<'_>) -> Result<(), Failure> {
        open(device)?.confirm().map(drop).map_err(failure)
    }

    fn reject(&self, device: Device<'_>) -> Result<(), Failure> {
        open(device)?.reject().map(drop).map_err(failure)
    }

    fn update(&self, device: Device<'_>, image: &[u8]) -> Result<(), Failure> {
        let mut ota = open(device)?;
        let mut update = || {
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
        let mut ota = open(device)?;
        let mut select = || ota.verify(App::Factory)?.select();
        select().map_err(failure)
    }
}
