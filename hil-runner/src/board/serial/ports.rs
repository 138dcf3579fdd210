//! Finding the serial port of a board.

use super::control::Found;
use crate::board::RigError;
use crate::scenario::ChipName;
use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a port may take to appear: the host asks a USB device who it is after power came.
const APPEARS: Duration = Duration::from_secs(10);
/// How often to look. Systems tell of new ports in ways of their own, and a few looks at a list that takes
/// a millisecond cost nothing beside the seconds that the device needs.
const LOOK: Duration = Duration::from_millis(50);

/// Which serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSelector {
    /// That with this path.
    Path(PathBuf),
    /// That of the USB device with these numbers and, if it is given, serial number.
    Usb {
        /// Vendor.
        vid: u16,
        /// Product.
        pid: u16,
        /// Serial number, in any case of letters.
        serial: Option<String>,
    },
    /// That of the chip with this MAC address, as in `7C:DF:A1:00:00:01`. Only USB-Serial-JTAG tells the
    /// address, as its serial number; what is behind another adapter is not asked for it.
    Mac(String),
}

impl PortSelector {
    /// The port, if it is there now.
    pub(super) fn find(&self, chip: ChipName) -> Result<Option<Found>, RigError> {
        let ports = serialport::available_ports()
            .map_err(|error| RigError::new(format!("serial ports cannot be listed: {error}")))?;
        if let Self::Path(path) = self {
            // Not all ports are listed, pseudo-terminals for example, and links lead to ports.
            let Ok(real) = path.canonicalize() else {
                return Ok(None);
            };
            let listed = ports.iter().find(|port| real.as_os_str() == port.port_name.as_str());
            let mut found = listed.map_or_else(|| Found::bare(real, chip), |it| found(it, chip));
            found.path.clone_from(path);
            return Ok(Some(found));
        }
        let mut matching = ports.iter().filter(|port| self.matches(port));
        let first = matching.next();
        if let (Some(first), Some(second)) = (first, matching.next()) {
            let [first, second] = [&first.port_name, &second.port_name];
            let what = format!("{self} is {first} and also {second}: give the serial number too");
            return Err(RigError::new(what));
        }
        Ok(first.map(|port| found(port, chip)))
    }

    /// The port, as soon as it is there.
    pub(super) fn wait(&self, chip: ChipName) -> Result<Found, RigError> {
        let begin = Instant::now();
        loop {
            if let Some(found) = self.find(chip)? {
                return Ok(found);
            }
            if begin.elapsed() > APPEARS {
                let what = format!("there is no serial port {self}; is the board plugged in?");
                return Err(RigError::new(what));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn matches(&self, port: &SerialPortInfo) -> bool {
        let SerialPortType::UsbPort(usb) = &port.port_type else {
            return false;
        };
        let named = |serial: &String| {
            usb.serial_number.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(serial))
        };
        match self {
            Self::Path(path) => path.as_os_str() == port.port_name.as_str(),
            Self::Usb { vid, pid, serial } => {
                (usb.vid, usb.pid) == (*vid, *pid) && serial.as_ref().is_none_or(named)
            }
            Self::Mac(mac) => named(mac),
        }
    }
}

fn found(port: &SerialPortInfo, chip: ChipName) -> Found {
    let bare = Found::bare(PathBuf::from(&port.port_name), chip);
    match &port.port_type {
        SerialPortType::UsbPort(usb) => Found { usb: UsbPortInfo::clone(usb), ..bare },
        _ => bare,
    }
}

impl fmt::Display for PortSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Usb { vid, pid, serial: None } => write!(f, "{vid:04x}:{pid:04x}"),
            Self::Usb { vid, pid, serial: Some(serial) } => {
                write!(f, "{vid:04x}:{pid:04x}:{serial}")
            }
            Self::Mac(mac) => f.write_str(mac),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(pid: u16, serial: &str) -> SerialPortInfo {
        SerialPortInfo {
            port_name: "/dev/ttyACM0".into(),
            port_type: SerialPortType::UsbPort(UsbPortInfo {
                vid: 0x303A,
                pid,
                serial_number: Some(serial.into()),
                manufacturer: None,
                product: None,
                interface: None,
            }),
        }
    }

    #[test]
    fn the_usb_device_decides() {
        let jtag = port(0x1001, "7C:DF:A1:00:00:01");
        let usb = |pid, serial: Option<&str>| PortSelector::Usb {
            vid: 0x303A,
            pid,
            serial: serial.map(Into::into),
        };
        for (selector, expected) in [
            (PortSelector::Mac("7c:df:a1:00:00:01".into()), true),
            (PortSelector::Mac("7C:DF:A1:00:00:02".into()), false),
            (usb(0x1001, None), true),
            (usb(0x1001, Some("7c:df:a1:00:00:01")), true),
            (usb(0x1001, Some("other")), false),
            (usb(0x1002, None), false),
        ] {
            assert_eq!(selector.matches(&jtag), expected, "{selector}");
        }
        let pci = SerialPortInfo { port_type: SerialPortType::PciPort, ..jtag };
        assert!(!usb(0x1001, None).matches(&pci));
    }
}
