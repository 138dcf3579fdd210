//! Flash that lies, wears out, or holds garbage.

use crate::device::{Device, image, ota_app, slot};
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::App;
use ota_core::{Error, Extent};
use proptest::prelude::*;
use sim::flash::FlashError;
use sim::flash::fault::{Fault, FaultClass, FaultInjector, FaultProfile, Tear};

fn silent(numbers: impl IntoIterator<Item = u64>) -> FaultInjector {
    let faults = numbers.into_iter().map(|number| (number, Fault::Silent(Tear::Untouched)));
    FaultInjector::scheduled(1, faults)
}

/// Device with flash operations from now on under `faults`, numbered from 0.
fn faulty(faults: impl FnOnce(u64) -> FaultInjector) -> Device {
    let mut device = Device::confirmed();
    let injector = faults(device.chip.operations());
    device.chip = device.chip.with_faults(injector);
    device
}

fn select(device: &mut Device) -> Result<(), Error<FlashError>> {
    device.ota(ota_app(0)).verify(ota_app(1))?.select()
}

#[test]
fn a_select_entry_survives_any_operation_that_silently_does_nothing() {
    let mut undisturbed = Device::confirmed();
    let first = undisturbed.chip.operations();
    select(&mut undisturbed).unwrap();
    let expected = undisturbed.otadata();
    for operation in 0..undisturbed.chip.operations() - first {
        let mut device = faulty(|from| silent([from + operation]));
        select(&mut device).unwrap();
        assert_eq!(device.otadata(), expected, "operation {operation}");
    }
}

#[test]
fn a_slot_is_blank_even_if_an_erase_silently_does_nothing() {
    let mut undisturbed = Device::confirmed();
    let first = undisturbed.chip.operations();
    undisturbed.ota(ota_app(0)).begin(slot(1), Extent::Known(0x3000)).unwrap().abort();
    for operation in 0..undisturbed.chip.operations() - first {
        let mut device = faulty(|from| silent([from + operation]));
        let mut ota = device.ota(ota_app(0));
        let mut session = ota.begin(slot(1), Extent::Known(0x3000)).unwrap();
        session.write(&image(2)).unwrap();
        session.end().unwrap().select().unwrap();
        assert_eq!(device.boot(), Some((ota_app(1), image(2))), "operation {operation}");
    }
}

#[test]
fn an_image_with_a_program_that_silently_did_nothing_is_not_selected() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    ota.begin(slot(1), Extent::Known(0x3000)).unwrap().abort();
    let from = device.chip.operations();
    device.chip = device.chip.with_faults(silent([from + 7]));
    let mut ota = device.ota(ota_app(0));
    let mut session = ota.begin(slot(1), Extent::Known(0x3000)).unwrap();
    session.write(&image(2)).unwrap();
    assert!(matches!(session.end(), Err(Error::Image(_))));
    assert_eq!(device.boot(), Some((ota_app(0), image(0))));
}

#[test]
fn worn_out_flash_is_an_error_and_boot_selection_stays() {
    let mut undisturbed = Device::confirmed();
    let first = undisturbed.chip.operations();
    select(&mut undisturbed).unwrap();
    for operation in 0..undisturbed.chip.operations() - first {
        let failed = Fault::Failed(Tear::Untouched);
        let mut device = faulty(|from| FaultInjector::scheduled(1, [(from + operation, failed)]));
        let error = select(&mut device).unwrap_err();
        assert!(matches!(error, Error::Flash(FlashError::WornOut { .. })), "{error}");
        assert_eq!(device.next_boot(), Some((ota_app(0), image(0))), "operation {operation}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_faults_end_in_success_or_an_error(seed: u64, rate in 1_000u32..200_000) {
        let profile = FaultProfile::none(seed)
            .with(FaultClass::Silent)
            .with(FaultClass::WearOut)
            .with(FaultClass::ReadFault);
        let mut device = faulty(|_| FaultInjector::random(profile, rate));
        let result = update(&mut device);
        device.chip = device.chip.with_faults(silent([]));
        let (app, contents) = device.boot().expect("something boots");
        match result {
            Ok(()) => prop_assert_eq!((app, contents), (ota_app(1), image(2))),
            Err(_) => prop_assert!(contents == image(0) || contents == image(2)),
        }
    }

    #[test]
    fn garbage_in_otadata_is_harmless(
        entries: [[u8; 16]; 4],
        fixed in prop::collection::vec(any::<bool>(), 2),
        calls in prop::collection::vec(0usize..12, 1..6),
        running in 0usize..4,
        rollback: bool,
    ) {
        let mut device = Device::new(&["ota_0", "ota_1", "factory", "test"]);
        for index in [1, 2] {
            let app = [ota_app(1), App::Factory][index - 1];
            device.install(app, &image(index as u64));
        }
        device.rollback = rollback;
        let [a, b, c, d] = entries;
        let parse = |head: [u8; 16], tail: [u8; 16], fix: bool| {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&head);
            bytes[16..].copy_from_slice(&tail);
            let entry = SelectEntry::parse(&bytes);
            // Random bytes never have the right CRC.
            if fix { SelectEntry { crc: SelectEntry::new(entry.seq, entry.state).crc, ..entry } } else { entry }
        };
        device.set_entries([parse(a, b, fixed[0]), parse(c, d, fixed[1])]);
        let running = [ota_app(0), ota_app(1), App::Factory, App::Test][running];
        for call in calls {
            call_any(&mut device, running, call);
        }
        prop_assert!(device.boot().is_some());
    }
}

fn update(device: &mut Device) -> Result<(), Error<FlashError>> {
    let mut ota = device.ota(ota_app(0));
    let mut session = ota.begin(slot(1), Extent::Known(0x2400))?;
    session.write(&image(2))?;
    session.end()?.select()
}

fn call_any(device: &mut Device, running: App, call: usize) {
    let mut ota = device.ota(running);
    let target = ota.next_update_slot().unwrap_or(slot(0));
    let selected = |app| move |ota: &mut ota_core::Ota<_>| ota.verify(app).and_then(|v| v.select());
    match call {
        0 => drop(ota.recover()),
        1 => drop(ota.confirm()),
        2 => drop(ota.reject()),
        3 => drop(ota.erase_last_boot_app()),
        4 => drop(ota.rollback_target()),
        5 => drop(ota.last_invalid()),
        6 => drop(ota.state(target)),
        7 => drop(ota.boot_app()),
        8 => drop(selected(App::Factory)(&mut ota)),
        9 => drop(selected(App::Ota(target))(&mut ota)),
        10 => drop(ota.resume(target, 5)),
        _ => {
            if let Ok(mut session) = ota.begin(target, Extent::Sequential)
                && session.write(&image(3)).is_ok()
                && let Ok(verified) = session.end()
            {
                let _ = verified.select();
            }
        }
    }
}

#[test]
fn states_that_nobody_writes_can_be_confirmed() {
    let mut device = Device::confirmed();
    device.set_entries([SelectEntry::new(3, State(7)), SelectEntry::new(2, State::VALID)]);
    device.ota(ota_app(0)).confirm().unwrap();
    assert_eq!(device.ota(ota_app(0)).state(slot(0)), Ok(Some(State::VALID)));
}
