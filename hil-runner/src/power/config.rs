//! A power switch as an inventory describes it.

use super::PowerSwitch;
use super::command::Command;
use super::en_line::EnLine;
use super::relay::Relay;
use super::usb_hub::UsbHub;
use crate::bench::PortTable;
use crate::board::RigError;
use crate::scenario::{CutKind, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serialport::SerialPort;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where Linux shows USB devices.
const USB_DEVICES: &str = "/sys/bus/usb/devices";

/// What switches a board's power: a table `[board.power]` of an inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PowerConfig(PowerTable);

/// The kinds of switches. The first key of each tells which it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum PowerTable {
    Command(CommandTable),
    UsbHub(UsbHubTable),
    Relay(RelayTable),
    Ppk2(Ppk2Table),
    EnLine(EnLineTable),
}

/// External commands that switch power off and on. No shell is involved; a command has failed when its exit
/// status is not 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CommandTable {
    /// Program and arguments that switch off, such as `["ykushcmd", "-d", "2"]`.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub(super) off_command: Vec<String>,
    /// Program and arguments that switch on.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub(super) on_command: Vec<String>,
    /// The kind of cut that this makes, as it is wired.
    pub(super) cuts: CutKind,
    /// Folder to run them in, relative to the inventory. Default: that of the inventory.
    pub(super) folder: Option<PathBuf>,
    /// Environment variables to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) env: BTreeMap<String, String>,
    /// Time limit of each. Default 10 s.
    pub(super) limit: Option<Span>,
}

/// A USB hub that switches the power of its ports, through Linux. The cut is of kind `usb-port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct UsbHubTable {
    /// The hub as Linux names it, for example `"1-1.4"`, or `"usb1"` for a root hub.
    #[schemars(regex(pattern = r"^([0-9]+-[0-9]+(\.[0-9]+)*|usb[0-9]+)$"))]
    pub(super) usb_hub: String,
    /// Port of that hub, from 1.
    #[schemars(range(min = 1, max = 255))]
    pub(super) hub_port: u8,
}

/// A relay module on a serial port that takes commands of four bytes: A0, relay, state, sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RelayTable {
    /// Serial port of the module.
    pub(super) relay: PortTable,
    /// Relay on the module, from 1. Default 1.
    #[schemars(range(min = 1, max = 254))]
    pub(super) channel: Option<u8>,
    /// The kind of cut that this makes, as it is wired.
    pub(super) cuts: CutKind,
    /// Whether the board is fed through the contact that is closed while the relay is at rest. Then a
    /// module without power leaves the board on. Default false.
    #[serde(default)]
    pub(super) normally_closed: bool,
}

/// A Nordic Power Profiler Kit II that feeds the board. The cut is of kind `rail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Ppk2Table {
    /// Serial port of the kit.
    pub(super) ppk2: PortTable,
    /// Voltage of its output in mV.
    #[schemars(range(min = 800, max = 5000))]
    pub(super) millivolts: u16,
}

/// The EN (CHIP_PU) line of the board, pulled by its own serial port: a reset, no loss of power. The cut is
/// of kind `en-reset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EnLineTable {
    /// What pulls it.
    pub(super) en_line: LineWord,
}

/// What pulls the EN line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LineWord {
    /// RTS, with DTR released, as on development boards.
    Rts,
}

impl PowerConfig {
    /// The kinds of cut that the switch really makes.
    pub fn kinds(&self) -> Vec<CutKind> {
        vec![match &self.0 {
            PowerTable::Command(command) => command.cuts,
            PowerTable::UsbHub(_) => CutKind::UsbPort,
            PowerTable::Relay(relay) => relay.cuts,
            PowerTable::Ppk2(_) => CutKind::Rail,
            PowerTable::EnLine(_) => CutKind::EnReset,
        }]
    }

    /// Opens the switch. `lines` is the board's own serial port, which only the EN line needs: a second
    /// handle of it will do.
    ///
    /// # Errors
    /// The switch is not there or cannot be used, or this build does not support it.
    pub fn open(
        &self,
        lines: Option<Box<dyn SerialPort>>,
    ) -> Result<Box<dyn PowerSwitch>, RigError> {
        Ok(match &self.0 {
            PowerTable::Command(table) => Box::new(Command::new(table)),
            PowerTable::UsbHub(table) => Box::new(UsbHub::open(Path::new(USB_DEVICES), table)?),
            PowerTable::Relay(table) => Box::new(Relay::open(table)?),
            PowerTable::Ppk2(table) => ppk2(table)?,
            PowerTable::EnLine(_) => Box::new(EnLine::new(lines.ok_or_else(|| {
                RigError::new("the EN line is pulled by the board's serial port, which is not open")
            })?)),
        })
    }

    /// Whether the switch goes through the board's own serial port.
    pub fn needs_lines(&self) -> bool {
        matches!(self.0, PowerTable::EnLine(_))
    }

    /// Paths become absolute: they are relative to `folder`.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        if let PowerTable::Command(command) = &mut self.0 {
            let folder = folder.join(command.folder.take().unwrap_or_default());
            for words in [&mut command.off_command, &mut command.on_command] {
                if let Some(program) = words.first_mut()
                    && program.contains('/')
                {
                    *program = folder.join(&*program).to_string_lossy().into_owned();
                }
            }
            command.folder = Some(folder);
        }
    }
}

#[cfg(feature = "ppk2")]
fn ppk2(table: &Ppk2Table) -> Result<Box<dyn PowerSwitch>, RigError> {
    Ok(Box::new(super::ppk2::Kit::open(table)?))
}

#[cfg(not(feature = "ppk2"))]
fn ppk2(_: &Ppk2Table) -> Result<Box<dyn PowerSwitch>, RigError> {
    Err(RigError::new(
        "this hil-runner was built without the PPK2: build it with `--features ppk2`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> PowerConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_reset_is_no_loss_of_power() {
        let reset = config("en-line = 'rts'");
        assert_eq!(reset.kinds(), [CutKind::EnReset]);
        assert!(reset.kinds().iter().all(|kind| !kind.stops_flash()));
        assert_eq!(config("usb-hub = '1-1'\nhub-port = 2").kinds(), [CutKind::UsbPort]);
        assert_eq!(config("ppk2 = '/dev/ttyACM1'\nmillivolts = 3300").kinds(), [CutKind::Rail]);
        let relay = config("relay = '/dev/ttyUSB0'\ncuts = 'brown-out'");
        assert_eq!(relay.kinds(), [CutKind::BrownOut]);
    }

    #[test]
    fn the_en_line_needs_the_port() {
        let Err(error) = config("en-line = 'rts'").open(None) else { panic!("no error") };
        assert!(error.to_string().contains("serial port"), "{error}");
    }

    #[test]
    fn paths_are_relative_to_the_inventory() {
        let mut found = config(
            "off-command = ['./off', './x']\non-command = ['on']\ncuts = 'rail'\nfolder = 'tools'",
        );
        found.resolve(Path::new("/bench"));
        let PowerTable::Command(command) = found.0 else { panic!("not a command") };
        assert_eq!(command.off_command, ["/bench/tools/./off", "./x"]);
        assert_eq!(command.on_command, ["on"]);
        assert_eq!(command.folder.as_deref(), Some(Path::new("/bench/tools")));
    }

    #[test]
    fn a_switch_is_recorded_as_it_is_read() {
        for text in [
            "off-command = ['a']\non-command = ['b']\ncuts = 'rail'\nlimit = '1500 ms'\n[env]\nA = 'b'",
            "relay = { vid = 0x1A86, pid = 0x7523 }\nchannel = 2\ncuts = 'usb-port'\nnormally-closed = true",
            "en-line = 'rts'",
        ] {
            let read = config(text);
            let recorded = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<PowerConfig>(&recorded).unwrap(), read);
        }
    }
}
