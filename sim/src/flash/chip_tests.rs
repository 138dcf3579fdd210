use proptest::prelude::*;

use super::*;
use crate::flash::fault::{FaultClass, FaultProfile};

fn chip() -> Chip {
    Chip::new(Part::W25Q32JV.with_capacity(256 * 1024))
}

fn program(chip: &mut Chip, address: u32, data: &[u8]) -> Result<(), FlashError> {
    chip.write_enable()?;
    chip.program_page(address, data)?;
    chip.wait_ready();
    Ok(())
}

fn erase(chip: &mut Chip, size: EraseSize, address: u32) -> Result<(), FlashError> {
    chip.write_enable()?;
    chip.erase_unit(size, address)?;
    chip.wait_ready();
    Ok(())
}

proptest! {
    #[test]
    fn program_wraps_in_its_page(start in 0..256u32, data in prop::collection::vec(any::<u8>(), 1..600)) {
        let mut chip = chip();
        program(&mut chip, 0x1100 + start, &data).unwrap();
        // The page register as silicon has it: later bytes replace earlier ones.
        let mut page = [0xFF; 256];
        for (i, &byte) in data.iter().enumerate() {
            page[(start as usize + i) % 256] = byte;
        }
        prop_assert_eq!(chip.memory().to_vec(0x1100..0x1200), page);
        prop_assert_eq!(chip.memory().to_vec(0x1200..0x1300), [0xFF; 256]);
        prop_assert_eq!(chip.memory().to_vec(0x1000..0x1100), [0xFF; 256]);
    }

    #[test]
    fn strict_refuses_exactly_what_loses_data(old in any::<[u8; 8]>(), new in any::<[u8; 8]>()) {
        let mut chip = chip().strict(true);
        program(&mut chip, 0x20, &old).unwrap();
        let lost = old.iter().zip(new).position(|(old, new)| old & new != new);
        let result = program(&mut chip, 0x20, &new);
        match lost {
            Some(i) => {
                prop_assert_eq!(result, Err(FlashError::NeedsErase { address: 0x20 + i as u32 }));
                prop_assert_eq!(chip.memory().to_vec(0x20..0x28), old);
                prop_assert_eq!(chip.operations(), 1);
            }
            None => {
                prop_assert_eq!(result, Ok(()));
                prop_assert_eq!(chip.memory().to_vec(0x20..0x28), new);
            }
        }
    }
}

#[test]
fn lenient_programs_lose_data_and_are_counted() {
    let mut chip = chip();
    program(&mut chip, 0, &[0xF0]).unwrap();
    program(&mut chip, 0, &[0x30]).unwrap();
    program(&mut chip, 0, &[0x0F]).unwrap();
    assert_eq!(chip.memory().to_vec(0..1), [0x00]);
    let counters = chip.counters();
    assert_eq!((counters.programs, counters.overwrites, counters.lossy_programs), (3, 1, 1));
}

#[test]
fn commands_need_the_write_enable_latch_each_time() {
    let mut chip = chip();
    assert_eq!(chip.program_page(0, &[0]), Err(FlashError::WriteDisabled));
    chip.write_enable().unwrap();
    assert!(chip.status().unwrap().write_enabled);
    chip.program_page(0, &[0]).unwrap();
    chip.wait_ready();
    assert_eq!(chip.erase_unit(EraseSize::Sector4K, 0), Err(FlashError::WriteDisabled));
    chip.write_enable().unwrap();
    chip.write_disable().unwrap();
    assert_eq!(chip.program_page(0, &[0]), Err(FlashError::WriteDisabled));
}

#[test]
fn operations_take_the_time_of_the_part() {
    let mut chip = chip();
    chip.log();
    chip.write_enable().unwrap();
    chip.erase_unit(EraseSize::Sector4K, 0x1234).unwrap();
    chip.advance(Duration::from_millis(44));
    assert!(chip.status().unwrap().busy);
    assert_eq!(chip.read_bytes(0, &mut [0]), Err(FlashError::Busy));
    assert_eq!(chip.write_enable(), Err(FlashError::Busy));
    chip.advance(Duration::from_millis(1));
    assert!(!chip.status().unwrap().busy);
    program(&mut chip, 0x1000, &[1]).unwrap();
    let log: Vec<_> = chip.take_log().iter().map(ToString::to_string).collect();
    assert_eq!(log, ["#0 0.000 ms erase 4K 0x00001000", "#1 45.000 ms program 0x00001000 +1"]);
    assert_eq!(chip.now(), Duration::from_micros(45_400));
}

#[test]
fn erases_clear_their_unit_and_wear_it() {
    let sizes = [
        (EraseSize::Sector4K, 0x11000..0x12000),
        (EraseSize::Block32K, 0x10000..0x18000),
        (EraseSize::Block64K, 0x10000..0x20000),
        (EraseSize::Chip, 0..0x40000),
    ];
    for (size, unit) in sizes {
        let mut chip =
            Chip::with_memory(Part::GD25Q32, Memory::with_contents(0x40000, &[0; 0x40000]));
        erase(&mut chip, size, 0x11234).unwrap();
        for sector in (0..0x40000).step_by(SECTOR_SIZE) {
            let erased = unit.contains(&sector);
            assert_eq!(chip.memory().word(sector) == u32::MAX, erased, "{size:?} {sector:#x}");
            assert_eq!(chip.erase_count(sector), u32::from(erased), "{size:?} {sector:#x}");
        }
    }
}

#[test]
fn out_of_bounds_and_protected_addresses_are_refused() {
    let mut chip = chip();
    chip.write_enable().unwrap();
    assert_eq!(chip.program_page(0x40000, &[0]), Err(FlashError::OutOfBounds));
    assert_eq!(chip.erase_unit(EraseSize::Block64K, u32::MAX), Err(FlashError::OutOfBounds));
    assert_eq!(chip.read_bytes(0x3FFFF, &mut [0; 2]), Err(FlashError::OutOfBounds));
    chip.protect(Some(0x1000..0x2000));
    let protected = Err(FlashError::Protected { address: 0 });
    assert_eq!(erase(&mut chip, EraseSize::Block64K, 0x8000), protected);
    assert_eq!(program(&mut chip, 0x2000, &[0]), Ok(()));
}

#[test]
fn suspend_lets_other_units_be_read_and_programmed() {
    let mut chip = chip();
    program(&mut chip, 0x1000, &[0]).unwrap();
    chip.write_enable().unwrap();
    chip.erase_unit(EraseSize::Sector4K, 0x1000).unwrap();
    chip.advance(Duration::from_millis(40));
    chip.suspend().unwrap();
    assert!(chip.status().unwrap().suspended);
    assert_eq!(chip.suspend(), Err(FlashError::NothingToSuspend));
    chip.read_bytes(0x2000, &mut [0]).unwrap();
    let suspended = Err(FlashError::Suspended { address: 0x1000 });
    assert_eq!(chip.read_bytes(0x1000, &mut [0]), suspended);
    program(&mut chip, 0x2000, &[7]).unwrap();
    assert_eq!(program(&mut chip, 0x1000, &[7]), suspended);
    chip.resume().unwrap();
    chip.advance(Duration::from_millis(4));
    assert!(chip.status().unwrap().busy);
    chip.advance(Duration::from_millis(1));
    assert_eq!(chip.memory().to_vec(0x1000..0x1001), [0xFF]);
    assert_eq!(chip.memory().to_vec(0x2000..0x2001), [7]);
    assert_eq!(chip.resume(), Err(FlashError::NothingToSuspend));
}

#[test]
fn a_recording_chains_before_and_after() {
    let mut chip = chip();
    chip.record();
    erase(&mut chip, EraseSize::Sector4K, 0).unwrap();
    program(&mut chip, 0, &[1, 2]).unwrap();
    program(&mut chip, 2, &[3]).unwrap();
    let recording = chip.take_recording();
    assert_eq!(recording.len(), 3);
    for (record, next) in recording.iter().zip(&recording[1..]) {
        assert_eq!(record.after, next.before);
    }
    for record in &recording {
        let again = Tear::Complete.apply(&record.before, &record.operation);
        assert_eq!(again.as_ref(), Ok(&record.after));
    }
    assert_eq!(recording[2].after.to_vec(0..4), [1, 2, 3, 0xFF]);
}

#[test]
fn unstable_bits_differ_between_reads_until_a_completed_erase() {
    let mut chip = chip();
    chip.write_enable().unwrap();
    chip.program_page(0x1000, &[0x0F; 16]).unwrap();
    let landed = Box::new(Tear::Mixed { seed: 3 });
    chip.power_off(&Tear::Unstable { landed }).unwrap();
    chip.power_on();
    let mut read = || {
        let mut bytes = [0; 16];
        chip.read_bytes(0x1000, &mut bytes).unwrap();
        bytes
    };
    let reads: Vec<_> = (0..8).map(|_| read()).collect();
    assert!(reads.windows(2).all(|pair| pair[0] != pair[1]));
    // Only the bits that the program would have cleared are unstable.
    assert!(reads.iter().flatten().all(|byte| byte & 0x0F == 0x0F));
    // An interrupted erase does not settle them, a completed one does.
    chip.write_enable().unwrap();
    chip.erase_unit(EraseSize::Sector4K, 0x1000).unwrap();
    chip.power_off(&Tear::NearlyErased { seed: 1 }).unwrap();
    chip.power_on();
    assert!(chip.memory().has_conditions());
    erase(&mut chip, EraseSize::Sector4K, 0x1000).unwrap();
    let mut bytes = [0; 16];
    for _ in 0..4 {
        chip.read_bytes(0x1000, &mut bytes).unwrap();
        assert_eq!(bytes, [0xFF; 16]);
    }
    assert!(!chip.memory().has_conditions());
}

#[test]
fn weak_bits_read_well_now_and_flip_after_a_power_cycle() {
    let faults = FaultInjector::scheduled(5, [(0, Fault::Weak)]);
    let mut chip = chip().with_faults(faults);
    program(&mut chip, 0, &[0; 64]).unwrap();
    let mut bytes = [0xAA; 64];
    chip.read_bytes(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 64]);
    let mut twin = chip.clone();
    chip.power_on();
    let once = chip.memory().to_vec(0..64);
    assert_ne!(once, [0; 64]);
    twin.power_on();
    assert_eq!(twin.memory().to_vec(0..64), once, "same seed, same flips");
    chip.power_on();
    assert_ne!(chip.memory().to_vec(0..64), once);
    assert_eq!(chip.memory().to_vec(64..128), [0xFF; 64]);
}

#[test]
fn scheduled_faults_strike_their_operation_only() {
    let silent = Fault::Silent(Tear::Untouched);
    let failed = Fault::Failed(Tear::Prefix { bytes: 1 });
    let stuck = Fault::Stuck { seed: 1 };
    let faults = FaultInjector::scheduled(0, [(1, silent), (2, failed), (3, stuck)]);
    let mut chip = chip().with_faults(faults.with_read_faults([1]));
    program(&mut chip, 0, &[1]).unwrap();
    program(&mut chip, 1, &[1]).unwrap();
    assert!(!chip.status().unwrap().failed);
    program(&mut chip, 2, &[1, 1]).unwrap();
    assert!(chip.status().unwrap().failed);
    assert_eq!(chip.memory().to_vec(0..4), [1, 0xFF, 1, 0xFF]);
    erase(&mut chip, EraseSize::Sector4K, 0).unwrap();
    assert!(!chip.status().unwrap().failed);
    let zeros = |chip: &Chip| -> u32 {
        chip.memory().to_vec(0..4096).iter().map(|byte| byte.count_zeros()).sum()
    };
    let stuck = zeros(&chip);
    assert!(stuck > 0);
    erase(&mut chip, EraseSize::Sector4K, 0).unwrap();
    assert_eq!(zeros(&chip), stuck, "stuck bits outlive an erase");
    chip.read_bytes(0, &mut [0]).unwrap();
    assert_eq!(chip.read_bytes(8, &mut [0]), Err(FlashError::ReadFault { address: 8 }));
    chip.read_bytes(8, &mut [0]).unwrap();
}

#[test]
fn worn_sectors_fail_when_selected() {
    let part = Part::W25Q32JV.with_capacity(8192).with_endurance(3);
    let profile = FaultProfile::none(1).with(FaultClass::WearOut);
    let mut worn = Chip::new(part).with_faults(FaultInjector::random(profile, 0));
    let mut healthy = Chip::new(part);
    for cycle in 0..8 {
        erase(&mut worn, EraseSize::Sector4K, 0).unwrap();
        erase(&mut healthy, EraseSize::Sector4K, 0).unwrap();
        let suffered = worn.status().unwrap().failed
            || worn.memory().word(0) != u32::MAX
            || worn.memory().has_conditions();
        assert_eq!(suffered, cycle >= 3, "cycle {cycle}");
    }
    assert_eq!(healthy.memory(), &Memory::erased(8192));
}

#[test]
fn random_faults_follow_their_seed() {
    let run = |seed, per_million| {
        let profile = FaultProfile::none(seed).with(FaultClass::Silent).with(FaultClass::ReadFault);
        let mut chip = chip().with_faults(FaultInjector::random(profile, per_million));
        let mut failures = 0;
        for address in (0..0x8000).step_by(256) {
            program(&mut chip, address, &[0; 256]).unwrap();
            failures += u32::from(chip.read_bytes(address, &mut [0; 256]).is_err());
        }
        (chip.memory().digest_all(), failures)
    };
    assert_eq!(run(1, 300_000), run(1, 300_000));
    assert_ne!(run(1, 300_000), run(2, 300_000));
    let mut intact = Memory::erased(256 * 1024);
    intact.set(0, &[0; 0x8000]);
    assert_eq!(run(1, 0), (intact.digest_all(), 0));
}
