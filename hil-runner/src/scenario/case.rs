//! A scenario that has been checked: its cases, with everything that a board needs to run them.

use super::file::{ChipName, CutKind, Damage, Phase, ResetKind, Text, Then};
use ota_core::otadata::State;
use ota_core::partition::App;
use sim::flash::Part;
use sim::layout::Layout;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A scenario file without mistakes. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file.
    pub file: PathBuf,
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Why it exists, in one sentence.
    pub why: String,
    /// Words to choose it by.
    pub tags: Vec<String>,
    /// Rows of the hazards catalogue that it looks for.
    pub hazards: Vec<String>,
    /// Its cases, one for each combination of the values of its parameters, in their order; never
    /// empty.
    pub cases: Vec<Case>,
}

/// One run of a scenario from installation to its last step; with a cut at `every` operation, one run
/// for each cut point.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name that stays the same from run to run: that of the scenario, and the values of parameters
    /// that vary, as in `torn-program[into=0.25]`.
    pub name: String,
    /// The parameters that vary and their values.
    pub parameters: Vec<(String, String)>,
    /// The device.
    pub device: Arc<Device>,
    /// The images, by name.
    pub images: Arc<BTreeMap<String, Image>>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
}

/// The device under test.
#[derive(Clone, Debug)]
pub struct Device {
    /// The chip.
    pub chip: ChipName,
    /// The flash part, with the capacity that the scenario asks for.
    pub flash: Part,
    /// The partition table.
    pub layout: Layout,
    /// The second-stage bootloader; `None` for the one of ESP-IDF.
    pub bootloader: Option<PathBuf>,
    /// Whether the bootloader is built with rollback.
    pub rollback: bool,
    /// How the product is told what to do; `None` for SMP.
    pub commands: Option<Commands>,
}

/// How a product that does not speak SMP is told what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Starts an update that ends with the new image selected.
    pub update: Command,
    /// Selects an image that is present.
    pub select: Option<Command>,
    /// Confirms the running image.
    pub confirm: Option<Command>,
    /// Gives up the running image; `None` for a reset before it is confirmed.
    pub roll_back: Option<Command>,
}

/// A command, what says that it is done, and what says that it was refused. `{image}`, `{file}` and
/// `{port}` in it are replaced by the name of the image, its file, and the serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A line for the console.
    Send {
        /// The line, without its end.
        line: String,
        /// It is done when this comes.
        until: Text,
        /// It was refused when this comes.
        refused: Option<Text>,
    },
    /// A program on the host, which must end with status 0.
    Run {
        /// The program.
        program: HostCommand,
        /// It is done when this comes; without it, when the program has ended.
        until: Option<Text>,
        /// It was refused when this comes; without it, when the program ends with another status.
        refused: Option<Text>,
        /// Time limit of the program.
        limit: Duration,
    },
}

/// A program on the host. No shell is involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCommand {
    /// Program and arguments, at least the program.
    pub words: Vec<String>,
    /// Environment variables to set.
    pub env: BTreeMap<String, String>,
    /// Folder to run it in.
    pub folder: PathBuf,
}

/// An application image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it comes from.
    pub source: Source,
    /// Its version, where that is known without reading it.
    pub version: Option<String>,
    /// What it writes on the console when it runs, and no other image of the scenario does.
    pub says: Option<Text>,
    /// Its length in bytes, where that is known.
    pub bytes: Option<u32>,
    /// Why no device of the scenario may run it; `None` for one that can run.
    pub unfit: Option<String>,
    /// Why it cannot be confirmed when it runs; `None` for one that can.
    pub unconfirmed: Option<String>,
    /// Whether it ends in a reset by itself: it crashes, or hangs until the watchdog ends it.
    pub resets_itself: bool,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file: ELF or application image.
    File {
        /// Where it lies.
        path: PathBuf,
        /// The command that makes it. Without one, the file is there.
        made_by: Option<String>,
    },
    /// Another image of the case with one change.
    Derived {
        /// Name of the other image.
        of: String,
        /// The change.
        change: Change,
    },
}

/// How an image differs from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only that many bytes of it, at least 1.
    TruncatedAt(u32),
    /// One bit is wrong in its first 24 bytes.
    BitFlippedInHeader,
    /// One bit is wrong in the middle.
    BitFlippedInBody,
    /// One bit is wrong in the SHA-256 at its end.
    BitFlippedInDigest,
    /// From this offset on all bytes are FF.
    ErasedFrom(u32),
    /// Its header names this chip; checksum and SHA-256 are right.
    ForChip(ChipName),
    /// Its description names this version, 1 to 31 bytes; checksum and SHA-256 are right.
    Version(String),
}

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its time limit when it is not interrupted.
    pub limit: Duration,
    /// What is done.
    pub action: Action,
    /// Where it is interrupted; empty for not at all. Each further cut falls into what the device does
    /// after the one before.
    pub cuts: Vec<Cut>,
    /// What must hold after each cut: there if `cuts` is not empty.
    pub after_cut: Option<AfterCut>,
}

/// What a step does. Images are names in [`Case::images`].
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Writes first flash contents. The first of a case erases all else; the others add an image.
    Install {
        /// The image.
        image: String,
        /// Where to.
        app: App,
        /// Both select entries; `None` as the device is delivered ([`Layout::otadata`]).
        otadata: Option<[Entry; 2]>,
    },
    /// The device starts, and one of these runs.
    Boot {
        /// The images that may run, at least one.
        images: Vec<String>,
        /// The slot that it must run from.
        app: Option<App>,
        /// What must come on the console, in this order.
        text: Vec<Text>,
        /// What must not come.
        never: Vec<Text>,
    },
    /// The running firmware receives an image and selects it.
    Update {
        /// The image.
        image: String,
        /// It must be refused.
        refused: bool,
        /// The link breaks when that many bytes have been sent.
        break_link: Option<u32>,
    },
    /// An image that is present is selected.
    Select {
        /// The image.
        image: String,
    },
    /// The running image is confirmed.
    Confirm {
        /// The image.
        image: String,
    },
    /// The running image is given up.
    RollBack {
        /// The image.
        image: String,
    },
    /// A reset.
    Reset {
        /// Which.
        kind: ResetKind,
    },
    /// A loss of power while nothing is written.
    PowerCycle {
        /// How long.
        off: Duration,
    },
    /// A line for the console.
    Send {
        /// The line, without its end.
        line: String,
        /// It is done when this comes; without it, at once.
        until: Option<Text>,
    },
    /// A program on the host.
    Run {
        /// The program, which must end with status 0.
        program: HostCommand,
        /// It is done when this comes; without it, when the program has ended.
        until: Option<Text>,
    },
    /// A text must come on the console.
    WaitFor {
        /// The text.
        text: Text,
        /// What must not come before it.
        never: Vec<Text>,
    },
    /// Bits in flash flip while the device is off.
    FlipBits {
        /// Where.
        place: Damage,
        /// How many.
        count: u32,
        /// Which.
        seed: u32,
    },
    /// The flash contents must be so.
    Expect(Expectation),
    /// What runs goes on running.
    ExpectStable {
        /// For this long.
        time: Option<Duration>,
        /// Through this many restarts.
        boots: Option<u32>,
        /// What must not come on the console.
        never: Vec<Text>,
    },
    /// An older image is offered as an upgrade and must be refused.
    OfferOlder {
        /// The image.
        image: String,
    },
    /// The device is updated to an image, boots it and confirms it.
    StillUpdatable {
        /// The image.
        image: String,
    },
}

impl Action {
    /// The verb, as it is written in a file.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Install { .. } => "install",
            Self::Boot { .. } => "boot",
            Self::Update { .. } => "update",
            Self::Select { .. } => "select",
            Self::Confirm { .. } => "confirm",
            Self::RollBack { .. } => "roll-back",
            Self::Reset { .. } => "reset",
            Self::PowerCycle { .. } => "power-cycle",
            Self::Send { .. } => "send",
            Self::Run { .. } => "run",
            Self::WaitFor { .. } => "wait-for",
            Self::FlipBits { .. } => "flip-bits",
            Self::Expect(_) => "expect",
            Self::ExpectStable { .. } => "expect-stable",
            Self::OfferOlder { .. } => "offer-older",
            Self::StillUpdatable { .. } => "still-updatable",
        }
    }
}

/// A cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// How.
    pub kind: CutKind,
    /// Count only operations, or look only at the console, of this part of the step.
    pub during: Option<Phase>,
    /// When.
    pub place: Place,
    /// How long the device stays without power; zero for resets.
    pub off: Duration,
}

impl Cut {
    /// Whether it falls into each operation in turn.
    pub fn is_every(&self) -> bool {
        matches!(self.place, Place::Operation { which: Which::Every, .. })
    }
}

/// When a cut falls.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// At a flash operation.
    Operation {
        /// Which.
        which: Which,
        /// How far into it, from 0 just before it to 1 just after it.
        into: f64,
    },
    /// After a text on the console.
    Text {
        /// The text.
        text: Text,
        /// How long after it.
        plus: Duration,
    },
}

/// Which flash operation of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Each, in a run of its own; only the board that runs it can count them.
    Every,
    /// The N-th, from 1.
    Number(u32),
    /// The last.
    Last,
}

/// What must hold after each cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterCut {
    /// The images that may run.
    pub boots: Vec<String>,
    /// What must not come on the console during the boot.
    pub never: Vec<Text>,
    /// What otadata must hold.
    pub otadata: Option<Otadata>,
    /// How the case goes on.
    pub then: Then,
}

/// What must hold of flash contents: all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// What the next boot selects.
    pub selected: Option<App>,
    /// What otadata holds.
    pub otadata: Option<Otadata>,
    /// Slots and the image that each holds, to the byte.
    pub holds: Vec<(App, String)>,
    /// Slots that nothing was written to since the first boot.
    pub untouched: Vec<App>,
}

/// What otadata holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otadata {
    /// At least one select entry counts for boot selection.
    Valid,
    /// Both entries are erased.
    Erased,
    /// These entries, that of the first sector first.
    Entries([Entry; 2]),
}

/// A select entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Any.
    Any,
    /// Erased.
    Erased,
    /// With a correct CRC.
    Written {
        /// Sequence number.
        seq: u32,
        /// State.
        state: State,
    },
}
