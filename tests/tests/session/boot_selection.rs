//! What the application reads from and changes in boot selection.

use crate::device::{Device, image, ota_app, slot};
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::App;
use ota_core::{Confirmation, Extent, Recovery};

#[test]
fn the_next_slot_follows_the_running_one() {
    for (apps, running, next) in [
        (["factory", "ota_0", "ota_1"].as_slice(), App::Factory, Some(0)),
        (&["factory", "ota_0", "ota_1"], ota_app(0), Some(1)),
        (&["factory", "ota_0", "ota_1"], ota_app(1), Some(0)),
        (&["ota_0", "ota_1", "ota_2"], ota_app(1), Some(2)),
        (&["ota_0", "ota_1", "ota_2"], ota_app(2), Some(0)),
        (&["ota_0", "test"], App::Test, Some(0)),
        (&["factory", "ota_0"], App::Factory, Some(0)),
        (&["factory", "ota_0"], ota_app(0), None),
        (&["ota_0"], ota_app(0), None),
    ] {
        let mut device = Device::new(apps);
        let ota = device.ota(running);
        assert_eq!(ota.next_update_slot(), next.map(slot), "{apps:?}, {running} runs");
        assert_eq!((ota.running(), ota.layout().app(running).is_some()), (running, true));
    }
}

#[test]
fn images_are_described() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    let description = ota.describe(ota_app(1)).unwrap();
    assert_eq!(description.version.as_str(), Ok("1"));
    assert_eq!(description.project_name.as_str(), Ok("synthetic"));
    assert!(Device::new(&["ota_0", "ota_1"]).ota(ota_app(0)).describe(ota_app(1)).is_err());
}

#[test]
fn an_update_is_tried_once_and_then_confirmed() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    ota.verify(ota_app(1)).unwrap().select().unwrap();
    assert_eq!(ota.boot_app(), Ok(ota_app(1)));
    assert_eq!(ota.state(slot(1)), Ok(Some(State::NEW)));
    let expected = [SelectEntry::new(3, State::VALID), SelectEntry::new(4, State::NEW)];
    assert_eq!(ota.select_entries(), Ok(expected));

    assert_eq!(device.boot().unwrap().0, ota_app(1));
    let mut ota = device.ota(ota_app(1));
    assert_eq!(ota.state(slot(1)), Ok(Some(State::PENDING_VERIFY)));
    assert_eq!(ota.rollback_target(), Ok(Some(ota_app(0))));
    assert_eq!(ota.confirm(), Ok(Confirmation::Confirmed));
    assert_eq!(ota.confirm(), Ok(Confirmation::NotOnTrial));
    assert_eq!(ota.state(slot(1)), Ok(Some(State::VALID)));
    assert_eq!(device.boot().unwrap().0, ota_app(1));
}

#[test]
fn a_trial_that_is_not_confirmed_ends_at_the_next_reset() {
    for reject in [false, true] {
        let mut device = Device::confirmed();
        device.ota(ota_app(0)).verify(ota_app(1)).unwrap().select().unwrap();
        assert_eq!(device.boot().unwrap().0, ota_app(1));
        if reject {
            let before = device.otadata();
            assert_eq!(device.ota(ota_app(1)).reject(), Ok(ota_app(0)));
            assert_eq!(device.otadata(), before, "an image on trial is aborted by the bootloader");
        }
        assert_eq!(device.boot().unwrap().0, ota_app(0));
        let mut ota = device.ota(ota_app(0));
        assert_eq!(ota.last_invalid(), Ok(Some(slot(1))));
        assert_eq!(ota.state(slot(1)), Ok(Some(State::ABORTED)));
        device.install(ota_app(1), &[0; 64]);
        assert_eq!(device.ota(ota_app(0)).last_invalid(), Ok(None));
    }
}

#[test]
fn a_confirmed_image_can_be_rejected() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    assert_eq!(ota.reject(), Ok(ota_app(1)));
    let expected = [SelectEntry::new(3, State::INVALID), SelectEntry::new(4, State::VALID)];
    assert_eq!(ota.select_entries(), Ok(expected));
    assert_eq!(device.boot(), Some((ota_app(1), image(1))));

    let mut device = Device::new(&["factory", "ota_0"]);
    device.install(ota_app(0), &image(1));
    device.set_entries([SelectEntry::new(1, State::VALID), SelectEntry::BLANK]);
    assert_eq!(device.ota(ota_app(0)).rollback_target(), Ok(Some(App::Factory)));
    assert_eq!(device.ota(ota_app(0)).reject(), Ok(App::Factory));
    assert_eq!(device.boot(), Some((App::Factory, image(0))));
}

#[test]
fn an_image_that_does_not_verify_is_no_rollback_target() {
    let mut device = Device::confirmed();
    device.install(ota_app(1), &image(1)[..0x2000]);
    assert_eq!(device.ota(ota_app(0)).rollback_target(), Ok(None));
}

#[test]
fn the_last_boot_app_can_be_erased() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    assert_eq!(ota.erase_last_boot_app(), Ok(slot(1)));
    assert_eq!(ota.state(slot(1)), Ok(None));
    assert_eq!(ota.rollback_target(), Ok(None));
    let offset = device.offset(ota_app(1));
    let contents = device.chip.memory().to_vec(offset..offset + crate::device::SLOT_SIZE);
    assert!(contents.iter().all(|&byte| byte == 0xFF));
    assert_eq!(device.boot(), Some((ota_app(0), image(0))));
}

#[test]
fn selecting_factory_leaves_no_entry() {
    let mut device = Device::new(&["factory", "ota_0", "ota_1"]);
    device.install(ota_app(0), &image(1));
    device.set_entries([SelectEntry::new(3, State::VALID), SelectEntry::new(2, State::ABORTED)]);
    let mut ota = device.ota(ota_app(0));
    ota.verify(App::Factory).unwrap().select().unwrap();
    assert_eq!(ota.select_entries(), Ok([SelectEntry::BLANK; 2]));
    assert_eq!(ota.boot_app(), Ok(App::Factory));
    assert_eq!(device.boot(), Some((App::Factory, image(0))));
}

#[test]
fn selecting_the_running_image_changes_nothing() {
    let mut device = Device::confirmed();
    let before = device.otadata();
    device.ota(ota_app(0)).verify(ota_app(0)).unwrap().select().unwrap();
    assert_eq!(device.otadata(), before);
}

#[test]
fn an_image_at_the_least_secure_version_is_selected() {
    let mut device = Device::confirmed();
    device.min_secure_version = 1;
    device.ota(ota_app(0)).verify(ota_app(1)).unwrap().select().unwrap();
    assert_eq!(device.boot().unwrap().0, ota_app(1));
}

#[test]
fn a_single_slot_beside_factory_is_updated_from_factory() {
    let mut device = Device::new(&["factory", "ota_0"]);
    let mut ota = device.ota(App::Factory);
    let mut session = ota.begin(slot(0), Extent::Sequential).unwrap();
    session.write(&image(2)).unwrap();
    session.end().unwrap().select().unwrap();
    assert_eq!(device.boot(), Some((ota_app(0), image(2))));
}

#[test]
fn recovery_writes_only_when_something_is_wrong() {
    let good = SelectEntry::new(3, State::VALID);
    let torn = SelectEntry { crc: 0, ..SelectEntry::new(4, State::NEW) };
    let odd = SelectEntry::new(3, State(0x60));
    let pending = SelectEntry::new(3, State::PENDING_VERIFY);
    for (entries, expected, repaired) in [
        ([good, SelectEntry::BLANK], [good, SelectEntry::BLANK], 0),
        ([good, SelectEntry::new(2, State::VALID)], [good, SelectEntry::new(2, State::VALID)], 0),
        (
            [good, SelectEntry::new(4, State::ABORTED)],
            [good, SelectEntry::new(4, State::ABORTED)],
            0,
        ),
        (
            [pending, SelectEntry::new(2, State::VALID)],
            [pending, SelectEntry::new(2, State::VALID)],
            0,
        ),
        // A torn entry, the bootloader's fallback from slot 1, the same choice twice, an odd state.
        ([good, torn], [good, SelectEntry::BLANK], 1),
        ([good, SelectEntry::new(4, State::VALID)], [good, SelectEntry::BLANK], 1),
        ([good, SelectEntry::new(1, State::VALID)], [good, SelectEntry::BLANK], 1),
        ([odd, SelectEntry::new(2, State::VALID)], [pending, SelectEntry::new(2, State::VALID)], 1),
        // No entry at all: the running slot gets one.
        ([SelectEntry::BLANK; 2], [SelectEntry::new(1, State::UNDEFINED), SelectEntry::BLANK], 1),
    ] {
        let mut device = Device::confirmed();
        device.set_entries(entries);
        let operations = device.chip.operations();
        let mut ota = device.ota(ota_app(0));
        assert_eq!(ota.recover(), Ok(Recovery { repaired, restart_advised: false }), "{entries:?}");
        assert_eq!(ota.select_entries(), Ok(expected), "{entries:?}");
        assert_eq!(ota.recover().unwrap().repaired, 0, "{entries:?}");
        assert_eq!(device.chip.operations() == operations, repaired == 0);
    }
}

#[test]
fn recovery_in_factory_gives_up_entries_that_do_not_boot() {
    let mut device = Device::new(&["factory", "ota_0", "ota_1"]);
    device.set_entries([SelectEntry::new(1, State::VALID), SelectEntry::new(2, State::VALID)]);
    let mut ota = device.ota(App::Factory);
    assert_eq!(ota.recover(), Ok(Recovery { repaired: 2, restart_advised: false }));

    device.install(ota_app(0), &image(1));
    device.set_entries([SelectEntry::new(1, State::VALID), SelectEntry::new(2, State::VALID)]);
    let mut ota = device.ota(App::Factory);
    assert_eq!(ota.recover(), Ok(Recovery { repaired: 1, restart_advised: true }));
    assert_eq!(device.boot(), Some((ota_app(0), image(1))));
}
