//! The serial ports of a board.

use super::Board;
use crate::devices::Block;
use crate::peripherals::Pacing;

impl Board {
    /// Sends bytes to UART0, from the host.
    pub fn uart0_send(&mut self, bytes: &[u8]) {
        let now = self.now();
        self.bus.devices.uart0().receive(bytes, now);
        self.bus.devices.refresh(Block::Uart0);
    }

    /// What UART0 has sent since the last call.
    pub fn uart0_output(&mut self) -> Vec<u8> {
        let mut output = std::mem::take(&mut self.console);
        output.append(&mut self.bus.devices.uart0().take_output());
        output
    }

    /// Forgets what has been sent to UART0 and has not arrived there yet.
    pub fn uart0_discard(&mut self) {
        self.bus.devices.uart0().discard();
        self.bus.devices.refresh(Block::Uart0);
    }

    /// Changes how fast the serial lines are.
    pub fn set_pacing(&mut self, pacing: Pacing) {
        self.bus.devices.uart0().set_pacing(pacing);
        self.bus.devices.refresh(Block::Uart0);
    }

    /// How often in a row software has looked for a byte at UART0 and found none.
    #[must_use]
    pub fn idle_polls(&mut self) -> u32 {
        self.bus.devices.uart0().idle_polls()
    }

    /// Plugs a host into the USB port, or pulls it. Firmware that prints to whichever port is in use then
    /// prints there instead of UART0.
    pub fn attach_usb(&mut self, attached: bool) {
        let now = self.now();
        self.bus.devices.usb().set_attached(attached, now);
        self.bus.devices.refresh(Block::Usb);
    }

    /// Sends bytes to the USB-Serial-JTAG port, from the host.
    pub fn usb_send(&mut self, bytes: &[u8]) {
        let now = self.now();
        self.bus.devices.usb().receive(bytes, now);
        self.bus.devices.refresh(Block::Usb);
    }

    /// What the USB-Serial-JTAG port has sent since the last call, with a host attached.
    pub fn usb_output(&mut self) -> Vec<u8> {
        self.bus.devices.usb().take_output()
    }
}
