//! The console on UART0, the port on which the mask ROM and the bootloader print.

use esp_hal::Blocking;
use esp_hal::gpio::interconnect::{PeripheralInput, PeripheralOutput};
use esp_hal::peripherals::UART0;
use esp_hal::uart::{Config, Uart};

/// Rate of the mask ROM and the bootloader, so that one terminal setting shows everything.
const BAUD: u32 = 115_200;

/// UART0, 8N1.
pub struct Port(Uart<'static, Blocking>);

impl Port {
    /// Takes over the port.
    pub fn new(
        uart: UART0<'static>,
        rx: impl PeripheralInput<'static>,
        tx: impl PeripheralOutput<'static>,
    ) -> Self {
        let uart = Uart::new(uart, Config::default().with_baudrate(BAUD))
            .expect("every chip's UART can do 115200 baud");
        Self(uart.with_rx(rx).with_tx(tx))
    }

    /// Moves what has arrived into `buffer` and returns how much that is, without waiting.
    ///
    /// Received errors (framing, overrun) lose bytes; the checksum of the packet finds that out.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        self.0.read_buffered(buffer).unwrap_or(0)
    }

    /// Sends all of `bytes`, waiting for room in the transmit FIFO.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Ok(taken) = self.0.write(bytes) else { return };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Waits until the last bit has left the chip.
    pub fn flush(&mut self) {
        let _ = self.0.flush();
    }
}
