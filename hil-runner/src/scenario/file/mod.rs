//! A scenario file as it is written. The JSON Schema, the checks of a file's shape and the reference
//! in the book all come from these types; their comments are what editors show.

mod cut;
mod device;
mod scalar;
mod step;

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) use cut::{AfterCutTable, CutChain, CutTable, Operation, OperationWord};
pub(super) use device::{
    CommandTable, CommandsTable, DerivedTable, DeviceTable, FileTable, ImageTable, Part,
};
pub(crate) use scalar::Span;
pub use scalar::{ChipName, CutKind, Damage, Pattern, Phase, ResetKind, Text, Then};
pub(super) use scalar::{EntryText, OneOrMany, OtadataTable, OtadataWord};
pub(super) use step::{ExpectTable, StepTable};

/// An update scenario: a device, images, and steps that are carried out in the order of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Update scenario")]
pub(super) struct File {
    /// What the scenario is about.
    pub(super) scenario: Head,
    /// The device under test.
    pub(super) device: DeviceTable,
    /// The images that the steps speak of, by name.
    #[schemars(extend("minProperties" = 1))]
    pub(super) images: BTreeMap<String, ImageTable>,
    /// Values to use as `"$name"` in place of any value of `device`, `images` and `step`. A list or a
    /// range makes one case of each of its values; several of them make one case of each combination.
    #[serde(default)]
    #[expect(dead_code, reason = "parameters are replaced before a file is read into these types")]
    pub(super) parameters: BTreeMap<String, Parameter>,
    /// What is done and what must then hold. Each step has one verb.
    #[schemars(length(min = 1))]
    pub(super) step: Vec<StepTable>,
}

/// What a scenario is about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Head {
    /// Name of the scenario in lists and reports: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9-]*$"))]
    pub(super) name: String,
    /// Why the scenario exists, in one sentence.
    #[schemars(length(min = 1))]
    pub(super) why: String,
    /// Words to choose scenarios by: lower-case letters, digits and hyphens.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^[a-z0-9][a-z0-9-]*$")))]
    pub(super) tags: Vec<String>,
    /// Rows of the hazards catalogue that the scenario looks for, `"H1"` to `"H20"`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^H([1-9]|1[0-9]|20)$")))]
    pub(super) hazards: Vec<String>,
}

/// The values of a parameter: one value, a list of values, or a range.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "parameters are replaced before a file is read into these types")]
pub(super) enum Parameter {
    /// One value: a name for a constant.
    One(Scalar),
    /// One case for each value.
    List(Vec<Scalar>),
    /// One case for each value of a range.
    Range(RangeTable),
}

/// A text, a number or a truth value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "parameters are replaced before a file is read into these types")]
pub(super) enum Scalar {
    Text(String),
    Number(f64),
    Truth(bool),
}

/// Equally spaced values. All three are numbers, or all three are time spans.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "parameters are replaced before a file is read into these types")]
pub(super) struct RangeTable {
    /// First value.
    pub(super) from: RangeEnd,
    /// Last value at most; it is one of the values if the steps meet it.
    pub(super) to: RangeEnd,
    /// Distance between values, above zero.
    pub(super) step: RangeEnd,
}

/// A number, or a time span such as `"20 ms"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "parameters are replaced before a file is read into these types")]
pub(super) enum RangeEnd {
    Number(f64),
    Span(Span),
}
