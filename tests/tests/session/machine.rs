//! The session as a state machine: any sequence of calls, resets and power cuts.
//!
//! After every step the device must boot what it would have booted without the step, what it would
//! boot after the step without a cut, or the image that runs.

use crate::device::{Device, Failure, IMAGE_SIZE, image, ota_app};
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::App;
use ota_core::{Error, Extent};
use proptest::prelude::*;
use sim::flash::{CutPlan, FlashError, fault::Tear};

#[derive(Clone, Debug)]
enum Call {
    Recover,
    Confirm,
    Reject,
    Update { seed: u64, extent: Extent, chunk: usize },
    Abandon { seed: u64, len: usize },
    Select(App),
    EraseLast,
    Reset,
}

#[derive(Clone, Debug)]
struct Step {
    call: Call,
    /// How many flash operations happen before the one that is cut.
    cut: Option<(u64, Tear)>,
}

fn call() -> impl Strategy<Value = Call> {
    let extent = prop_oneof![
        Just(Extent::Sequential),
        Just(Extent::Known(IMAGE_SIZE)),
        Just(Extent::Unknown)
    ];
    let app = prop_oneof![Just(App::Factory), Just(ota_app(0)), Just(ota_app(1))];
    prop_oneof![
        2 => Just(Call::Recover),
        3 => Just(Call::Confirm),
        1 => Just(Call::Reject),
        4 => (2u64..9, extent, 1usize..5000)
            .prop_map(|(seed, extent, chunk)| Call::Update { seed, extent, chunk }),
        1 => (2u64..9, 1..IMAGE_SIZE as usize).prop_map(|(seed, len)| Call::Abandon { seed, len }),
        2 => app.prop_map(Call::Select),
        1 => Just(Call::EraseLast),
        3 => Just(Call::Reset),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let tear = prop_oneof![
        Just(Tear::Untouched),
        Just(Tear::Complete),
        any::<u64>().prop_map(|seed| Tear::Mixed { seed }),
    ];
    let number = prop_oneof![3 => 0u64..12, 1 => 0u64..70];
    (call(), prop::option::of((number, tear))).prop_map(|(call, cut)| Step { call, cut })
}

fn perform(device: &mut Device, running: App, call: &Call) -> Result<(), Failure> {
    let mut ota = device.ota(running);
    let target = ota.next_update_slot().ok_or(Error::NoRollbackTarget);
    match *call {
        Call::Recover => ota.recover().map(drop),
        Call::Confirm => ota.confirm().map(drop),
        Call::Reject => ota.reject().map(drop),
        Call::Update { seed, extent, chunk } => {
            let mut session = ota.begin(target?, extent)?;
            for chunk in image(seed).chunks(chunk) {
                session.write(chunk)?;
            }
            session.end()?.select()
        }
        Call::Abandon { seed, len } => {
            let mut session = ota.begin(target?, Extent::Sequential)?;
            session.write(&image(seed)[..len])
        }
        Call::Select(app) => ota.verify(app)?.select(),
        Call::EraseLast => ota.erase_last_boot_app().map(drop),
        Call::Reset => Ok(()),
    }
}

fn run(mut device: Device, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut running = device.boot().expect("a new device boots");
    // As the documentation of `recover` asks.
    device.ota(running.0).recover().unwrap();
    for step in steps {
        let before = device.next_boot();
        let mut uncut = device.clone();
        let uncut_result = perform(&mut uncut, running.0, &step.call);
        let after = uncut.next_boot();
        if let (Ok(()), &Call::Update { seed, .. }) = (&uncut_result, &step.call) {
            prop_assert_eq!(after.as_ref().map(|boot| &boot.1), Some(&image(seed)));
        }
        if let Some((number, tear)) = &step.cut {
            let operation = device.chip.operations() + number;
            device.chip.plan_cut(CutPlan { operation, tear: tear.clone() });
        }
        let result = perform(&mut device, running.0, &step.call);
        let cut = !device.chip.is_powered();
        if cut {
            prop_assert_eq!(result, Err(Error::Flash(FlashError::PowerLost)));
        } else {
            prop_assert_eq!(result, uncut_result);
            // A cut that did not strike must not strike later.
            device.chip.plan_cut(CutPlan { operation: u64::MAX, tear: Tear::Untouched });
        }
        if cut || matches!(step.call, Call::Reset) {
            let allowed = [before, after, Some(running)];
            let booted = device.boot();
            prop_assert!(allowed.contains(&booted), "{:?} boots {:?}", step, booted.map(|b| b.0));
            running = booted.unwrap();
            device.ota(running.0).recover().unwrap();
        }
    }
    prop_assert!(device.boot().is_some());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_sequence_boots_the_old_or_the_new_image(
        steps in prop::collection::vec(step(), 1..12), rollback: bool, factory: bool,
    ) {
        let mut device = if factory {
            Device::new(&["factory", "ota_0", "ota_1"])
        } else {
            let mut device = Device::new(&["ota_0", "ota_1"]);
            device.set_entries([SelectEntry::new(1, State::VALID), SelectEntry::BLANK]);
            device
        };
        device.rollback = rollback;
        run(device, &steps)?;
    }
}
