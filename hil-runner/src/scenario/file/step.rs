//! The steps: one verb each.

use super::{AfterCutTable, CutChain, Damage, EntryText, OneOrMany, OtadataTable, ResetKind};
use super::{Span, Text};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A step. Its verb is the first key of the alternative.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum StepTable {
    Install(InstallStep),
    Boot(BootStep),
    Update(UpdateStep),
    Select(SelectStep),
    Confirm(ConfirmStep),
    RollBack(RollBackStep),
    Reset(ResetStep),
    PowerCycle(PowerCycleStep),
    Send(SendStep),
    Run(RunStep),
    WaitFor(WaitForStep),
    FlipBits(FlipBitsStep),
    Expect(ExpectStep),
    ExpectStable(ExpectStableStep),
    OfferOlder(OfferOlderStep),
    StillUpdatable(StillUpdatableStep),
}

/// Makes the struct of a step whose action writes flash, and which therefore can be cut.
macro_rules! writing_step {
    ($(#[$doc:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(in crate::scenario) struct $name {
            $($fields)*
            /// Where the device is interrupted while it does this.
            pub(in crate::scenario) cut: Option<CutChain>,
            /// What must hold after each cut.
            pub(in crate::scenario) after_cut: Option<AfterCutTable>,
            /// Time limit of the step when it is not interrupted.
            pub(in crate::scenario) limit: Option<Span>,
        }
    };
}

/// Writes the device's first flash contents: bootloader, partition table, and an image in a slot. All
/// else is erased by the first `install`; further ones add an image.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct InstallStep {
    /// The image.
    pub(in crate::scenario) install: String,
    /// The slot. Default: `factory` if the partition table has it, else `ota_0`.
    pub(in crate::scenario) slot: Option<String>,
    /// Both select entries. Default: as the device is delivered.
    #[schemars(length(min = 2, max = 2))]
    pub(in crate::scenario) otadata: Option<Vec<EntryText>>,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}

writing_step! {
    /// The device starts and this image runs: it is switched on, or restarted if something was done to
    /// it since it started.
    BootStep {
        /// The image that must run, or a list of those that may.
        pub(in crate::scenario) boot: OneOrMany<String>,
        /// The slot that it must run from.
        pub(in crate::scenario) slot: Option<String>,
        /// Texts that must come on the console, in this order.
        #[serde(default)]
        pub(in crate::scenario) text: Vec<Text>,
        /// Texts that must not come on the console.
        #[serde(default)]
        pub(in crate::scenario) never: Vec<Text>,
    }
}

writing_step! {
    /// The running firmware is sent this image, writes it to the next slot and selects it for the next
    /// boot.
    UpdateStep {
        /// The image.
        pub(in crate::scenario) update: String,
        /// The device must refuse it, and select nothing.
        #[serde(default)]
        pub(in crate::scenario) refused: bool,
        /// The link breaks when this many bytes of the image have been sent; then the client tries again
        /// and goes on where the device says.
        #[schemars(range(min = 1, max = 16_777_216))]
        pub(in crate::scenario) break_link: Option<u32>,
    }
}

writing_step! {
    /// An image that is already in a slot is selected for the next boot.
    SelectStep {
        /// The image.
        pub(in crate::scenario) select: String,
    }
}

writing_step! {
    /// The running image is confirmed: the device stays with it.
    ConfirmStep {
        /// The image, which must be running.
        pub(in crate::scenario) confirm: String,
    }
}

writing_step! {
    /// The running image, which is on trial, is given up: the device restarts without confirming it, and
    /// the bootloader returns to the image before.
    RollBackStep {
        /// The image, which must be running.
        pub(in crate::scenario) roll_back: String,
    }
}

/// The device is reset, without loss of power.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct ResetStep {
    /// How.
    pub(in crate::scenario) reset: ResetKind,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}

/// The device loses power while nothing is written, and gets it back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct PowerCycleStep {
    /// How long it stays without power, for example `"2 s"`.
    pub(in crate::scenario) power_cycle: Span,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}

writing_step! {
    /// A line is sent to the console.
    SendStep {
        /// The line, without its end.
        #[schemars(length(min = 1))]
        pub(in crate::scenario) send: String,
        /// The text on the console that says that it is done.
        pub(in crate::scenario) until: Option<Text>,
    }
}

writing_step! {
    /// A program is run on the host, and must end with status 0. Its output is kept.
    RunStep {
        /// The program and its arguments. No shell is involved; `{port}` is the device's serial port.
        #[schemars(length(min = 1))]
        pub(in crate::scenario) run: Vec<String>,
        /// Environment variables to set.
        #[serde(default)]
        pub(in crate::scenario) env: BTreeMap<String, String>,
        /// Folder to run it in. Default: that of the scenario file.
        pub(in crate::scenario) folder: Option<String>,
        /// The text on the console that says that it is done. Without it, the program's end says so.
        pub(in crate::scenario) until: Option<Text>,
    }
}

/// A text must come on the console.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct WaitForStep {
    /// The text.
    pub(in crate::scenario) wait_for: Text,
    /// Texts that must not come before it.
    #[serde(default)]
    pub(in crate::scenario) never: Vec<Text>,
    /// How long to wait at most.
    pub(in crate::scenario) limit: Option<Span>,
}

/// The device is switched off and bits in its flash flip, as in cells that lose their charge.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct FlipBitsStep {
    /// Where.
    pub(in crate::scenario) flip_bits: Damage,
    /// How many bits. Default 1.
    #[schemars(range(min = 1, max = 256))]
    pub(in crate::scenario) count: Option<u32>,
    /// Which bits: another seed, other bits. Default 1.
    pub(in crate::scenario) seed: Option<u32>,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}

/// Something must hold of the flash contents.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct ExpectStep {
    /// What.
    pub(in crate::scenario) expect: ExpectTable,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}

/// What must hold of the flash contents; all of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("minProperties" = 1))]
pub(in crate::scenario) struct ExpectTable {
    /// The slot that the next boot selects: `factory` or `ota_0` to `ota_15`.
    pub(in crate::scenario) selected: Option<String>,
    /// What otadata holds.
    pub(in crate::scenario) otadata: Option<OtadataTable>,
    /// Slots and the images that they hold, to the byte: `{ ota_0 = "v1" }`.
    #[serde(default)]
    pub(in crate::scenario) holds: BTreeMap<String, String>,
    /// Slots that nothing was written to since the first boot.
    #[serde(default)]
    pub(in crate::scenario) untouched: Vec<String>,
}

/// The device goes on running what runs: no reset that nobody asked for, no boot loop.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct ExpectStableStep {
    /// How long, or through how many restarts.
    pub(in crate::scenario) expect_stable: StableTable,
    /// Texts that must not come on the console.
    #[serde(default)]
    pub(in crate::scenario) never: Vec<Text>,
    /// Time limit of the step. Default: what it takes.
    pub(in crate::scenario) limit: Option<Span>,
}

/// How long the device must be stable; both if both are given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("minProperties" = 1))]
pub(in crate::scenario) struct StableTable {
    /// For this long.
    pub(in crate::scenario) r#for: Option<Span>,
    /// Through this many restarts, each into the same image from the same slot.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::scenario) boots: Option<u32>,
}

/// An image that is older than the running one is offered as an upgrade, and must be refused. Nothing
/// else changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct OfferOlderStep {
    /// The image.
    pub(in crate::scenario) offer_older: String,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}

/// The device must take an update now: it is updated to this image, boots it and confirms it. An image on
/// trial is confirmed before, as no device takes an update from one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::scenario) struct StillUpdatableStep {
    /// The image.
    pub(in crate::scenario) still_updatable: String,
    /// Time limit of the step.
    pub(in crate::scenario) limit: Option<Span>,
}
