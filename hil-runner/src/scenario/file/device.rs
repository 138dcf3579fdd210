//! The device and its images.

use super::{ChipName, Span, Text};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The device under test.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct DeviceTable {
    /// The chip.
    pub(in crate::scenario) chip: ChipName,
    /// The flash: a part such as `"W25Q32JV"`, or a size such as `"4 MB"`. Default `"W25Q32JV"`.
    pub(in crate::scenario) flash: Option<String>,
    /// The partition table: a CSV or binary file, or the name of a stock layout (`factory-2-slots`,
    /// `2-slots`, `3-slots`, `arduino`).
    pub(in crate::scenario) partitions: String,
    /// The second-stage bootloader: `"stock"` for the one of ESP-IDF, or a file. Default `"stock"`.
    pub(in crate::scenario) bootloader: Option<String>,
    /// Whether the bootloader was built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`: an image that is
    /// not confirmed is given up at the next reset.
    pub(in crate::scenario) rollback: bool,
    /// How this product is told what to do. Without it, by SMP (MCUmgr) over the console's port.
    pub(in crate::scenario) commands: Option<CommandsTable>,
}

/// How a product that does not speak SMP is told what to do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct CommandsTable {
    /// How an update is started that ends with the new image selected.
    pub(in crate::scenario) update: CommandTable,
    /// How an image that is present is selected for the next boot.
    pub(in crate::scenario) select: Option<CommandTable>,
    /// How the running image is confirmed.
    pub(in crate::scenario) confirm: Option<CommandTable>,
    /// How the running image is given up. Without it, by a reset before it is confirmed.
    pub(in crate::scenario) roll_back: Option<CommandTable>,
}

/// A line for the console, or a program on the host.
///
/// In the line and in the program's arguments, `{image}` is the name of the image, `{file}` its file,
/// and `{port}` the device's serial port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum CommandTable {
    /// A line for the console.
    Send(SendTable),
    /// A program on the host.
    Run(RunTable),
}

/// A line for the console.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct SendTable {
    /// The line, without its end.
    #[schemars(length(min = 1))]
    pub(in crate::scenario) send: String,
    /// The text on the console that says that it is done.
    pub(in crate::scenario) until: Text,
    /// The text on the console that says that it was refused.
    pub(in crate::scenario) refused: Option<Text>,
}

/// A program on the host, which must end with status 0.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct RunTable {
    /// The program and its arguments. No shell is involved.
    #[schemars(length(min = 1))]
    pub(in crate::scenario) run: Vec<String>,
    /// Environment variables to set.
    #[serde(default)]
    pub(in crate::scenario) env: BTreeMap<String, String>,
    /// Folder to run it in. Default: that of the scenario file.
    pub(in crate::scenario) folder: Option<String>,
    /// The text on the console that says that it is done. Without it, the program's end says so.
    pub(in crate::scenario) until: Option<Text>,
    /// The text on the console that says that it was refused. Without it, a status that is not 0.
    pub(in crate::scenario) refused: Option<Text>,
    /// Time limit of the program. Default 2 min.
    pub(in crate::scenario) limit: Option<Span>,
}

/// Where an image comes from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum ImageTable {
    /// A member of the family of firmware images that `just fw` builds.
    Family(FamilyTable),
    /// A file.
    File(FileTable),
    /// Another image of this file with one change.
    Derived(DerivedTable),
}

/// A member of the family of firmware images that `just fw` builds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct FamilyTable {
    /// Its name, such as `"v2.0.0"`.
    pub(in crate::scenario) family: String,
}

/// An image in a file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct FileTable {
    /// An ELF file or an application image. A relative path starts at the scenario file's folder.
    #[schemars(length(min = 1))]
    pub(in crate::scenario) file: String,
    /// The command that makes the file. With it, the file need not be there to check the scenario.
    #[schemars(length(min = 1))]
    pub(in crate::scenario) made_by: Option<String>,
    /// What the image writes on the console when it runs, and no other image does.
    pub(in crate::scenario) says: Option<Text>,
    /// The image ends in a reset by itself: it crashes, or hangs until the watchdog ends it.
    #[serde(default)]
    pub(in crate::scenario) resets_itself: bool,
}

/// Another image of this file with one change: exactly one of the keys other than `of`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct DerivedTable {
    /// Name of the other image.
    pub(in crate::scenario) of: String,
    /// Only this many bytes of it.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub(in crate::scenario) truncated_at: Option<u32>,
    /// One bit is wrong: in the header, in the middle of the image, or in the SHA-256 at its end.
    pub(in crate::scenario) bit_flipped_in: Option<Part>,
    /// From this offset to its end all bytes are FF, as in erased flash.
    #[schemars(range(min = 0, max = 16_777_216))]
    pub(in crate::scenario) erased_from: Option<u32>,
    /// Its header says that it is for this chip. Checksum and SHA-256 are right.
    pub(in crate::scenario) for_chip: Option<ChipName>,
    /// Its description says that it is this version. Checksum and SHA-256 are right.
    #[schemars(length(min = 1, max = 31))]
    pub(in crate::scenario) version: Option<String>,
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum Part {
    /// Its first 24 bytes.
    Header,
    /// What lies between header and SHA-256.
    Body,
    /// The SHA-256 at its end.
    Digest,
}
