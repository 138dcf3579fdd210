//! An inventory as it is written. The JSON Schema and the checks of a file's shape come from these types.

use super::PortTable;
use crate::power::PowerConfig;
use crate::scenario::{ChipName, without_null};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value as Json;
use std::sync::LazyLock;

/// The boards of a bench.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Bench inventory")]
pub(super) struct File {
    /// Boards on serial ports. `hil-runner discover --write FILE` adds those that are plugged in.
    #[serde(default)]
    pub(super) board: Vec<BoardTable>,
    /// Virtual boards.
    #[serde(default, rename = "virtual")]
    pub(super) virtual_boards: Vec<VirtualTable>,
}

/// A board on a serial port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BoardTable {
    /// Name in lists and reports: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9-]*$"))]
    pub(super) name: String,
    /// The chip.
    pub(super) chip: ChipName,
    /// The MAC address of the chip, such as `"60:55:f9:c0:ff:ee"`: it tells the board from all others.
    #[schemars(regex(pattern = r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"))]
    pub(super) mac: String,
    /// Size of the flash chip, such as `"4 MB"`.
    #[schemars(regex(pattern = r"^[0-9]{1,3} ?(KB|MB)$"))]
    pub(super) flash: String,
    /// The serial port. Default: the one at `usb-path`, else the USB device whose serial number is the MAC
    /// address, as that of USB-Serial-JTAG is.
    pub(super) port: Option<PortTable>,
    /// Where the board is plugged in, as Linux names it, such as `"1-1.4"`.
    #[schemars(regex(pattern = r"^[0-9]+-[0-9]+(\.[0-9]+)*$"))]
    pub(super) usb_path: Option<String>,
    /// Words to choose boards by: lower-case letters, digits and hyphens.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^[a-z0-9][a-z0-9-]*$")))]
    pub(super) tags: Vec<String>,
    /// Anything that people should know.
    pub(super) notes: Option<String>,
    /// What switches the board's power. Without it, the board cannot lose power.
    pub(super) power: Option<PowerConfig>,
    /// The debug probe at the board.
    pub(super) probe: Option<ProbeTable>,
}

/// A debug probe, used for cases that ask for a debug reset. Attaching it disables the chip's watchdogs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProbeTable {
    /// Which probe, as probe-rs selects it: `"VID:PID"` in hexadecimal, or `"VID:PID:SERIAL"`.
    #[schemars(regex(pattern = r"^[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}(:.+)?$"))]
    pub(super) selector: String,
    /// The parts of the chip's memory to keep of a device that has failed.
    #[serde(default)]
    pub(super) memory: Vec<MemoryTable>,
}

/// A part of a chip's memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryTable {
    /// Its address, such as `0x3FC80000`, where the SRAM of an ESP32-C3 begins.
    pub(super) start: u32,
    /// How many bytes, 1 MiB at most.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub(super) length: u32,
}

/// Virtual boards that are alike.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VirtualTable {
    /// Name in lists and reports; with several of them, followed by `-1`, `-2` and so on.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9-]*$"))]
    pub(super) name: String,
    /// How many. Default 1.
    #[schemars(range(min = 1, max = 64))]
    pub(super) count: Option<u8>,
    /// Size of the flash chip, such as `"4 MB"`. Default 4 MB.
    #[schemars(regex(pattern = r"^[0-9]{1,3} ?(KB|MB)$"))]
    pub(super) flash: Option<String>,
    /// Words to choose boards by: lower-case letters, digits and hyphens.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^[a-z0-9][a-z0-9-]*$")))]
    pub(super) tags: Vec<String>,
    /// Anything that people should know.
    pub(super) notes: Option<String>,
}

/// What an inventory must look like. There are no references in it: the check of shapes follows only those
/// of scenario files.
pub(super) static SHAPE: LazyLock<Json> = LazyLock::new(|| {
    let settings = SchemaSettings::draft07().with(|it| it.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    let mut shape = std::mem::take(schema.ensure_object()).into();
    without_null(&mut shape);
    shape
});

/// The JSON Schema of inventories, for editors.
pub fn schema() -> String {
    serde_json::to_string_pretty(&*SHAPE).unwrap_or_default() + "\n"
}
