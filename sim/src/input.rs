//! Reads the files that users bring: application images and partition tables.
//!
//! Every error is one sentence that names the file, the offset where there is one, and what would be
//! right. Nothing is read before its size is known to be sensible.

use crate::firmware::Firmware;
use crate::layout::{Layout, TABLE_OFFSET};
use ota_core::image::{ChipId, Requirements};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest image in bytes: what the flash cache of the largest chips maps.
const MAX_IMAGE: u64 = 0x100_0000;
/// Largest partition table in bytes, in binary: the sector that it lies in.
const MAX_TABLE: u64 = 0x1000;
/// Largest partition table in bytes, as CSV: far more than 95 lines.
const MAX_CSV: u64 = 0x1_0000;
/// Length of an entry of a binary table, in bytes (`esp_partition_info_t`).
const ENTRY_LEN: usize = ota_core::partition::ENTRY_LEN;
/// What a binary table starts with (`ESP_PARTITION_MAGIC`).
const TABLE_MAGIC: [u8; 2] = [0xAA, 0x50];
/// Offset of the chip in the header of an image (`esp_image_header_t`), in bytes.
const CHIP_OFFSET: usize = 12;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong and what would be right.
    pub what: String,
}

impl InputError {
    /// An error about a file.
    pub fn new(path: &Path, what: impl Display) -> Self {
        Self { path: path.into(), what: what.to_string() }
    }
}

/// Reads a whole file that must not be empty nor exceed `max` bytes. `expected` says what the file
/// should be.
pub(crate) fn read_file(path: &Path, expected: &str, max: u64) -> Result<Vec<u8>, InputError> {
    let failed = |what: &dyn Display| InputError::new(path, format!("{what}; expected {expected}"));
    let metadata = fs::metadata(path).map_err(|error| failed(&error))?;
    if metadata.is_dir() {
        return Err(failed(&"this is a directory"));
    }
    if !metadata.is_file() {
        return Err(failed(&"this is not a regular file"));
    }
    let too_large = |length: u64| failed(&format!("{length} bytes exceed the limit of {max}"));
    match metadata.len() {
        0 => return Err(failed(&"the file is empty")),
        length if length > max => return Err(too_large(length)),
        _ => {}
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    // It may have grown in the meantime.
    if bytes.len() as u64 > max { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Reads an application image.
///
/// # Errors
/// The file cannot be read.
pub fn read_image(path: &Path) -> Result<Vec<u8>, InputError> {
    read_file(path, "an application image, e.g. build/app.bin of ESP-IDF", MAX_IMAGE)
}

/// The chip that an image is for, from its header; not verified.
///
/// # Errors
/// The file is too short to have a header.
pub fn chip_of(path: &Path, image: &[u8]) -> Result<ChipId, InputError> {
    match image.get(CHIP_OFFSET..CHIP_OFFSET + 2) {
        Some(&[low, high]) => Ok(ChipId(u16::from_le_bytes([low, high]))),
        _ => {
            let what = format!("{} bytes are no image: its header alone has 24", image.len());
            Err(InputError::new(path, what))
        }
    }
}

/// Verifies an image as an update session does.
///
/// # Errors
/// What is wrong with it, with the offset in the file.
pub fn verify_image(
    path: &Path,
    image: &[u8],
    requirements: &Requirements,
) -> Result<Firmware, InputError> {
    Firmware::new(path.display().to_string(), image, requirements).map_err(|error| {
        // The library speaks of flash; here the image starts at 0 of a file.
        let what = error.to_string().replace("flash offset", "offset");
        InputError::new(path, what.replace("its partition has", "the file has"))
    })
}

/// Reads a partition table, CSV or binary, for a chip of `capacity` bytes.
///
/// # Errors
/// What is wrong with it, with the line of a CSV file or the flash offset where there is one.
pub fn read_table(path: &Path, capacity: u32) -> Result<Layout, InputError> {
    let expected = "a partition table, CSV or binary";
    let bytes = read_file(path, expected, MAX_CSV)?;
    let failed = |what: &dyn Display| InputError::new(path, what);
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    if bytes.starts_with(&TABLE_MAGIC) {
        if bytes.len() as u64 > MAX_TABLE {
            let length = bytes.len();
            return Err(failed(&format!("{length:#x} bytes exceed a table's {MAX_TABLE:#x}")));
        }
        if !bytes.len().is_multiple_of(ENTRY_LEN) {
            let whole = bytes.len() / ENTRY_LEN * ENTRY_LEN;
            return Err(failed(&format!(
                "truncated: the entry at offset {whole:#x} has {} bytes and should have {ENTRY_LEN}",
                bytes.len() - whole
            )));
        }
        let layout = Layout::from_binary(name, &bytes, capacity);
        return layout.map_err(|error| {
            failed(&format!("with the table at flash offset {TABLE_OFFSET:#x}, {error}"))
        });
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => text,
        _ => {
            let found = bytes.iter().take(2).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
            return Err(failed(&format!(
                "no partition table: it is no text, and at offset 0 it has {} where a binary table has AA 50",
                found.join(" ")
            )));
        }
    };
    Layout::from_csv(name, text, capacity).map_err(|error| failed(&error))
}
