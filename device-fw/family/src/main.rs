//! Builds the family of firmware images that update scenarios need into `target/fw`: the ELF file,
//! the application image and the merged flash image of each, with their hashes in `manifest.json`.
//!
//!     family                      with the bootloader that espflash brings along
//!     family --bootloader FILE    with another one, for instance one that rolls back
//!     family NAME...              only these members
//!
//! Two builds of the same source with the same toolchain are alike to the byte, wherever they are
//! made.

mod build;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use pack::{Chip, Layout, app_image, merged_image, sha256};
use serde_json::{Value, json};

use crate::build::{Build, Options};

/// One member of the family.
struct Member {
    /// Stem of its file names.
    name: &'static str,
    chip: Chip,
    version: &'static str,
    policy: &'static str,
    length: Length,
    /// Whether the last byte of the appended SHA-256 is flipped.
    broken_hash: bool,
}

/// How long the image is.
#[derive(Clone, Copy)]
enum Length {
    /// The program and about this many bytes behind it.
    Plus(usize),
    /// Exactly a whole slot.
    Slot,
}

/// What most members share.
const V2: Member = Member {
    name: "v2.0.0",
    chip: Chip::Esp32c3,
    version: "2.0.0",
    policy: "when-told",
    length: Length::Plus(20_000),
    broken_hash: false,
};

const FAMILY: [Member; 9] = [
    Member { name: "v1.0.0", version: "1.0.0", length: Length::Plus(0), ..V2 },
    Member { name: "v1-padded", version: "1.0.0-padded", length: Length::Slot, ..V2 },
    V2,
    Member { name: "v2-crashing", version: "2.0.0-crashing", policy: "crash", ..V2 },
    Member { name: "v2-hanging", version: "2.0.0-hanging", policy: "hang", ..V2 },
    Member { name: "v2-never-confirms", version: "2.0.0-never", policy: "never", ..V2 },
    Member { name: "v2-broken-hash", broken_hash: true, ..V2 },
    Member { name: "v2-esp32c6", chip: Chip::Esp32c6, ..V2 },
    Member { name: "v2-esp32h2", chip: Chip::Esp32h2, ..V2 },
];

/// Partition table of the merged images, below the repository's root.
const TABLE: &str = "sim/fixtures/two_ota.csv";
/// Partition of that table which gets the application.
const PARTITION: &str = "factory";
/// Size of the slots of that table, in bytes.
const SLOT_SIZE: usize = 0x10_0000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let mut bootloader = None;
    let mut names = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--bootloader" {
            bootloader = Some(PathBuf::from(args.next().ok_or("--bootloader needs a file")?));
        } else if FAMILY.iter().any(|member| arg == member.name) {
            names.push(arg);
        } else {
            return Err(format!("no member of the family is called {}", arg.display()).into());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let table = root.join(TABLE);
    let layout =
        Layout { partition_table: &table, bootloader: bootloader.as_deref(), partition: PARTITION };
    let output = root.join("target/fw");
    fs::create_dir_all(&output)?;
    let build = Build::new(&root)?;

    let mut images = Vec::new();
    let wanted = |member: &&Member| names.is_empty() || names.iter().any(|it| it == member.name);
    for member in FAMILY.iter().filter(wanted) {
        let mut entry = make(member, &build, layout, &output)?;
        println!("{}: {} bytes", member.name, entry["app"]["bytes"]);
        entry["name"] = member.name.into();
        images.push(entry);
    }
    let manifest = json!({ "partition_table": TABLE, "partition": PARTITION, "images": images });
    fs::write(output.join("manifest.json"), format!("{manifest:#}\n"))?;
    Ok(())
}

/// Makes the files of one member and returns its entry in the manifest.
fn make(
    member: &Member,
    build: &Build,
    layout: Layout<'_>,
    output: &Path,
) -> Result<Value, Box<dyn Error>> {
    let elf = link(member, build)?;
    let mut app = app_image(&elf, member.chip)?;
    let mut flash = merged_image(&elf, member.chip, layout)?;
    if member.broken_hash {
        // The application, and in it the hash, is the last thing in both.
        for bytes in [&mut app, &mut flash] {
            *bytes.last_mut().ok_or("empty image")? ^= 1;
        }
    }
    let save = |suffix: &str, bytes: &[u8]| -> Result<Value, Box<dyn Error>> {
        let file = format!("{}.{suffix}", member.name);
        fs::write(output.join(&file), bytes)?;
        Ok(json!({ "file": file, "bytes": bytes.len(), "sha256": sha256(bytes) }))
    };
    Ok(json!({
        "chip": member.chip.to_string(),
        "version": member.version,
        "policy": member.policy,
        "broken_hash": member.broken_hash,
        "elf": save("elf", &elf)?,
        "app": save("app.bin", &app)?,
        "flash": save("flash.bin", &flash)?,
    }))
}

/// Links the program of a member, as long as it must be.
fn link(member: &Member, build: &Build) -> Result<Vec<u8>, Box<dyn Error>> {
    let Member { chip, version, policy, .. } = *member;
    let link = |fill| build.link(chip, Options { version, policy, fill });
    match member.length {
        Length::Plus(fill) => link(fill),
        Length::Slot => {
            // The image is padded to 16 bytes, so the first try may miss by a little.
            let mut fill = 0;
            for _ in 0..4 {
                let elf = link(fill)?;
                let room = SLOT_SIZE.checked_sub(app_image(&elf, chip)?.len());
                match room.ok_or_else(|| format!("{version}: longer than a slot"))? {
                    0 => return Ok(elf),
                    room => fill += room,
                }
            }
            Err(format!("{version}: found no fill that makes it as long as a slot").into())
        }
    }
}
