//! When an update is exposed: for how long, and so how likely a power cut is to hit.

use super::life::{UPDATES, live};
use super::step::{Phase, Step};
use crate::firmware::Firmware;
use crate::flash::{OperationKind, Part};
use crate::replay::ReplayError;
use crate::setup::Setup;
use crate::synthetic::ImageBuilder;
use ota_core::image::Requirements;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest image that is timed, in bytes: what leaves a little room in a slot of 1 MiB.
const IMAGE_BYTES: u32 = 0xF_0000;

/// Whether a cut breaks an invariant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hits {
    /// Some crash state of the operation does.
    pub(super) during: bool,
    /// The state that it leaves when it is complete does.
    pub(super) after: bool,
}

/// The steps of an update that cuts were tried in, and whether any of their operations was hit.
pub(super) type Exposed = BTreeMap<(Phase, Step), Hits>;

/// A flash operation of an update.
#[derive(Clone, Debug, Serialize)]
pub struct Timed {
    /// Where in the life of the device.
    pub phase: Phase,
    /// What the operation does.
    pub step: Step,
    #[serde(skip)]
    kind: OperationKind,
    /// Some crash state of it breaks an invariant: a cut at any time inside it is counted as a hit.
    pub vulnerable: bool,
    /// So does the state in which it leaves flash, until the next operation begins.
    pub pause_vulnerable: bool,
}

/// The flash operations of one update, from the first erase to the confirmation. It is the second update
/// of the device: one in the field has had one.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Size of the image in bytes.
    pub image_bytes: u32,
    /// The operations, in order.
    pub operations: Vec<Timed>,
}

/// How long an update works on a flash part, and how long it is vulnerable meanwhile: typical busy times
/// of [`Part::timing`], in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Exposure {
    /// Name of the part.
    pub part: &'static str,
    /// All flash operations of the update.
    pub flash_us: u64,
    /// The vulnerable ones of the update code.
    pub application_us: u64,
    /// The vulnerable ones of the bootloader.
    pub bootloader_us: u64,
}

impl Timed {
    /// How long a part is busy with it, typically.
    pub fn typical(&self, part: &Part) -> Duration {
        part.timing.of(&self.kind).typ
    }
}

impl Window {
    /// The operations of an update with images of a usual size, on the device of `setup`. Which steps are
    /// vulnerable is known from smaller images: `exposed`.
    pub(super) fn of(setup: &Setup, exposed: &Exposed) -> Result<Self, ReplayError> {
        let apps = setup.layout.apps();
        let sizes = apps.slots().chain(apps.factory()).map(|region| region.size);
        let image_bytes = sizes.min().unwrap_or(IMAGE_BYTES).min(IMAGE_BYTES);
        let requirements = Requirements::for_chip(setup.chip);
        let image = |seed| {
            let bytes = ImageBuilder::new(image_bytes).seed(seed).chip(setup.chip).build();
            Firmware::new(format!("{seed}"), &bytes, &requirements)
                .expect("the builder makes images that verify")
        };
        let setup = Setup { firmware: (1..=3).map(image).collect(), ..setup.clone() };
        let world = setup.world()?;
        let life = live(&world, UPDATES)?;
        let timed = life.operations.into_iter().filter(|performed| performed.timed);
        let operations = timed.map(|performed| {
            let (phase, step) = (performed.phase, performed.step);
            // A step that no cut was tried in counts as vulnerable.
            let hits = exposed.get(&(phase, step)).copied();
            let hits = hits.unwrap_or(Hits { during: true, after: true });
            Timed {
                phase,
                step,
                kind: performed.recorded.operation.kind,
                vulnerable: hits.during,
                pause_vulnerable: hits.after,
            }
        });
        Ok(Self { image_bytes, operations: operations.collect() })
    }

    /// The vulnerable operations, in order.
    pub fn vulnerable(&self) -> impl Iterator<Item = &Timed> {
        self.operations.iter().filter(|timed| timed.vulnerable)
    }

    /// The times on a part.
    pub fn exposure(&self, part: &Part) -> Exposure {
        let sum = |of: &dyn Fn(&Timed) -> bool| {
            let times = self.operations.iter().filter(|timed| of(timed));
            let total: Duration = times.map(|timed| timed.typical(part)).sum();
            u64::try_from(total.as_micros()).unwrap_or(u64::MAX)
        };
        Exposure {
            part: part.name,
            flash_us: sum(&|_| true),
            application_us: sum(&|timed| timed.vulnerable && !timed.phase.in_bootloader()),
            bootloader_us: sum(&|timed| timed.vulnerable && timed.phase.in_bootloader()),
        }
    }
}

impl Exposure {
    /// Vulnerable time, whoever writes, in microseconds.
    pub fn vulnerable_us(&self) -> u64 {
        self.application_us + self.bootloader_us
    }

    /// The probability that a cut at a random instant of the flash operations hits a vulnerable one.
    pub fn in_flash_time(&self) -> f64 {
        self.vulnerable_us() as f64 / self.flash_us.max(1) as f64
    }

    /// The probability that a cut at a random instant of an update hits a vulnerable operation, if it takes
    /// this long from its first flash operation to its last. `None` if the flash part alone takes longer.
    pub fn in_update(&self, update: Duration) -> Option<f64> {
        let fits = u128::from(self.flash_us) <= update.as_micros() && !update.is_zero();
        fits.then(|| self.vulnerable_us() as f64 / update.as_micros() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::EraseSize;

    fn timed(phase: Phase, kind: OperationKind, vulnerable: bool) -> Timed {
        Timed { phase, step: Step::Elsewhere, kind, vulnerable, pause_vulnerable: false }
    }

    #[test]
    fn times_add_up() {
        let program = || OperationKind::Program { data: [0].into() };
        let erase = || OperationKind::Erase(EraseSize::Sector4K);
        let window = Window {
            image_bytes: 1,
            operations: vec![
                timed(Phase::Download, OperationKind::Erase(EraseSize::Block64K), false),
                timed(Phase::Download, program(), false),
                timed(Phase::FirstBoot, erase(), true),
                timed(Phase::Confirm, erase(), true),
                timed(Phase::Confirm, program(), true),
            ],
        };
        // Typical times of the W25Q32JV: 64 KiB in 150 ms, a sector in 45 ms, a page in 0.4 ms.
        let exposure = window.exposure(&Part::W25Q32JV);
        assert_eq!(exposure.flash_us, 150_000 + 2 * 45_000 + 2 * 400);
        assert_eq!((exposure.application_us, exposure.bootloader_us), (45_400, 45_000));
        assert_eq!(exposure.in_flash_time(), 90_400.0 / 240_800.0);
        let second = Duration::from_secs(1);
        assert_eq!(exposure.in_update(second), Some(0.0904));
        assert_eq!(exposure.in_update(second / 10), None);
    }
}
