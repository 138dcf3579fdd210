use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::flash::{Digest, EraseSize};

const CAPACITY: u32 = 64 * 1024;
const STATES: [u32; 5] = [0, 1, 2, 3, 4];

fn states(
    before: &Memory,
    operation: &Operation,
    profile: FaultProfile,
    watch: &Watch<'_>,
) -> Vec<CrashState> {
    crash_states(before, operation, &profile, watch).unwrap().collect()
}

fn only(classes: impl IntoIterator<Item = FaultClass>) -> FaultProfile {
    classes.into_iter().fold(FaultProfile::none(7), FaultProfile::with)
}

/// An entry with sequence 2, state NEW and its CRC, as ESP-IDF writes it.
fn select_entry() -> Vec<u8> {
    let mut entry = vec![0xFF; 32];
    entry[..4].copy_from_slice(&2u32.to_le_bytes());
    entry[24..28].copy_from_slice(&0u32.to_le_bytes());
    entry[28..].copy_from_slice(&0x55F6_3774u32.to_le_bytes());
    entry
}

#[test]
fn a_torn_new_entry_shows_every_recognised_state() {
    let before = Memory::erased(CAPACITY);
    let operation = Operation::program(0x1000, select_entry());
    let watch = Watch { ranges: &[], dictionary: &STATES, ..Watch::default() };
    let states = states(&before, &operation, only([FaultClass::TornBits]), &watch);
    let complete = |state: &CrashState| {
        state.memory.word(0x1000) == 2 && state.memory.word(0x101C) == 0x55F6_3774
    };
    // NEW is all zeros: while it is programmed, the state reads as any other, and nothing covers it.
    let shown: HashSet<u32> =
        states.iter().filter(|s| complete(s)).map(|s| s.memory.word(0x1018)).collect();
    assert!(STATES.iter().all(|state| shown.contains(state)), "{shown:x?}");
    assert!(shown.contains(&u32::MAX));
    assert_eq!(shown.len(), 7, "and one value that no reader knows: {shown:x?}");
    // Sequence 2 can show 3 on the way, but neither 1 nor 0.
    let sequences: HashSet<u32> = states.iter().map(|s| s.memory.word(0x1000)).collect();
    assert!(sequences.contains(&3) && !sequences.contains(&1) && !sequences.contains(&0));
    // The product has no duplicates beside the two whole outcomes.
    let contents: HashSet<Digest> = states.iter().map(|s| s.memory.digest_all()).collect();
    assert_eq!(contents.len(), 4 * 7 * 3);
}

#[test]
fn classes_can_be_switched_off_one_by_one() {
    let before = Memory::erased(CAPACITY);
    let operation = Operation::program(0, vec![0; 8]);
    let count = |classes: &[FaultClass]| {
        states(&before, &operation, only(classes.iter().copied()), &Watch::default()).len()
    };
    assert_eq!(count(&[]), 2);
    assert_eq!(count(&[FaultClass::TornPrefix]), 2 + 7);
    assert_eq!(count(&[FaultClass::TornBits]), 2 + 9);
    assert_eq!(count(&[FaultClass::TornErase]), 2);
    assert_eq!(count(&[FaultClass::Collateral]), 2 + 4);
    assert_eq!(count(&[FaultClass::Unstable]), 2 + 2);
    assert_eq!(count(&[FaultClass::Weak]), 2 + 1);
    assert_eq!(count(&[FaultClass::Reset]), 2 + 1);
}

#[test]
fn an_erase_shows_old_zero_ones_mixed_and_known_words() {
    let mut before = Memory::erased(CAPACITY);
    before.program(0x2000, &select_entry());
    before.program(0x2018, &4u32.to_le_bytes());
    let operation = Operation::erase(0x2000, EraseSize::Sector4K);
    let ranges = [0x2000..0x2004, 0x2018..0x2020, 0x9000..0x9020];
    let watch = Watch { ranges: &ranges, dictionary: &STATES, ..Watch::default() };
    let all = states(&before, &operation, only([FaultClass::TornErase]), &watch);
    let of = |word: u32| all.iter().map(|s| s.memory.word(word)).collect::<HashSet<u32>>();
    assert!([2, 0, u32::MAX, 1, 3, 4].iter().all(|v| of(0x2000).contains(v)));
    // An erased entry whose state comes back as another: ABORTED read as NEW with the rest intact.
    let revived = all
        .iter()
        .any(|s| [0x2000, 0x2018, 0x201C].map(|word| s.memory.word(word)) == [2, 1, 0x55F6_3774]);
    assert!(revived);
    assert!(all.iter().all(|s| s.memory.to_vec(0..0x2000) == before.to_vec(0..0x2000)));
    let half = |s: &&CrashState| s.memory.word(0x2000) == 2 && s.memory.word(0x2800) == 0;
    assert!(all.iter().any(|s| half(&s)), "record intact, rest of the unit zeroed");
}

#[test]
fn too_large_products_are_thinned_out_and_say_so() {
    let before = Memory::erased(CAPACITY);
    let profile = only([FaultClass::TornBits, FaultClass::TornErase]);
    let dictionary: Vec<u32> = (0..100).collect();
    let watch = Watch { ranges: &[0..16, 16..32], dictionary: &dictionary, ..Watch::default() };
    let zeros = Operation::program(0, vec![0; 32]);
    let thinned = crash_states(&before, &zeros, &profile, &watch).unwrap();
    assert!(!thinned.exhaustive());
    assert_eq!(thinned.len(), 2 + 8 * 102 + 3usize.pow(8));
    let plain = crash_states(&before, &zeros, &profile, &Watch::default()).unwrap();
    assert!(plain.exhaustive());
    let page = Operation::program(0, vec![0; 256]);
    let large = crash_states(&before, &page, &profile, &Watch::default()).unwrap();
    assert!(!large.exhaustive());
    assert_eq!(large.len(), 2 + 7);
}

#[test]
fn watched_words_of_a_large_program_are_combined() {
    let before = Memory::erased(CAPACITY);
    let page = Operation::program(0, vec![0; 256]);
    let watch = Watch { ranges: &[0..4, 24..28], dictionary: &STATES, ..Watch::default() };
    let all = states(&before, &page, only([FaultClass::TornBits]), &watch);
    let pair = |s: &CrashState, rest: u32| {
        s.memory.word(0) == 3 && s.memory.word(24) == 1 && s.memory.word(100) == rest
    };
    assert!(all.iter().any(|s| pair(s, 0)) && all.iter().any(|s| pair(s, u32::MAX)));
}

#[test]
fn collateral_damages_watched_words_of_the_sector_alone() {
    let mut before = Memory::erased(CAPACITY);
    before.program(0x1000, &[2, 0, 0, 0]);
    before.program(0x2000, &[2, 0, 0, 0]);
    let operation = Operation::program(0x1018, vec![0; 4]);
    let watch = Watch {
        ranges: &[0x1000..0x1020, 0x2000..0x2020],
        dictionary: &STATES,
        ..Watch::default()
    };
    let all = states(&before, &operation, only([FaultClass::Collateral]), &watch);
    let alone = |s: &CrashState| s.memory.word(0x1000) == 0 && s.memory.word(0x101C) == u32::MAX;
    assert!(all.iter().any(alone));
    assert!(all.iter().all(|s| s.memory.word(0x2000) == 2), "never another sector");
    assert!(all.iter().any(|s| s.memory.word(0x1F00) != u32::MAX), "the whole sector");
}

#[test]
fn programs_without_effect_can_not_be_torn() {
    let before = Memory::with_contents(CAPACITY, &[0; 64]);
    let profile = only([FaultClass::TornPrefix, FaultClass::TornBits, FaultClass::Unstable]);
    let nothing = Operation::program(0, vec![0xA5; 64]);
    assert_eq!(states(&before, &nothing, profile, &Watch::default()).len(), 1);
}

proptest! {
    #[test]
    fn every_state_is_reproduced_by_its_tear(
        old in any::<[u8; 64]>(), data in prop::collection::vec(any::<u8>(), 1..40),
        at in 0..24u32, erase: bool, seed: u64,
    ) {
        let before = Memory::with_contents(CAPACITY, &old);
        let operation = if erase {
            Operation::erase(0, EraseSize::Sector4K)
        } else {
            Operation::program(at, data)
        };
        let mut profile = FaultClass::ALL.into_iter().fold(FaultProfile::none(seed), FaultProfile::with);
        profile.exhaustive_words = 3;
        let watch = Watch { ranges: &[0..4, 24..32], dictionary: &STATES, ..Watch::default() };
        let states = crash_states(&before, &operation, &profile, &watch).unwrap();
        let announced = states.len();
        let mut count = 0;
        for CrashState { tear, memory } in states {
            let again = tear.apply(&before, &operation).unwrap();
            prop_assert_eq!(again.digest_all(), memory.digest_all(), "{:?}", tear);
            count += 1;
        }
        prop_assert_eq!(count, announced);
    }
}

#[test]
fn blocks_of_encrypted_flash_are_old_new_or_noise() {
    let before = Memory::erased(CAPACITY);
    let ciphertext: Vec<u8> = (0..32).map(|i| i * 5).collect();
    let operation = Operation::program(0x1000, ciphertext);
    let watch =
        Watch { ranges: &[0x1000..0x1020, 0x2000..0x2020], encrypted: true, ..Watch::default() };
    let profile = only([FaultClass::TornBits, FaultClass::TornErase]);
    assert!(crash_states(&before, &operation, &profile, &watch).unwrap().exhaustive());
    let all = states(&before, &operation, profile, &watch);
    let complete = Tear::Complete.apply(&before, &operation).unwrap();
    let kinds = |all: &[CrashState], before: &Memory, after: &Memory, at: u32| {
        let kind = |memory: &Memory, at: u32| {
            let block = |memory: &Memory| memory.to_vec(at..at + 16);
            match block(memory) {
                it if it == block(before) => "old",
                it if it == block(after) => "new",
                _ => "noise",
            }
        };
        let both = |state: &CrashState| [at, at + 16].map(|at| kind(&state.memory, at));
        all.iter().map(both).collect::<HashSet<_>>()
    };
    assert_eq!(kinds(&all, &before, &complete, 0x1000).len(), 9);
    assert_eq!(all.len(), 2 + 2 + 4 * 3);
    // A torn erase keeps a block or makes noise of it.
    let erase = Operation::erase(0x1000, EraseSize::Sector4K);
    let torn = states(&complete, &erase, only([FaultClass::TornErase]), &watch);
    let erased = Tear::Complete.apply(&complete, &erase).unwrap();
    let found = kinds(&torn, &complete, &erased, 0x1000);
    for pair in
        [["old", "old"], ["old", "noise"], ["noise", "old"], ["noise", "noise"], ["new", "new"]]
    {
        assert!(found.contains(&pair), "{pair:?} not in {found:?}");
    }
    // Three blocks are too many to combine.
    let large = Operation::program(0x1000, vec![0; 48]);
    assert!(!crash_states(&before, &large, &profile, &watch).unwrap().exhaustive());
}
