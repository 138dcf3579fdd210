//! USB hubs that switch the power of their ports, through Linux.
//!
//! `<hub>:1.0/<hub>-port<N>/disable` below `/sys/bus/usb/devices` switches a port
//! (<https://docs.kernel.org/admin-guide/abi-testing.html>, since Linux 6.0). Read, it says whether the hub
//! reports power at the port. A hub that cannot switch single ports may yet report it: what really happens
//! at the socket only a measurement tells.

use super::config::UsbHubTable;
use super::{PowerSwitch, word};
use crate::board::RigError;
use crate::scenario::CutKind;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// One port of a hub.
#[derive(Debug)]
pub(super) struct UsbHub {
    name: String,
    /// 1 for off, 0 for on.
    disable: PathBuf,
}

impl UsbHub {
    /// The port of a hub below `devices`.
    pub(super) fn open(devices: &Path, table: &UsbHubTable) -> Result<Self, RigError> {
        let UsbHubTable { usb_hub: hub, hub_port: port } = table;
        // The interface of root hub `usb1` is `1-0:1.0`; its ports are `usb1-port1` and so on.
        let interface = match hub.strip_prefix("usb") {
            Some(bus) => format!("{bus}-0:1.0"),
            None => format!("{hub}:1.0"),
        };
        let folder = devices.join(&interface);
        let disable = folder.join(format!("{hub}-port{port}")).join("disable");
        if !disable.exists() {
            return Err(RigError::new(missing(devices, &folder, hub, &disable)));
        }
        Ok(Self { name: format!("USB hub {hub} port {port}"), disable })
    }
}

/// Why there is no such port, and what there is instead.
fn missing(devices: &Path, folder: &Path, hub: &str, disable: &Path) -> String {
    let names = |folder: &Path, keep: &dyn Fn(&Path) -> Option<String>| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| keep(&entry.path())).collect();
        names.sort();
        names.join(", ")
    };
    let file_name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let port =
        |path: &Path| Some(file_name(path)?.strip_prefix(&format!("{hub}-port"))?.to_owned());
    if !folder.is_dir() {
        // Only hubs have ports.
        let hub = |path: &Path| {
            let name = file_name(path)?;
            let device = name.strip_suffix(":1.0")?;
            let hub = match device.strip_suffix("-0") {
                Some(bus) => format!("usb{bus}"),
                None => device.to_owned(),
            };
            path.join(format!("{hub}-port1")).is_dir().then_some(hub)
        };
        let hubs = names(devices, &hub);
        return format!("there is no USB hub {}; there are: {hubs}", hub_name(folder));
    }
    if disable.parent().is_some_and(Path::is_dir) {
        return format!("{}: not there; it needs Linux 6.0 or later", disable.display());
    }
    match names(folder, &port) {
        ports if ports.is_empty() => format!("USB device {hub} is no hub"),
        ports => {
            format!("USB hub {hub} has ports {ports}, and not that one: {}", disable.display())
        }
    }
}

fn hub_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(":1.0").into()
}

impl PowerSwitch for UsbHub {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![CutKind::UsbPort]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        let Self { name, disable } = self;
        let fail = |what: &str| RigError::new(format!("{name}: power {}: {what}", word(on)));
        let value = if on { "0" } else { "1" };
        fs::write(&*disable, value).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => fail(&format!(
                "{} cannot be written: {error}; docs/bench.md has a udev rule for it",
                disable.display()
            )),
            _ => fail(&format!("{}: {error}", disable.display())),
        })?;
        let state = fs::read_to_string(&*disable).map_err(|error| fail(&error.to_string()))?;
        if state.trim() != value {
            return Err(fail("the hub reports no change; it does not switch single ports"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree as Linux shows it, for one hub with two ports; the files are plain ones.
    fn tree(hub: &str, interface: &str) -> tempfile::TempDir {
        let devices = tempfile::tempdir().unwrap();
        for port in 1..=2 {
            let folder = devices.path().join(interface).join(format!("{hub}-port{port}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("disable"), "0\n").unwrap();
        }
        fs::create_dir_all(devices.path().join("3-7:1.0")).unwrap();
        devices
    }

    fn open(devices: &Path, hub: &str, port: u8) -> Result<UsbHub, RigError> {
        UsbHub::open(devices, &UsbHubTable { usb_hub: hub.into(), hub_port: port })
    }

    fn refused(devices: &Path, hub: &str, port: u8) -> String {
        open(devices, hub, port).unwrap_err().to_string()
    }

    #[test]
    fn one_port_is_switched_and_no_other() {
        for (hub, interface) in [("1-1.4", "1-1.4:1.0"), ("usb2", "2-0:1.0")] {
            let devices = tree(hub, interface);
            let mut switch = open(devices.path(), hub, 2).unwrap();
            let state = |port: u8| {
                let folder = devices.path().join(interface).join(format!("{hub}-port{port}"));
                fs::read_to_string(folder.join("disable")).unwrap().trim().to_owned()
            };
            switch.set(false).unwrap();
            assert_eq!([state(1), state(2)], ["0", "1"]);
            switch.set(true).unwrap();
            assert_eq!([state(1), state(2)], ["0", "0"]);
            assert_eq!(switch.kinds(), [CutKind::UsbPort]);
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let devices = tree("1-1.4", "1-1.4:1.0");
        let devices = devices.path();
        assert!(refused(devices, "1-2", 1).contains("no USB hub 1-2; there are: 1-1.4"));
        assert!(refused(devices, "1-1.4", 3).contains("has ports 1, 2"));
        assert!(refused(devices, "3-7", 1).contains("3-7 is no hub"));
        fs::remove_file(devices.join("1-1.4:1.0/1-1.4-port1/disable")).unwrap();
        assert!(refused(devices, "1-1.4", 1).contains("Linux 6.0"));
    }

    #[test]
    fn a_hub_that_keeps_power_on_is_no_switch() {
        let devices = tree("1-1", "1-1:1.0");
        let disable = devices.path().join("1-1:1.0/1-1-port1/disable");
        let mut switch = open(devices.path(), "1-1", 1).unwrap();
        // Takes what is written, and reads empty.
        fs::remove_file(&disable).unwrap();
        std::os::unix::fs::symlink("/dev/null", &disable).unwrap();
        let error = switch.set(false).unwrap_err();
        assert!(error.to_string().contains("does not switch single ports"), "{error}");
    }
}
