//! How scenarios are drawn, and in which order they get simpler.

use super::Options;
use super::scenario::{Action, FaultyCycle, Scenario, Trouble};
use crate::explore::{Cut, DICTIONARY, World, Writer};
use crate::flash::fault::{Fault, FaultClass, Scope, Tear, WordValue};
use ota_core::otadata;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// Flash accesses of an undisturbed power cycle with an update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accesses {
    pub(super) operations: u32,
    pub(super) reads: u32,
}

/// Offset of the state in a select entry (ESP-IDF `esp_flash_partitions.h`, `esp_ota_select_entry_t`).
const STATE_OFFSET: u32 = 24;
/// The first and the last accesses of a run are those to otadata: they are drawn more often.
const EDGE: u32 = 12;
/// Most troubles in one power cycle.
const TROUBLES: usize = 2;

pub(super) fn scenarios(
    world: &World<'_>,
    options: &Options,
    accesses: Accesses,
) -> impl Strategy<Value = Scenario> + use<> {
    let images = world.firmware.len() as u8;
    let otadata = world.layout.apps().otadata().offset;
    let has = |class| options.classes.contains(&class);
    let troubles = match troubles(&options.classes, accesses) {
        Some(trouble) => vec(trouble, 0..=TROUBLES).boxed(),
        None => Just(Vec::new()).boxed(),
    };
    let cut = match tears(&options.classes, otadata) {
        Some(tear) => proptest::option::of(cut(tear, accesses.operations)).boxed(),
        None => Just(None).boxed(),
    };
    let reset = if has(FaultClass::Reset) { any::<bool>().boxed() } else { Just(false).boxed() };
    let cycle = (action(images), cut, reset, troubles)
        .prop_map(|(action, cut, reset, troubles)| FaultyCycle { action, cut, reset, troubles });
    (seed(), vec(cycle, 1..=options.max_cycles.max(1)))
        .prop_map(|(seed, cycles)| Scenario { seed, cycles })
}

fn action(images: u8) -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => Just(Action::Crash),
        1 => Just(Action::Hang),
        2 => Just(Action::Confirm),
        1 => Just(Action::Reject),
        1 => Just(Action::SelectFactory),
        6 => (0..images).prop_map(Action::Update),
    ]
}

fn cut(tear: BoxedStrategy<Tear>, operations: u32) -> impl Strategy<Value = Cut> {
    (place(operations, 4), tear).prop_map(|((during, operation), tear)| Cut {
        during,
        operation,
        tear,
    })
}

/// An access by its number: most by the application, which makes `total`; some by the bootloader, which
/// makes about `boot`.
fn place(total: u32, boot: u32) -> impl Strategy<Value = (Writer, u32)> {
    let number = prop_oneof![0..EDGE, total.saturating_sub(EDGE)..total + 4, 0..total + 1];
    prop_oneof![
        6 => number.prop_map(|number| (Writer::Application, number)),
        1 => (0..boot).prop_map(|number| (Writer::Bootloader, number)),
    ]
}

/// Any seed is as simple as any other.
fn seed() -> impl Strategy<Value = u64> {
    any::<u64>().no_shrink()
}

/// Outcomes of a cut; `None` when no class causes one.
fn tears(classes: &[FaultClass], otadata: u32) -> Option<BoxedStrategy<Tear>> {
    use FaultClass::{
        Between, Collateral, Repeated, Reset, TornBits, TornErase, TornPrefix, Unstable, Weak,
    };
    let mixed = || seed().prop_map(|seed| Tear::Mixed { seed });
    let whole = || select(vec![Tear::Untouched, Tear::Complete]);
    let state = move || {
        let sector = select(vec![0, otadata::SECTOR_SIZE]);
        (prop_oneof![whole().boxed(), mixed().boxed()], sector, select(&DICTIONARY[..])).prop_map(
            move |(rest, sector, value)| {
                let offset = otadata + sector + STATE_OFFSET;
                let words = vec![WordValue { offset, value }];
                Tear::Words { rest: Box::new(rest), words }
            },
        )
    };
    let landed = || prop_oneof![whole(), mixed()].prop_map(Box::new);
    let of = |class: FaultClass| {
        Some(match class {
            Between | Repeated => whole().boxed(),
            TornPrefix => (0..32u32).prop_map(|bytes| Tear::Prefix { bytes }).boxed(),
            TornBits => prop_oneof![
                (0..32u32).prop_map(|from| Tear::Suffix { from }),
                (0..256u32).prop_map(|bit| Tear::OnlyBit { bit }),
                (0..256u32).prop_map(|bit| Tear::AllButBit { bit }),
                mixed(),
                state(),
            ]
            .boxed(),
            TornErase => prop_oneof![
                Just(Tear::Zeroed),
                seed().prop_map(|seed| Tear::NearlyErased { seed }),
                mixed(),
                state(),
            ]
            .boxed(),
            Unstable => landed().prop_map(|landed| Tear::Unstable { landed }).boxed(),
            Weak => landed().prop_map(|landed| Tear::Weak { landed }).boxed(),
            Collateral => (landed(), select(vec![Scope::Page, Scope::Sector]), seed())
                .prop_map(|(landed, scope, seed)| Tear::Collateral { landed, scope, seed })
                .boxed(),
            Reset => prop_oneof![whole(), mixed()].boxed(),
            _ => return None,
        })
    };
    union(classes.iter().copied().filter_map(of))
}

/// Faults of a running chip; `None` when no class causes one.
///
/// Weak cells (F5) are left to cuts: an operation that completes and leaves them cannot be told from one
/// that does not.
fn troubles(classes: &[FaultClass], accesses: Accesses) -> Option<BoxedStrategy<Trouble>> {
    let mixed = || seed().prop_map(|seed| Tear::Mixed { seed });
    let partial = prop_oneof![
        Just(Tear::Untouched),
        mixed(),
        (0..32u32).prop_map(|bytes| Tear::Prefix { bytes }),
        seed().prop_map(|seed| Tear::NearlyErased { seed }),
    ];
    let operation = |fault: BoxedStrategy<Fault>| {
        (place(accesses.operations, 4), fault)
            .prop_map(|((during, number), fault)| Trouble::Operation { during, number, fault })
            .boxed()
    };
    let of = |class: FaultClass| {
        Some(match class {
            FaultClass::Silent => operation(partial.clone().prop_map(Fault::Silent).boxed()),
            FaultClass::WearOut => operation(
                prop_oneof![
                    mixed().prop_map(Fault::Failed),
                    seed().prop_map(|seed| Fault::Stuck { seed }),
                ]
                .boxed(),
            ),
            FaultClass::ReadFault => place(accesses.reads, EDGE)
                .prop_map(|(during, number)| Trouble::Read { during, number })
                .boxed(),
            _ => return None,
        })
    };
    union(classes.iter().copied().filter_map(of))
}

fn union<T: std::fmt::Debug + 'static>(
    options: impl Iterator<Item = BoxedStrategy<T>>,
) -> Option<BoxedStrategy<T>> {
    let options: Vec<_> = options.collect();
    (!options.is_empty()).then(|| Union::new(options).boxed())
}
