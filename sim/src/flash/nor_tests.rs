use proptest::prelude::*;

use super::*;
use crate::flash::{
    CutPlan, Operation, Part,
    fault::{Fault, FaultInjector, Tear},
};

fn chip(driver: Driver) -> Chip {
    Chip::new(Part::W25Q32JV.with_capacity(256 * 1024)).with_driver(driver)
}

fn operations(chip: &mut Chip) -> Vec<Operation> {
    chip.take_log().into_iter().map(|entry| entry.operation).collect()
}

#[test]
fn alignment_and_bounds_follow_the_contract() {
    let mut chip = chip(Driver::PAGES);
    let end = chip.capacity() as u32;
    assert_eq!(chip.write(2, &[0; 4]), Err(FlashError::NotAligned));
    assert_eq!(chip.write(0, &[0; 3]), Err(FlashError::NotAligned));
    assert_eq!(chip.write(end, &[0; 4]), Err(FlashError::OutOfBounds));
    assert_eq!(chip.erase(4, 0x1000), Err(FlashError::NotAligned));
    assert_eq!(chip.erase(0, end + 0x1000), Err(FlashError::OutOfBounds));
    assert_eq!(chip.erase(0x2000, 0x1000), Err(FlashError::OutOfBounds));
    assert_eq!(chip.read(end - 1, &mut [0; 2]), Err(FlashError::OutOfBounds));
    assert_eq!(chip.read(end - 1, &mut [0; 1]), Ok(()));
    assert_eq!(chip.operations(), 0);
}

#[test]
fn drivers_split_programs_at_their_limit_and_at_pages() {
    let split = |driver: Driver, offset: u32, length: usize| -> Vec<String> {
        let mut chip = chip(driver);
        chip.log();
        chip.write(offset, &vec![0; length]).unwrap();
        operations(&mut chip).iter().map(ToString::to_string).collect()
    };
    let app = split(Driver::ESP_IDF_APP, 0x10F0, 100);
    assert_eq!(app, ["program 0x000010f0 +16", "program 0x00001100 +64", "program 0x00001140 +20"]);
    assert_eq!(split(Driver::ESP_IDF_BOOTLOADER, 0, 64).len(), 2);
    assert_eq!(split(Driver::PAGES, 0, 512).len(), 2);
}

#[test]
fn drivers_use_block_erase_where_a_block_is_whole_and_aligned() {
    let split = |driver| -> Vec<String> {
        let mut chip = chip(driver);
        chip.log();
        chip.erase(0xF000, 0x21000).unwrap();
        operations(&mut chip).iter().map(ToString::to_string).collect()
    };
    let blocks = split(Driver::ESP_IDF_APP);
    assert_eq!(blocks, ["erase 4K 0x0000f000", "erase 64K 0x00010000", "erase 4K 0x00020000"]);
    let sectors = split(Driver { block_erase: false, ..Driver::ESP_IDF_APP });
    assert_eq!(sectors.len(), 18);
}

#[test]
fn a_failed_operation_is_an_error() {
    let faults = FaultInjector::scheduled(0, [(1, Fault::Failed(Tear::Untouched))]);
    let mut chip = chip(Driver::PAGES).with_faults(faults);
    chip.write(0, &[0; 4]).unwrap();
    assert_eq!(chip.write(4, &[0; 4]), Err(FlashError::WornOut { address: 4 }));
}

/// One call on the traits.
#[derive(Clone, Debug)]
enum Call {
    Read(u32, usize),
    Write(u32, Vec<u8>),
    Erase(u32, u32),
}

fn call() -> impl Strategy<Value = Call> {
    let words = (0..0x7F00u32, 1..64usize, any::<u8>());
    prop_oneof![
        (0..0x7F00u32, 0..256usize).prop_map(|(at, length)| Call::Read(at, length)),
        words.prop_map(|(at, words, value)| Call::Write(at & !3, vec![value; words * 4])),
        (0..8u32, 0..8u32).prop_map(|(a, b)| Call::Erase(a.min(b) << 12, a.max(b) << 12)),
    ]
}

fn execute(chip: &mut Chip, call: &Call) -> Result<Vec<u8>, FlashError> {
    match call {
        Call::Read(at, length) => {
            let mut bytes = vec![0; *length];
            chip.read(*at, &mut bytes).map(|()| bytes)
        }
        Call::Write(at, bytes) => chip.write(*at, bytes).map(|()| Vec::new()),
        Call::Erase(from, to) => chip.erase(*from, *to).map(|()| Vec::new()),
    }
}

proptest! {
    #[test]
    fn the_traits_behave_like_nor_flash(calls in prop::collection::vec(call(), 1..20)) {
        let mut chip = chip(Driver::ESP_IDF_APP);
        let mut model = vec![0xFF; 0x8000];
        for call in &calls {
            let result = execute(&mut chip, call).unwrap();
            match call {
                Call::Read(at, length) => {
                    prop_assert_eq!(&result, &model[*at as usize..*at as usize + length]);
                }
                Call::Write(at, bytes) => {
                    let cells = &mut model[*at as usize..][..bytes.len()];
                    cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
                }
                Call::Erase(from, to) => model[*from as usize..*to as usize].fill(0xFF),
            }
        }
        prop_assert_eq!(chip.memory().to_vec(0..0x8000), model);
    }

    #[test]
    fn after_a_cut_nothing_executes_until_power_on(
        calls in prop::collection::vec(call(), 1..20), at in 0..40u64, complete: bool,
    ) {
        let mut chip = chip(Driver::ESP_IDF_APP);
        chip.record();
        let tear = if complete { Tear::Complete } else { Tear::Untouched };
        chip.plan_cut(CutPlan { operation: at, tear: tear.clone() });
        let mut cut = false;
        for call in &calls {
            let frozen = cut.then(|| chip.memory().clone());
            let result = execute(&mut chip, call);
            if let Some(frozen) = frozen {
                prop_assert_eq!(&result, &Err(FlashError::PowerLost));
                prop_assert_eq!(chip.memory(), &frozen);
                prop_assert_eq!(chip.status(), Err(FlashError::PowerLost));
                prop_assert_eq!(chip.write_enable(), Err(FlashError::PowerLost));
            }
            cut |= result.is_err();
            prop_assert_eq!(cut, !chip.is_powered());
        }
        prop_assert_eq!(cut, chip.operations() == at + 1);
        // The contents are those of an uncut run that stops there.
        let mut twin = self::chip(Driver::ESP_IDF_APP);
        twin.record();
        calls.iter().for_each(|call| { execute(&mut twin, call).unwrap(); });
        let recording = twin.take_recording();
        if cut {
            let record = &recording[at as usize];
            let expected = if complete { &record.after } else { &record.before };
            prop_assert_eq!(chip.memory(), expected);
            prop_assert_eq!(chip.take_recording().len() as u64, at);
            chip.power_on();
            prop_assert!(execute(&mut chip, &calls[0]).is_ok());
        } else {
            prop_assert_eq!(chip.memory(), twin.memory());
        }
    }
}
