//! Compares the bootloader model with Espressif's bootloaders on generated flash contents.
//!
//! Each disagreement is written to `target/differential`: the flash contents, and what board and
//! model made of them.

use clap::{Parser, ValueEnum};
use cutpoint_tests::differential::{
    Comparison, RealBootloader, Release, Summary, Verdict, compare, run,
};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Compares the bootloader model with Espressif's bootloader, which runs on the virtual board, on
/// generated flash contents.
#[derive(Debug, Parser)]
#[command(name = "differential")]
struct Args {
    /// How many flash contents.
    #[arg(long, default_value_t = 10_000)]
    states: u64,
    /// What they follow from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only the flash contents with this number, in full.
    #[arg(long)]
    only: Option<u64>,
    /// Bootloader of this release of ESP-IDF.
    #[arg(long, default_value = "6.1")]
    release: Release,
    /// Bootloader from this file: an image for the ESP32-C3 as it is written to the start of flash.
    /// `--release` then tells which release it is of.
    #[arg(long)]
    bootloader: Option<PathBuf>,
    /// The bootloader in the file was built with CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE.
    #[arg(long, requires = "bootloader")]
    rollback: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match differential(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all disagreements are explained.
fn differential(args: &Args) -> Result<bool, Box<dyn Error>> {
    let folder = Path::new("target/differential");
    fs::create_dir_all(folder)?;
    let bootloader = match &args.bootloader {
        None => args.release.bootloader(folder)?,
        Some(file) => {
            let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            RealBootloader::from_image(bytes, args.release, args.rollback)
                .map_err(|error| format!("{}: {error}", file.display()))?
        }
    };
    if let Some(only) = args.only {
        let comparison = compare(args.seed, only, &bootloader)?;
        save(folder, args, &comparison)?;
        println!("\n{comparison}");
        return Ok(comparison.verdict != Verdict::Disagreed);
    }
    let began = Instant::now();
    let summary = run(args.seed, 0..args.states, &bootloader, |comparison| {
        if let Err(error) = save(folder, args, comparison) {
            eprintln!("{}: {error}", folder.display());
        }
    })?;
    print(&summary);
    println!("\n{:.1} s", began.elapsed().as_secs_f64());
    Ok(summary.disagreements() == 0)
}

/// Writes a comparison down, and says how to repeat it.
fn save(folder: &Path, args: &Args, comparison: &Comparison) -> Result<(), Box<dyn Error>> {
    let (seed, index) = (args.seed, comparison.state.index);
    let name = folder.join(format!("seed-{seed}-state-{index}"));
    let (flash, text) = (name.with_extension("bin"), name.with_extension("txt"));
    let memory = &comparison.state.memory;
    fs::write(&flash, memory.to_vec(0..memory.capacity()))?;
    fs::write(&text, comparison.to_string())?;
    println!(
        "state {index} ({}): {}; {}, {}; again: just differential{}",
        comparison.state.table,
        comparison.difference(),
        flash.display(),
        text.display(),
        repeat(args, index)
    );
    Ok(())
}

/// The arguments that repeat one comparison.
fn repeat(args: &Args, index: u64) -> String {
    let mut text = format!(" --seed {} --only {index}", args.seed);
    if let Some(release) = args.release.to_possible_value() {
        text += &format!(" --release {}", release.get_name());
    }
    if let Some(file) = &args.bootloader {
        text += &format!(" --bootloader {}", file.display());
    }
    if args.rollback {
        text += " --rollback";
    }
    text
}

/// Prints the figures as tables for the documentation.
fn print(summary: &Summary) {
    println!("| | states |\n|---|---:|");
    for (verdict, count) in &summary.verdicts {
        match verdict {
            Verdict::Agreed => println!("| agree | {count} |"),
            Verdict::Explained(why) => println!("| differ, explained: {why} | {count} |"),
            Verdict::Disagreed => println!("| **differ** | {count} |"),
        }
    }
    let Summary { started, reset, operations, .. } = summary;
    println!("| in which an application starts | {started} |");
    println!("| in which the bootloader resets | {reset} |");
    println!("| flash operations | {operations} |");
    println!("\n| | class | states | differ |\n|---|---|---:|---:|");
    for ((what, class), (states, differences)) in &summary.classes {
        println!("| {what} | {class} | {states} | {differences} |");
    }
}
