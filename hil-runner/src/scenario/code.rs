//! The codes of diagnostics, and what each means.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What kind of thing is wrong with a scenario file. A code keeps its number and meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is printed, `E003` for instance.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it means, in Markdown: a heading, why it matters, and a wrong and a right example.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("codes/", $name, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// The file cannot be read.
    NoScenario = "E001",
    /// The file is not TOML.
    Syntax = "E002",
    /// A key that is not known.
    UnknownKey = "E003",
    /// A key that must be there is not.
    MissingKey = "E004",
    /// A value has the wrong type.
    WrongType = "E005",
    /// A value is not one of those that are possible.
    BadValue = "E006",
    /// A step, image or command does not say what it is.
    NoVerb = "E007",
    /// A step, image or command is two things.
    TwoVerbs = "E008",
    /// An image that is not defined.
    UnknownImage = "E009",
    /// A file that is not there.
    NoFile = "E010",
    /// A file that is no image.
    NoImage = "E011",
    /// A changed image that cannot be made.
    BadChange = "E012",
    /// A partition table that cannot be used.
    BadTable = "E013",
    /// A slot that the partition table lacks.
    NoSuchSlot = "E014",
    /// A parameter that is not defined.
    UnknownParameter = "E015",
    /// A parameter that is not used.
    UnusedParameter = "E016",
    /// A parameter without values.
    NoValues = "E017",
    /// More cases than a file may have.
    TooManyCases = "E018",
    /// An image that is not used.
    UnusedImage = "E019",
    /// A cut in a step that writes no flash.
    NoFlashOperations = "E020",
    /// A cut after which nothing is checked.
    CutWithoutCheck = "E021",
    /// A check after a cut that is not there.
    CheckWithoutCut = "E022",
    /// A cut in a phase that the step has not.
    WrongPhase = "E023",
    /// A cut without a place, or with two.
    CutPlace = "E024",
    /// An image is expected to run that cannot.
    ImpossibleBoot = "E025",
    /// A step that needs a bootloader with rollback.
    NeedsRollback = "E026",
    /// A step at a place where it cannot be.
    Order = "E027",
    /// A step after which nothing is checked.
    Unchecked = "E028",
    /// The same boot judged twice.
    SameBoot = "E029",
    /// An expectation that cannot fail.
    CannotFail = "E030",
    /// An outcome that cannot be.
    ImpossibleOutcome = "E031",
    /// A link that breaks behind the end of the image.
    BeyondTheEnd = "E032",
    /// An older image that is newer.
    NotOlder = "E033",
    /// A command that cannot be run.
    BadCommand = "E034",
    /// Two scenarios of the same name, or two boards with the same name, MAC address or port.
    DuplicateName = "E035",
    /// An image that the console does not tell from others.
    Unrecognised = "E036",
    /// A step that needs an image to run that does not.
    NotRunning = "E037",
    /// Two keys that exclude each other.
    Conflict = "E038",
}

impl Code {
    /// What it means, in a few words.
    pub fn title(self) -> &'static str {
        let heading = self.explanation().lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode(String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = Code::ALL.last().map_or("", |code| code.name());
        write!(f, "{} is no code; codes are E001 to {last}", self.0)
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for Code {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let found = Self::ALL.iter().find(|code| code.name().eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| UnknownCode(text.into()))
    }
}
