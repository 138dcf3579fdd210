//! The boards of a bench: their inventory (`bench.toml`), how they are found, and who uses which.
//!
//! [`load`] reads an inventory and reports its mistakes as [`Diagnostic`](crate::scenario::Diagnostic)s.
//! [`discover`] asks what is plugged in, [`merge`] adds it to an inventory. A [`Lock`] gives a board to one
//! process at a time.

mod discover;
mod file;
mod load;
mod lock;
mod merge;
pub(crate) mod ports;
mod selector;
mod state;

pub use discover::{Found, Identity, discover, identify};
pub use file::schema;
pub use load::{load, parse};
pub use lock::{Holder, Lock, Queue};
pub use merge::{Merged, merge};
pub use ports::{PortInfo, PortTable, UsbId, open_port, serial_ports};
pub use selector::PortSelector;
pub use state::StateDir;

use crate::board::RigError;
use crate::power::PowerConfig;
use crate::scenario::ChipName;
use std::ops::Range;
use std::path::PathBuf;

/// The boards of an inventory, in its order, real ones first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bench {
    /// Them.
    pub boards: Vec<BoardEntry>,
}

impl Bench {
    /// The board of that name.
    pub fn board(&self, name: &str) -> Option<&BoardEntry> {
        self.boards.iter().find(|board| board.name == name)
    }
}

/// A board of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardEntry {
    /// Its name, which no other board has.
    pub name: String,
    /// Its chip.
    pub chip: ChipName,
    /// Size of its flash in bytes.
    pub flash: u32,
    /// Words to choose it by.
    pub tags: Vec<String>,
    /// What people should know.
    pub notes: Option<String>,
    /// How a real board is reached; `None` for a virtual one, which is to be made.
    pub serial: Option<SerialEntry>,
}

/// What an inventory says of a real board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialEntry {
    /// MAC address in lower case with colons.
    pub mac: String,
    /// The serial port.
    pub port: Option<PortTable>,
    /// Where it is plugged in, as Linux names it.
    pub usb_path: Option<String>,
    /// The switch for its power.
    pub power: Option<PowerConfig>,
    /// The debug probe.
    pub probe: Option<ProbeEntry>,
}

/// What an inventory says of a debug probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeEntry {
    /// Which one, as probe-rs selects it.
    pub selector: String,
    /// The parts of the chip's memory to keep of a device that has failed.
    pub memory: Vec<Range<u32>>,
}

impl BoardEntry {
    /// What its lock and its records are kept under: the MAC address, for a virtual board its name.
    pub fn key(&self) -> &str {
        self.serial.as_ref().map_or(&self.name, |serial| &serial.mac)
    }
}

impl SerialEntry {
    /// Its serial port: by `port`, else by `usb-path`, else by the MAC address as USB serial number.
    pub fn selector(&self) -> PortSelector {
        match (&self.port, &self.usb_path) {
            (Some(port), _) => port.into(),
            (None, Some(place)) => PortSelector::UsbPath(place.clone()),
            (None, None) => PortSelector::Mac(self.mac.clone()),
        }
    }

    /// The path of its serial port ([`selector`](Self::selector)) among those that are there.
    ///
    /// # Errors
    /// There is no such port, or several.
    pub fn locate(&self, ports: &[PortInfo]) -> Result<PathBuf, RigError> {
        self.selector().locate(ports)
    }
}

/// A size such as `4 MB` in bytes; `None` if it is none, or too large.
fn size(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim_start() {
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        _ => return None,
    };
    digits.parse::<u32>().ok().filter(|it| *it > 0)?.checked_mul(unit)
}

/// A number of bytes as a size.
fn size_text(bytes: u32) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MB", bytes >> 20)
    } else {
        format!("{} KB", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("4 MB", 4 << 20), ("512KB", 512 << 10), ("16 MB", 16 << 20)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "4", "MB", "0 MB", "4 GB", "9999999 MB"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(size_text(4 << 20), "4 MB");
        assert_eq!(size_text(512 << 10), "512 KB");
    }

    #[test]
    fn a_board_is_located_by_what_is_known_of_it() {
        let usb =
            |serial: &str| Some(UsbId { vid: 0x303A, pid: 0x1001, serial: Some(serial.into()) });
        let ports = [
            PortInfo {
                path: "/dev/a".into(),
                usb: usb("60:55:F9:00:00:01"),
                usb_path: Some("1-1".into()),
            },
            PortInfo {
                path: "/dev/b".into(),
                usb: usb("60:55:F9:00:00:02"),
                usb_path: Some("1-2".into()),
            },
        ];
        let mac = "60:55:f9:00:00:02".to_string();
        let mut board = SerialEntry { mac, port: None, usb_path: None, power: None, probe: None };
        assert_eq!(board.locate(&ports).unwrap(), PathBuf::from("/dev/b"));
        board.usb_path = Some("1-1".into());
        assert_eq!(board.locate(&ports).unwrap(), PathBuf::from("/dev/a"));
        board.usb_path = Some("1-3".into());
        assert!(board.locate(&ports).unwrap_err().to_string().contains("plugged in at 1-3"));
        board.port = Some(PortTable::Path("/dev/pts/7".into()));
        assert_eq!(board.locate(&[]).unwrap(), PathBuf::from("/dev/pts/7"));
        board.port = Some(PortTable::Usb(ports[1].usb.clone().unwrap()));
        assert_eq!(board.locate(&ports).unwrap(), PathBuf::from("/dev/b"));
    }
}
