//! What the ROM, the bootloader, esp-hal and esptool write.

use super::*;

const KEY: u32 = 0x50D8_3AA1;

fn booted(cause: ResetCause, flash_boot: bool) -> RtcCntl {
    let mut rtc = RtcCntl::new();
    rtc.set_flash_boot(flash_boot);
    rtc.reset(cause, Ticks(0));
    rtc
}

fn cause(rtc: &mut RtcCntl) -> u32 {
    rtc.read(RESET_STATE, Ticks(0)).unwrap()
}

#[test]
fn tells_why_the_chip_starts() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    assert_eq!(cause(&mut rtc), 0x3041);
    rtc.write(RESET_STATE, 0, Ticks(0));
    rtc.reset(ResetCause::SoftwareCpu, Ticks(0));
    assert_eq!(cause(&mut rtc), 0x3000 | 0x0C << 6 | 0x0C);
}

#[test]
fn software_resets() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    rtc.write(OPTIONS0, 0x1C00_A000 | SW_SYS_RST, Ticks(9));
    assert_eq!(rtc.take_reset(), Some(ResetCause::Software));
    assert_eq!(rtc.take_reset(), None);
    assert_eq!(rtc.read(OPTIONS0, Ticks(9)), Some(0x1C00_A000));
    rtc.write(OPTIONS0, 0x1C00_A000 | SW_PROCPU_RST, Ticks(9));
    assert_eq!(rtc.take_reset(), Some(ResetCause::SoftwareCpu));
}

#[test]
fn scratch_lasts_until_power_goes() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    rtc.write(STORE4, 1, Ticks(0));
    rtc.write(STORE0 + 12, 2, Ticks(0));
    for cause in [ResetCause::Software, ResetCause::TimerGroup0, ResetCause::SoftwareCpu] {
        rtc.reset(cause, Ticks(0));
        assert_eq!([rtc.registers.get(STORE4), rtc.registers.get(STORE0 + 12)], [1, 2]);
    }
    rtc.reset(ResetCause::PowerOn, Ticks(0));
    assert_eq!([rtc.registers.get(STORE4), rtc.registers.get(STORE0 + 12)], [0, 0]);
}

#[test]
fn slow_time_goes_on_over_resets() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    rtc.reset(ResetCause::Software, Ticks(1000));
    let hour = Ticks(3600 * 24 * Ticks::PER_SECOND);
    rtc.write(TIME_UPDATE, UPDATE, hour);
    let time =
        u64::from(rtc.registers.get(TIME_HIGH0)) << 32 | u64::from(rtc.registers.get(TIME_LOW0));
    assert_eq!(time, 3600 * 24 * 136_000);
    rtc.reset(ResetCause::PowerOn, hour);
    rtc.write(TIME_UPDATE, UPDATE, hour + Ticks::PER_SECOND);
    assert_eq!(rtc.registers.get(TIME_LOW0), 136_000);
}

/// What `esptool --after watchdog-reset` writes.
#[test]
fn a_tool_resets_the_chip_with_the_watchdog() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    rtc.write(WDT_CONFIG1, 2000, Ticks(0));
    rtc.write(WDT_CONFIG0, 1 << 31 | 5 << 28 | 1 << 8 | 2, Ticks(0));
    assert_eq!(rtc.next_event(), None, "locked after reset");
    rtc.write(WDT_WPROTECT, KEY, Ticks(0));
    rtc.write(WDT_CONFIG1, 2000, Ticks(0));
    rtc.write(WDT_CONFIG0, 1 << 31 | 5 << 28 | 1 << 8 | 2, Ticks(0));
    rtc.write(WDT_WPROTECT, 0, Ticks(0));
    // 4000 cycles of 136 kHz.
    let at = Ticks((4000 * 60_000_u64).div_ceil(17));
    assert_eq!(rtc.next_event(), Some(at));
    rtc.write(WDT_FEED, 1 << 31, Ticks(5000));
    assert_eq!(rtc.next_event(), Some(at), "locked again");
    rtc.advance(Ticks(at.0 - 1));
    assert_eq!(rtc.take_reset(), None);
    rtc.advance(at);
    assert_eq!(rtc.take_reset(), Some(ResetCause::RtcWatchdogChip));
    rtc.reset(ResetCause::RtcWatchdogChip, at);
    assert_eq!((rtc.next_event(), cause(&mut rtc) & 0x3F), (None, 0x10));
}

#[test]
fn feeding_postpones_and_stages_escalate() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    rtc.write(INT_ENA_W1TS, INT_WDT, Ticks(0));
    rtc.write(WDT_WPROTECT, KEY, Ticks(0));
    rtc.write(WDT_CONFIG1, 68_000, Ticks(0));
    rtc.write(WDT_CONFIG1 + 4, 136_000, Ticks(0));
    rtc.write(WDT_CONFIG0, WDT_EN | 1 << 28 | 3 << 25, Ticks(0));
    let second = Ticks::PER_SECOND;
    rtc.write(WDT_FEED, 1 << 31, Ticks(second / 2));
    rtc.advance(Ticks(second));
    assert_eq!((rtc.interrupts(), rtc.next_event()), (0, Some(Ticks(second * 3 / 2))));
    rtc.advance(Ticks(second * 3 / 2));
    assert_eq!((rtc.interrupts(), rtc.take_reset()), (1 << 27, None));
    rtc.write(INT_CLR, INT_WDT, Ticks(second * 3 / 2));
    assert_eq!(rtc.interrupts(), 0);
    rtc.advance(Ticks(second * 5 / 2));
    assert_eq!(rtc.take_reset(), Some(ResetCause::RtcWatchdog));
}

#[test]
fn guards_the_boot_from_flash_alone() {
    assert_eq!(booted(ResetCause::PowerOn, false).next_event(), None);
    let mut rtc = booted(ResetCause::PowerOn, true);
    let at = SLOW_CLOCK.ticks_for(400_000);
    assert_eq!(rtc.next_event(), Some(Ticks(at)));
    // Boot after boot that ends with the other watchdog.
    rtc.reset(ResetCause::TimerGroup0, Ticks(at - 1));
    assert_eq!(rtc.next_event(), Some(Ticks(at - 1) + at));
    rtc.write(WDT_WPROTECT, KEY, Ticks(at));
    rtc.write(WDT_CONFIG0, 0x0001_3214 & !WDT_FLASHBOOT_MOD_EN, Ticks(at));
    assert_eq!(rtc.next_event(), None);
}

#[test]
fn the_super_watchdog_has_a_key_of_its_own() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    rtc.write(SWD_CONF, 1 << 31, Ticks(0));
    assert_eq!(rtc.registers.get(SWD_CONF), 0x04B0_0000);
    rtc.write(SWD_WPROTECT, SWD_KEY, Ticks(0));
    rtc.write(SWD_CONF, 1 << 31 | SWD_FEED, Ticks(0));
    assert_eq!(rtc.registers.get(SWD_CONF), 1 << 31);
}

#[test]
fn sleep_is_not_there() {
    let mut rtc = booted(ResetCause::PowerOn, false);
    assert_eq!(rtc.write(STATE0, 1, Ticks(0)), Some(()));
    assert_eq!(rtc.write(STATE0, SLEEP_EN, Ticks(0)), None);
    assert_eq!(rtc.read(0x128, Ticks(0)), None);
}
