//! `foreign`: firmware that nobody here wrote, on the virtual board.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use cutpoint_tests::foreign::{Cut, Images, Recording, keep_time, sweep, table};
use sim::layout::Layout;

/// Lines of the Embassy firmware that its time is measured by: ten seconds.
const LINES: usize = 101;

/// The page that holds what is known.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/foreign-firmware.md");

/// The layouts of the devices: with a factory application and without.
const LAYOUTS: [&str; 2] = ["factory-2-slots", "2-slots"];

/// Cut power while firmware updates itself with the published crate esp-bootloader-esp-idf, and run
/// firmware with Embassy.
///
/// ROM, bootloader and firmware run unmodified. Two updates of one device, on two layouts: power fails in
/// every flash operation of selection and confirmation and in some of the upload, each at five points
/// between nothing and all done. What becomes of the device is printed as a table and compared with the
/// one in docs/foreign-firmware.md.
///
/// Exit code: 0 when the tables are the documented ones and Embassy keeps time; with --cut, when the device
/// survives. 1 when not. 2 when the updates can't be made even without a cut.
#[derive(Parser)]
struct Arguments {
    /// Make this cut alone and report what becomes of the device: update, phase, number of the flash
    /// operation and fraction, for instance 2:select:3:0.25
    #[arg(long, value_name = "UPDATE:PHASE:OPERATION:FRACTION")]
    cut: Option<Cut>,
    /// The layout for --cut
    #[arg(long, value_name = "NAME", default_value = LAYOUTS[0], value_parser = LAYOUTS)]
    layout: String,
    /// Folder with the programs that tests/foreign-fw/build.sh has made
    #[arg(long, value_name = "FOLDER", default_value = "target/foreign")]
    images: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let images = Images::load(&arguments.images)?;
    let find = |name: &str| {
        let found = Layout::stock().into_iter().find(|layout| layout.name() == name);
        found.ok_or_else(|| format!("{name}: no such layout"))
    };
    match arguments.cut {
        Some(cut) => one_cut(&find(&arguments.layout)?, &images, cut),
        None => {
            let page = std::fs::read_to_string(PAGE).map_err(|error| format!("{PAGE}: {error}"))?;
            let mut right = true;
            for name in LAYOUTS {
                right &= all_cuts(&find(name)?, &images, &page)?;
            }
            Ok(time(&find(LAYOUTS[0])?, &images)? && right)
        }
    }
}

fn one_cut(layout: &Layout, images: &Images, cut: Cut) -> Result<bool, String> {
    let outcome = Recording::make(layout, images)?.cut(cut)?;
    println!("{cut} on {}: otadata {}", layout.name(), outcome.otadata);
    let report = |what: &str, found: &Result<_, String>| match found {
        Ok(boot) => println!("{what}: {boot}"),
        Err(failure) => println!("{what}: nothing: {failure}"),
    };
    report("runs then", &outcome.boot);
    report("runs after one more power cycle", &outcome.next);
    println!("the update afterwards: {}", outcome.completion);
    println!("{}", if outcome.survived { "survived" } else { "NOT survived" });
    Ok(outcome.survived)
}

fn all_cuts(layout: &Layout, images: &Images, page: &str) -> Result<bool, String> {
    let start = Instant::now();
    let recording = Recording::make(layout, images)?;
    let outcomes = sweep(&recording)?;
    let found = table(&outcomes);
    let bad = outcomes.iter().filter(|outcome| !outcome.survived).count();
    let (name, cuts, seconds) = (layout.name(), outcomes.len(), start.elapsed().as_secs_f64());
    println!("{name}: {cuts} cuts, {bad} of them not survived, {seconds:.1} s\n\n{found}");
    let documented = !found.is_empty() && page.contains(&found);
    if !documented {
        println!("FAILED: this is not what docs/foreign-firmware.md says\n");
    }
    Ok(documented)
}

fn time(layout: &Layout, images: &Images) -> Result<bool, String> {
    let found = keep_time(layout, images, LINES)?;
    println!(
        "Embassy: {:.6} s by its own clock in {:.6} s; {} lines of 100 ms, {} lines of 250 ms",
        found.own.as_secs_f64(),
        found.simulated.as_secs_f64(),
        found.clock,
        found.counter
    );
    if !found.is_right() {
        println!("FAILED: that is not right to 1 %");
    }
    Ok(found.is_right())
}
