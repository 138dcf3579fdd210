//! Timer groups 0 and 1: a general timer, a watchdog and, in group 0, the clock calibration.

mod counter;

use counter::Counter;

use super::{
    Peripheral, ResetCause, Scope,
    registers::Registers,
    watchdog::{self, Action, Rate, Stage, Watchdog},
};
use crate::time::Ticks;

const T0_CONFIG: u32 = 0x00;
const T0_LO: u32 = 0x04;
const T0_HI: u32 = 0x08;
const T0_UPDATE: u32 = 0x0C;
const T0_ALARM_LO: u32 = 0x10;
const T0_ALARM_HI: u32 = 0x14;
const T0_LOAD_LO: u32 = 0x18;
const T0_LOAD_HI: u32 = 0x1C;
const T0_LOAD: u32 = 0x20;
const WDT_CONFIG0: u32 = 0x48;
const WDT_CONFIG1: u32 = 0x4C;
const WDT_CONFIG2: u32 = 0x50;
const WDT_FEED: u32 = 0x60;
const WDT_WPROTECT: u32 = 0x64;
const RTCCALICFG: u32 = 0x68;
const RTCCALICFG1: u32 = 0x6C;
const INT_ENA: u32 = 0x70;
const INT_RAW: u32 = 0x74;
const INT_ST: u32 = 0x78;
const INT_CLR: u32 = 0x7C;
const RTCCALICFG2: u32 = 0x80;

/// T0_CONFIG: the alarm is armed; falls when it goes off.
const ALARM_EN: u32 = 1 << 10;
const AUTO_RELOAD: u32 = 1 << 29;
/// WDT_CONFIG0.
const WDT_PROCPU_RESET_EN: u32 = 1 << 13;
const WDT_FLASHBOOT_MOD_EN: u32 = 1 << 14;
const WDT_USE_XTAL: u32 = 1 << 21;
const WDT_CONF_UPDATE_EN: u32 = 1 << 22;
const WDT_EN: u32 = 1 << 31;
/// Position of each stage's action in WDT_CONFIG0.
const WDT_STAGES: [u32; 4] = [29, 27, 25, 23];
/// RTCCALICFG.
const CALI_RDY: u32 = 1 << 15;
/// RTCCALICFG1: the result is there.
const CALI_DATA_VLD: u32 = 1 << 0;
/// RTCCALICFG2: the clock to be measured does not run.
const CALI_TIMEOUT: u32 = 1 << 0;
/// Interrupts: timer and watchdog.
const INT_T0: u32 = 1 << 0;
const INT_WDT: u32 = 1 << 1;

/// Ticks in a cycle of the crystal, 40 MHz.
const XTAL_TICKS: u64 = Ticks::PER_SECOND / XTAL_HZ;
const XTAL_HZ: u64 = 40_000_000;
/// Ticks in a cycle of the peripheral bus clock while the chip runs from its PLL, 80 MHz.
const APB_TICKS: u64 = Ticks::PER_SECOND / 80_000_000;
/// Frequencies of the slow clocks that can be measured, typical values: RC_SLOW and RC_FAST / 256
/// (ESP32-C3 Technical Reference Manual, "Reset and Clock").
const RC_SLOW_HZ: u64 = 136_000;
const RC_FAST_D256_HZ: u64 = 17_500_000 / 256;

/// Interrupt sources of group 0's timer and watchdog; those of group 1 follow.
const SOURCE: u32 = 32;

/// Registers with their reset values (ESP-IDF `timer_group_reg.h`; crate `esp32c3`, `timg0`).
const TABLE: &[(u32, u32)] = &[
    (T0_CONFIG, 0x6000_2000),
    (T0_LO, 0),
    (T0_HI, 0),
    (T0_UPDATE, 0),
    (T0_ALARM_LO, 0),
    (T0_ALARM_HI, 0),
    (T0_LOAD_LO, 0),
    (T0_LOAD_HI, 0),
    (T0_LOAD, 0),
    (WDT_CONFIG0, 0x0004_C000),
    (WDT_CONFIG1, 0x0001_0000),
    (WDT_CONFIG2, 26_000_000),
    (WDT_CONFIG2 + 4, 0x07FF_FFFF),
    (WDT_CONFIG2 + 8, 0x000F_FFFF),
    (WDT_CONFIG2 + 12, 0x000F_FFFF),
    (WDT_FEED, 0),
    (WDT_WPROTECT, 0x50D8_3AA1),
    (RTCCALICFG, 0x0001_3000),
    (RTCCALICFG1, 0),
    (INT_ENA, 0),
    (INT_RAW, 0),
    (INT_ST, 0),
    (INT_CLR, 0),
    (RTCCALICFG2, 0xFFFF_FF98),
    (0xFC, 0x6000_0000), // REGCLK
];

/// A timer group.
///
/// Clock calibration has its result at once: all that software does meanwhile is to poll, for several
/// milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct TimerGroup {
    group: u32,
    registers: Registers,
    counter: Counter,
    watchdog: Watchdog,
    apb_ticks: u64,
    flash_boot: bool,
    reset: Option<ResetCause>,
}

impl TimerGroup {
    /// Group 0 or 1, as after power-on, with the peripheral bus at 80 MHz.
    pub(crate) fn new(group: u32) -> Self {
        Self {
            group,
            registers: Registers::new(TABLE),
            counter: Counter::default(),
            watchdog: Watchdog::new(Rate { cycles: 1, ticks: APB_TICKS }),
            apb_ticks: APB_TICKS,
            flash_boot: false,
            reset: None,
        }
    }

    /// Whether the chip boots from flash: the watchdog of group 0 is then armed by the next reset
    /// (ESP32-C3 Technical Reference Manual, "Watchdog Timers", flash boot protection).
    pub(crate) fn set_flash_boot(&mut self, flash_boot: bool) {
        self.flash_boot = flash_boot && self.group == 0;
    }

    /// Sets the length of a cycle of the peripheral bus clock, in ticks.
    pub(crate) fn set_apb_ticks(&mut self, ticks: u64, now: Ticks) {
        if ticks != self.apb_ticks {
            self.apb_ticks = ticks;
            self.configure_counter(now);
            self.configure_watchdog(now);
        }
    }

    fn configure_counter(&mut self, now: Ticks) {
        let config = self.registers.get(T0_CONFIG);
        self.counter.configure(config, self.apb_ticks, XTAL_TICKS, now);
    }

    fn configure_watchdog(&mut self, now: Ticks) {
        let config = self.registers.get(WDT_CONFIG0);
        let guards_boot = self.flash_boot && config & WDT_FLASHBOOT_MOD_EN != 0;
        let cycle = if config & WDT_USE_XTAL != 0 { XTAL_TICKS } else { self.apb_ticks };
        let prescale = u64::from(self.registers.get(WDT_CONFIG1) >> 16).max(1);
        let mut stages = [0, 1, 2, 3].map(|index| Stage {
            cycles: u64::from(self.registers.get(WDT_CONFIG2 + 4 * index)),
            action: Action::from_field(config >> WDT_STAGES[index as usize] & 3),
        });
        if guards_boot {
            stages[0].action = Action::ResetSystem;
        }
        let rate = Rate { cycles: 1, ticks: cycle * prescale };
        self.watchdog.configure(config & WDT_EN != 0 || guards_boot, rate, stages, now);
    }

    fn write_watchdog(&mut self, offset: u32, value: u32, now: Ticks) {
        if !watchdog::unlocked(&self.registers, WDT_WPROTECT) {
            return;
        }
        if offset == WDT_FEED {
            self.watchdog.feed(now);
            return;
        }
        let value = if offset == WDT_CONFIG0 { value & !WDT_CONF_UPDATE_EN } else { value };
        self.registers.set(offset, value);
        self.configure_watchdog(now);
    }

    /// The 32.768 kHz crystal that could be measured as well is not on the board.
    fn calibrate(&mut self, config: u32) {
        let cycles = u64::from(config >> 16 & 0x7FFF);
        let hertz = match config >> 13 & 3 {
            0 => Some(RC_SLOW_HZ),
            1 => Some(RC_FAST_D256_HZ),
            _ => None,
        };
        let timeout = self.registers.get(RTCCALICFG2) & !CALI_TIMEOUT;
        if let Some(hertz) = hertz {
            let value = (cycles * XTAL_HZ / hertz) as u32;
            self.registers.set(RTCCALICFG, config | CALI_RDY);
            self.registers.set(RTCCALICFG1, value << 7 | CALI_DATA_VLD);
            self.registers.set(RTCCALICFG2, timeout);
        } else {
            self.registers.set(RTCCALICFG, config & !CALI_RDY);
            self.registers.set(RTCCALICFG1, 0);
            self.registers.set(RTCCALICFG2, timeout | CALI_TIMEOUT);
        }
    }

    fn raise(&mut self, interrupt: u32) {
        self.registers.set(INT_RAW, self.registers.get(INT_RAW) | interrupt);
    }

    fn alarm_at(&self) -> Option<Ticks> {
        let armed = self.registers.get(T0_CONFIG) & ALARM_EN != 0;
        armed.then(|| self.counter.when(self.wide(T0_ALARM_LO)))?
    }

    /// A 54-bit value in two registers.
    fn wide(&self, low: u32) -> u64 {
        u64::from(self.registers.get(low + 4)) << 32 | u64::from(self.registers.get(low))
    }

    fn status(&self) -> u32 {
        self.registers.get(INT_RAW) & self.registers.get(INT_ENA)
    }
}

impl Peripheral for TimerGroup {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            INT_ST => Some(self.status()),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, now: Ticks) -> Option<()> {
        match offset {
            T0_CONFIG => {
                self.registers.set(offset, value);
                self.configure_counter(now);
            }
            T0_UPDATE => {
                let count = self.counter.count(now);
                self.registers.set(T0_LO, count as u32);
                self.registers.set(T0_HI, (count >> 32) as u32);
            }
            T0_LOAD => self.counter.load(self.wide(T0_LOAD_LO), now),
            WDT_CONFIG0..=WDT_FEED => self.write_watchdog(offset, value, now),
            RTCCALICFG => self.calibrate(value),
            INT_CLR => self.registers.set(INT_RAW, self.registers.get(INT_RAW) & !value),
            // Written by the hardware alone.
            T0_LO | T0_HI | RTCCALICFG1 | INT_RAW | INT_ST => {}
            _ => return self.registers.write(offset, value),
        }
        self.advance(now);
        Some(())
    }

    fn reset(&mut self, cause: ResetCause, now: Ticks) {
        if cause.scope() < Scope::Digital {
            return;
        }
        self.registers.reset();
        self.calibrate(self.registers.get(RTCCALICFG));
        self.reset = None;
        self.counter = Counter::default();
        self.configure_counter(now);
        self.watchdog = Watchdog::new(Rate { cycles: 1, ticks: self.apb_ticks });
        self.configure_watchdog(now);
    }

    fn advance(&mut self, now: Ticks) {
        if let Some(at) = self.alarm_at().filter(|&at| at <= now) {
            let config = self.registers.get(T0_CONFIG);
            self.registers.set(T0_CONFIG, config & !ALARM_EN);
            if config & AUTO_RELOAD != 0 {
                self.counter.load(self.wide(T0_LOAD_LO), at);
            }
            self.raise(INT_T0);
        }
        let masked = self.registers.get(WDT_CONFIG0) & WDT_PROCPU_RESET_EN == 0;
        let (mut bites, mut reset) = (false, None);
        self.watchdog.advance(now, |action| match action {
            Action::Off => {}
            Action::Interrupt => bites = true,
            Action::ResetCpu if masked => {}
            Action::ResetCpu if self.group == 0 => reset = Some(ResetCause::TimerGroup0Cpu),
            Action::ResetCpu => reset = Some(ResetCause::TimerGroup1Cpu),
            Action::ResetSystem | Action::ResetChip if self.group == 0 => {
                reset = Some(ResetCause::TimerGroup0);
            }
            Action::ResetSystem | Action::ResetChip => reset = Some(ResetCause::TimerGroup1),
        });
        self.reset = reset.or(self.reset);
        if bites {
            self.raise(INT_WDT);
        }
    }

    fn next_event(&self) -> Option<Ticks> {
        [self.alarm_at(), self.watchdog.next_event()].into_iter().flatten().min()
    }

    fn interrupts(&self) -> u64 {
        u64::from(self.status() & (INT_T0 | INT_WDT)) << (SOURCE + 2 * self.group)
    }

    fn take_reset(&mut self) -> Option<ResetCause> {
        self.reset.take()
    }
}

#[cfg(test)]
mod tests;
