//! Certificates hold, and do not hold any more when anything is taken away.

use super::file::digest;
use super::line::Line;
use super::{Certificate, Exception, Refused, check, prove};
use crate::explore::{Invariant, Limits, Usage, Writer};
use crate::flash::fault::{FaultClass, FaultProfile};
use crate::layout::Layout;
use crate::replay::FirmwareSource;
use crate::setup::{FIXTURES, Fixture, Rollback, Setup};
use crate::subject::{EspIdf, OtaCore, Release, Subject, UpdateAgent};
use ota_core::Generation;
use ota_core::image::ChipId;
use std::ops::ControlFlow;

const SMALL: &str = "otadata,data,ota,0xd000,0x2000\n\
    ota_0,app,ota_0,0x10000,64K\nota_1,app,ota_1,0x20000,64K\n";

fn setup(subject: &'static dyn Subject, rollback: impl Into<Rollback>) -> Setup {
    let part = crate::flash::Part::W25Q32JV.with_capacity(1 << 20);
    Setup {
        generation: Generation::V6_1,
        layout: Layout::from_csv("small", SMALL, part.capacity).unwrap(),
        rollback: rollback.into(),
        firmware: FIXTURES.iter().map(Fixture::firmware).collect(),
        subject,
        part,
        chip: ChipId::ESP32C3,
        encrypted: false,
    }
}

fn limits(usage: Usage) -> Limits {
    Limits {
        profile: FaultProfile::enumerable(1).without(FaultClass::Collateral),
        cut_bootloader: true,
        usage,
        max_states: u64::MAX,
        max_cuts: u32::MAX,
        remember: true,
    }
}

fn certify(setup: &Setup, usage: Usage) -> Certificate {
    let sources = FIXTURES.map(|fixture| FirmwareSource::Builtin(fixture.name.into()));
    let watch = |_: &_| ControlFlow::Continue(());
    prove(setup, &sources, &limits(usage), watch).unwrap().0
}

/// The certificate with other lines, and a header that fits them.
fn with_lines(certificate: &Certificate, lines: Vec<Line>) -> Certificate {
    let mut changed = Certificate { lines, ..certificate.clone() };
    changed.header.digest = digest(&changed.lines);
    changed
}

#[test]
fn what_the_search_finds_is_closed() {
    let core: &'static dyn Subject = &OtaCore { extent: Some(ota_core::Extent::Sequential) };
    let idf: &'static dyn Subject = &EspIdf { release: Release::V5_5, extent: None };
    for (subject, rollback, usage) in [
        (core, Rollback::Off, Usage::Any),
        (core, Rollback::On, Usage::Usual),
        (core, Rollback::Anti, Usage::Usual),
        (&UpdateAgent as &'static dyn Subject, Rollback::On, Usage::Usual),
        (idf, Rollback::Off, Usage::Usual),
        (idf, Rollback::Anti, Usage::Usual),
    ] {
        let mut setup = setup(subject, rollback);
        if rollback == Rollback::Anti {
            let newer = FIXTURES[1..].iter().map(|fixture| fixture.with_secure_version(1));
            setup.firmware = [FIXTURES[0].firmware()].into_iter().chain(newer).collect();
        }
        let certificate = certify(&setup, usage);
        let checked = check(&certificate, &setup.world().unwrap());
        let checked = checked.unwrap_or_else(|refused| panic!("{}: {refused}", subject.name()));
        assert_eq!(checked.scenarios, certificate.header.scenarios);
        assert!(checked.situations > 300 && checked.scenarios > 100_000, "{checked:?}");
        let of_the_bootloader = |it: &Exception| it.during == Writer::Bootloader;
        let safe = certificate.header.exceptions.iter().all(of_the_bootloader);
        assert_eq!(safe, !subject.name().starts_with("esp-idf"));
    }
}

#[test]
fn no_line_can_be_spared() {
    let setup = setup(&OtaCore { extent: None }, true);
    let world = setup.world().unwrap();
    let certificate = certify(&setup, Usage::Usual);
    let count = certificate.lines.len();
    for index in (0..count).step_by(count / 6) {
        let mut lines = certificate.lines.clone();
        lines.remove(index);
        let refused = check(&with_lines(&certificate, lines), &world).unwrap_err();
        let missing = matches!(refused, Refused::NotClosed { .. } | Refused::NotBegun);
        assert!(missing, "{index}: {refused}");
    }
}

#[test]
fn an_upload_may_leave_nothing_that_is_not_listed() {
    let setup = setup(&UpdateAgent, false);
    let world = setup.world().unwrap();
    let certificate = certify(&setup, Usage::Usual);
    let leftover = |line: &Line| matches!(line, Line::Leftover(_));
    let mut lines = certificate.lines.clone();
    let index = lines.iter().rposition(leftover).unwrap();
    lines.remove(index);
    let refused = check(&with_lines(&certificate, lines), &world).unwrap_err();
    assert!(refused.to_string().contains("leftover"), "{refused}");
}

#[test]
fn broken_invariants_must_be_named() {
    let setup = setup(&EspIdf { release: Release::V5_5, extent: None }, false);
    let world = setup.world().unwrap();
    let certificate = certify(&setup, Usage::Usual);
    let mut quiet = certificate.clone();
    assert!(quiet.header.exceptions.pop_first().is_some());
    assert!(matches!(check(&quiet, &world), Err(Refused::Broken { .. })));
    let mut loud = certificate;
    let never = Exception { invariant: Invariant::BoundedWear, during: Writer::Bootloader };
    assert!(loud.header.exceptions.insert(never));
    assert!(matches!(check(&loud, &world), Err(Refused::Header { field: "exceptions", .. })));
}

#[test]
fn encrypted_flash_is_part_of_the_claim() {
    let idf: &'static dyn Subject = &EspIdf { release: Release::V5_5, extent: None };
    let plain = setup(idf, false);
    let encrypted = Setup { encrypted: true, ..plain.clone() };
    let certificate = certify(&encrypted, Usage::Usual);
    assert!(certificate.to_text().lines().next().unwrap().contains("\"encrypted\":true"));
    assert!(certificate.header.assumptions.iter().any(|it| it.contains("XTS-AES-128")));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.certificate");
    certificate.write(&path).unwrap();
    let read = Certificate::read(&path).unwrap();
    assert_eq!(read, certificate);
    check(&read, &encrypted.world().unwrap()).unwrap();
    // Neither holds for the other device.
    check(&certificate, &plain.world().unwrap()).unwrap_err();
    check(&certify(&plain, Usage::Usual), &encrypted.world().unwrap()).unwrap_err();
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let setup = setup(&OtaCore { extent: None }, false);
    let world = setup.world().unwrap();
    let certificate = certify(&setup, Usage::Usual);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.certificate");
    certificate.write(&path).unwrap();
    assert_eq!(Certificate::read(&path).unwrap(), certificate);
    let mut changed = certificate.clone();
    changed.lines.swap(0, 1);
    assert!(matches!(check(&changed, &world), Err(Refused::Header { field: "digest", .. })));
    let mut changed = certificate.clone();
    changed.header.scenarios += 1;
    assert!(matches!(check(&changed, &world), Err(Refused::Header { field: "scenarios", .. })));
    // A name that goes with other faults, and other faults under that name.
    let mut changed = certificate.clone();
    assert_eq!(changed.header.chip_profile.as_deref(), Some("nor"));
    for name in [None, Some("nor-disturb"), Some("none that there is")] {
        changed.header.chip_profile = name.map(String::from);
        let refused = check(&changed, &world).unwrap_err();
        assert!(matches!(refused, Refused::Header { field: "chip profile", .. }), "{refused}");
    }
    changed.header.chip_profile = Some("nor-disturb".into());
    changed.header.faults = FaultProfile::enumerable(1).classes().collect();
    assert!(matches!(
        check(&changed, &world),
        Err(Refused::NotClosed { .. } | Refused::Broken { .. })
    ));
    std::fs::write(&path, "{\"certificate\": 1}\n").unwrap();
    let error = Certificate::read(&path).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("sim prove"), "{error}");
}
