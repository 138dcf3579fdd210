//! The lines of a certificate.

use crate::explore::{Candidates, Content, Contents, Flash, Situation, Spec, State, Trial};
use crate::firmware::FirmwareId;
use ota_core::otadata::{SelectEntry, State as OtaState};
use ota_core::partition::{App, Slot};
use serde::{Deserialize, Serialize};

/// A line after the header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Line {
    Situation(Listed),
    Leftover(Leftover),
}

/// A situation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Listed {
    /// Sequence number, state and CRC of both select entries.
    entries: [(u32, u32, u32); 2],
    /// Factory and the slots, as far as there are any.
    holds: Vec<Holds>,
    good: FirmwareId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Expected>,
    #[serde(default, skip_serializing_if = "is_false")]
    chosen: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    secure_version: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    bootloader_cut: bool,
    /// The partition that runs, counted as in `holds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Holds {
    /// There is no such partition.
    Absent,
    Junk,
    /// Nothing that verifies, described as of this security version.
    Described(u32),
    Unknown,
    Part(FirmwareId),
    Image(FirmwareId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    Maybe(Candidates),
    Selected(FirmwareId),
    Running(FirmwareId),
    Confirming(FirmwareId),
}

/// What an interrupted upload left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Leftover {
    /// The partition, counted as in `holds`.
    pub(super) left_in: usize,
    /// The image whose upload it was.
    pub(super) of: FirmwareId,
    pub(super) sectors: Vec<Held>,
}

/// What a sector holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Held {
    Blank,
    Zeros,
    /// The sector of this number of an image.
    Image(FirmwareId, usize),
    /// Anything else, two hexadecimal digits for each byte.
    Bytes(String),
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// What stands for an application partition: 0 for factory, then the slots.
fn number(app: App) -> Option<u8> {
    match app {
        App::Factory => Some(0),
        App::Ota(slot) => Some(slot.index() + 1),
        App::Test => None,
    }
}

fn app(number: u8) -> Option<App> {
    match number.checked_sub(1) {
        None => Some(App::Factory),
        Some(index) => Slot::new(index).map(App::Ota),
    }
}

impl Listed {
    pub(super) fn of(situation: &Situation) -> Self {
        let State { flash, spec, secure_version, bootloader_cut } = situation.state;
        let used = flash.contents.iter().rposition(|content| *content != Content::Absent);
        let holds = flash.contents[..used.map_or(0, |last| last + 1)].iter();
        Self {
            entries: flash.entries.map(|entry| (entry.seq, entry.state.0, entry.crc)),
            holds: holds.map(|&content| Holds::of(content)).collect(),
            good: spec.good,
            trial: match spec.trial {
                Trial::None => None,
                Trial::Maybe(any) => Some(Expected::Maybe(any)),
                Trial::Selected(id) => Some(Expected::Selected(id)),
                Trial::Running(id) => Some(Expected::Running(id)),
                Trial::Confirming(id) => Some(Expected::Confirming(id)),
            },
            chosen: spec.chosen,
            secure_version,
            bootloader_cut,
            runs: situation.running.and_then(number),
        }
    }

    /// The situation, if such a device is possible with `images` images.
    pub(super) fn situation(&self, images: usize) -> Option<Situation> {
        let known = |id: FirmwareId| (usize::from(id) < images).then_some(id);
        let mut contents: Contents = [Content::Absent; 1 + Slot::MAX];
        if self.holds.len() > contents.len() {
            return None;
        }
        for (content, held) in contents.iter_mut().zip(&self.holds) {
            *content = match *held {
                Holds::Absent => Content::Absent,
                Holds::Junk => Content::Junk,
                Holds::Described(version) => Content::Described(version),
                Holds::Unknown => Content::Unknown,
                Holds::Part(id) => Content::Partial(known(id)?),
                Holds::Image(id) => Content::Firmware(known(id)?),
            };
        }
        let entries = self.entries.map(|(seq, state, crc)| SelectEntry {
            seq,
            label: SelectEntry::BLANK.label,
            state: OtaState(state),
            crc,
        });
        let trial = match self.trial {
            None => Trial::None,
            Some(Expected::Maybe(any)) => {
                any.iter().all(|id| known(id).is_some()).then_some(Trial::Maybe(any))?
            }
            Some(Expected::Selected(id)) => Trial::Selected(known(id)?),
            Some(Expected::Running(id)) => Trial::Running(known(id)?),
            Some(Expected::Confirming(id)) => Trial::Confirming(known(id)?),
        };
        let running = match self.runs {
            None => None,
            Some(runs) => Some(app(runs)?),
        };
        let spec = Spec { good: known(self.good)?, trial, chosen: self.chosen };
        let state = State {
            flash: Flash { entries, contents },
            spec,
            secure_version: self.secure_version,
            bootloader_cut: self.bootloader_cut,
        };
        Some(Situation { state, running })
    }
}

impl Holds {
    fn of(content: Content) -> Self {
        match content {
            Content::Absent => Self::Absent,
            // Certificates are made with all reductions.
            Content::Junk | Content::Exact(_) => Self::Junk,
            Content::Described(version) => Self::Described(version),
            Content::Unknown => Self::Unknown,
            Content::Partial(id) => Self::Part(id),
            Content::Firmware(id) => Self::Image(id),
        }
    }
}
