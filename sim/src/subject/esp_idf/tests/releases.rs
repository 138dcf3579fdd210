//! What releases, and another application, do otherwise.

use super::*;

fn updated(subject: &dyn Subject, bench: &mut Bench) -> String {
    let (result, _) = bench.call(|device| subject.update(device, &image(99)));
    assert_eq!(result, Ok(()), "{subject:?}");
    bench.entries()
}

/// v5.5 and later revoke the entry of the slot that they write. Up to v5.5 the slot that is selected
/// already is selected once more, by the other entry; since v6.0 in place.
#[test]
fn releases_differ_in_two_ways() {
    let release = |release| EspIdf { release, extent: None };
    let both = [entry(1, State::VALID), entry(2, State::VALID)];
    for (subject, sectors) in
        [(release(Release::V5_4), 1), (release(Release::V5_5), 2), (release(Release::V6_1), 2)]
    {
        let mut bench = Bench::two_slots(ota(1), both);
        let (_, operations) = bench.call(|device| subject.update(device, &image(99)));
        let otadata = bench.layout.apps().otadata();
        let erases = operations
            .iter()
            .filter(|it| matches!(it.kind, OperationKind::Erase(_)) && it.offset == otadata.offset);
        assert_eq!(erases.count(), sectors, "{subject:?}");
        assert_eq!(bench.entries(), "[3/NEW | 2/VALID]");
    }
    let selected = [entry(1, State::VALID), entry(2, State::NEW)];
    for (subject, entries) in [
        (release(Release::V5_4), "[2/NEW | 2/NEW]"),
        (release(Release::V5_5), "[2/NEW | 2/NEW]"),
        (release(Release::V6_1), "[1/VALID | 2/NEW]"),
    ] {
        let mut bench = Bench::two_slots(ota(0), selected);
        assert_eq!(updated(&subject, &mut bench), entries, "{subject:?}");
    }
}

/// ota_0 is selected and does not boot, so ota_1 runs.
#[test]
fn ruuvi_keeps_the_entry_of_the_running_image_since_it_was_fixed() {
    let fallback = [entry(3, State::ABORTED), entry(2, State::VALID)];
    for (fixed, entries) in [(false, "[3/NEW | 2/VALID]"), (true, "[3/NEW | 2/VALID]")] {
        let mut bench = Bench::two_slots(ota(1), fallback);
        assert_eq!(updated(&Ruuvi { fixed }, &mut bench), entries);
    }
    let fallback = [entry(3, State::PENDING_VERIFY), entry(2, State::VALID)];
    for (fixed, entries) in [(false, "[3/PENDING_VERIFY | 3/NEW]"), (true, "[3/NEW | 2/VALID]")] {
        let mut bench = Bench::two_slots(ota(1), fallback);
        assert_eq!(updated(&Ruuvi { fixed }, &mut bench), entries);
    }
}

#[test]
fn ruuvi_confirms_only_the_running_image() {
    let fallback = [entry(3, State::PENDING_VERIFY), entry(2, State::VALID)];
    let mut bench = Bench::two_slots(ota(1), fallback);
    let (result, operations) = bench.call(|device| Ruuvi { fixed: false }.confirm(device));
    assert_eq!((result, operations), (Ok(()), Vec::new()));
    bench.running = ota(0);
    let (result, _) = bench.call(|device| Ruuvi { fixed: false }.confirm(device));
    assert_eq!((result, bench.entries().as_str()), (Ok(()), "[3/VALID | 2/VALID]"));
}
