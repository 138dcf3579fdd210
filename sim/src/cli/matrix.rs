//! The explorations that a command line asks for.

use super::args::{Cuts, Device, RollbackArg};
use ota_core::Generation;
use ota_core::image::{ChipId, Requirements};
use sim::bootloader::Bootloader;
use sim::explore::WorldError;
use sim::firmware::Firmware;
use sim::flash::fault::{FaultClass, FaultProfile};
use sim::input;
use sim::layout::Layout;
use sim::replay::{FirmwareSource, ReplayError};
use sim::setup::{FIXTURES, Rollback, Setup, SetupError, builtin, subjects};
use sim::subject::Subject;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to explore.
#[derive(Debug)]
pub(super) struct Matrix {
    /// One exploration each.
    pub(super) setups: Vec<Setup>,
    /// Update code that would not start on a layout, each once.
    pub(super) refused: Vec<SetupError>,
    /// Where the images come from.
    pub(super) sources: Vec<FirmwareSource>,
    /// All stock layouts and bootloaders, on images that come with the program or of this project's
    /// firmware, with all faults: here it is known what ESP-IDF's update code must show.
    pub(super) stock: bool,
}

impl Matrix {
    /// Reads all inputs.
    pub(super) fn new(args: &Device, cuts: &Cuts) -> Result<Self, ReplayError> {
        let (chip, firmware, sources) = images(args)?;
        let firmware: Arc<[_]> = firmware.into();
        let chosen = combinations(args);
        let (mut setups, mut refused) = (Vec::new(), Vec::new());
        for layout in &layouts(args)? {
            let part = layout.part().unwrap_or(args.flash_part);
            let wanted = chosen
                .iter()
                .filter(|(_, rollback, subject)| explores(args, layout, *rollback, *subject));
            for &(generation, rollback, subject) in wanted {
                let setup = Setup {
                    layout: layout.clone().for_bootloader(generation),
                    generation,
                    rollback,
                    firmware: firmware.clone(),
                    subject,
                    part,
                    chip,
                    encrypted: args.encrypted,
                };
                match setup.world().map(drop) {
                    Err(error @ SetupError::World(WorldError::Refused { .. })) => {
                        if !refused.contains(&error) {
                            refused.push(error);
                        }
                    }
                    result => {
                        result?;
                        setups.push(setup);
                    }
                }
            }
        }
        let all_layouts = args.partitions.is_none() && args.layout.is_empty();
        let usual = FaultProfile::enumerable(cuts.seed).without(FaultClass::Collateral);
        let faults = cuts.faults_of(&args.flash_part);
        let all_faults = usual.classes().all(|class| faults.has(class));
        let stock = all_layouts
            && all_faults
            && args.image.is_none()
            && !args.encrypted
            && args.bootloader == [Generation::V6_1]
            && args.rollback == RollbackArg::Both
            && chosen.iter().any(|(.., subject)| subject.name() == "esp-idf-v5.5");
        let matrix = Self { setups, refused, sources, stock };
        matrix.check()?;
        Ok(matrix)
    }

    /// Leaves those that are `wanted`.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Setup) -> bool) -> Result<(), SetupError> {
        self.setups.retain(wanted);
        self.check()
    }

    /// An error where nothing is left since all that was asked for is refused.
    fn check(&self) -> Result<(), SetupError> {
        match self.refused.first() {
            Some(refused) if self.setups.is_empty() => Err(refused.clone()),
            _ => Ok(()),
        }
    }
}

/// The layouts that a command line asks for. With `--all` they are all that come with the program.
fn layouts(args: &Device) -> Result<Vec<Layout>, ReplayError> {
    if let Some(path) = &args.partitions {
        return Ok(vec![input::read_table(path, args.flash_part.capacity)?]);
    }
    if !args.layout.is_empty() {
        return Ok(args.layout.clone());
    }
    Ok(if args.all { all_layouts() } else { Layout::stock() })
}

/// All layouts that come with the program.
pub(super) fn all_layouts() -> Vec<Layout> {
    Layout::stock().into_iter().chain(Layout::breadth()).chain(Layout::gaps()).collect()
}

/// Whether a layout is explored with a subject. Update code of others is found wanting on the stock layouts
/// already. On the others it need not be: what some of it leaves in sixteen slots is too much to explore. What
/// `ota-core` refuses is there for the code of others alone.
/// Under anti-rollback, what cannot be explored is left out unless it is asked for by name.
fn explores(args: &Device, layout: &Layout, rollback: Rollback, subject: &dyn Subject) -> bool {
    let named = !args.layout.is_empty();
    let anti = rollback == Rollback::Anti;
    let has_factory = layout.apps().factory().is_some() && !named && args.partitions.is_none();
    let resumes = subject.resumes() && args.subject.is_empty();
    let fits = !(anti && (has_factory || resumes));
    let is_valid = layout.validated().is_ok();
    fits && (layout.part().is_none() || named || subject.is_suspect() != is_valid)
}

/// The update code of a quick look: all that this project ships, and what most devices run.
const QUICK: [&str; 5] =
    ["ota-core", "ota-core-bulk", "update-agent", "esp-idf-v5.5", "esp-idf-v5.5-sequential"];

/// The bootloaders, without rollback or with it, and the update code that a command line asks for, each
/// combination once. With `--all` they are all that there are.
fn combinations(args: &Device) -> Vec<(Generation, Rollback, &'static dyn Subject)> {
    let generations = if args.all { &Generation::ALL[..] } else { &args.bootloader };
    let mut chosen: Vec<_> = subjects().into();
    if !args.all {
        let named = args.subject.iter().map(|subject| subject.name());
        let wanted: Vec<_> = if args.subject.is_empty() { QUICK.into() } else { named.collect() };
        chosen.retain(|subject| wanted.contains(&subject.name()));
    }
    if args.encrypted && args.subject.is_empty() {
        chosen.retain(|subject| subject.plain_only().is_none());
    }
    let mut combinations = Vec::new();
    for &generation in generations {
        // Of all bootloaders, those that there are.
        let exists =
            |it: &&Rollback| !args.all || !it.is_on() || Bootloader::has_rollback(generation);
        for &rollback in args.rollback.values(generation).iter().filter(exists) {
            combinations.extend(chosen.iter().map(|&subject| (generation, rollback, subject)));
        }
    }
    combinations
}

/// Images of `just fw` that differ in what runs; three, so that an update can be followed by another one
/// than that before.
const FAMILY: [&str; 3] = ["v1.0.0.app.bin", "v2.0.0.app.bin", "v2-hanging.app.bin"];

type Images = (ChipId, Vec<Firmware>, Vec<FirmwareSource>);

fn images(args: &Device) -> Result<Images, ReplayError> {
    if let Some(image) = &args.image {
        return files(image, &args.update);
    }
    let Some(directory) = &args.family else {
        let (firmware, sources) = stock_images(args.rollback);
        return Ok((ChipId::ESP32C3, firmware, sources));
    };
    let [first, updates @ ..] = FAMILY.map(|name| directory.join(name));
    files(&first, &updates)
}

/// The images that come with the program. Under anti-rollback the first is older than the others.
pub(super) fn stock_images(rollback: RollbackArg) -> (Vec<Firmware>, Vec<FirmwareSource>) {
    let [first, updates @ ..] = FIXTURES.map(|fixture| fixture.name.to_owned());
    let newer = |name| if rollback == RollbackArg::Anti { format!("{name}@1") } else { name };
    let names = std::iter::once(first).chain(updates.map(newer));
    let images = names.filter_map(|name| Some((builtin(&name)?, FirmwareSource::Builtin(name))));
    images.unzip()
}

fn files(first: &Path, updates: &[PathBuf]) -> Result<Images, ReplayError> {
    let image = input::read_image(first)?;
    let chip = input::chip_of(first, &image)?;
    let requirements = Requirements::for_chip(chip);
    let mut firmware = vec![input::verify_image(first, &image, &requirements)?];
    let mut sources = vec![FirmwareSource::file(first, &image)];
    for path in updates {
        let image = input::read_image(path)?;
        firmware.push(input::verify_image(path, &image, &requirements)?);
        sources.push(FirmwareSource::file(path, &image));
    }
    if let [first, _] = &firmware[..] {
        // Besides the update there must be one to follow it, also where the first stays in factory.
        firmware.push(first.clone());
        sources.push(sources[0].clone());
    }
    Ok((chip, firmware, sources))
}
