//! Waiting for the serial port of a board.

use super::control::Found;
use crate::bench::{PortInfo, PortSelector, serial_ports};
use crate::board::RigError;
use crate::scenario::ChipName;
use serialport::UsbPortInfo;
use std::time::{Duration, Instant};

/// How long a port may take to appear: the host asks a USB device who it is after power came.
const APPEARS: Duration = Duration::from_secs(10);
/// How often to look. Systems tell of new ports in ways of their own, and a few looks at a list that takes
/// a millisecond cost nothing beside the seconds that the device needs.
const LOOK: Duration = Duration::from_millis(50);

/// The port, if it is there now.
pub(super) fn find(port: &PortSelector, chip: ChipName) -> Result<Option<Found>, RigError> {
    let PortInfo { path, usb, .. } = match port.find(&serial_ports()?)? {
        Some(port) => port,
        None => return Ok(None),
    };
    let bare = Found::bare(path, chip);
    let Some(usb) = usb else { return Ok(Some(bare)) };
    let (vid, pid, serial_number) = (usb.vid, usb.pid, usb.serial);
    let usb = UsbPortInfo { vid, pid, serial_number, ..bare.usb };
    Ok(Some(Found { usb, ..bare }))
}

/// The port, as soon as it is there.
pub(super) fn wait(port: &PortSelector, chip: ChipName) -> Result<Found, RigError> {
    let begin = Instant::now();
    loop {
        if let Some(found) = find(port, chip)? {
            return Ok(found);
        }
        if begin.elapsed() > APPEARS {
            let what = format!("no serial port is {port}; is the board plugged in?");
            return Err(RigError::new(what));
        }
        std::thread::sleep(LOOK);
    }
}
