use proptest::prelude::*;

use super::*;
use crate::flash::EraseSize;

const CAPACITY: u32 = 3 * 64 * 1024;

fn leaf() -> impl Strategy<Value = Tear> {
    prop_oneof![
        Just(Tear::Untouched),
        Just(Tear::Complete),
        (0..80u32).prop_map(|bytes| Tear::Prefix { bytes }),
        (0..80u32).prop_map(|from| Tear::Suffix { from }),
        (0..600u32).prop_map(|bit| Tear::OnlyBit { bit }),
        (0..600u32).prop_map(|bit| Tear::AllButBit { bit }),
        Just(Tear::Zeroed),
        any::<u64>().prop_map(|seed| Tear::NearlyErased { seed }),
        any::<u64>().prop_map(|seed| Tear::Mixed { seed }),
    ]
}

fn word() -> impl Strategy<Value = WordValue> {
    (0x1F000u32 / 4..0x20000 / 4, any::<u32>())
        .prop_map(|(word, value)| WordValue { offset: word * 4, value })
}

fn tear() -> impl Strategy<Value = Tear> {
    let scope = prop_oneof![Just(Scope::Page), Just(Scope::Sector)];
    prop_oneof![
        4 => leaf(),
        1 => (leaf(), prop::collection::vec(word(), 0..4))
            .prop_map(|(rest, words)| Tear::Words { rest: Box::new(rest), words }),
        1 => (leaf(), scope, any::<u64>()).prop_map(|(landed, scope, seed)| {
            Tear::Collateral { landed: Box::new(landed), scope, seed }
        }),
        1 => leaf().prop_map(|landed| Tear::Unstable { landed: Box::new(landed) }),
        1 => leaf().prop_map(|landed| Tear::Weak { landed: Box::new(landed) }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let sizes = [EraseSize::Sector4K, EraseSize::Block32K, EraseSize::Block64K, EraseSize::Chip];
    prop_oneof![
        (0x1F000..0x21000u32, prop::collection::vec(any::<u8>(), 1..70)).prop_map(
            |(at, mut data)| {
                data.truncate(256 - at as usize % 256);
                Operation::program(at, data)
            }
        ),
        prop::sample::select(sizes.to_vec()).prop_map(|size| {
            let unit = size.bytes(CAPACITY);
            Operation::erase(0x1F000 / unit * unit, size)
        }),
    ]
}

fn contents() -> impl Strategy<Value = Memory> {
    (any::<u64>(), 0..3u8).prop_map(|(seed, kind)| {
        let mut bytes = vec![0; 0x3000];
        Noise::new(seed, 0).fill(&mut bytes);
        bytes.iter_mut().for_each(|byte| match kind {
            0 => *byte = 0xFF,
            1 => *byte |= 0x0F,
            _ => (),
        });
        let mut memory = Memory::erased(CAPACITY);
        memory.set(0x1E800, &bytes);
        memory
    })
}

proptest! {
    #[test]
    fn a_tear_stays_within_the_fault_model(
        before in contents(), operation in operation(), tear in tear(),
    ) {
        let Ok(after) = tear.apply(&before, &operation) else { return Ok(()) };
        prop_assert_eq!(tear.apply(&before, &operation), Ok(after.clone()), "deterministic");
        let json = serde_json::to_string(&(&tear, &operation)).unwrap();
        let (read, op): (Tear, Operation) = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.apply(&before, &op), Ok(after.clone()), "as a replay reads it");

        let (old, new) = (before.to_vec(0..CAPACITY), after.to_vec(0..CAPACITY));
        let range = operation.range(CAPACITY);
        let collateral = tear.class(&operation.kind) == FaultClass::Collateral
            || matches!(tear, Tear::Words { .. });
        for (at, (old, new)) in old.iter().zip(&new).enumerate() {
            let at = at as u32;
            let inside = range.contains(&at);
            match &operation.kind {
                OperationKind::Program { data } => {
                    prop_assert_eq!(new & !old, 0, "{:#x}: a program sets no bit", at);
                    if inside {
                        let data = data[(at - range.start) as usize];
                        prop_assert_eq!(old & data & !new, 0, "{:#x}: clears wanted bits only", at);
                    } else if !collateral || at / 4096 != range.start / 4096 {
                        prop_assert_eq!(old, new, "{:#x}: outside", at);
                    }
                }
                OperationKind::Erase(_) if !inside => prop_assert_eq!(old, new, "{:#x}", at),
                OperationKind::Erase(_) => (),
            }
        }
    }
}

#[test]
fn simple_tears_do_what_they_say() {
    let before = Memory::erased(CAPACITY);
    let program = Operation::program(0x10, vec![0x00, 0xF0, 0x0F, 0x00]);
    let bytes = |tear: Tear| tear.apply(&before, &program).unwrap().to_vec(0x10..0x14);
    assert_eq!(bytes(Tear::Untouched), [0xFF; 4]);
    assert_eq!(bytes(Tear::Complete), [0x00, 0xF0, 0x0F, 0x00]);
    assert_eq!(bytes(Tear::Prefix { bytes: 2 }), [0x00, 0xF0, 0xFF, 0xFF]);
    assert_eq!(bytes(Tear::Suffix { from: 2 }), [0xFF, 0xFF, 0x0F, 0x00]);
    assert_eq!(bytes(Tear::OnlyBit { bit: 9 }), [0xFF, 0xFD, 0xFF, 0xFF]);
    assert_eq!(bytes(Tear::AllButBit { bit: 9 }), [0x00, 0xF2, 0x0F, 0x00]);
    let erase = Operation::erase(0x10000, EraseSize::Block64K);
    let zeroed = Tear::Zeroed.apply(&before, &erase).unwrap();
    assert_eq!(zeroed.to_vec(0x10000..0x20000), vec![0; 0x10000]);
    assert_eq!((zeroed.erase_count(15), zeroed.erase_count(16)), (0, 1));
    let nearly = Tear::NearlyErased { seed: 1 }.apply(&before, &erase).unwrap();
    let zeros: u32 = nearly.to_vec(0x10000..0x11000).iter().map(|byte| byte.count_zeros()).sum();
    assert!((1..=8).contains(&zeros));
}

#[test]
fn mixed_bits_are_some_of_each() {
    let before = Memory::with_contents(CAPACITY, &[0xF0; 4096]);
    let erase = Operation::erase(0, EraseSize::Sector4K);
    let bytes = Tear::Mixed { seed: 9 }.apply(&before, &erase).unwrap().to_vec(0..4096);
    // Old in half the cases, else 0 or 1: three quarters of the bits keep their value.
    let ones = |mask: u8| bytes.iter().map(|byte| (byte & mask).count_ones()).sum::<u32>();
    assert!((11_500..13_100).contains(&ones(0xF0)), "{}", ones(0xF0));
    assert!((3_300..4_900).contains(&ones(0x0F)), "{}", ones(0x0F));
}

#[test]
fn misfits_are_refused() {
    let before = Memory::erased(CAPACITY);
    let program = Operation::program(0, vec![0; 4]);
    let erase = Operation::erase(0, EraseSize::Sector4K);
    let words = |offset| Tear::Words {
        rest: Box::new(Tear::Untouched),
        words: vec![WordValue { offset, value: 0 }],
    };
    let refused = |tear: Tear, operation: &Operation| tear.apply(&before, operation).is_err();
    assert!(refused(Tear::Zeroed, &program));
    assert!(refused(Tear::Prefix { bytes: 5 }, &program));
    assert!(refused(Tear::OnlyBit { bit: 32 }, &program));
    assert!(refused(Tear::Prefix { bytes: 0 }, &erase));
    assert!(refused(words(0x1000), &program) && refused(words(0x1000), &erase));
    assert!(refused(words(2), &program) && !refused(words(0xFFC), &program));
    assert!(refused(Tear::Untouched, &Operation::program(0xFE, vec![0; 4])), "crosses a page");
    assert!(refused(Tear::Complete, &Operation::erase(0x1000, EraseSize::Block32K)));
    assert!(refused(Tear::Complete, &Operation::erase(CAPACITY, EraseSize::Sector4K)));
}
