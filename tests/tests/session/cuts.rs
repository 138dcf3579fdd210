//! Every power cut of a single call that changes select entries.

use crate::device::{Device, Failure, image, ota_app, slot};
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::App;
use ota_core::{Extent, Ota};
use sim::flash::Chip;
use sim::flash::fault::{FaultClass, FaultProfile, Watch, crash_states};

/// Makes one call on slot 0 of a device with factory and two slots, and cuts it everywhere: the
/// next boot must be that without the call or that after it.
fn survives_every_cut(
    entries: [SelectEntry; 2],
    call: impl Fn(&mut Ota<&mut Chip>) -> Result<(), Failure>,
) {
    let mut device = Device::new(&["factory", "ota_0", "ota_1"]);
    device.install(ota_app(0), &image(1));
    device.install(ota_app(1), &image(2));
    device.set_entries(entries);
    let before = device.next_boot();

    let mut uncut = device.clone();
    uncut.chip.record();
    call(&mut uncut.ota(ota_app(0))).unwrap();
    let recording = uncut.chip.take_recording();
    let after = uncut.next_boot();

    let otadata = device.layout.apps().otadata().offset;
    let words = [0, 24, 28, 0x1000, 0x1018, 0x101C].map(|at| otadata + at..otadata + at + 4);
    let watch = Watch { ranges: &words, dictionary: &[0, 1, 2, 3, 4], encrypted: false };
    let profile = FaultProfile::enumerable(1).without(FaultClass::Collateral);
    assert!(!recording.is_empty());
    for recorded in &recording {
        for crash in crash_states(&recorded.before, &recorded.operation, &profile, &watch).unwrap()
        {
            // An erase that leaves a sequence number of zeros and a CRC of ones makes a valid entry of
            // any sector, whatever stood there. The exploration leaves that out as well; see
            // "Torn operations" in docs/explorer.md.
            let forged = [otadata, otadata + 0x1000]
                .into_iter()
                .any(|at| crash.memory.word(at) == 0 && crash.memory.word(at + 28) == u32::MAX);
            if forged {
                continue;
            }
            device.chip = Chip::with_memory(*device.chip.part(), crash.memory);
            let booted = device.boot();
            assert!(
                booted == before || booted == after,
                "{:?}, {:?} boots {:?}",
                recorded.operation,
                crash.tear,
                booted.map(|boot| boot.0)
            );
        }
    }
}

const VALID: State = State::VALID;

#[test]
fn selecting_factory() {
    let entries = [SelectEntry::new(3, VALID), SelectEntry::new(2, VALID)];
    survives_every_cut(entries, |ota| ota.verify(App::Factory)?.select());
}

#[test]
fn selecting_the_other_slot() {
    for other in
        [SelectEntry::BLANK, SelectEntry::new(2, VALID), SelectEntry::new(4, State::ABORTED)]
    {
        survives_every_cut([SelectEntry::new(3, VALID), other], |ota| {
            ota.verify(ota_app(1))?.select()
        });
    }
}

#[test]
fn opening_a_slot_whose_image_was_rejected() {
    for state in [State::ABORTED, State::INVALID] {
        let entries = [SelectEntry::new(3, VALID), SelectEntry::new(4, state)];
        survives_every_cut(entries, |ota| ota.begin(slot(1), Extent::Sequential).map(drop));
    }
}

#[test]
fn confirming() {
    for other in [SelectEntry::BLANK, SelectEntry::new(2, VALID)] {
        let entries = [SelectEntry::new(3, State::PENDING_VERIFY), other];
        survives_every_cut(entries, |ota| ota.confirm().map(drop));
    }
}

#[test]
fn rejecting() {
    for other in [SelectEntry::BLANK, SelectEntry::new(2, VALID)] {
        survives_every_cut([SelectEntry::new(3, VALID), other], |ota| ota.reject().map(drop));
    }
}

#[test]
fn erasing_the_last_boot_app() {
    let entries = [SelectEntry::new(3, VALID), SelectEntry::new(2, VALID)];
    survives_every_cut(entries, |ota| ota.erase_last_boot_app().map(drop));
}
