//! What a device is made of, in a form that can be kept in a file.

use super::error::ReplayError;
use crate::bootloader::OptionError;
use crate::firmware::Firmware;
use crate::flash::Part;
use crate::input::{self, InputError};
use crate::layout::Layout;
use crate::setup::{FIXTURES, Rollback, Setup, SetupError, builtin, subjects};
use ota_core::Generation;
use ota_core::image::{ChipId, Requirements};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bootloader of a device that names none.
const DEFAULT: Generation = Generation::V6_1;

/// Where the partition table comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayoutSource {
    /// A stock layout, by name.
    Stock(String),
    /// A binary table.
    Table {
        /// Name for reports.
        name: String,
        /// The table as it stands on flash, two hexadecimal digits for each byte; erased bytes at its
        /// end are left out.
        hex: String,
    },
}

/// Where an application image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FirmwareSource {
    /// It comes with the program; the file's name, and behind an `@` the security version it is given.
    Builtin(String),
    /// A file.
    File {
        /// Where it lies.
        path: PathBuf,
        /// The hash of the whole image, in hexadecimal digits.
        sha256: String,
    },
}

/// A device with its update code and images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeviceSource {
    /// The update code, by name.
    pub subject: String,
    /// The partitions.
    pub layout: LayoutSource,
    /// Release that the bootloader comes from, by name; v6.1 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootloader: Option<String>,
    /// Whether the bootloader was built with rollback.
    pub rollback: bool,
    /// Whether it was built with anti-rollback as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anti_rollback: bool,
    /// The flash part, by name.
    pub flash_part: String,
    /// Whether flash encryption is on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub encrypted: bool,
    /// The images: the installed one, then the updates.
    pub firmware: Vec<FirmwareSource>,
}

impl DeviceSource {
    /// How to come by `setup` again; `firmware` says where its images come from.
    pub fn of(setup: &Setup, firmware: &[FirmwareSource]) -> Self {
        Self {
            subject: setup.subject.name().into(),
            layout: LayoutSource::of(&setup.layout),
            bootloader: (setup.generation != DEFAULT).then(|| setup.generation.to_string()),
            rollback: setup.rollback.is_on(),
            anti_rollback: setup.rollback == Rollback::Anti,
            flash_part: setup.part.name.into(),
            encrypted: setup.encrypted,
            firmware: firmware.to_vec(),
        }
    }

    /// The device.
    ///
    /// # Errors
    /// A name is unknown, or a file is missing or has changed.
    pub fn setup(&self) -> Result<Setup, ReplayError> {
        let part = Part::by_name(&self.flash_part).ok_or_else(|| {
            unknown("flash part", &self.flash_part, Part::ALL.iter().map(|part| part.name))
        })?;
        let subject = subjects().into_iter().find(|it| it.name() == self.subject);
        let subject = subject.ok_or_else(|| {
            unknown("subject", &self.subject, subjects().into_iter().map(|it| it.name()))
        })?;
        let generation = match &self.bootloader {
            None => DEFAULT,
            Some(name) => Generation::by_name(name).ok_or_else(|| {
                unknown("bootloader", name, Generation::ALL.iter().map(|it| it.name()))
            })?,
        };
        let mut firmware = Vec::new();
        let mut chip = None;
        for source in &self.firmware {
            firmware.push(source.load(&mut chip)?);
        }
        Ok(Setup {
            layout: self.layout.load(part.capacity)?.for_bootloader(generation),
            generation,
            rollback: match (self.rollback, self.anti_rollback) {
                (false, false) => Rollback::Off,
                (true, false) => Rollback::On,
                (true, true) => Rollback::Anti,
                (false, true) => return Err(SetupError::from(OptionError::NeedsRollback).into()),
            },
            firmware: Arc::from(firmware),
            subject,
            part: *part,
            chip: chip.unwrap_or(ChipId::ESP32C3),
            encrypted: self.encrypted,
        })
    }
}

impl LayoutSource {
    /// How to come by `layout` again.
    fn of(layout: &Layout) -> Self {
        let stock = Layout::stock();
        let same = |it: &&Layout| it.name() == layout.name() && it.source() == layout.source();
        if let Some(stock) = stock.iter().find(same) {
            return Self::Stock(stock.name().into());
        }
        let table = layout.source();
        let used = table.iter().rposition(|&byte| byte != 0xFF).map_or(0, |last| last + 1);
        Self::Table { name: layout.name().into(), hex: hex(&table[..used]) }
    }

    fn load(&self, capacity: u32) -> Result<Layout, ReplayError> {
        match self {
            Self::Stock(name) => {
                let stock = Layout::stock();
                let found = stock.iter().find(|layout| layout.name() == name).cloned();
                found.ok_or_else(|| unknown("layout", name, stock.iter().map(Layout::name)))
            }
            Self::Table { name, hex } => {
                let table = bytes(hex).ok_or(ReplayError::TableDigits)?;
                Ok(Layout::from_binary(name, &table, capacity)?)
            }
        }
    }
}

impl FirmwareSource {
    /// Refers to a file; relative paths are made absolute, so that the replay file can be moved.
    pub fn file(path: &Path, image: &[u8]) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        Self::File { path, sha256: hex(&Sha256::digest(image)) }
    }

    /// The image. The first one determines the chip.
    fn load(&self, chip: &mut Option<ChipId>) -> Result<Firmware, ReplayError> {
        match self {
            Self::Builtin(name) => {
                chip.get_or_insert(ChipId::ESP32C3);
                let names = FIXTURES.iter().map(|fixture| fixture.name);
                builtin(name).ok_or_else(|| unknown("built-in image", name, names))
            }
            Self::File { path, sha256 } => {
                let image = input::read_image(path)?;
                let found = hex(&Sha256::digest(&image));
                if !found.eq_ignore_ascii_case(sha256) {
                    let what = format!(
                        "the file has changed: its SHA-256 is {found}, the replay file needs {sha256}"
                    );
                    return Err(InputError::new(path, what).into());
                }
                let chip = match chip {
                    Some(chip) => *chip,
                    None => *chip.insert(input::chip_of(path, &image)?),
                };
                Ok(input::verify_image(path, &image, &Requirements::for_chip(chip))?)
            }
        }
    }
}

fn unknown<'a>(
    what: &'static str,
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> ReplayError {
    let expected = names.collect::<Vec<_>>().join(", ");
    ReplayError::Unknown { what, name: name.into(), expected }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair).ok()?;
        let all_digits = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        all_digits.then(|| u8::from_str_radix(digits, 16).ok())?
    };
    hex.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(hex(&[0x00, 0xAA, 0x5F]), "00aa5f");
        assert_eq!(bytes("00AA5f"), Some(vec![0x00, 0xAA, 0x5F]));
        for wrong in ["0", "0g", "+1", "é"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_table_that_is_not_stock_travels_in_the_file() {
        let csv = include_str!("../../fixtures/three_ota.csv");
        let layout = Layout::from_csv("mine", csv, 0x40_0000).unwrap();
        let source = LayoutSource::of(&layout);
        assert!(matches!(source, LayoutSource::Table { .. }));
        let loaded = source.load(0x40_0000).unwrap();
        assert_eq!(loaded.name(), "mine");
        assert_eq!(loaded.apps(), layout.apps());
    }
}
