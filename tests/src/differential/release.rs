//! Bootloaders of older releases, from older versions of the `espflash` crate.

use super::bootloader::{RealBootloader, Rules};
use clap::ValueEnum;
use ota_core::Generation;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A release of ESP-IDF whose ESP32-C3 bootloader is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// A development version of v4.4 (`v4.4-dev-2825-gb63ec47238`).
    #[value(name = "4.4-dev")]
    V4_4Dev,
    /// v4.4.6. No crate carries it; it has to come from a file.
    #[value(name = "4.4.6")]
    V4_4,
    /// A beta version of v5.1 (`v5.1-beta1-378-gea5e0ff298`).
    #[value(name = "5.1-beta")]
    V5_1Beta,
    /// v5.1.2 (`v5.1.2-342-gbcf1645e44`).
    #[value(name = "5.1.2")]
    V5_1,
    /// v5.5.1 (`v5.5.1-838-gd66ebb86d2e`).
    #[value(name = "5.5.1")]
    V5_5,
    /// v6.1 (`v6.1-829-g9a97f6c54ec`): the one that this build brings along.
    #[value(name = "6.1")]
    V6_1,
}

/// The crate that carries a bootloader.
struct Source {
    version: &'static str,
    /// SHA-256 of the bootloader's file.
    sha256: &'static str,
}

/// Where all versions of the crate have the file.
const FILE: &str = "resources/bootloaders/esp32c3-bootloader.bin";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

impl Release {
    fn source(self) -> Option<Source> {
        let (version, sha256) = match self {
            Self::V4_4Dev => {
                ("1.7.0", "a7c5ad20f6e01188bea9ae522bf3b0c4912e293e97cf1b0911c1eb2a028de8eb")
            }
            Self::V5_1Beta => {
                ("2.1.0", "6bae3ec59149a7e36936c4ce8a50351cc329580a166aacc71465eacd76b012c0")
            }
            Self::V5_1 => {
                ("3.3.0", "b7e49e5eb4c64b173483c0a58b28b08ff7810d9165d5e1722ecadc2c6774c621")
            }
            Self::V5_5 => {
                ("4.5.0", "d5b500603f7f56d7ddcdc4647506f37e9de4c14904f2ea7a3d26fe5d8f2e811a")
            }
            Self::V4_4 | Self::V6_1 => return None,
        };
        Some(Source { version, sha256 })
    }

    /// The rules that its bootloader follows.
    pub(super) fn rules(self) -> Rules {
        let generation = match self {
            Self::V4_4Dev | Self::V4_4 => Generation::V4_4,
            Self::V5_1Beta | Self::V5_1 => Generation::V5_1,
            Self::V5_5 => Generation::V5_5,
            Self::V6_1 => Generation::V6_1,
        };
        Rules { generation, chip_revision: self != Self::V4_4Dev }
    }

    /// Gets the bootloader. Cargo downloads the crate that carries it, unless it has done so before;
    /// `work` is a folder for the manifest that this takes.
    ///
    /// # Errors
    /// When cargo fails, or the file is not the one that is expected.
    pub fn bootloader(self, work: &Path) -> Result<RealBootloader, Box<dyn Error>> {
        if self == Self::V6_1 {
            return RealBootloader::bundled();
        }
        let missing = "no crate carries the bootloader of this release: name a file";
        let Source { version, sha256 } = self.source().ok_or(missing)?;
        let folder = work.join(format!("espflash-{version}"));
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("src/lib.rs"), "")?;
        let manifest = folder.join("Cargo.toml");
        let text = format!(
            "[package]\nname = \"bootloader\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
             espflash = {{ version = \"={version}\", default-features = false }}\n"
        );
        fs::write(&manifest, text)?;
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let package = metadata.packages.iter().find(|package| package.name == "espflash");
        let package = package.ok_or("cargo does not know espflash")?;
        let file = package.manifest_path.with_file_name(FILE);
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let digest = Sha256::digest(&bytes);
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if found != sha256 {
            return Err(format!("{}: SHA-256 {found}, not {sha256}", file.display()).into());
        }
        RealBootloader::from_image(bytes, self, false)
    }
}
