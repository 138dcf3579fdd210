//! Asks what is plugged in.

use super::ports::{self, PortInfo};
use crate::board::RigError;
use crate::board::serial::CONSOLE_BAUD;
use crate::scenario::ChipName;
use espflash::connection::{Connection, ResetAfterOperation, ResetBeforeOperation};
use espflash::flasher::Flasher;
use espflash::target::Chip;
use serialport::{SerialPort, UsbPortInfo};
use std::thread;

/// Who a chip says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chip.
    pub chip: ChipName,
    /// Its MAC address in lower case with colons.
    pub mac: String,
    /// Size of its flash in bytes.
    pub flash: u32,
}

/// A port and who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The port.
    pub port: PortInfo,
    /// The chip that answers, or why none does.
    pub answer: Result<Identity, RigError>,
}

/// Asks at all these ports at once; [`identify`] asks a real one. The result has the order of the ports.
pub fn discover(
    ports: Vec<PortInfo>,
    identify: impl Fn(&PortInfo) -> Result<Identity, RigError> + Sync,
) -> Vec<Found> {
    let identify = &identify;
    let ask = |port: &PortInfo| {
        let gone = || Err(RigError::new("the library that asks has failed"));
        thread::scope(|scope| scope.spawn(|| identify(port)).join().unwrap_or_else(|_| gone()))
    };
    let ask = &ask;
    thread::scope(|scope| {
        let asked: Vec<_> = ports
            .into_iter()
            .map(|port| scope.spawn(move || Found { answer: ask(&port), port }))
            .collect();
        asked.into_iter().filter_map(|it| it.join().ok()).collect()
    })
}

/// Asks the chip behind a port, with its serial loader. The chip is reset before and after, where the port
/// has the lines for it; else its loader must be waiting, and goes on waiting.
///
/// # Errors
/// The port cannot be opened, no known chip answers, or it does not tell who it is.
pub fn identify(port: &PortInfo) -> Result<Identity, RigError> {
    let fail = |what: String| RigError::new(what);
    let mut serial = ports::open(&port.path, CONSOLE_BAUD)?;
    // A pseudo-terminal has no lines, and asking for them fails.
    let (before, after) = match serial.read_clear_to_send() {
        Ok(_) => (ResetBeforeOperation::DefaultReset, ResetAfterOperation::HardReset),
        Err(_) => (ResetBeforeOperation::NoReset, ResetAfterOperation::NoResetNoStub),
    };
    let (vid, pid) = port.usb.as_ref().map_or((0, 0), |usb| (usb.vid, usb.pid));
    let info = UsbPortInfo {
        vid,
        pid,
        serial_number: None,
        manufacturer: None,
        product: None,
        interface: None,
    };
    let connection = Connection::new(serial, info, after, before, CONSOLE_BAUD);
    let mut flasher = Flasher::connect(connection, false, false, false, None, None)
        .map_err(|error| fail(format!("no chip answers: {error}")))?;
    let chip = flasher.chip();
    let identity = ask(&mut flasher);
    let reset = flasher.connection().reset_after(false, chip);
    let identity = identity?;
    reset.map_err(|error| fail(format!("{chip} {}: no reset: {error}", identity.mac)))?;
    Ok(identity)
}

fn ask(flasher: &mut Flasher) -> Result<Identity, RigError> {
    let about = flasher.chip();
    let fail = |what: String| RigError::new(format!("an {about} answers: {what}"));
    let chip = match about {
        Chip::Esp32 => ChipName::Esp32,
        Chip::Esp32c3 => ChipName::Esp32c3,
        Chip::Esp32c6 => ChipName::Esp32c6,
        Chip::Esp32h2 => ChipName::Esp32h2,
        Chip::Esp32s3 => ChipName::Esp32s3,
        _ => return Err(fail("scenarios do not know this chip".into())),
    };
    if flasher.secure_download_mode() {
        return Err(fail("it is in secure download mode, and tells no MAC address".into()));
    }
    let info = flasher.device_info().map_err(|error| fail(error.to_string()))?;
    let mac = info.mac_address.ok_or_else(|| fail("it tells no MAC address".into()))?;
    Ok(Identity { chip, mac: mac.to_lowercase(), flash: info.flash_size.size() })
}
