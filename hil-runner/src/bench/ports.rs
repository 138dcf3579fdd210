//! The serial ports of this computer, and how an inventory names one.

use super::selector::PortSelector;
use crate::board::RigError;
use crate::board::serial::CONSOLE_BAUD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serialport::{ErrorKind, SerialPort, SerialPortType, TTYPort};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where Linux shows terminals.
const TERMINALS: &str = "/sys/class/tty";

/// A serial port in an inventory: its path, or what its USB device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortTable {
    /// A path such as `"/dev/ttyUSB0"`, better one below `/dev/serial/by-id`.
    Path(#[schemars(length(min = 1))] PathBuf),
    /// A USB device.
    Usb(UsbId),
}

/// What a USB device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsbId {
    /// Vendor, for example `0x303A`.
    pub vid: u16,
    /// Product, for example `0x1001`.
    pub pid: u16,
    /// Serial number. Without one the device must be the only one of its kind.
    pub serial: Option<String>,
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}:{:04X}", self.vid, self.pid)?;
        self.serial.iter().try_for_each(|serial| write!(f, " {serial}"))
    }
}

/// A serial port that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its path.
    pub path: PathBuf,
    /// Its USB device, if it is one.
    pub usb: Option<UsbId>,
    /// Where that is plugged in, as Linux names it: `1-1.4.2` is port 2 of the hub at port 4 of the hub at
    /// port 1 of bus 1.
    pub usb_path: Option<String>,
}

impl PortInfo {
    /// A port of which no more is known than its path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), usb: None, usb_path: None }
    }
}

/// The serial ports of this computer, in the order of their paths.
///
/// # Errors
/// The system does not tell.
pub fn serial_ports() -> Result<Vec<PortInfo>, RigError> {
    let found = serialport::available_ports()
        .map_err(|error| RigError::new(format!("cannot list the serial ports: {error}")))?;
    let mut ports: Vec<_> = found
        .into_iter()
        .map(|port| {
            let usb = match port.port_type {
                SerialPortType::UsbPort(usb) => {
                    Some(UsbId { vid: usb.vid, pid: usb.pid, serial: usb.serial_number })
                }
                _ => None,
            };
            let path = PathBuf::from(port.port_name);
            PortInfo { usb_path: usb_path(Path::new(TERMINALS), &path), path, usb }
        })
        .collect();
    ports.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(ports)
}

/// Where the USB device of a port is plugged in.
fn usb_path(terminals: &Path, port: &Path) -> Option<String> {
    let device = fs::canonicalize(terminals.join(port.file_name()?).join("device")).ok()?;
    // The nearest: hubs are named alike. `1-1.4:1.0` is an interface of the device.
    let names = device.ancestors().filter_map(|it| it.file_name()?.to_str());
    names.into_iter().find(|name| is_usb_path(name)).map(str::to_owned)
}

fn is_usb_path(name: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    name.split_once('-').is_some_and(|(bus, ports)| digits(bus) && ports.split('.').all(digits))
}

/// The path of a port of an inventory.
pub(crate) fn find(port: &PortTable) -> Result<PathBuf, RigError> {
    PortSelector::from(port).locate(&serial_ports()?)
}

/// Opens a board's serial port at 115200 baud, for this program alone.
///
/// # Errors
/// It is not there, it may not be used, or another program has it open.
pub fn open_port(path: &Path) -> Result<Box<dyn SerialPort>, RigError> {
    Ok(Box::new(open(path, CONSOLE_BAUD)?))
}

/// Opens a port for this program alone.
pub(crate) fn open(path: &Path, baud: u32) -> Result<TTYPort, RigError> {
    let port = serialport::new(path.to_string_lossy(), baud).open_native();
    port.map_err(|error| {
        let (what, advice) = match error.kind() {
            // What the library makes of a port that is locked (flock) or exclusive (TIOCEXCL).
            ErrorKind::NoDevice if path.exists() => (
                "is in use by another program".to_owned(),
                "; end it (a serial monitor?), or find it with `fuser -v` and the path",
            ),
            ErrorKind::NoDevice | ErrorKind::Io(io::ErrorKind::NotFound) => {
                ("is not there".to_owned(), "; is it plugged in?")
            }
            ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
                (error.to_string(), "; docs/bench.md says who may use serial ports")
            }
            _ => (error.to_string(), ""),
        };
        RigError::new(format!("{}: {what}{advice}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_place_in_the_usb_tree_is_that_of_the_device() {
        let root = tempfile::tempdir().unwrap();
        for (tty, device) in [
            ("ttyACM0", "devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.4/1-1.4:1.0"),
            ("ttyUSB0", "devices/pci0000:00/0000:00:14.0/usb3/3-2/3-2:1.0/ttyUSB0"),
            ("ttyS0", "devices/pnp0/00:01"),
        ] {
            let device = root.path().join(device);
            fs::create_dir_all(&device).unwrap();
            let terminal = root.path().join("class").join(tty);
            fs::create_dir_all(&terminal).unwrap();
            symlink(device, terminal.join("device")).unwrap();
        }
        let place = |tty: &str| usb_path(&root.path().join("class"), Path::new(tty));
        assert_eq!(place("/dev/ttyACM0").as_deref(), Some("1-1.4"));
        assert_eq!(place("/dev/ttyUSB0").as_deref(), Some("3-2"));
        assert_eq!(place("/dev/ttyS0"), None);
        assert_eq!(place("/dev/pts/3"), None);
    }
}
