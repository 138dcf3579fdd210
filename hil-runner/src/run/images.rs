//! The images of a case as bytes, and the first flash contents.

use crate::board::{Contents, RigError};
use crate::scenario::{Action, Case, Entry, Image, Source};
use espflash::flasher::{FlashData, FlashSettings};
use espflash::image_format::idf::IdfBootloaderFormat;
use espflash::target::{Chip, XtalFrequency};
use ota_core::image::{AppDescriptor, DESCRIPTOR_OFFSET};
use ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE, SelectEntry};
use ota_core::partition::App;
use ota_core::table::DEFAULT_OFFSET;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What ELF files start with.
const ELF_MAGIC: [u8; 4] = *b"\x7FELF";
/// The hash at the end of an image, in bytes.
const HASH: usize = 32;
/// Flash sizes that an image header can name: the code in the high nibble of byte 3, in steps of a power
/// of two from 1 MB (ESP-IDF `esp_image_spi_mode_t`, `esp_image_flash_size_t`).
const ONE_MB: u32 = 0x10_0000;

/// The images of a case.
#[derive(Clone, Debug)]
pub(super) struct Images {
    images: BTreeMap<String, Bytes>,
}

/// An image as it is sent to a device.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    /// All of it.
    pub(super) bytes: Vec<u8>,
    /// Versions that it may report when it runs: that of its description, and those of the images that it
    /// was made of, whose code still names them.
    versions: Vec<String>,
    /// The file that it comes from, itself or before a change.
    pub(super) file: PathBuf,
}

impl Images {
    /// Reads the images of a case, and makes those that are others with a change.
    pub(super) fn load(case: &Case) -> Result<Self, RigError> {
        let mut loaded = Self { images: BTreeMap::new() };
        for name in case.images.keys() {
            loaded.load_one(case, name, 0)?;
        }
        Ok(loaded)
    }

    fn load_one(&mut self, case: &Case, name: &str, depth: usize) -> Result<&Bytes, RigError> {
        let about = |what: String| RigError::new(format!("image `{name}`: {what}"));
        let image = case.images.get(name).ok_or_else(|| about("not defined".into()))?;
        if depth > case.images.len() {
            return Err(about("made of itself".into()));
        }
        if !self.images.contains_key(name) {
            let bytes = match &image.source {
                Source::File { path, made_by } => file(path, made_by.as_deref()).map_err(about)?,
                Source::Derived { of, change } => {
                    let of = self.load_one(case, of, depth + 1)?.clone();
                    let bytes = change.apply(&of.bytes).map_err(|it| about(it.to_string()))?;
                    let mut versions = of.versions;
                    versions.extend(version(&bytes));
                    versions.sort();
                    versions.dedup();
                    Bytes { bytes, versions, file: of.file }
                }
            };
            self.images.insert(name.into(), bytes);
        }
        self.images.get(name).ok_or_else(|| about("not loaded".into()))
    }

    /// An image by its name.
    pub(super) fn get(&self, name: &str) -> Result<&Bytes, RigError> {
        self.images.get(name).ok_or_else(|| RigError::new(format!("there is no image `{name}`")))
    }

    /// The images that may report this version.
    pub(super) fn of_version<'a>(
        &'a self,
        version: &'a str,
        fit: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let says = move |bytes: &Bytes| bytes.versions.iter().any(|it| it == version);
        let images = self.images.iter().filter(move |(name, bytes)| fit(name) && says(bytes));
        images.map(|(name, _)| name.as_str())
    }

    /// The image that ends with this hash.
    pub(super) fn of_hash(&self, hash: &[u8]) -> Option<&str> {
        let found = self.images.iter().find(|(_, image)| image.bytes.ends_with(hash));
        found.map(|(name, _)| name.as_str()).filter(|_| hash.len() == HASH)
    }

    /// What the `install` steps of a case put into flash.
    pub(super) fn contents(&self, case: &Case, bootloader: &[u8]) -> Result<Contents, RigError> {
        let device = &case.device;
        let mut contents = Contents::erased(device.flash.capacity);
        contents.put(0, for_flash_size(bootloader, device.flash.capacity));
        contents.put(DEFAULT_OFFSET, device.layout.table());
        let apps = device.layout.apps();
        let otadata = apps.otadata().offset;
        if !device.layout.otadata().is_empty() {
            contents.put(otadata, device.layout.otadata());
        }
        for step in &case.steps {
            let Action::Install { image, app, otadata: entries } = &step.action else {
                continue;
            };
            let region = apps.app(*app).ok_or_else(|| no_slot(*app))?;
            contents.put(region.offset, self.get(image)?.bytes.as_slice());
            if let Some(entries) = entries {
                contents.put(otadata, sectors(entries));
            }
        }
        Ok(contents)
    }
}

fn no_slot(app: App) -> RigError {
    RigError::new(format!("the partition table has no {app}"))
}

/// Both otadata sectors with these entries.
fn sectors(entries: &[Entry; 2]) -> Vec<u8> {
    let mut bytes = vec![0xFF; 2 * SECTOR_SIZE as usize];
    for (sector, entry) in bytes.chunks_mut(SECTOR_SIZE as usize).zip(entries) {
        if let Entry::Written { seq, state } = entry {
            let entry = SelectEntry::new(*seq, *state).emit();
            sector.iter_mut().zip(entry).for_each(|(to, from)| *to = from);
        }
    }
    debug_assert!(ENTRY_SIZE <= SECTOR_SIZE as usize);
    bytes
}

/// The version in the description of an image.
fn version(image: &[u8]) -> Option<String> {
    let descriptor = image.get(DESCRIPTOR_OFFSET as usize..)?.first_chunk()?;
    Some(AppDescriptor::parse(descriptor)?.version.to_string())
}

/// An image from a file; an ELF file is made one, as espflash does it.
fn file(path: &Path, made_by: Option<&str>) -> Result<Bytes, String> {
    let bytes = fs::read(path).map_err(|error| {
        let hint = made_by.map_or_else(String::new, |made_by| format!("; run `{made_by}`"));
        format!("{}: {error}{hint}", path.display())
    })?;
    let bytes = if bytes.starts_with(&ELF_MAGIC) {
        application(&bytes).map_err(|error| format!("{}: {error}", path.display()))?
    } else {
        bytes
    };
    let versions = version(&bytes).into_iter().collect();
    Ok(Bytes { bytes, versions, file: path.into() })
}

fn application(elf: &[u8]) -> Result<Vec<u8>, espflash::Error> {
    let settings = FlashSettings::new(None, None, None);
    let data = FlashData::new(settings, 0, None, Chip::Esp32c3, XtalFrequency::_40Mhz);
    let format = IdfBootloaderFormat::new(elf, &data, None, None, None, None)?;
    Ok(format.ota_segments().next().map(|segment| segment.data().to_vec()).unwrap_or_default())
}

/// A bootloader for a flash of another size: its header names the size, and its hash covers the header.
fn for_flash_size(bootloader: &[u8], capacity: u32) -> Vec<u8> {
    let mut bytes = bootloader.to_vec();
    let code = (capacity / ONE_MB).checked_ilog2().unwrap_or(2) as u8;
    let hashed = bytes.len().saturating_sub(HASH);
    if let Some(size) = bytes.get_mut(3)
        && *size >> 4 != code
    {
        *size = *size & 0x0F | code << 4;
        let (body, hash) = bytes.split_at_mut(hashed);
        hash.copy_from_slice(&Sha256::digest(&*body));
    }
    bytes
}

/// Whether an image can run at all, as far as is known without running it.
pub(super) fn fit(image: &Image) -> bool {
    image.unfit.is_none()
}
