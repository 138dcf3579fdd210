//! The sequences of esp-hal's and ESP-IDF's drivers.

use super::*;

const KEY: u32 = 0x50D8_3AA1;
/// Up, enabled, from the crystal, divided by 40: 1 MHz.
const MEGAHERTZ: u32 = 1 << 31 | 1 << 30 | 40 << 13 | 1 << 9;
const MICROSECOND: u64 = Ticks::PER_MICROSECOND;

fn group(flash_boot: bool) -> TimerGroup {
    let mut group = TimerGroup::new(0);
    group.set_flash_boot(flash_boot);
    group.reset(ResetCause::PowerOn, Ticks(0));
    group
}

fn count(group: &mut TimerGroup, now: Ticks) -> u64 {
    group.write(T0_UPDATE, 1 << 31, now);
    assert_eq!(group.read(T0_UPDATE, now), Some(0));
    group.wide(T0_LO)
}

fn arm(group: &mut TimerGroup, alarm: u64, reload: u32, now: Ticks) {
    group.write(T0_ALARM_LO, alarm as u32, now);
    group.write(T0_ALARM_HI, (alarm >> 32) as u32, now);
    group.write(T0_CONFIG, MEGAHERTZ | ALARM_EN | reload, now);
}

#[test]
fn counts_lazily_and_undisturbed() {
    let mut group = group(false);
    group.write(T0_CONFIG, MEGAHERTZ, Ticks(0));
    assert_eq!(count(&mut group, Ticks(MICROSECOND - 1)), 0);
    assert_eq!(count(&mut group, Ticks(MICROSECOND)), 1);
    // Arming an alarm again and again must not lose parts of a microsecond.
    for quarter in 0..4000 {
        arm(&mut group, 1 << 40, 0, Ticks(quarter * MICROSECOND / 4));
    }
    assert_eq!(count(&mut group, Ticks(1000 * MICROSECOND)), 1000);
    group.write(T0_CONFIG, MEGAHERTZ & !(1 << 31), Ticks(1100 * MICROSECOND));
    assert_eq!(count(&mut group, Ticks(5000 * MICROSECOND)), 1100);
    group.write(T0_LOAD_LO, 7, Ticks(0));
    group.write(T0_LOAD_HI, 1, Ticks(0));
    group.write(T0_LOAD, 1, Ticks(5000 * MICROSECOND));
    assert_eq!(count(&mut group, Ticks(6000 * MICROSECOND)), 1 << 32 | 7);
}

#[test]
fn dividers_and_direction() {
    let mut group = group(false);
    for (field, ticks) in [(0, 65536 * 6), (1, 12), (2, 12), (3, 18)] {
        group.write(T0_CONFIG, 1 << 31 | 1 << 30 | field << 13, Ticks(0));
        group.write(T0_LOAD, 1, Ticks(0));
        assert_eq!(count(&mut group, Ticks(5 * ticks - 1)), 4, "{field}");
    }
    group.write(T0_CONFIG, 1 << 31 | 3 << 13, Ticks(0));
    group.write(T0_LOAD, 1, Ticks(0));
    assert_eq!(count(&mut group, Ticks(18)), (1 << 54) - 1);
    group.set_apb_ticks(12, Ticks(18));
    assert_eq!(count(&mut group, Ticks(18 + 36)), (1 << 54) - 2);
}

#[test]
fn an_alarm_goes_off_once_at_its_tick() {
    let mut group = group(false);
    group.write(INT_ENA, INT_T0, Ticks(0));
    arm(&mut group, 250, 0, Ticks(0));
    let at = Ticks(250 * MICROSECOND);
    assert_eq!(group.next_event(), Some(at));
    group.advance(Ticks(at.0 - 1));
    assert_eq!(group.interrupts(), 0);
    group.advance(at);
    assert_eq!(group.interrupts(), 1 << 32);
    assert_eq!(group.read(T0_CONFIG, at), Some(MEGAHERTZ));
    assert_eq!(group.next_event(), None);
    group.write(INT_CLR, INT_T0, at);
    assert_eq!(group.interrupts(), 0);
    // An alarm that lies behind goes off at once, one far ahead does not.
    arm(&mut group, 100, 0, at);
    assert_eq!(group.interrupts(), 1 << 32);
    group.write(INT_CLR, INT_T0, at);
    arm(&mut group, 1 << 52, 0, at);
    assert_eq!(group.interrupts(), 0);
}

#[test]
fn auto_reload_keeps_the_beat() {
    let mut group = group(false);
    arm(&mut group, 100, AUTO_RELOAD, Ticks(0));
    // Somebody looks late.
    group.advance(Ticks(130 * MICROSECOND));
    assert_eq!(count(&mut group, Ticks(130 * MICROSECOND)), 30);
    arm(&mut group, 100, AUTO_RELOAD, Ticks(130 * MICROSECOND));
    assert_eq!(group.next_event(), Some(Ticks(200 * MICROSECOND)));
}

#[test]
fn sources_of_the_second_group() {
    let mut group = TimerGroup::new(1);
    group.set_flash_boot(true);
    group.reset(ResetCause::PowerOn, Ticks(0));
    assert_eq!(group.next_event(), None, "its watchdog does not guard the boot");
    group.write(INT_ENA, INT_T0 | INT_WDT, Ticks(0));
    arm(&mut group, 0, 0, Ticks(0));
    assert_eq!(group.interrupts(), 1 << 34);
    group.write(WDT_CONFIG2, 10, Ticks(0));
    group.write(WDT_CONFIG0, WDT_EN | 1 << 29, Ticks(0));
    group.advance(Ticks(60));
    assert_eq!(group.interrupts(), 1 << 34 | 1 << 35);
}

#[test]
fn flash_boot_is_guarded_until_the_bootloader_says_otherwise() {
    let mut group = group(true);
    let at = Ticks(26_000_000 * APB_TICKS);
    assert_eq!(group.next_event(), Some(at));
    let mut freed = group.clone();
    group.advance(at);
    assert_eq!(group.take_reset(), Some(ResetCause::TimerGroup0));
    assert_eq!(group.take_reset(), None);
    group.reset(ResetCause::TimerGroup0, at);
    assert_eq!(group.next_event(), Some(at + at.0), "and the next boot too");
    freed.write(WDT_CONFIG0, 0x0004_C000 & !WDT_FLASHBOOT_MOD_EN, Ticks(5));
    assert_eq!(freed.next_event(), None);
    // A reset of the CPU leaves it as it is.
    freed.reset(ResetCause::SoftwareCpu, Ticks(6));
    assert_eq!(freed.next_event(), None);
}

#[test]
fn download_mode_is_not_guarded() {
    assert_eq!(group(false).next_event(), None);
}

#[test]
fn the_watchdog_wants_its_key_and_its_food() {
    let mut group = group(false);
    group.write(WDT_WPROTECT, 0, Ticks(0));
    group.write(WDT_CONFIG0, WDT_EN | 3 << 29, Ticks(0));
    assert_eq!(group.next_event(), None, "locked");
    group.write(WDT_WPROTECT, KEY, Ticks(0));
    // 1 ms of the peripheral bus clock, half a second of it.
    group.write(WDT_CONFIG1, 40_000 << 16, Ticks(0));
    group.write(WDT_CONFIG2, 1000, Ticks(0));
    group.write(WDT_CONFIG0, WDT_EN | WDT_CONF_UPDATE_EN | 3 << 29, Ticks(0));
    assert_eq!(group.read(WDT_CONFIG0, Ticks(0)), Some(WDT_EN | 3 << 29));
    let half = Ticks::PER_SECOND / 2;
    assert_eq!(group.next_event(), Some(Ticks(half)));
    group.write(WDT_FEED, 1, Ticks(1000));
    assert_eq!(group.next_event(), Some(Ticks(half + 1000)));
    group.write(WDT_WPROTECT, 0, Ticks(1500));
    group.write(WDT_FEED, 1, Ticks(2000));
    assert_eq!(group.next_event(), Some(Ticks(half + 1000)), "locked again");
    group.advance(Ticks(half + 999));
    assert_eq!(group.take_reset(), None);
    group.advance(Ticks(half + 1000));
    assert_eq!(group.take_reset(), Some(ResetCause::TimerGroup0));
}

#[test]
fn stages_warn_before_they_bite() {
    let mut group = group(false);
    group.write(INT_ENA, INT_WDT, Ticks(0));
    for stage in 0..2 {
        group.write(WDT_CONFIG2 + 4 * stage, 100, Ticks(0));
    }
    let mut masked = group.clone();
    group.write(WDT_CONFIG0, WDT_EN | WDT_PROCPU_RESET_EN | 1 << 29 | 2 << 27, Ticks(0));
    masked.write(WDT_CONFIG0, WDT_EN | 1 << 29 | 2 << 27, Ticks(0));
    group.advance(Ticks(600));
    assert_eq!((group.interrupts(), group.take_reset()), (1 << 33, None));
    group.advance(Ticks(1200));
    assert_eq!(group.take_reset(), Some(ResetCause::TimerGroup0Cpu));
    masked.advance(Ticks(1200));
    assert_eq!(masked.take_reset(), None);
}

#[test]
fn the_slow_clock_is_measured() {
    let mut group = group(false);
    // 1024 cycles of RC_SLOW, as the bootloader does.
    group.write(RTCCALICFG, 1024 << 16 | 1 << 31, Ticks(0));
    assert_ne!(group.read(RTCCALICFG, Ticks(0)).unwrap() & CALI_RDY, 0);
    let result = group.read(RTCCALICFG1, Ticks(0)).unwrap();
    assert_eq!((result & 1, result >> 7), (1, 301_176));
    // No 32 kHz crystal.
    group.write(RTCCALICFG, 1024 << 16 | 2 << 13 | 1 << 31, Ticks(0));
    assert_eq!(group.read(RTCCALICFG, Ticks(0)).unwrap() & CALI_RDY, 0);
    assert_eq!(group.read(RTCCALICFG2, Ticks(0)).unwrap() & CALI_TIMEOUT, 1);
}
