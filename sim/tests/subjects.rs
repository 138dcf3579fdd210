//! What the explorer must find in each subject, with how few cuts, and what it must not find in a fixed one.

use ota_core::Generation;
use ota_core::image::ChipId;
use sim::explore::{Counterexample, Limits, Usage, What, Writer, explore};
use sim::flash::Part;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::layout::Layout;
use sim::replay::{FirmwareSource, Replay};
use sim::setup::{FIXTURES, Fixture, Setup, subjects};
use std::ops::ControlFlow;

/// An exploration, and what must come of it. Findings are told as by [`told`], and patterns are how they
/// begin.
#[derive(Clone, Copy, Debug)]
struct Case {
    subject: &'static str,
    layout: &'static str,
    rollback: bool,
    generation: Generation,
    usage: Usage,
    /// Most cuts.
    cuts: u32,
    /// Only cuts between flash operations.
    clean: bool,
    cut_bootloader: bool,
    encrypted: bool,
    /// Each of these is found, with no fewer cuts than it says.
    finds: &'static [&'static str],
    /// None of these is.
    lacks: &'static [&'static str],
}

/// Two slots, with rollback; any number of cuts in the writes of the application.
const CASE: Case = Case {
    subject: "ota-core",
    layout: "2-slots",
    rollback: true,
    generation: Generation::V6_1,
    usage: Usage::Usual,
    cuts: u32::MAX,
    clean: false,
    cut_bootloader: false,
    encrypted: false,
    finds: &[],
    lacks: &[],
};

/// All findings.
const ANYTHING: &[&str] = &[""];

/// A finding with the fewest cuts, such as `durable H1, 1 cuts` or `updatable, 0 cuts: message`.
fn told(example: &Counterexample) -> String {
    let finding = example.finding;
    let hazard = finding.hazard.map_or_else(String::new, |hazard| format!(" {hazard}"));
    let by = if finding.during == Writer::Bootloader { "bootloader: " } else { "" };
    let message = match &example.what {
        What::Failed(call, message) => format!(": {call}: {message}"),
        _ => String::new(),
    };
    format!("{by}{}{hazard}, {} cuts{message}", finding.invariant, example.cuts())
}

fn setup_of(case: &Case) -> Setup {
    let subject = subjects().into_iter().find(|it| it.name() == case.subject).unwrap();
    let layout = Layout::stock().into_iter().find(|it| it.name() == case.layout).unwrap();
    Setup {
        layout: layout.for_bootloader(case.generation),
        generation: case.generation,
        rollback: case.rollback.into(),
        firmware: FIXTURES.iter().map(Fixture::firmware).collect(),
        subject,
        part: *Part::by_name("W25Q32JV").unwrap(),
        chip: ChipId::ESP32C3,
        encrypted: case.encrypted,
    }
}

fn limits_of(case: &Case) -> Limits {
    let profile = match case.clean {
        true => FaultProfile::none(1).with(FaultClass::Between),
        false => FaultProfile::enumerable(1).without(FaultClass::Collateral),
    };
    Limits {
        profile,
        cut_bootloader: case.cut_bootloader,
        usage: case.usage,
        max_states: u64::MAX,
        max_cuts: case.cuts,
        remember: true,
    }
}

fn check(case: &Case) {
    let setup = setup_of(case);
    let report = explore(&setup.world().unwrap(), &limits_of(case), |_| ControlFlow::Continue(()));
    assert!(report.complete || case.cuts < u32::MAX);
    let found: Vec<_> = report.counterexamples.iter().map(told).collect();
    for finding in case.finds {
        let shown = found.iter().any(|it| it.starts_with(finding));
        assert!(shown, "{case:?}\ndoes not find {finding:?}, only {found:#?}");
    }
    for finding in case.lacks {
        let shown = found.iter().find(|it| it.starts_with(finding));
        assert_eq!(shown, None, "{case:?}");
    }
}

#[test]
fn releases_of_esp_idf() {
    for case in [
        Case {
            subject: "esp-idf-v5.4",
            finds: &["rollback H2, 1 cuts", "atomic H1, 2 cuts"],
            lacks: &["durable", "updatable", "bootable"],
            ..CASE
        },
        // To revoke the other entry is what makes a single cut lose a confirmed image.
        Case {
            subject: "esp-idf-v5.5",
            finds: &[
                "durable H3, 1 cuts",
                "durable H5, 1 cuts: confirm: ESP_FAIL",
                "rollback H3, 2 cuts: reject: ESP_ERR_OTA_ROLLBACK_FAILED",
            ],
            ..CASE
        },
        Case {
            subject: "esp-idf-v6.1",
            finds: &["durable H3, 1 cuts", "atomic H1, 2 cuts"],
            lacks: &["durable H5", "rollback H3"],
            ..CASE
        },
        Case {
            subject: "esp-idf-v6.1",
            layout: "factory-2-slots",
            finds: &["atomic H8, 1 cuts", "atomic H14, 1 cuts"],
            ..CASE
        },
    ] {
        check(&case);
    }
}

/// A block of ciphertext is whole or noise, so no torn state is believed, and no torn entry is taken for
/// another one: of the weaknesses of ESP-IDF those are left that show between operations. What is new comes
/// from an erased sector that does not read as blank.
#[test]
fn esp_idf_on_encrypted_flash() {
    let encrypted = Case { subject: "esp-idf-v5.5", encrypted: true, ..CASE };
    let (plain, factory) = (Case { rollback: false, ..encrypted }, "factory-2-slots");
    for case in [
        // Compare with `durable H3`, `durable H5` and `rollback H3` where it is not encrypted.
        Case { lacks: ANYTHING, ..encrypted },
        // An application that confirms itself rewrites the only entry that selects it. Where the program is
        // torn, noise in the other block gives the loss another name.
        Case {
            finds: &["atomic H1, 1 cuts", "atomic H4, 1 cuts"],
            lacks: &["atomic H2", "durable", "updatable", "bootable"],
            ..plain
        },
        Case {
            layout: factory,
            finds: &["atomic H8, 1 cuts"],
            lacks: &["atomic H2", "rollback H2", "atomic H14", "bootable"],
            ..encrypted
        },
        Case {
            layout: factory,
            finds: &["atomic H1, 1 cuts", "atomic H8, 1 cuts"],
            lacks: &["atomic H2", "bootable"],
            ..plain
        },
        // The bootloader of a new device erases a sector for its first entry. To find it blank again would do no
        // harm; noise stays for good, and an image that confirms itself finds no entry.
        Case {
            cut_bootloader: true,
            finds: &["bootloader: durable H5, 1 cuts: confirm: ESP_FAIL"],
            ..encrypted
        },
        Case {
            cut_bootloader: true,
            clean: true,
            encrypted: false,
            lacks: &["bootloader: durable H5"],
            ..encrypted
        },
    ] {
        check(&case);
    }
}

/// A slot that is selected already is selected again, and nothing is cut.
#[test]
fn a_second_entry_for_the_same_slot_is_gone_in_v6_0() {
    let finds: &[_] = &[
        "durable H5, 0 cuts: confirm: ESP_FAIL",
        "rollback H3, 0 cuts: reject: ESP_ERR_OTA_ROLLBACK_FAILED",
    ];
    let case = Case { usage: Usage::Any, cuts: 0, ..CASE };
    check(&Case { subject: "esp-idf-v5.4", finds, ..case });
    check(&Case { subject: "esp-idf-v5.5", finds, ..case });
    check(&Case { subject: "esp-idf-v6.1", lacks: &["durable", "rollback H3"], ..case });
}

#[test]
fn weaknesses_of_esp_hal() {
    let factory = Case { layout: "factory-2-slots", ..CASE };
    for case in [
        // The entry that is confirmed is erased first.
        Case {
            subject: "esp-hal-no-reset",
            rollback: false,
            clean: true,
            finds: &["atomic H1, 1 cuts"],
            ..factory
        },
        // A torn entry blocks everything.
        Case {
            subject: "esp-hal-no-reset",
            finds: &["updatable, 1 cuts: update: Invalid", "rollback H3, 1 cuts: reject: Invalid"],
            ..CASE
        },
        // The old state stays until a second rewrite.
        Case { subject: "esp-hal", clean: true, finds: &["rollback H4, 1 cuts"], ..CASE },
        // The last slot gets the number 0.
        Case {
            subject: "esp-hal-last-slot",
            cuts: 0,
            finds: &["updatable, 0 cuts: update: panicked: attempt to subtract with overflow"],
            ..factory
        },
        // The number of factory is taken for that of a slot.
        Case {
            subject: "esp-hal",
            finds: &["updatable, 1 cuts: update: panicked: attempt to subtract with overflow"],
            lacks: &["updatable, 0 cuts"],
            ..CASE
        },
    ] {
        check(&case);
    }
}

/// Also where a call changes flash before another one fails, as a start does that resets otadata.
#[test]
fn findings_in_esp_hal_replay() {
    let setup = setup_of(&Case { subject: "esp-hal", layout: "factory-2-slots", ..CASE });
    let limits = Limits { cut_bootloader: true, ..limits_of(&CASE) };
    let report = explore(&setup.world().unwrap(), &limits, |_| ControlFlow::Continue(()));
    let sources = FIXTURES.map(|fixture| FirmwareSource::Builtin(fixture.name.into()));
    let mut by_the_bootloader = 0;
    for example in &report.counterexamples {
        Replay::new(&setup, &sources, 1, example).unwrap();
        by_the_bootloader += u32::from(example.finding.during == Writer::Bootloader);
    }
    assert!(by_the_bootloader > 0);
}

#[test]
fn ruuvi_lost_the_entry_of_the_running_image() {
    let any = Case { usage: Usage::Any, ..CASE };
    check(&Case {
        subject: "ruuvi-1283",
        cuts: 1,
        clean: true,
        finds: &["rollback, 0 cuts", "atomic, 0 cuts", "durable H3, 1 cuts", "rollback H5, 1 cuts"],
        ..any
    });
    check(&Case {
        subject: "ruuvi-1283-fixed",
        lacks: &["durable", "updatable", "bootable", "rollback,", "rollback H5", "atomic,"],
        ..any
    });
}

#[test]
fn ota_core_survives_under_every_bootloader() {
    for generation in Generation::ALL {
        for layout in ["2-slots", "factory-2-slots"] {
            for rollback in [false, true] {
                if rollback && generation < Generation::V3_3 {
                    continue;
                }
                check(&Case { layout, generation, rollback, lacks: ANYTHING, ..CASE });
            }
        }
    }
}

/// The first entries of a device are torn, and there is neither fallback nor factory application.
#[test]
fn v2_1_can_be_cut_dead_on_its_first_boot() {
    let case = Case { rollback: false, cut_bootloader: true, cuts: 1, ..CASE };
    let finds: &[_] = &["bootloader: bootable H4, 1 cuts"];
    check(&Case { generation: Generation::V2_1, finds, ..case });
    check(&Case { generation: Generation::V3_0, lacks: ANYTHING, ..case });
}
