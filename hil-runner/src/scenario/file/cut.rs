//! Cuts and what must hold after them.

use super::{CutKind, OneOrMany, OtadataTable, Phase, Span, Text, Then};
use schemars::JsonSchema;
use serde::Deserialize;

/// One cut, or a chain of them: each further cut falls into what the device does after the one before.
pub(in crate::scenario) type CutChain = OneOrMany<CutTable>;

/// A cut: of which kind, and when. When is either a flash operation or a text on the console.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct CutTable {
    /// How the device is interrupted.
    pub(in crate::scenario) kind: CutKind,
    /// Count only the flash operations of this part of the step.
    pub(in crate::scenario) during: Option<Phase>,
    /// At which flash operation: its number from 1, `"first"`, `"last"`, or `"every"` for one run of the
    /// rest of the file after each.
    pub(in crate::scenario) operation: Option<Operation>,
    /// How far into that operation: 0 just before it, 1 just after it. Default 0.5.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::scenario) into: Option<f64>,
    /// When this text has come on the console.
    pub(in crate::scenario) text: Option<Text>,
    /// How long after that text. Default 0.
    pub(in crate::scenario) plus: Option<Span>,
    /// How long the device stays without power. Default 500 ms. Resets have none.
    pub(in crate::scenario) off: Option<Span>,
}

/// Which flash operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum Operation {
    /// The N-th, counted from 1.
    Number(#[schemars(range(min = 1, max = 1_000_000))] u32),
    /// In a word.
    Word(OperationWord),
}

/// Which flash operation, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum OperationWord {
    /// Each one, one after the other: the step and all that follow are carried out once for each.
    Every,
    /// The first.
    First,
    /// The last.
    Last,
}

/// What must hold after each cut of the step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct AfterCutTable {
    /// The images that may run when power is back.
    pub(in crate::scenario) boots: OneOrMany<String>,
    /// Texts that must not come on the console during that boot.
    #[serde(default)]
    pub(in crate::scenario) never: Vec<Text>,
    /// What otadata must hold after that boot.
    pub(in crate::scenario) otadata: Option<OtadataTable>,
    /// How the case goes on. Default `"again"`.
    #[serde(default)]
    pub(in crate::scenario) then: Then,
}
