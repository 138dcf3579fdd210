//! Which serial port is meant, and which of those that are there it is.

use super::ports::{PortInfo, PortTable, UsbId};
use crate::board::RigError;
use std::fmt;
use std::path::PathBuf;

/// Which serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSelector {
    /// That with this path.
    Path(PathBuf),
    /// That of this USB device, which is the only one of its kind if no serial number is given.
    Usb(UsbId),
    /// That of the USB device that is plugged in there, as Linux names the place: `1-1.4`.
    UsbPath(String),
    /// That of the chip with this MAC address, as in `7C:DF:A1:00:00:01`. Only USB-Serial-JTAG tells the
    /// address, as its serial number; what is behind another adapter is not asked for it.
    Mac(String),
}

impl From<&PortTable> for PortSelector {
    fn from(table: &PortTable) -> Self {
        match table {
            PortTable::Path(path) => Self::Path(path.clone()),
            PortTable::Usb(usb) => Self::Usb(usb.clone()),
        }
    }
}

impl PortSelector {
    /// The port, if it is there.
    pub(crate) fn find(&self, ports: &[PortInfo]) -> Result<Option<PortInfo>, RigError> {
        if let Self::Path(path) = self {
            // Not all ports are listed, pseudo-terminals for example, and links lead to ports.
            let Ok(real) = path.canonicalize() else {
                return Ok(None);
            };
            let listed = ports.iter().find(|port| port.path == real).cloned();
            let info = listed.unwrap_or_else(|| PortInfo::at(real));
            return Ok(Some(PortInfo { path: path.clone(), ..info }));
        }
        let found: Vec<_> = ports.iter().filter(|port| self.matches(port)).collect();
        match found.as_slice() {
            [] => Ok(None),
            [port] => Ok(Some((*port).clone())),
            several => {
                let advice = match self {
                    Self::Usb(UsbId { serial: None, .. }) => "; give the serial number too",
                    _ => "",
                };
                let several = list(several.iter().copied());
                Err(RigError::new(format!("several serial ports are {self}: {several}{advice}")))
            }
        }
    }

    /// The path of the port, which must be there unless it is selected by its path.
    pub(crate) fn locate(&self, ports: &[PortInfo]) -> Result<PathBuf, RigError> {
        if let Self::Path(path) = self {
            return Ok(path.clone());
        }
        let there = || match ports {
            [] => "there are none".to_owned(),
            ports => format!("there are: {}", list(ports)),
        };
        let none = || RigError::new(format!("no serial port is {self}; {}", there()));
        self.find(ports)?.map(|port| port.path).ok_or_else(none)
    }

    fn matches(&self, port: &PortInfo) -> bool {
        let usb = port.usb.as_ref();
        // Some adapters tell theirs in small letters, some in capitals.
        let named = |usb: &UsbId, serial: &str| {
            usb.serial.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(serial))
        };
        match self {
            Self::Path(path) => port.path == *path,
            Self::Usb(UsbId { vid, pid, serial }) => usb.is_some_and(|usb| {
                let serial = serial.as_deref();
                (usb.vid, usb.pid) == (*vid, *pid) && serial.is_none_or(|it| named(usb, it))
            }),
            Self::UsbPath(place) => port.usb_path.as_ref() == Some(place),
            Self::Mac(mac) => usb.is_some_and(|usb| named(usb, mac)),
        }
    }
}

fn list<'a>(ports: impl IntoIterator<Item = &'a PortInfo>) -> String {
    let name = |port: &PortInfo| match &port.usb {
        Some(usb) => format!("{} ({usb})", port.path.display()),
        None => port.path.display().to_string(),
    };
    ports.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for PortSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Usb(usb) => usb.fmt(f),
            Self::UsbPath(place) => write!(f, "plugged in at {place}"),
            Self::Mac(mac) => write!(f, "a USB device with serial number {mac}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn port(path: &str, serial: &str, place: &str) -> PortInfo {
        let usb = UsbId { vid: 0x303A, pid: 0x1001, serial: Some(serial.into()) };
        PortInfo { path: path.into(), usb: Some(usb), usb_path: Some(place.into()) }
    }

    fn usb(pid: u16, serial: Option<&str>) -> PortSelector {
        PortSelector::Usb(UsbId { vid: 0x303A, pid, serial: serial.map(str::to_owned) })
    }

    #[test]
    fn a_port_is_found_only_if_it_is_the_only_one() {
        let ports = [
            port("/dev/ttyACM0", "7C:DF:A1:00:00:01", "1-1"),
            port("/dev/ttyACM1", "7C:DF:A1:00:00:02", "1-1.4"),
            PortInfo::at("/dev/ttyS0"),
        ];
        for (selector, expected) in [
            (PortSelector::Mac("7c:df:a1:00:00:01".into()), Some("/dev/ttyACM0")),
            (PortSelector::Mac("7C:DF:A1:00:00:03".into()), None),
            (usb(0x1001, Some("7c:df:a1:00:00:02")), Some("/dev/ttyACM1")),
            (usb(0x1001, Some("other")), None),
            (usb(0x1002, None), None),
            (PortSelector::UsbPath("1-1".into()), Some("/dev/ttyACM0")),
            (PortSelector::UsbPath("1-1.4".into()), Some("/dev/ttyACM1")),
            (PortSelector::UsbPath("1-2".into()), None),
        ] {
            let found = selector.find(&ports).unwrap().map(|port| port.path);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{selector}");
        }
        let both = usb(0x1001, None).find(&ports).unwrap_err().to_string();
        assert!(both.starts_with("several serial ports are 303A:1001: /dev/ttyACM0"), "{both}");
        assert!(both.ends_with("give the serial number too"), "{both}");
    }

    #[test]
    fn one_that_is_not_there_is_told_with_those_that_are() {
        let ports = [port("/dev/ttyACM0", "A", "1-1"), port("/dev/ttyACM1", "B", "1-2")];
        let none = usb(0x1001, Some("C")).locate(&ports).unwrap_err().to_string();
        assert!(none.contains("303A:1001 C; there are: /dev/ttyACM0 (303A:1001 A), "), "{none}");
        let none = usb(0x1001, None).locate(&[]).unwrap_err().to_string();
        assert!(none.ends_with("there are none"), "{none}");
    }

    #[test]
    fn a_link_leads_to_what_is_known_of_the_port() {
        let folder = tempfile::tempdir().unwrap();
        let (device, link) = (folder.path().join("ttyACM0"), folder.path().join("board"));
        std::fs::write(&device, "").unwrap();
        std::os::unix::fs::symlink(&device, &link).unwrap();
        let device = device.canonicalize().unwrap();
        let ports = [port(device.to_str().unwrap(), "A", "1-1")];
        let found = PortSelector::Path(link.clone()).find(&ports).unwrap().unwrap();
        assert_eq!(found, PortInfo { path: link.clone(), ..ports[0].clone() });
        std::fs::remove_file(&device).unwrap();
        assert_eq!(PortSelector::Path(link).find(&ports), Ok(None));
    }
}
