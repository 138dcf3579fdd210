//! The programs, packed as application images.

use std::fs;
use std::path::Path;

use espflash::flasher::{FlashData, FlashSettings, FlashSize};
use espflash::image_format::idf::IdfBootloaderFormat;
use espflash::target::{Chip, XtalFrequency};

use crate::full_stack::Failure;

/// The versions of the firmware that updates itself, in the order in which a device gets them.
pub(super) const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];

/// The application images.
#[derive(Clone, Debug)]
pub struct Images {
    /// The firmware that updates itself, one image for each version.
    pub(super) updater: [Vec<u8>; VERSIONS.len()],
    /// The firmware with two tasks of Embassy.
    pub(super) embassy: Vec<u8>,
}

impl Images {
    /// Packs what `tests/foreign-fw/build.sh` has built into `folder`.
    ///
    /// # Errors
    /// When it has not, or a file there is not a program for the ESP32-C3.
    pub fn load(folder: &Path) -> Result<Self, Failure> {
        let load = |name: &str| {
            let path = folder.join(name);
            let elf = fs::read(&path);
            let elf =
                elf.map_err(|error| format!("{}: {error}; run `just foreign`", path.display()))?;
            pack(&elf).map_err(|error| format!("{}: {error}", path.display()))
        };
        let [first, second, third] =
            VERSIONS.map(|version| load(&format!("updater-{version}.elf")));
        Ok(Self { updater: [first?, second?, third?], embassy: load("embassy.elf")? })
    }
}

/// Packs a linked program as `espflash` does.
fn pack(elf: &[u8]) -> Result<Vec<u8>, espflash::Error> {
    let settings = FlashSettings::new(None, Some(FlashSize::_4Mb), None);
    let data = FlashData::new(settings, 0, None, Chip::Esp32c3, XtalFrequency::_40Mhz);
    let mut segments = IdfBootloaderFormat::new(elf, &data, None, None, None, None)?.ota_segments();
    Ok(segments.next().map(|segment| segment.data().to_vec()).unwrap_or_default())
}
