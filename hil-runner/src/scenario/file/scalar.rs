//! Values that fit one line: time spans, texts, select entries, kinds of cuts and resets.

use ota_core::image::ChipId;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A time span such as `"500 ms"`, `"2 s"` or `"1 min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// What a time span looks like: at most nine digits, so that none overflows.
    const PATTERN: &str = r"^([0-9]{1,9}) ?(us|ms|s|min)$";

    /// Reads a time span.
    pub(in crate::scenario) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        if digits > 9 {
            return None;
        }
        let number = number.parse().ok()?;
        Some(Self(match unit.strip_prefix(' ').unwrap_or(unit) {
            "us" => Duration::from_micros(number),
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "min" => Duration::from_secs(number * 60),
            _ => return None,
        }))
    }
}

/// In the largest unit that loses nothing.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            0 => f.write_str("0 ms"),
            us if us % 60_000_000 == 0 => write!(f, "{} min", us / 60_000_000),
            us if us % 1_000_000 == 0 => write!(f, "{} s", us / 1_000_000),
            us if us % 1000 == 0 => write!(f, "{} ms", us / 1000),
            us => write!(f, "{us} us"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no time span")))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "time span",
            "type": "string",
            "pattern": Self::PATTERN,
            "examples": ["500 ms", "10 s", "1 min"],
        })
    }
}

/// A text to look for on the console.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// This text, anywhere in a line.
    Plain(#[schemars(length(min = 1))] String),
    /// A regular expression, anywhere in a line.
    Pattern(Pattern),
}

/// A regular expression in the syntax of Rust's `regex` crate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The regular expression, for example `"boot: fw=2\\.[0-9]+"`.
    #[schemars(length(min = 1))]
    pub pattern: String,
}

impl Text {
    /// The text as a regular expression; `None` when it is a pattern that cannot be used.
    pub fn regex(&self) -> Option<regex::Regex> {
        match self {
            Self::Plain(text) => regex::Regex::new(&regex::escape(text)).ok(),
            Self::Pattern(pattern) => regex::Regex::new(&pattern.pattern).ok(),
        }
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "OneOrMany_{T}")]
pub(in crate::scenario) enum OneOrMany<T> {
    /// One.
    One(T),
    /// A list.
    Many(#[schemars(length(min = 1))] Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The list.
    pub(in crate::scenario) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// A select entry: `"1/VALID"` for sequence number 1 in state VALID, `"-"` for an erased one, and where
/// something is expected also `"*"` for any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(in crate::scenario) struct EntryText(pub(in crate::scenario) String);

impl JsonSchema for EntryText {
    fn schema_name() -> Cow<'static, str> {
        "SelectEntry".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "select entry",
            "description": "A select entry: `1/VALID` for sequence number 1 in state VALID, `-` for an erased one, `*` for any.",
            "type": "string",
            "pattern": r"^(-|\*|[0-9]{1,9}/(NEW|PENDING_VERIFY|VALID|INVALID|ABORTED|UNDEFINED))$",
            "examples": ["1/VALID", "2/NEW", "-", "*"],
        })
    }
}

/// What otadata holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum OtadataTable {
    /// In words.
    Words(OtadataWord),
    /// Both select entries, that of the first sector first.
    Entries(#[schemars(length(min = 2, max = 2))] Vec<EntryText>),
}

/// What otadata holds, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum OtadataWord {
    /// At least one entry counts for boot selection.
    Valid,
    /// Both entries are erased.
    Erased,
}

/// A chip.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ChipName {
    /// ESP32.
    Esp32,
    /// ESP32-C3.
    Esp32c3,
    /// ESP32-C6.
    Esp32c6,
    /// ESP32-H2.
    Esp32h2,
    /// ESP32-S3.
    Esp32s3,
}

impl ChipName {
    /// The chip's number in image headers.
    pub fn id(self) -> ChipId {
        match self {
            Self::Esp32 => ChipId::ESP32,
            Self::Esp32c3 => ChipId::ESP32C3,
            Self::Esp32c6 => ChipId::ESP32C6,
            Self::Esp32h2 => ChipId::ESP32H2,
            Self::Esp32s3 => ChipId::ESP32S3,
        }
    }
}

/// How a device is interrupted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CutKind {
    /// The supply rail of the board is switched off.
    Rail,
    /// The USB port that feeds the board is switched off.
    UsbPort,
    /// The supply sags until the brown-out detector resets the chip, and rises again.
    BrownOut,
    /// The EN (CHIP_PU) line is pulled; flash keeps its power and ends the command under way.
    EnReset,
    /// A watchdog resets the chip; flash keeps its power.
    Watchdog,
    /// A debug probe resets the chip; flash keeps its power.
    DebugReset,
}

impl CutKind {
    /// Whether flash loses its power, so that a command can stop half-way.
    pub fn stops_flash(self) -> bool {
        matches!(self, Self::Rail | Self::UsbPort | Self::BrownOut)
    }
}

/// A reset without loss of power.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ResetKind {
    /// The firmware is asked to restart.
    Software,
    /// The EN (CHIP_PU) line is pulled.
    EnReset,
    /// A watchdog resets the chip.
    Watchdog,
    /// A debug probe resets the chip.
    DebugReset,
}

/// A part of what a step does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The image is written into a slot.
    Upload,
    /// The image is selected for the next boot: the firmware writes otadata.
    Select,
    /// The running image is confirmed: the firmware writes otadata.
    Confirm,
    /// The bootloader runs, until the firmware reports.
    Boot,
}

/// How a case goes on after a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// What was interrupted is done again, unless it turns out to be done; then comes the next step.
    #[default]
    Again,
    /// The next step comes at once; it must fit whatever the cut left.
    GoOn,
}

/// Where bits flip at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The image of the slot that runs.
    RunningSlot,
    /// The image of the slot that ran before, or that the next update goes to.
    PassiveSlot,
    /// The select entry that counts.
    ActiveEntry,
    /// The other select entry.
    OtherEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_agree_with_their_pattern() {
        let pattern = regex::Regex::new(Span::PATTERN).unwrap();
        for text in ["0 ms", "20ms", "999999999 min", "7 us", "3 s"] {
            assert!(pattern.is_match(text) && Span::parse(text).is_some(), "{text}");
        }
        for text in ["", "5", "5  s", "-1 s", "1.5 s", "1000000000 s", "5 hours", " 5 s", "s"] {
            assert!(!pattern.is_match(text) && Span::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn time_spans_are_written_as_they_are_read() {
        for text in ["0 ms", "20 ms", "90 s", "2 min", "1500 ms", "7 us"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
    }
}
