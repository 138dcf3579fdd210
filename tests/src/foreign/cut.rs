//! A power cut, and what becomes of the device.

use std::fmt;
use std::str::FromStr;

use ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE, SelectEntry};
use virtual_board::{Cut as BoardCut, CutOutcome, CutPoint, CutTrigger, Stop, Ticks};

use super::device::Device;
use super::image::Images;
use super::recording::{Recording, Stretch};
use crate::full_stack::{Boot, Failure, Phase};

/// The longest that a request may take until its last flash operation, in ticks.
const REQUEST: u64 = 5 * Ticks::PER_SECOND;

/// A power cut in an update. As text: update, phase, number of the flash operation in the phase, and
/// fraction, with colons between them: `2:select:3:0.25`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Number of the update, from 1.
    pub update: usize,
    /// The part of the update.
    pub phase: Phase,
    /// Number of the flash operation in that part, from 0.
    pub operation: u64,
    /// How much of the operation was done.
    pub fraction: f64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { update, phase, operation, fraction } = self;
        write!(f, "{update}:{phase}:{operation}:{fraction}")
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut words = text.split(':');
            let update = words.next()?.parse().ok()?;
            let name = words.next()?;
            let phase = PHASES.into_iter().find(|phase| phase.to_string() == name)?;
            let operation = words.next()?.parse().ok()?;
            let fraction = words.next()?.parse().ok()?;
            words.next().is_none().then_some(Self { update, phase, operation, fraction })
        };
        parse().ok_or_else(|| "a cut is like 2:select:3:0.25".into())
    }
}

/// The parts of an update in which power is cut.
const PHASES: [Phase; 3] = [Phase::Upload, Phase::Select, Phase::Confirm];

/// Whether an update could be completed after a cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completion {
    /// It could.
    Done,
    /// Only after the device had lost power once more: what went wrong before.
    SecondTry(Failure),
    /// It could not, and neither after the device had lost power once more: what went wrong last.
    Failed(Failure),
}

impl fmt::Display for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("completes"),
            Self::SecondTry(first) => write!(f, "fails ({first}), then completes"),
            Self::Failed(last) => write!(f, "**never completes** ({last})"),
        }
    }
}

/// What came of a cut.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The cut.
    pub cut: Cut,
    /// What it left of otadata.
    pub otadata: String,
    /// What runs when power is back, or why nothing does.
    pub boot: Result<Boot, Failure>,
    /// What runs when power fails and comes back again.
    pub next: Result<Boot, Failure>,
    /// Whether the update could be completed when power was back the first time.
    pub completion: Completion,
    /// Whether that is all as it must be: the old firmware runs until the new one is selected and the new
    /// one afterwards, it is the same at the next boot, and the update can be completed.
    pub survived: bool,
}

impl Recording<'_> {
    /// Cuts power, and finds out what becomes of the device.
    ///
    /// # Errors
    /// When there is no such operation, or it is not reached again.
    pub fn cut(&self, cut: Cut) -> Result<Outcome, Failure> {
        let stretch =
            self.stretches.iter().find(|it| (it.update, it.phase) == (cut.update, cut.phase));
        let stretch = stretch.ok_or_else(|| format!("{cut}: no such part of an update"))?;
        let mut device = self.strike(stretch, cut)?;
        Ok(self.consequence(stretch, cut, &mut device))
    }

    /// The device after a cut, without power.
    pub(super) fn strike(&self, stretch: &Stretch, cut: Cut) -> Result<Device, Failure> {
        let operation = stretch.operations.start + cut.operation;
        let before = stretch.before(operation).filter(|_| stretch.operations.contains(&operation));
        let before = before.ok_or_else(|| format!("{cut}: no such flash operation"))?;
        let mut board = self.device.board.clone();
        board.restore(before);
        board.plan_cut(Some(BoardCut {
            point: CutPoint::Flash(CutTrigger::Operation(operation)),
            // Seed 0 tears programs in byte order; any other, bit by bit.
            outcome: CutOutcome::Fraction { fraction: cut.fraction, seed: cut.operation + 1 },
        }));
        let limit = board.now() + REQUEST;
        match board.run(limit) {
            Stop::PowerOff => {
                board.uart0_output();
                board.uart0_discard();
                Ok(Device { board, moments: None })
            }
            stop => Err(format!("{cut}: the operation is not reached again: {stop:?}")),
        }
    }

    /// What becomes of a device after a cut.
    pub(super) fn consequence(&self, stretch: &Stretch, cut: Cut, device: &mut Device) -> Outcome {
        let otadata = self.otadata(device);
        let boot = device.power_on();
        let running = device.board.snapshot();
        let next = device.power_on();
        device.board.restore(&running);
        let completion = complete(device, boot.clone(), self.images, stretch);
        let Stretch { old, new, .. } = stretch;
        let right = |boot: &Boot| match stretch.phase {
            Phase::Upload => boot == old,
            Phase::Select => boot == old || boot == new,
            // The bootloader does not roll back.
            _ => boot == new,
        };
        let survived =
            boot.as_ref().is_ok_and(right) && next == boot && completion == Completion::Done;
        Outcome { cut, otadata, boot, next, completion, survived }
    }

    /// Both select entries.
    fn otadata(&self, device: &Device) -> String {
        let start = self.layout.apps().otadata().offset;
        let [first, second] = [start, start + SECTOR_SIZE].map(|offset| {
            let mut bytes = [0; ENTRY_SIZE];
            device.board.flash().memory().read(offset, &mut bytes);
            SelectEntry::parse(&bytes)
        });
        format!("[{first}|{second}]")
    }
}

/// Completes an update, at the second try if need be.
fn complete(
    device: &mut Device,
    boot: Result<Boot, Failure>,
    images: &Images,
    stretch: &Stretch,
) -> Completion {
    let Err(first) = attempt(device, boot, images, stretch) else { return Completion::Done };
    let boot = device.power_on();
    match attempt(device, boot, images, stretch) {
        Ok(()) => Completion::SecondTry(first),
        Err(last) => Completion::Failed(last),
    }
}

/// Brings a device to the new version from wherever it is, and checks that it stays there.
fn attempt(
    device: &mut Device,
    boot: Result<Boot, Failure>,
    images: &Images,
    stretch: &Stretch,
) -> Result<(), Failure> {
    let version = &stretch.new.version;
    let is_new =
        |boot: Boot| if boot.version == *version { Ok(()) } else { Err(format!("{boot} boots")) };
    if boot?.version != *version {
        let upload = device.upload(&images.updater[stretch.update]);
        upload.map_err(|failure| format!("upload: {failure}"))?;
        let selected = device.activate().and_then(is_new);
        selected.map_err(|failure| format!("select: {failure}"))?;
    }
    device.confirm().map_err(|failure| format!("confirm: {failure}"))?;
    device.power_on().and_then(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_as_text() {
        let cut = Cut { update: 2, phase: Phase::Select, operation: 3, fraction: 0.25 };
        assert_eq!(cut.to_string(), "2:select:3:0.25");
        assert_eq!("2:select:3:0.25".parse(), Ok(cut));
        for text in ["", "2:select:3", "2:reboot:3:0.25", "2:select:3:0.25:1", "2:select:x:0.25"] {
            assert!(text.parse::<Cut>().is_err(), "{text}");
        }
    }
}
