//! The boot report, and where the running image is.

use core::fmt;

use esp_bootloader_esp_idf::partitions::{PARTITION_TABLE_MAX_LEN, read_partition_table};
use esp_storage::FlashStorage;
use ota_core::otadata::SelectEntry;
use ota_core::partition::App;
use static_cell::ConstStaticCell;
use update_agent::ResetReason;

/// Flash offset of the partition from which the chip runs, found from what the bootloader mapped.
///
/// otadata says what *should* run, and the bootloader may have fallen back to something else. Only
/// the flash cache's mapping tells what does: its first page is the first page of the image.
///
/// Never inlined: its 7 KiB of buffers would stay on the stack of the caller, which never returns.
#[inline(never)]
pub fn mapped_offset(flash: &mut FlashStorage<'_>) -> Option<u32> {
    let mut buffer = [0; PARTITION_TABLE_MAX_LEN];
    let table = read_partition_table(flash, &mut buffer).ok()?;
    Some(table.booted_partition().ok()??.offset())
}

/// The line that the firmware prints once after each reset, as `key=value` words.
pub struct BootReport {
    /// Version in the application description.
    pub version: &'static str,
    /// Name of the chip.
    pub chip: &'static str,
    /// What [`mac`] returns.
    pub mac: &'static str,
    /// Partition that runs.
    pub running: App,
    /// Partition that the next boot selects; `None` when the flash could not be read.
    pub selected: Option<App>,
    /// Both select entries; `None` when the flash could not be read.
    pub otadata: Option<[SelectEntry; 2]>,
    /// Name of what [`reset_reason`] returns.
    pub reset: &'static str,
}

impl fmt::Display for BootReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, chip, mac, running, selected, otadata, reset } = self;
        write!(f, "boot: fw={version} chip={chip} mac={mac} running={running} ")?;
        match selected {
            Some(app) => write!(f, "selected={app} ")?,
            None => f.write_str("selected=? ")?,
        }
        match otadata {
            Some([first, second]) => write!(f, "otadata=[{first}|{second}] ")?,
            None => f.write_str("otadata=? ")?,
        }
        write!(f, "reset={reset}")
    }
}

/// Factory-programmed address of the chip as text, which tells boards apart.
///
/// # Panics
/// When called twice.
pub fn mac() -> &'static str {
    static TEXT: ConstStaticCell<[u8; 17]> = ConstStaticCell::new([0; 17]);
    let text = TEXT.take();
    for (index, byte) in esp_hal::efuse::base_mac_address().as_bytes().iter().enumerate() {
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
        if let Some([high, low, rest @ ..]) = text.get_mut(3 * index..) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xF));
            if let Some(colon) = rest.first_mut() {
                *colon = b':';
            }
        }
    }
    str::from_utf8(text).unwrap_or_default()
}

/// Why the chip was reset.
///
/// The numbers are the same on all chips, their names in the library are not (ESP-IDF
/// `soc/reset_reasons.h`).
pub fn reset_reason() -> ResetReason {
    let code = esp_hal::system::reset_reason().map_or(0, |reason| reason as u8);
    let name = match code {
        0x01 => "POWERON",
        0x03 | 0x0C => "SOFTWARE",
        0x05 => "DEEPSLEEP",
        0x07 | 0x08 | 0x0B | 0x11 => "TIMER_WATCHDOG",
        0x09 | 0x0D | 0x10 => "RTC_WATCHDOG",
        0x0F => "BROWNOUT",
        0x12 => "SUPER_WATCHDOG",
        0x15 => "USB_UART",
        0x16 => "USB_JTAG",
        _ => "OTHER",
    };
    ResetReason { code, name }
}
