//! What exploring costs, as a table: crash states and flash operations per CPU-second, bytes verified per
//! recovery, the closure of the stock layouts, a fork, and peak memory.
//!
//! Counts matter as much as times here, so this is a program of its own. Times are those of the
//! scheduler for its one thread, so other work on the machine disturbs them little.

use ota_core::image::{ChipId, Requirements};
use sim::bootloader::Bootloader;
use sim::explore::{Check, Limits, PlainLimits, Usage, World, explore, plain};
use sim::firmware::Firmware;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::flash::{Memory, Part};
use sim::layout::Layout;
use sim::setup::{FIXTURES, Fixture};
use sim::subject::{OtaCore, Subject, UpdateAgent};
use sim::synthetic::ImageBuilder;
use std::fs::read_to_string;
use std::hint::black_box;
use std::ops::ControlFlow;

const KIB: u32 = 1024;
/// Two slots that a 128 KiB image fills, as in the peers' runs.
const SLOTS_128K: &str = "otadata,data,ota,0xd000,0x2000\n\
    ota_0,app,ota_0,0x10000,128K\nota_1,app,ota_1,0x30000,128K\n";
const SLOTS_1M: &str = "otadata,data,ota,0xd000,0x2000\n\
    ota_0,app,ota_0,0x10000,1M\nota_1,app,ota_1,0x110000,1M\n";

fn main() {
    println!("fork of a 4 MiB chip");
    fork();
    println!("\nevery cut of a complete update, by plain execution (ota-core)");
    println!(
        "{:<34} {:>7} {:>7} {:>6} {:>9} {:>9} {:>12}",
        "", "cuts", "torn", "CPU s", "torn/s", "ops/s", "verified"
    );
    let core = OtaCore::default();
    for (name, csv, size) in [("128 KiB", SLOTS_128K, 128 * KIB), ("1 MiB", SLOTS_1M, 1024 * KIB)] {
        run(&format!("{name}, remembered"), csv, size, &core, every(Check::Remembered));
        run(&format!("{name}, remembered, F0 only"), csv, size, &core, between(Check::Remembered));
        run(&format!("{name}, SHA-256, F0 only"), csv, size, &core, between(Check::Full));
    }
    let full = every(Check::Full);
    run("128 KiB, SHA-256", SLOTS_128K, 128 * KIB, &core, full);
    let again = PlainLimits { update_again: true, ..between(Check::Remembered) };
    run("128 KiB, F0, then a whole update", SLOTS_128K, 128 * KIB, &core, again);
    println!(
        "\nclosure of the stock layouts, images of sim/fixtures, rollback, cuts in the bootloader too"
    );
    println!(
        "{:<34} {:>7} {:>7} {:>6} {:>9} {:>9} {:>12}",
        "", "cuts", "states", "CPU s", "torn", "torn/s", "peak"
    );
    let fixtures: Vec<_> = FIXTURES.iter().map(Fixture::firmware).collect();
    for layout in Layout::stock() {
        closure(&layout, &fixtures, &core);
        closure(&layout, &fixtures, &UpdateAgent);
    }
}

/// Runs power cuts of every enumerable class.
fn every(check: Check) -> PlainLimits {
    let profile = FaultProfile::enumerable(1);
    PlainLimits { profile, cut_bootloader: true, usage: Usage::Usual, check, update_again: false }
}

/// Power fails between operations: two outcomes of each.
fn between(check: Check) -> PlainLimits {
    let profile = FaultProfile::none(1).with(FaultClass::Between);
    PlainLimits { profile, ..every(check) }
}

fn requirements() -> Requirements {
    Requirements::for_chip(ChipId::ESP32C3)
}

fn firmware(count: u64, size: u32) -> Vec<Firmware> {
    let image = |seed| {
        let bytes = ImageBuilder::new(size).seed(seed).build();
        Firmware::new(format!("{seed}"), &bytes, &requirements()).expect("the image is valid")
    };
    (0..count).map(image).collect()
}

fn run(name: &str, csv: &str, size: u32, subject: &dyn Subject, limits: PlainLimits) {
    let part = Part::W25Q32JV;
    let layout = Layout::from_csv("bench", csv, part.capacity).expect("the layout is valid");
    let firmware = firmware(2, size);
    let bootloader = Bootloader { rollback: true, ..Bootloader::default() };
    let world = World::new(&layout, bootloader, requirements(), &firmware, subject, part)
        .expect("the images fit");
    let start = cpu_seconds();
    let report = plain(&world, &limits);
    let seconds = cpu_seconds() - start;
    let verified = match report.verified_bytes / report.boots {
        0 => "-".into(),
        bytes => format!("{:.1} KiB", bytes as f64 / f64::from(KIB)),
    };
    println!(
        "{name:<34} {:>7} {:>7} {seconds:>6.2} {:>9.0} {:>9.0} {verified:>12}",
        report.cut_points,
        report.torn,
        report.torn as f64 / seconds,
        report.operations as f64 / seconds
    );
    assert!(report.findings.iter().all(|finding| finding.hazard.is_some()));
}

fn closure(layout: &Layout, firmware: &[Firmware], subject: &dyn Subject) {
    let bootloader = Bootloader { rollback: true, ..Bootloader::default() };
    let world = World::new(layout, bootloader, requirements(), firmware, subject, Part::W25Q32JV)
        .expect("the images fit");
    let limits = Limits {
        usage: Usage::Usual,
        profile: FaultProfile::enumerable(1).without(FaultClass::Collateral),
        cut_bootloader: true,
        max_states: 1_000_000,
        max_cuts: u32::MAX,
        remember: true,
    };
    let start = cpu_seconds();
    let report = explore(&world, &limits, |_| ControlFlow::Continue(()));
    let seconds = cpu_seconds() - start;
    assert!(report.complete, "{}", layout.name());
    println!(
        "{:<34} {:>7} {:>7} {seconds:>6.2} {:>9} {:>9.0} {:>8.0} MiB",
        format!("{}, {}", layout.name(), subject.name()),
        report.progress.cut_points,
        report.progress.states,
        report.progress.torn,
        report.progress.torn as f64 / seconds,
        status("VmHWM") / 1024.0
    );
}

/// Forks of a chip full of data, each with one word written, all kept.
fn fork() {
    const FORKS: u32 = 20_000;
    let bytes: Vec<u8> = (0..Part::W25Q32JV.capacity).map(|i| (i ^ (i >> 8)) as u8).collect();
    let memory = Memory::with_contents(Part::W25Q32JV.capacity, &bytes);
    let mut forks = Vec::with_capacity(FORKS as usize);
    let (resident, start) = (status("VmRSS"), cpu_seconds());
    for _ in 0..FORKS {
        let mut fork = memory.clone();
        fork.set(0xD000, &[1, 2, 3, 4]);
        forks.push(fork);
    }
    let (seconds, grown) = (cpu_seconds() - start, status("VmRSS") - resident);
    black_box(&forks);
    let each = f64::from(FORKS);
    println!("{:.2} us, {:.0} bytes", seconds / each * 1e6, grown * 1024.0 / each);
}

/// CPU time of this thread so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or(f64::NAN, |nanos: f64| nanos / 1e9)
}

/// A line of `/proc/self/status`, in KiB.
fn status(key: &str) -> f64 {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(f64::NAN)
}
