//! The watchdog that ends a hanging firmware.

use esp_hal::peripherals::RTC_TIMER;
use esp_hal::rtc_cntl::{Rtc, RwdtStage};
use esp_hal::time::Duration;

/// How long the firmware may give no sign of life. The slowest single flash command is the erase of a
/// sector, which takes up to 0.4 s by the data sheets of the usual chips.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The RTC watchdog, running. It resets the whole chip, its RTC domain included: nothing of what
/// hung survives.
pub struct Watchdog(Rtc<'static>);

impl Watchdog {
    /// Starts the watchdog.
    pub fn start(timer: RTC_TIMER<'static>) -> Self {
        let mut rtc = Rtc::new(timer);
        rtc.rwdt.enable();
        rtc.rwdt.set_timeout(RwdtStage::Stage0, TIMEOUT);
        rtc.rwdt.feed();
        Self(rtc)
    }

    /// Gives a sign of life.
    pub fn feed(&mut self) {
        self.0.rwdt.feed();
    }
}
