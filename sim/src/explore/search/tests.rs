//! The reductions change the speed and nothing else: without them the same states are met, and the same of
//! them are bad.

use super::{Limits, Met, close};
use crate::bootloader::{AntiRollback, Bootloader};
use crate::explore::{Reductions, Usage, World};
use crate::firmware::Firmware;
use crate::flash::Part;
use crate::flash::fault::{FaultClass, FaultProfile};
use crate::layout::Layout;
use crate::setup::Rollback;
use crate::subject::{EspIdf, NamedSlots, OtaCore, Release, Subject};
use crate::synthetic::{ImageBuilder, MIN_SIZE};
use ota_core::Extent;
use ota_core::image::{ChipId, Requirements};
use std::collections::HashSet;
use std::ops::ControlFlow;

const TWO_SLOTS: &str = "otadata,data,ota,0xd000,0x2000\n\
    ota_0,app,ota_0,0x10000,64K\nota_1,app,ota_1,0x20000,64K\n";
const WITH_FACTORY: &str = "otadata,data,ota,0xd000,0x2000\nfactory,app,factory,0x10000,64K\n\
    ota_0,app,ota_0,0x20000,64K\n";
/// Bootloader and application count the slots differently.
const WITH_GAP: &str = "otadata,data,ota,0xd000,0x2000\nota_0,app,ota_0,0x10000,64K\n\
    ota_1,app,ota_1,0x20000,64K\nota_3,app,ota_3,0x30000,64K\n";
const CAPACITY: u32 = 256 * 1024;

/// Everything that a device of two small images comes to, as the reduced exploration would say it.
fn met(
    layout: &str,
    rollback: Rollback,
    subject: &dyn Subject,
    limits: &Limits,
    reductions: Reductions,
    encrypted: bool,
) -> (Met, u64) {
    let requirements = Requirements::for_chip(ChipId::ESP32C3);
    let images = 2 + u64::from(layout == WITH_FACTORY);
    let anti_rollback =
        (rollback == Rollback::Anti).then(|| AntiRollback::for_chip(ChipId::ESP32C3));
    let firmware: Vec<_> = (1..=images)
        .map(|seed| {
            let version = if anti_rollback.is_some() && seed > 1 { 1 } else { 0 };
            let bytes = ImageBuilder::new(MIN_SIZE).seed(seed).secure_version(version).build();
            Firmware::new(format!("{seed}"), &bytes, &requirements).unwrap()
        })
        .collect();
    let part = Part::W25Q32JV.with_capacity(CAPACITY);
    let layout = Layout::from_csv("small", layout, CAPACITY).unwrap();
    let rollback = rollback.is_on();
    let bootloader = Bootloader { rollback, anti_rollback, spi_size: 0, ..Bootloader::default() };
    let world = World::new(&layout, bootloader, requirements, &firmware, subject, part)
        .unwrap()
        .with_reductions(reductions);
    let world = if encrypted { world.encrypted().unwrap() } else { world };
    let (report, mut met) = close(&world, limits, |_| ControlFlow::Continue(()));
    assert!(report.complete);
    let count = met.situations.len() as u64;
    for situation in &mut met.situations {
        situation.state = world.reduced(&situation.state);
    }
    let bad = std::mem::take(&mut met.bad).into_iter().map(
        |(mut situation, request, invariant, during)| {
            situation.state = world.reduced(&situation.state);
            (situation, request, invariant, during)
        },
    );
    met.bad = bad.collect();
    (met, count)
}

/// Enough faults for every kind of finding, and few enough for a search without reductions.
fn limits(remember: bool, usage: Usage) -> Limits {
    Limits {
        profile: FaultProfile::none(1).with(FaultClass::Between).with(FaultClass::TornPrefix),
        cut_bootloader: true,
        usage,
        max_states: u64::MAX,
        max_cuts: u32::MAX,
        remember,
    }
}

#[test]
fn without_reductions_the_same_states_are_met_and_the_same_are_bad() {
    let core = OtaCore { extent: Some(Extent::Sequential) };
    let idf = EspIdf { release: Release::V5_5, extent: None };
    let mut bad = 0;
    let all = [
        (&core as &dyn Subject, Rollback::Off, Usage::Any, false),
        (&core, Rollback::On, Usage::Usual, false),
        (&core, Rollback::Anti, Usage::Usual, false),
        (&idf, Rollback::Off, Usage::Usual, false),
        (&idf, Rollback::On, Usage::Usual, false),
        (&idf, Rollback::Anti, Usage::Usual, false),
        (&idf, Rollback::Off, Usage::Usual, true),
        (&idf, Rollback::On, Usage::Usual, true),
        (&idf, Rollback::Anti, Usage::Usual, true),
    ];
    let named = (&NamedSlots as &dyn Subject, Rollback::On, Usage::Usual, false);
    let of_others = [named, all[3]];
    for (layout, cases) in [(TWO_SLOTS, &all[..]), (WITH_FACTORY, &all), (WITH_GAP, &of_others)] {
        for &(subject, rollback, usage, encrypted) in cases {
            if rollback == Rollback::Anti && layout == WITH_FACTORY {
                continue;
            }
            let what = format!("{layout} {rollback} {} {encrypted}", subject.name());
            let met = |remember, reductions| {
                let mut limits = limits(remember, usage);
                if encrypted {
                    // Without reductions there is no end to what can be torn: the noise of a torn entry stays in
                    // the label when it is rewritten, and makes other ciphertext, which can be torn in turn.
                    limits.profile = FaultProfile::none(1).with(FaultClass::Between);
                }
                met(layout, rollback, subject, &limits, reductions, encrypted)
            };
            let (fast, few) = met(true, Reductions::ALL);
            let (slow, many) = met(false, Reductions::NONE);
            assert!(many > 2 * few, "{what}: {many} states without reductions, {few} with them");
            let states = |met: &Met| met.situations.iter().copied().collect::<HashSet<_>>();
            let (fast_states, slow_states) = (states(&fast), states(&slow));
            assert_eq!(fast_states.difference(&slow_states).count(), 0, "{what}");
            assert_eq!(slow_states.difference(&fast_states).count(), 0, "{what}");
            assert_eq!(fast.bad, slow.bad, "{what}");
            bad += fast.bad.len();
        }
    }
    assert!(bad > 20, "only {bad} bad states to compare");
}
