//! Compiles and links the firmware.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use pack::Chip;

/// What can be chosen when the firmware is built; the variables of its build script.
pub struct Options<'a> {
    /// `FW_VERSION`.
    pub version: &'a str,
    /// `FW_POLICY`.
    pub policy: &'a str,
    /// `FW_FILL`.
    pub fill: usize,
}

/// How the firmware is built on this machine.
pub struct Build {
    root: PathBuf,
    target: PathBuf,
    /// Compiler flags, separated by cargo's separator 0x1F: folder names may contain spaces.
    flags: String,
}

impl Build {
    /// Prepares builds of the repository at `root`.
    ///
    /// The flags keep the names of this machine's folders out of the program, where panic messages
    /// would quote them, and SHA-256 small: the default unrolls its rounds, which takes 12 KiB.
    pub fn new(root: &Path) -> Result<Self, Box<dyn Error>> {
        let target = root.join("target/device-fw");
        let mut renames = vec![(root.to_owned(), "/cutpoint".to_owned())];
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home =
            home.or_else(|| Some(env::home_dir()?.join(".cargo"))).ok_or("no home folder")?;
        for registry in fs::read_dir(home.join("registry/src"))? {
            renames.push((registry?.path(), "/crates".to_owned()));
        }
        let mut flags = vec!["--cfg".to_owned(), "sha2_backend_soft=\"compact\"".to_owned()];
        for (from, to) in renames {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        Ok(Self { root: root.to_owned(), target, flags: flags.join("\x1f") })
    }

    /// Links the firmware for a chip and returns the ELF file.
    pub fn link(&self, chip: Chip, options: Options<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
        let triple = match chip {
            Chip::Esp32c3 => "riscv32imc-unknown-none-elf",
            Chip::Esp32c6 | Chip::Esp32h2 => "riscv32imac-unknown-none-elf",
            _ => return Err(format!("{chip}: no toolchain for it here").into()),
        };
        let status = Command::new(self.root.join("scripts/riscv"))
            .args(["build", "--release", "--quiet", "--locked", "--no-default-features"])
            .arg(format!("--features={chip},uart"))
            .arg("--manifest-path")
            .arg(self.root.join("device-fw/Cargo.toml"))
            .env("RISCV_TARGET", triple)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_ENCODED_RUSTFLAGS", &self.flags)
            .env("RUSTC_WRAPPER", self.root.join("scripts/stable-names"))
            // A dependency records the time of its build otherwise.
            .env("SOURCE_DATE_EPOCH", "0")
            .env("FW_VERSION", options.version)
            .env("FW_POLICY", options.policy)
            .env("FW_FILL", options.fill.to_string())
            .status()?;
        if !status.success() {
            return Err(format!("{chip} {}: could not build: {status}", options.version).into());
        }
        Ok(fs::read(self.target.join(triple).join("release/device-fw"))?)
    }
}
