//! The file, and how one is made.

use super::line::{Held, Leftover, Line, Listed};
use crate::explore::{
    Invariant, Limits, Met, Progress, Report, Usage, World, WorldError, Writer, close,
};
use crate::flash::fault::{ChipProfile, FaultClass};
use crate::flash::{Digest, SECTOR_SIZE, Sector};
use crate::input::{self, InputError};
use crate::replay::{DeviceSource, FirmwareSource, ReplayError};
use crate::setup::Setup;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

/// The version of the format that this program reads and writes.
const FORMAT: u32 = 1;
/// Largest file in bytes.
const MAX_FILE: u64 = 0x4000_0000;

/// What a certificate takes for granted, for the reader.
const ASSUMPTIONS: [&str; 6] = [
    "a power cut leaves one of the contents that the fault classes name; `sim parts` lists who says so of which",
    "an interrupted operation does not forge a matching pair of sequence number and CRC out of two that do not belong together",
    "an image that ends with a SHA-256 and differs from all that were offered does not verify",
    "of the contents of a slot that holds no image, only the update of that slot reads more than that it does not verify",
    "the bootloader follows its model, and update code keeps nothing between two calls but what stands on flash",
    "flash operations that complete do what they should, and reads read what is stored",
];

/// What one of a device with encrypted flash takes for granted besides.
const ASSUMPTION_OF_ENCRYPTION: &str = "flash holds ciphertext (XTS-AES-128): a torn block of 16 bytes, and an erased one, reads as noise that is neither a matching CRC nor a state with a name; the device was encrypted before it was shipped";

/// A broken invariant that a certificate names as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The invariant.
    pub invariant: Invariant,
    /// In whose write power must have failed for that. After a cut in a write of the bootloader it counts
    /// until an image has been confirmed.
    pub during: Writer,
}

/// What a certificate claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Header {
    /// Version of the format: 1.
    pub certificate: u32,
    /// BLAKE3 of the program that made it, update code and bootloader model included, 128 bits in hexadecimal
    /// digits; empty if it could not be read.
    pub program: String,
    /// The claim, for the reader.
    pub claim: String,
    /// The device.
    pub device: DeviceSource,
    /// The bootloader whose behaviour is modelled.
    pub bootloader: String,
    /// What applications do.
    pub usage: Usage,
    /// Name of the [`ChipProfile`] that has these faults, if one has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip_profile: Option<String>,
    /// The faults of a power cut.
    pub faults: Vec<FaultClass>,
    /// Seed of the torn contents that are not enumerated.
    pub seed: u64,
    /// Whether power may fail while the bootloader writes.
    pub bootloader_cuts: bool,
    /// What is taken for granted.
    pub assumptions: Vec<String>,
    /// The invariants that break all the same, and after what.
    pub exceptions: BTreeSet<Exception>,
    /// Number of power-on states.
    pub states: u64,
    /// Number of states of an application that runs.
    pub running: u64,
    /// Number of contents that interrupted uploads leave in slots.
    pub leftovers: u64,
    /// Number of power cuts that were looked at: a situation, what happens in it, the operation that is cut,
    /// and what the cut leaves.
    pub scenarios: u64,
    /// Most cuts on the shortest way to a power-on state.
    pub deepest: u32,
    /// BLAKE3 of all lines but the first, 128 bits, in hexadecimal digits.
    pub digest: String,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What it claims.
    pub header: Header,
    pub(super) lines: Vec<Line>,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The exploration was stopped, so that nothing is proven.
    #[error("the exploration did not come to its end")]
    Incomplete,
    /// Large operations on otadata have torn contents that were not enumerated.
    #[error("torn contents of large otadata operations were sampled, which proves nothing")]
    Sampled,
    /// The device cannot be explored.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The device cannot be put together.
    #[error(transparent)]
    Device(#[from] ReplayError),
    /// The file is not a certificate.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Explores `setup` and makes a certificate of it. `firmware` says where the images come from.
///
/// # Errors
/// See [`CertificateError`].
pub fn prove(
    setup: &Setup,
    firmware: &[FirmwareSource],
    limits: &Limits,
    watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(Certificate, Report), CertificateError> {
    let world = setup.world().map_err(ReplayError::from)?;
    let (report, met) = close(&world, limits, watch);
    if !report.complete {
        return Err(CertificateError::Incomplete);
    }
    if report.sampled_contents {
        return Err(CertificateError::Sampled);
    }
    let lines = lines(&world, &met);
    let examples = report.counterexamples.iter().map(|example| example.finding);
    let exceptions: BTreeSet<_> =
        examples.map(|it| Exception { invariant: it.invariant, during: it.during }).collect();
    let leftovers = lines.iter().filter(|line| matches!(line, Line::Leftover(_))).count();
    let header = Header {
        certificate: FORMAT,
        program: program().into(),
        claim: claim(&exceptions),
        device: DeviceSource::of(setup, firmware),
        bootloader: world.bootloader.generation.to_string(),
        usage: limits.usage,
        chip_profile: ChipProfile::of(&limits.profile).map(|profile| profile.name.into()),
        faults: limits.profile.classes().collect(),
        seed: limits.profile.seed,
        bootloader_cuts: limits.cut_bootloader,
        assumptions: assumptions(setup.encrypted),
        exceptions,
        states: report.progress.states,
        running: report.progress.running,
        leftovers: leftovers as u64,
        scenarios: report.progress.torn,
        deepest: report.deepest,
        digest: digest(&lines),
    };
    Ok((Certificate { header, lines }, report))
}

/// What tells this program from one with other update code.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let bytes = std::env::current_exe().and_then(fs::read);
        bytes.map_or_else(|_| String::new(), |bytes| digits(&Digest::of([&bytes[..]])))
    })
}

fn digits(digest: &Digest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assumptions(encrypted: bool) -> Vec<String> {
    let besides = encrypted.then_some(ASSUMPTION_OF_ENCRYPTION);
    ASSUMPTIONS.into_iter().chain(besides).map(String::from).collect()
}

fn claim(exceptions: &BTreeSet<Exception>) -> String {
    let all = "Whatever the sequence of power cycles, and wherever power is cut in each, as often as you like";
    let whose = exceptions.iter().map(|exception| exception.during).collect::<BTreeSet<_>>();
    let list = |during: Writer| {
        let broken = exceptions.iter().filter(|exception| exception.during == during);
        broken.map(|exception| exception.invariant.to_string()).collect::<Vec<_>>().join(", ")
    };
    if whose.contains(&Writer::Application) {
        format!("{all}: no other invariants break than {}", list(Writer::Application))
    } else if whose.contains(&Writer::Bootloader) {
        format!(
            "{all}: no invariant breaks, unless a cut hit a write of the bootloader itself and no image has been confirmed since; then these may: {}",
            list(Writer::Bootloader)
        )
    } else {
        format!("{all}: no invariant breaks")
    }
}

fn lines(world: &World<'_>, met: &Met) -> Vec<Line> {
    let mut known = HashMap::new();
    for (image, sectors) in world.sectors() {
        for (index, sector) in sectors.iter().enumerate() {
            known.entry(sector.digest()).or_insert(Held::Image(image, index));
        }
    }
    known.insert(Sector::filled(0xFF).digest(), Held::Blank);
    known.insert(Sector::filled(0).digest(), Held::Zeros);
    let held = |sector: &Sector| match known.get(&sector.digest()) {
        Some(held) => held.clone(),
        None => Held::Bytes(hex(sector.bytes())),
    };
    let situations = met.situations.iter().map(|it| Line::Situation(Listed::of(it)));
    let mut lines: Vec<_> = situations.collect();
    met.leftovers.each(|left_in, of, sectors| {
        let sectors = sectors.iter().map(|sector| held(sector)).collect();
        lines.push(Line::Leftover(Leftover { left_in, of, sectors }));
    });
    lines.sort_unstable();
    lines
}

fn hex(bytes: &[u8; SECTOR_SIZE]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(lines: &[Line]) -> Vec<String> {
    let line = |line| serde_json::to_string(line).expect("names and numbers have a JSON form");
    lines.iter().map(line).collect()
}

pub(super) fn digest(lines: &[Line]) -> String {
    let text = text(lines);
    digits(&Digest::of(text.iter().flat_map(|line| [line.as_bytes(), b"\n"])))
}

impl Certificate {
    /// The file's contents.
    #[must_use]
    pub fn to_text(&self) -> String {
        let header = serde_json::to_string(&self.header);
        let mut file = header.expect("names and numbers have a JSON form") + "\n";
        for line in text(&self.lines) {
            let _ = writeln!(file, "{line}");
        }
        file
    }

    /// Whether the lines are those that the header speaks of.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.header.digest == digest(&self.lines)
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// The file cannot be read or is not a certificate of this format.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let expected = "a certificate that `sim prove` wrote";
        let bytes = input::read_file(path, expected, MAX_FILE)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| InputError::new(path, format!("not a text; expected {expected}")))?;
        let mut lines = text.lines().enumerate();
        let wrong = |number: usize, error: serde_json::Error| {
            InputError::new(path, format!("line {}: {error}; expected {expected}", number + 1))
        };
        let (_, first) = lines.next().unwrap_or((0, ""));
        let header: Header = serde_json::from_str(first).map_err(|error| wrong(0, error))?;
        if header.certificate != FORMAT {
            let found = header.certificate;
            let what = format!("format {found} is not supported, expected {FORMAT}");
            return Err(InputError::new(path, what));
        }
        let parse = |(number, line)| serde_json::from_str(line).map_err(|e| wrong(number, e));
        Ok(Self { header, lines: lines.map(parse).collect::<Result<_, _>>()? })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), InputError> {
        // A reader never sees half a certificate.
        let part = path.with_extension("part");
        let written = fs::write(&part, self.to_text()).and_then(|()| fs::rename(&part, path));
        written
            .map_err(|error| InputError::new(path, format!("cannot write a certificate: {error}")))
    }
}
