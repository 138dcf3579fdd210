//! The chip under commands, time and power cuts.

use sim::flash::{OperationKind, Part};

use super::*;

/// The bus, 1 us for each command.
#[derive(Clone)]
struct Bus {
    flash: FlashDevice,
    now: Ticks,
}

impl Bus {
    fn new() -> Self {
        let memory = Memory::with_contents(Part::W25Q32JV.capacity, &[0x5A; 0x4000]);
        let flash = FlashDevice::new(Chip::with_memory(Part::W25Q32JV, memory));
        Self { flash, now: Ticks(0) }
    }

    fn send(&mut self, opcode: u8, address: impl Into<Option<u32>>, data: &[u8]) -> [u8; 4] {
        self.now = self.now + Ticks::PER_MICROSECOND;
        let mut input = [0; 4];
        let command = Command { opcode, address: address.into(), data };
        self.flash.transact(&command, &mut input, self.now);
        input
    }

    fn status(&mut self) -> u8 {
        self.send(0x05, None, &[])[0]
    }

    /// Write enable and an operation, without waiting.
    fn operate(&mut self, opcode: u8, address: u32, data: &[u8]) {
        self.send(0x06, None, &[]);
        self.send(opcode, address, data);
    }

    fn wait_ready(&mut self) {
        if let Some(ready) = self.flash.busy_until() {
            self.flash.advance(Ticks(ready.0 - 1));
            assert!(self.flash.is_busy());
            self.flash.advance(ready);
            assert!(!self.flash.is_busy());
            self.now = ready;
        }
    }

    fn cut(&mut self, trigger: CutTrigger, outcome: CutOutcome) {
        self.flash.plan_cut(Some(PowerCut { trigger, outcome }));
    }

    fn loss(&self) -> &PowerLoss {
        self.flash.power_loss().expect("power is off")
    }
}

fn fraction(fraction: f64) -> CutOutcome {
    CutOutcome::Fraction { fraction, seed: 0 }
}

#[test]
fn busy_for_the_typical_time_to_the_tick() {
    let mut bus = Bus::new();
    bus.operate(0x20, 0x1234, &[]);
    let started = bus.now;
    assert_eq!(bus.status(), 0x03);
    assert_eq!(bus.flash.memory().word(0x1000), 0x5A5A_5A5A);
    bus.wait_ready();
    let time = Ticks(bus.now - started).duration();
    assert_eq!(time.as_micros(), 45_000);
    assert_eq!(bus.status(), 0);
    assert_eq!(bus.flash.take_changed(), Some(0x1000..0x2000));
    assert_eq!(bus.flash.take_changed(), None);
    assert_eq!(
        bus.flash.memory().to_vec(0x0FFF..0x2001),
        [&[0x5A], &[0xFF; 4096][..], &[0x5A]].concat()
    );
}

#[test]
fn a_busy_chip_ignores_all_but_status_and_suspend() {
    let mut bus = Bus::new();
    bus.operate(0x02, 0x8000, &[1, 2, 3]);
    assert_eq!(bus.send(0x03, 0, &[]), [0xFF; 4]);
    assert_eq!(bus.send(0x9F, None, &[]), [0xFF; 4]);
    bus.operate(0x20, 0, &[]);
    assert_eq!(bus.flash.operations(), 1);
    bus.wait_ready();
    assert_eq!(bus.send(0x03, 0x8000, &[]), [1, 2, 3, 0xFF]);
    assert_eq!(bus.status(), 0, "the latch fell with the end of the program");
}

#[test]
fn without_the_latch_nothing_changes() {
    let mut bus = Bus::new();
    let before = bus.flash.memory().clone();
    bus.send(0x02, 0x8000, &[0]);
    bus.send(0x20, 0, &[]);
    bus.send(0x06, None, &[]);
    bus.send(0x04, None, &[]);
    bus.send(0xC7, None, &[]);
    bus.send(0x01, None, &[0x1C]);
    assert_eq!((bus.flash.memory(), bus.flash.operations()), (&before, 0));
    assert_eq!(bus.status(), 0);
    assert!(bus.flash.unknown_commands().is_empty());
    bus.send(0xE7, None, &[]);
    assert_eq!(bus.flash.unknown_commands().get(&0xE7), Some(&1));
}

#[test]
fn pages_and_addresses_wrap() {
    let mut bus = Bus::new();
    let capacity = Part::W25Q32JV.capacity;
    bus.operate(0x02, capacity + 0x80FE, &[1, 2, 3, 4]);
    bus.wait_ready();
    assert_eq!(bus.send(0x03, 0x8000, &[])[..2], [3, 4]);
    assert_eq!(bus.send(0x03, capacity - 2, &[]), [0xFF, 0xFF, 0x5A, 0x5A]);
}

#[test]
fn erase_units_have_their_sizes() {
    for (opcode, size, millis) in
        [(0x20, 0x1000, 45), (0x52, 0x8000, 120), (0xD8, 0x1_0000, 150), (0x60, 0x40_0000, 10_000)]
    {
        let mut bus = Bus::new();
        bus.operate(opcode, 0x21, &[]);
        let started = bus.now;
        bus.wait_ready();
        assert_eq!(bus.flash.take_changed(), Some(0..size));
        assert_eq!(Ticks(bus.now - started).duration().as_millis(), millis);
    }
}

#[test]
fn a_suspended_erase_lets_others_be_read_and_takes_its_time() {
    let mut bus = Bus::new();
    bus.operate(0x20, 0, &[]);
    let started = bus.now;
    bus.now = bus.now + 10_000 * Ticks::PER_MICROSECOND;
    bus.send(0x75, None, &[]);
    assert_eq!(bus.flash.busy_until(), None);
    assert_eq!(bus.send(0x35, None, &[])[0] & 0x80, 0x80);
    assert_eq!(bus.send(0x03, 0x2000, &[]), [0x5A; 4]);
    bus.now = bus.now + 7_000 * Ticks::PER_MICROSECOND;
    bus.send(0x7A, None, &[]);
    bus.wait_ready();
    // 7 ms of pause, and 3 us for three commands while suspended.
    let time = Ticks(bus.now - started).duration();
    assert_eq!(time.as_micros(), 45_000 + 7_000 + 3);
    assert_eq!(bus.send(0x03, 0, &[]), [0xFF; 4]);
    // The bootloader resumes at every start.
    bus.send(0x7A, None, &[]);
    assert_eq!(bus.status(), 0);
}

#[test]
fn power_down_hears_its_release_alone() {
    let mut bus = Bus::new();
    bus.send(0xB9, None, &[]);
    assert_eq!(bus.send(0x9F, None, &[]), [0xFF; 4]);
    assert_eq!(bus.status(), 0xFF);
    assert_eq!(bus.send(0xAB, None, &[])[0], 0x15);
    assert_eq!(bus.send(0x9F, None, &[])[..3], [0xEF, 0x40, 0x16]);
}

#[test]
fn software_reset_needs_both_commands_and_tears() {
    let mut bus = Bus::new();
    bus.operate(0x20, 0, &[]);
    bus.now = bus.now + 22_000 * Ticks::PER_MICROSECOND;
    bus.send(0x66, None, &[]);
    bus.send(0x05, None, &[]);
    bus.send(0x99, None, &[]);
    assert!(bus.flash.is_busy(), "another command came between");
    bus.send(0x66, None, &[]);
    bus.send(0x99, None, &[]);
    assert_eq!(bus.status(), 0);
    assert_eq!(bus.send(0x03, 0, &[]), [0; 4], "half-way, all cells are programmed");
    assert_eq!(bus.flash.take_changed(), Some(0..Part::W25Q32JV.capacity));
    assert_eq!(bus.flash.power_loss(), None);
}

#[test]
fn instant_operations_cost_no_time() {
    let mut bus = Bus::new();
    bus.flash.log();
    bus.flash.set_speed(Speed::Instant);
    bus.operate(0x20, 0, &[]);
    assert_eq!(bus.flash.busy_until(), None);
    assert_eq!(bus.flash.take_changed(), Some(0..0x1000));
    assert_eq!(bus.status(), 0);
    bus.flash.set_speed(Speed::Typical);
    bus.operate(0x02, 0, &[0x12]);
    let started = bus.now;
    bus.wait_ready();
    assert_eq!(Ticks(bus.now - started).duration().as_micros(), 400);
    let times: Vec<_> = bus.flash.take_log().iter().map(|e| e.started.as_micros()).collect();
    assert_eq!(times, [2, 5], "times of the board");
}

#[test]
fn a_cut_strikes_its_operation() {
    // Before each of three operations.
    for (n, expected) in [(0, [0x5A; 4]), (1, [0xFF; 4]), (2, [1, 2, 3, 4])] {
        let mut bus = Bus::new();
        bus.flash.set_speed(Speed::Instant);
        bus.cut(CutTrigger::Operation(n), fraction(0.0));
        bus.send(0x20, 0, &[]);
        assert_eq!(bus.flash.power_loss(), None, "refused for want of the latch");
        bus.operate(0x20, 0, &[]);
        bus.operate(0x02, 0, &[1, 2, 3, 4]);
        bus.operate(0x02, 2, &[0, 0]);
        assert_eq!(bus.flash.operations(), n + 1);
        assert!(bus.loss().operation.is_some());
        assert_eq!(bus.status(), 0xFF, "no power");
        bus.flash.power_on();
        assert_eq!(bus.status(), 0);
        assert_eq!(bus.send(0x03, 0, &[]), expected);
    }
}

#[test]
fn a_fraction_of_a_program_lands() {
    let mut bus = Bus::new();
    bus.cut(CutTrigger::Operation(0), fraction(0.5));
    bus.operate(0x02, 0x8000, &[1, 2, 3, 4]);
    assert_eq!(bus.loss().tear, Ok(Tear::Prefix { bytes: 2 }));
    assert_eq!(bus.flash.take_changed(), Some(0..Part::W25Q32JV.capacity));
    bus.flash.power_on();
    assert_eq!(bus.send(0x03, 0x8000, &[]), [1, 2, 0xFF, 0xFF]);
    // The plan is spent.
    bus.operate(0x02, 0x8000, &[1, 2, 3, 4]);
    assert_eq!(bus.flash.power_loss(), None);
}

#[test]
fn a_cut_strikes_any_command_by_number() {
    let mut bus = Bus::new();
    bus.cut(CutTrigger::Command(3), fraction(0.75));
    bus.operate(0x20, 0, &[]);
    bus.status();
    assert_eq!(bus.flash.power_loss(), None);
    bus.status();
    let loss = bus.loss();
    assert_eq!((loss.commands, loss.time), (4, bus.now));
    assert_eq!(loss.tear, Ok(Tear::NearlyErased { seed: 0 }));
    bus.status();
    assert_eq!(bus.flash.commands(), 4, "nothing arrives without power");
}

#[test]
fn a_cut_strikes_an_address() {
    let watched = CutTrigger::Touch(0x2010..0x2014);
    let mut bus = Bus::new();
    bus.cut(watched.clone(), fraction(0.0));
    bus.send(0x03, 0x2014, &[]);
    bus.send(0x03, 0x200C, &[]);
    bus.operate(0x02, 0x20FC, &[0; 8]);
    assert!(bus.flash.power_loss().is_some(), "the data wraps within the page");
    for (opcode, address) in [(0x03, 0x200D), (0x20, 0x2FFF), (0xD8, 0xFFFF), (0xEB, 0x2013)] {
        let mut bus = Bus::new();
        bus.cut(watched.clone(), fraction(0.0));
        bus.operate(opcode, address, &[]);
        assert!(bus.flash.power_loss().is_some(), "{opcode:#x}");
    }
}

#[test]
fn power_off_at_a_time_depends_on_progress() {
    let at = |millis: u64| {
        let mut bus = Bus::new();
        bus.operate(0x20, 0, &[]);
        let now = bus.now + millis * 1000 * Ticks::PER_MICROSECOND;
        bus.flash.power_off(&CutOutcome::Elapsed { seed: 9 }, now);
        bus.loss().tear.clone().unwrap()
    };
    assert_eq!(at(0), Tear::Untouched);
    assert_eq!(at(1), Tear::Mixed { seed: 9 });
    assert_eq!(at(20), Tear::Zeroed);
    assert_eq!(at(44), Tear::NearlyErased { seed: 9 });
    assert_eq!(at(46), Tear::Untouched, "nothing was under way any more");
}

#[test]
fn a_tear_that_does_not_fit_is_told() {
    let mut bus = Bus::new();
    bus.cut(CutTrigger::Operation(0), CutOutcome::Exact(Tear::Prefix { bytes: 1 }));
    bus.operate(0x20, 0, &[]);
    assert!(bus.loss().tear.is_err());
    let operation = bus.loss().operation.clone().unwrap();
    assert!(matches!(operation.kind, OperationKind::Erase(_)));
    bus.flash.power_on();
    assert_eq!(bus.send(0x03, 0, &[]), [0x5A; 4]);
}

#[test]
fn clones_go_their_own_way() {
    let mut one = Bus::new();
    one.operate(0x20, 0, &[]);
    let mut two = one.clone();
    one.wait_ready();
    two.flash.power_off(&fraction(0.0), two.now);
    assert_eq!(one.flash.memory().word(0), u32::MAX);
    assert_eq!(two.flash.memory().word(0), 0x5A5A_5A5A);
}

#[test]
fn status_bits_last_over_a_power_cycle_unless_volatile() {
    for (enable, expected) in [(0x06, 0x1C), (0x50, 0x00)] {
        let mut bus = Bus::new();
        bus.send(enable, None, &[]);
        bus.send(0x01, None, &[0x1C]);
        assert_eq!(bus.status(), 0x1C);
        bus.flash.power_off(&fraction(0.0), bus.now);
        bus.flash.power_on();
        assert_eq!(bus.status(), expected);
    }
}
