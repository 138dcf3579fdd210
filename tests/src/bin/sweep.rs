//! `sweep`: power cuts in every flash operation of a complete update on the virtual board.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use cutpoint_tests::full_stack::{Images, Phase, Recording, sweep};

/// Update the firmware of a virtual board, with power cuts in its flash operations.
///
/// The mask ROM, the bootloader and the firmware that `just fw` has made run unmodified; mcumgr-toolkit
/// uploads, selects and confirms version 2.0.0. Power fails in every operation of selection and
/// confirmation and in every N-th of the upload, each at five points between nothing and all done. After
/// each cut the board boots, and what runs is checked.
///
/// Exit code: 0 when every cut leaves a device that works, 1 when one does not, 2 when the update can't be
/// made even without a cut.
#[derive(Parser)]
struct Arguments {
    /// Cut in every N-th operation of the upload
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Complete the update after the cuts in every N-th operation of the upload, and after all cuts in
    /// other operations
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    complete_every: u64,
    /// Number of boards that work side by side
    #[arg(long, value_name = "N", default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
    /// Folder with the images of `just fw`
    #[arg(long, value_name = "FOLDER", default_value = "target/fw")]
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
    let start = Instant::now();
    let (recording, device) = Recording::make(&images)?;
    println!("update without a cut, {:.1} s:", start.elapsed().as_secs_f64());
    for (phase, range) in recording.phases() {
        println!("  {phase:8} {:5} flash operations", range.end - range.start);
    }
    let start = Instant::now();
    let chosen = |every: u64| move |phase, number| phase != Phase::Upload || number % every == 0;
    let result = sweep(
        &recording,
        &device,
        &images,
        arguments.jobs,
        chosen(arguments.every),
        chosen(arguments.complete_every),
    );
    let seconds = start.elapsed().as_secs_f64();
    let cuts = result.outcomes.len();
    println!(
        "{cuts} cuts, {} different flash contents, {seconds:.1} s, {:.0} cuts/s",
        result.states,
        cuts as f64 / seconds
    );
    for (phase, _) in recording.phases() {
        let of_phase = || result.outcomes.iter().filter(|outcome| outcome.cut.phase == *phase);
        let boots = |version: &str| {
            of_phase()
                .filter(|it| it.boot.as_ref().is_ok_and(|boot| boot.version == version))
                .count()
        };
        let completed = of_phase().filter(|it| matches!(it.completed, Some(Ok(())))).count();
        let (all, old, new) = (of_phase().count(), boots("1.0.0"), boots("2.0.0"));
        println!(
            "  {phase:8} {all:6} cuts: {old:6} boot the old firmware, {new:4} the new one; {completed} updates completed afterwards"
        );
    }
    let failures: Vec<_> = result.failures().collect();
    for (cut, failure) in failures.iter().take(20) {
        println!("FAILED {cut}: {failure}");
    }
    println!("{} failures", failures.len());
    Ok(failures.is_empty() && cuts > 0)
}
