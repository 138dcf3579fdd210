//! The devices on the chip.

mod aes;
mod cache;
mod efuse;
mod gpio;
mod interrupt;
mod random;
mod registers;
mod reset;
mod rtc_cntl;
mod sha;
mod spi;
mod storage;
mod system;
mod systimer;
mod timer_group;
mod uart;
mod usb_serial_jtag;
mod watchdog;

pub(crate) use aes::Aes;
pub(crate) use cache::{Cache, Mmu};
pub use efuse::ChipIdentity;
pub(crate) use efuse::Efuse;
pub(crate) use gpio::Gpio;
pub(crate) use interrupt::InterruptMatrix;
pub(crate) use random::Syscon;
pub use reset::{ResetCause, Scope};
pub(crate) use rtc_cntl::RtcCntl;
pub(crate) use sha::Sha;
pub(crate) use spi::Spi;
pub(crate) use storage::Storage;
pub(crate) use system::System;
pub(crate) use systimer::Systimer;
pub(crate) use timer_group::TimerGroup;
pub use uart::Pacing;
pub(crate) use uart::Uart;
pub(crate) use usb_serial_jtag::UsbSerialJtag;

use crate::time::Ticks;

/// A block of memory-mapped registers.
///
/// Offsets are from the start of the block and word-aligned; the bus merges narrower accesses into
/// words. A block keeps no registers that it does not know: it answers `None`, and the bus stores and
/// counts the access as unimplemented.
pub(crate) trait Peripheral {
    /// Reads a register.
    fn read(&mut self, offset: u32, now: Ticks) -> Option<u32>;

    /// Writes a register.
    fn write(&mut self, offset: u32, value: u32, now: Ticks) -> Option<()>;

    /// Goes to the state after a reset, as far as that reset reaches this block. The clock goes on.
    fn reset(&mut self, cause: ResetCause, now: Ticks);

    /// Does what is due at `now`. Called at every event and before every access to the block.
    fn advance(&mut self, _now: Ticks) {}

    /// When [`advance`](Self::advance) has to be called next, if nothing else happens.
    fn next_event(&self) -> Option<Ticks> {
        None
    }

    /// Interrupt sources that this block holds high, a bit for each source number.
    fn interrupts(&self) -> u64 {
        0
    }

    /// A reset that this block asks for, once.
    fn take_reset(&mut self) -> Option<ResetCause> {
        None
    }
}
