//! RTC control: resets, slow time, scratch registers and the RTC watchdog.

use super::{
    Peripheral, ResetCause, Scope,
    registers::Registers,
    watchdog::{self, Action, Rate, Stage, Watchdog},
};
use crate::time::Ticks;

const OPTIONS0: u32 = 0x00;
const TIME_UPDATE: u32 = 0x0C;
const TIME_LOW0: u32 = 0x10;
const TIME_HIGH0: u32 = 0x14;
const STATE0: u32 = 0x18;
const RESET_STATE: u32 = 0x38;
const INT_ENA: u32 = 0x40;
const INT_RAW: u32 = 0x44;
const INT_ST: u32 = 0x48;
const INT_CLR: u32 = 0x4C;
const STORE0: u32 = 0x50;
const WDT_CONFIG0: u32 = 0x90;
const WDT_CONFIG1: u32 = 0x94;
const WDT_FEED: u32 = 0xA4;
const WDT_WPROTECT: u32 = 0xA8;
const SWD_CONF: u32 = 0xAC;
const SWD_WPROTECT: u32 = 0xB0;
const STORE4: u32 = 0xB8;
const INT_ENA_W1TS: u32 = 0x100;
const INT_ENA_W1TC: u32 = 0x104;

/// OPTIONS0: resets; the bits fall at once.
const SW_SYS_RST: u32 = 1 << 31;
const SW_PROCPU_RST: u32 = 1 << 5;
const SW_APPCPU_RST: u32 = 1 << 4;
/// TIME_UPDATE: latch the slow counter.
const UPDATE: u32 = 1 << 31;
/// STATE0: go to sleep.
const SLEEP_EN: u32 = 1 << 31;
/// WDT_CONFIG0.
const WDT_PROCPU_RESET_EN: u32 = 1 << 11;
const WDT_FLASHBOOT_MOD_EN: u32 = 1 << 12;
const WDT_EN: u32 = 1 << 31;
/// Position of each stage's action in WDT_CONFIG0.
const WDT_STAGES: [u32; 4] = [28, 25, 22, 19];
/// The first stage lasts twice what its register says (ESP-IDF `rwdt_ll.h`): a shift by 1 plus the
/// eFuse field WDT_DELAY_SEL, which is 0.
const STAGE0_SHIFT: u32 = 1;
/// Interrupt of the watchdog.
const INT_WDT: u32 = 1 << 3;
/// What SWD_WPROTECT holds while SWD_CONF can be written (ESP-IDF `rtc_cntl_reg.h`).
const SWD_KEY: u32 = 0x8F1D_312A;
/// SWD_CONF: feed, and clear the flag of a reset; both fall at once.
const SWD_FEED: u32 = 1 << 29;
const SWD_RST_FLAG_CLR: u32 = 1 << 28;

/// The slow clock, RC_SLOW: 136 kHz.
const SLOW_CLOCK: Rate = Rate { cycles: 17, ticks: Ticks::PER_SECOND / 8000 };

/// Interrupt source.
const SOURCE: u32 = 27;

/// Registers with their reset values (ESP-IDF `rtc_cntl_reg.h`; crate `esp32c3`, `rtc_cntl`).
const TABLE: &[(u32, u32)] = &[
    (OPTIONS0, 0x1C00_A000),
    (0x04, 0), // SLP_TIMER0
    (0x08, 0), // SLP_TIMER1
    (TIME_UPDATE, 0),
    (TIME_LOW0, 0),
    (TIME_HIGH0, 0),
    (STATE0, 0),
    (0x1C, 0x2814_0403), // TIMER1
    (0x20, 0x0100_0000), // TIMER2
    (0x24, 0x0A08_0A08), // TIMER3
    (0x28, 0x1020_0A08), // TIMER4
    (0x2C, 0x8000),      // TIMER5
    (0x30, 0x0A08_0000), // TIMER6
    (0x34, 0x00C4_0000), // ANA_CONF
    (RESET_STATE, 0x3000),
    (0x3C, 0x0006_0000), // WAKEUP_STATE
    (INT_ENA, 0),
    (INT_RAW, 0),
    (INT_ST, 0),
    (INT_CLR, 0),
    (STORE0, 0),
    (STORE0 + 4, 0),
    (STORE0 + 8, 0),
    (STORE0 + 12, 0),
    (0x60, 0x0006_6C80), // EXT_XTL_CONF
    (0x64, 0),           // EXT_WAKEUP_CONF
    (0x68, 0),           // SLP_REJECT_CONF
    (0x6C, 0),           // CPU_PERIOD_CONF
    (0x70, 0x1158_3218), // CLK_CONF
    (0x74, 0x0040_0000), // SLOW_CLK_CONF
    (0x78, 0x0AB0_BE0A), // SDIO_CONF
    (0x7C, 0x0001_0800), // BIAS_CONF
    (0x80, 0xA000_0000), // RTC_CNTL
    (0x84, 0),           // PWC
    (0x88, 0x0055_5010), // DIG_PWC
    (0x8C, 0xAA80_5080), // DIG_ISO
    (WDT_CONFIG0, 0x0001_3214),
    (WDT_CONFIG1, 200_000),
    (WDT_CONFIG1 + 4, 80_000),
    (WDT_CONFIG1 + 8, 0x0FFF),
    (WDT_CONFIG1 + 12, 0x0FFF),
    (WDT_FEED, 0),
    (WDT_WPROTECT, 0),
    (SWD_CONF, 0x04B0_0000),
    (SWD_WPROTECT, 0),
    (0xB4, 0), // SW_CPU_STALL
    (STORE4, 0),
    (STORE4 + 4, 0),
    (STORE4 + 8, 0),
    (STORE4 + 12, 0),
    (0xC8, 0),           // LOW_POWER_ST
    (0xCC, 0),           // DIAG0
    (0xD0, 0),           // PAD_HOLD
    (0xD4, 0),           // DIG_PAD_HOLD
    (0xD8, 0x43FF_0010), // BROWN_OUT
    (0xDC, 0),           // TIME_LOW1
    (0xE0, 0),           // TIME_HIGH1
    (0xE4, 0),           // XTAL32K_CLK_FACTOR
    (0xE8, 0x0FF0_0000), // XTAL32K_CONF
    (0xEC, 0),           // USB_CONF
    (0xF0, 0),           // SLP_REJECT_CAUSE
    (0xF4, 0),           // OPTION1
    (0xF8, 0),           // SLP_WAKEUP_CAUSE
    (0xFC, 0xC800),      // ULP_CP_TIMER_1
    (INT_ENA_W1TS, 0),
    (INT_ENA_W1TC, 0),
    (0x108, 0xA0D0_0000), // RETENTION_CTRL
    (0x10C, 0x07),        // FIB_SEL
    (0x110, 0),           // GPIO_WAKEUP
    (0x114, 0),           // DBG_SEL
    (0x118, 0),           // DBG_MAP
    (0x11C, 0),           // SENSOR_CTRL
    (0x120, 0),           // DBG_SAR_SEL
    (0x124, 0),           // PG_CTRL
];

/// The RTC controller.
///
/// Its registers survive all resets but those of the RTC domain and power-on. The super watchdog has
/// its registers and never bites: in download mode the ROM leaves it alone for as long as one likes.
/// Sleep and brown-out are not modelled.
#[derive(Clone, Debug)]
pub(crate) struct RtcCntl {
    registers: Registers,
    watchdog: Watchdog,
    /// When the slow counter was 0.
    epoch: Ticks,
    flash_boot: bool,
    reset: Option<ResetCause>,
}

impl RtcCntl {
    /// The controller of a chip without power.
    pub(crate) fn new() -> Self {
        Self {
            registers: Registers::new(TABLE),
            watchdog: Watchdog::new(SLOW_CLOCK),
            epoch: Ticks(0),
            flash_boot: false,
            reset: None,
        }
    }

    /// Whether the chip boots from flash: the watchdog is then armed by the next reset (ESP32-C3
    /// Technical Reference Manual, "Watchdog Timers", flash boot protection).
    pub(crate) fn set_flash_boot(&mut self, flash_boot: bool) {
        self.flash_boot = flash_boot;
    }

    fn guards_boot(&self) -> bool {
        self.flash_boot && self.registers.get(WDT_CONFIG0) & WDT_FLASHBOOT_MOD_EN != 0
    }

    fn configure_watchdog(&mut self, now: Ticks) {
        let config = self.registers.get(WDT_CONFIG0);
        let guards_boot = self.guards_boot();
        let mut stages = [0, 1, 2, 3].map(|index| Stage {
            cycles: u64::from(self.registers.get(WDT_CONFIG1 + 4 * index)),
            action: Action::from_field(config >> WDT_STAGES[index as usize] & 7),
        });
        stages[0].cycles <<= STAGE0_SHIFT;
        if guards_boot {
            stages[0].action = Action::ResetChip;
        }
        self.watchdog.configure(config & WDT_EN != 0 || guards_boot, SLOW_CLOCK, stages, now);
    }

    fn write_watchdog(&mut self, offset: u32, value: u32, now: Ticks) {
        if !watchdog::unlocked(&self.registers, WDT_WPROTECT) {
            return;
        }
        if offset == WDT_FEED {
            if value >> 31 != 0 {
                self.watchdog.feed(now);
            }
            return;
        }
        self.registers.set(offset, value);
        self.configure_watchdog(now);
    }

    fn status(&self) -> u32 {
        self.registers.get(INT_RAW) & self.registers.get(INT_ENA)
    }

    fn change(&mut self, offset: u32, change: impl FnOnce(u32) -> u32) {
        self.registers.set(offset, change(self.registers.get(offset)));
    }
}

impl Peripheral for RtcCntl {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            INT_ST => Some(self.status()),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, now: Ticks) -> Option<()> {
        match offset {
            OPTIONS0 => {
                if value & SW_SYS_RST != 0 {
                    self.reset = Some(ResetCause::Software);
                } else if value & SW_PROCPU_RST != 0 {
                    self.reset = Some(ResetCause::SoftwareCpu);
                }
                let resets = SW_SYS_RST | SW_PROCPU_RST | SW_APPCPU_RST;
                self.registers.set(offset, value & !resets);
            }
            TIME_UPDATE => {
                if value & UPDATE != 0 {
                    let count = SLOW_CLOCK.cycles_in(now - self.epoch);
                    self.registers.set(TIME_LOW0, count as u32);
                    self.registers.set(TIME_HIGH0, (count >> 32) as u32 & 0xFFFF);
                }
                self.registers.set(offset, value & !UPDATE);
            }
            STATE0 if value & SLEEP_EN != 0 => return None,
            WDT_CONFIG0..=WDT_FEED => self.write_watchdog(offset, value, now),
            SWD_CONF => {
                if self.registers.get(SWD_WPROTECT) == SWD_KEY {
                    self.registers.set(offset, value & !(SWD_FEED | SWD_RST_FLAG_CLR));
                }
            }
            INT_CLR => self.change(INT_RAW, |raw| raw & !value),
            INT_ENA_W1TS => self.change(INT_ENA, |enabled| enabled | value),
            INT_ENA_W1TC => self.change(INT_ENA, |enabled| enabled & !value),
            // Written by the hardware alone.
            TIME_LOW0 | TIME_HIGH0 | RESET_STATE | INT_RAW | INT_ST => {}
            _ => return self.registers.write(offset, value),
        }
        self.advance(now);
        Some(())
    }

    fn reset(&mut self, cause: ResetCause, now: Ticks) {
        self.reset = None;
        let scope = cause.scope();
        if scope >= Scope::Chip {
            self.registers.reset();
            self.epoch = now;
            self.watchdog = Watchdog::new(SLOW_CLOCK);
        }
        if scope >= Scope::Digital {
            // The watchdog lives on; one that guards the boot has a new boot to guard.
            if self.guards_boot() {
                self.watchdog.feed(now);
            }
            self.configure_watchdog(now);
        }
        // The same for both cores, of which this chip has one.
        let code = cause.code();
        self.change(RESET_STATE, |state| state & !0xFFF | code << 6 | code);
    }

    fn advance(&mut self, now: Ticks) {
        let masked = self.registers.get(WDT_CONFIG0) & WDT_PROCPU_RESET_EN == 0;
        let (mut bites, mut reset) = (false, None);
        self.watchdog.advance(now, |action| match action {
            Action::Off => {}
            Action::Interrupt => bites = true,
            Action::ResetCpu if masked => {}
            Action::ResetCpu => reset = Some(ResetCause::RtcWatchdogCpu),
            Action::ResetSystem => reset = Some(ResetCause::RtcWatchdog),
            Action::ResetChip => reset = Some(ResetCause::RtcWatchdogChip),
        });
        self.reset = reset.or(self.reset);
        if bites {
            self.change(INT_RAW, |raw| raw | INT_WDT);
        }
    }

    fn next_event(&self) -> Option<Ticks> {
        self.watchdog.next_event()
    }

    fn interrupts(&self) -> u64 {
        u64::from(self.status() != 0) << SOURCE
    }

    fn take_reset(&mut self) -> Option<ResetCause> {
        self.reset.take()
    }
}

#[cfg(test)]
mod tests;
