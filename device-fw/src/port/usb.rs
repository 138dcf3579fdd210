//! The console on the chip's USB-Serial-JTAG port.

use esp_hal::Blocking;
use esp_hal::peripherals::USB_DEVICE;
use esp_hal::time::{Duration, Instant};
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;

/// How long the host may leave the FIFO full before output is dropped. Without a limit a device with
/// no cable would hang until the watchdog fires, and could never run.
const PATIENCE: Duration = Duration::from_millis(50);

/// The USB-Serial-JTAG port.
pub struct Port {
    usb: UsbSerialJtag<'static, Blocking>,
    /// Whether the host takes what is sent.
    attached: bool,
}

impl Port {
    /// Takes over the port.
    pub fn new(usb: USB_DEVICE<'static>) -> Self {
        Self { usb: UsbSerialJtag::new(usb), attached: true }
    }

    /// Moves what has arrived into `buffer` and returns how much that is, without waiting.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut length = 0;
        for byte in buffer {
            let Ok(received) = self.usb.read_byte() else { break };
            *byte = received;
            length += 1;
        }
        length
    }

    /// Sends `bytes`; drops the rest when the host takes nothing for a while.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if !self.retry(|usb| usb.write_byte_nb(byte).is_ok()) {
                return;
            }
        }
    }

    /// Waits until the host has taken everything, or for a while.
    pub fn flush(&mut self) {
        self.retry(|usb| usb.flush_tx_nb().is_ok());
    }

    /// Tries until it works or patience ends. Once it has ended there is just one try each, until
    /// one works again.
    fn retry(
        &mut self,
        mut works: impl FnMut(&mut UsbSerialJtag<'static, Blocking>) -> bool,
    ) -> bool {
        let start = Instant::now();
        loop {
            if works(&mut self.usb) {
                self.attached = true;
                return true;
            }
            if !self.attached || start.elapsed() > PATIENCE {
                self.attached = false;
                return false;
            }
        }
    }
}
