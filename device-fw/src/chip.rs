//! What differs between chips: the only file that asks which one it is built for.

use esp_hal::peripherals::{FLASH, Peripherals, RTC_TIMER};
use ota_core::image::ChipId;

#[cfg_attr(feature = "usb-serial-jtag", path = "port/usb.rs")]
#[cfg_attr(not(feature = "usb-serial-jtag"), path = "port/uart.rs")]
mod port;

pub use port::Port;

/// Defines name and identity of the chip, and its console.
///
/// The pins are those on which the mask ROM has UART0 (ESP-IDF `soc/uart_pins.h`).
macro_rules! chip {
    ($name:literal, $id:ident, $machine:literal, rx $rx:ident, tx $tx:ident) => {
        /// Name of the chip, as in the boot report and in `manifest.json`.
        pub const NAME: &str = $name;
        /// Chip that an image must be built for to run here.
        pub const ID: ChipId = ChipId::$id;
        /// Instruction set of the processor.
        pub const MACHINE: &str = $machine;

        #[cfg(not(feature = "usb-serial-jtag"))]
        macro_rules! port {
            ($peripherals:ident) => {
                Port::new($peripherals.UART0, $peripherals.$rx, $peripherals.$tx)
            };
        }
    };
}

#[cfg(feature = "esp32")]
chip!("esp32", ESP32, "xtensa", rx GPIO3, tx GPIO1);
#[cfg(feature = "esp32c3")]
chip!("esp32c3", ESP32C3, "riscv32imc", rx GPIO20, tx GPIO21);
#[cfg(feature = "esp32c6")]
chip!("esp32c6", ESP32C6, "riscv32imac", rx GPIO17, tx GPIO16);
#[cfg(feature = "esp32h2")]
chip!("esp32h2", ESP32H2, "riscv32imac", rx GPIO23, tx GPIO24);
#[cfg(feature = "esp32s3")]
chip!("esp32s3", ESP32S3, "xtensa", rx GPIO44, tx GPIO43);

#[cfg(feature = "usb-serial-jtag")]
macro_rules! port {
    ($peripherals:ident) => {
        Port::new($peripherals.USB_DEVICE)
    };
}

/// The hardware that the firmware uses.
pub struct Parts {
    /// The console.
    pub port: Port,
    /// The flash controller.
    pub flash: FLASH<'static>,
    /// The timer that has the watchdog.
    pub timer: RTC_TIMER<'static>,
}

impl Parts {
    /// Takes what is needed from all peripherals of the chip.
    pub fn take(peripherals: Peripherals) -> Self {
        Self { port: port!(peripherals), flash: peripherals.FLASH, timer: peripherals.RTC_TIMER }
    }
}
