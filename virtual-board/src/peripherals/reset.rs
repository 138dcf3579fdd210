//! Why the chip starts.

/// Cause of a reset, with the code that the chip's reset state register shows (ESP-IDF,
/// `components/soc/esp32c3/include/soc/reset_reasons.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResetCause {
    /// Power came, or the EN pin rose.
    PowerOn = 0x01,
    /// Software reset of the digital part.
    Software = 0x03,
    /// Main watchdog of timer group 0.
    TimerGroup0 = 0x07,
    /// Main watchdog of timer group 1.
    TimerGroup1 = 0x08,
    /// RTC watchdog, digital part.
    RtcWatchdog = 0x09,
    /// Main watchdog of timer group 0, CPU only.
    TimerGroup0Cpu = 0x0B,
    /// Software reset of the CPU.
    SoftwareCpu = 0x0C,
    /// RTC watchdog, CPU only.
    RtcWatchdogCpu = 0x0D,
    /// The supply sagged.
    BrownOut = 0x0F,
    /// RTC watchdog, whole chip.
    RtcWatchdogChip = 0x10,
    /// Main watchdog of timer group 1, CPU only.
    TimerGroup1Cpu = 0x11,
    /// Super watchdog.
    SuperWatchdog = 0x12,
    /// Request of the host over USB-Serial-JTAG.
    UsbUart = 0x15,
    /// Request of a debugger over USB-Serial-JTAG.
    UsbJtag = 0x16,
}

/// How far a reset reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The CPU alone.
    Cpu,
    /// All digital devices; RTC registers, RTC RAM and SRAM keep their contents.
    Digital,
    /// The RTC domain as well.
    Chip,
    /// Everything, RTC RAM and SRAM included.
    Power,
}

impl ResetCause {
    /// The number in the reset state register.
    #[must_use]
    pub fn code(self) -> u32 {
        self as u32
    }

    /// How far the reset reaches.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::PowerOn => Scope::Power,
            Self::BrownOut | Self::RtcWatchdogChip | Self::SuperWatchdog => Scope::Chip,
            Self::TimerGroup0Cpu
            | Self::TimerGroup1Cpu
            | Self::SoftwareCpu
            | Self::RtcWatchdogCpu => Scope::Cpu,
            Self::Software
            | Self::TimerGroup0
            | Self::TimerGroup1
            | Self::RtcWatchdog
            | Self::UsbUart
            | Self::UsbJtag => Scope::Digital,
        }
    }
}
