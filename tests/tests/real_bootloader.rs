//! The bootloader model against the bootloader of ESP-IDF v6.1, which runs on the virtual board.
//!
//! `just differential` does the same with more flash contents and other bootloaders.

use cutpoint_tests::differential::{RealBootloader, compare, run};

#[test]
fn the_model_does_what_the_bootloader_does() {
    let bootloader = RealBootloader::bundled().expect("espflash carries a bootloader");
    let summary =
        run(0, 0..500, &bootloader, |comparison| println!("{comparison}")).expect("a ROM");
    assert_eq!((summary.states(), summary.disagreements()), (500, 0));
    // The contents are worth the while.
    assert!(summary.started > 200 && summary.reset > 100 && summary.operations > 0, "{summary:?}");
}

#[test]
fn a_comparison_depends_on_seed_and_number_alone() {
    let bootloader = RealBootloader::bundled().expect("espflash carries a bootloader");
    let text = |seed, index| compare(seed, index, &bootloader).expect("a ROM").to_string();
    assert_eq!(text(3, 5), text(3, 5));
    assert_ne!(text(3, 5), text(4, 5));
    assert_ne!(text(3, 5), text(3, 6));
}
