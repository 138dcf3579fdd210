//! What the bootloader decided, step by step, and why.

use ota_core::image::ImageInfo;
use ota_core::otadata::SelectEntry;
use ota_core::partition::{App, Region, Slot};
use std::fmt;

/// What boot selection chose to try first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The factory application, whether or not there is one.
    Factory,
    /// The slot with this number, whether or not there is one. The number can exceed 15 if the
    /// table lists more than 16 OTA partitions; such a slot is empty.
    Slot(u32),
    /// The test application.
    Test,
}

impl Choice {
    /// The application of that name; none for a slot above 15.
    pub fn app(self) -> Option<App> {
        match self {
            Self::Factory => Some(App::Factory),
            Self::Slot(slot) => u8::try_from(slot).ok().and_then(Slot::new).map(App::Ota),
            Self::Test => Some(App::Test),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory => f.write_str("factory"),
            Self::Slot(slot) => write!(f, "ota_{slot}"),
            Self::Test => f.write_str("test"),
        }
    }
}

/// Why the bootloader resets instead of starting an application. It then does the same again, for
/// ever; up to v3.0 it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoBoot {
    /// The partition table is not one that the bootloader accepts.
    PartitionTable,
    /// otadata is smaller than its two sectors.
    OtadataTooSmall,
    /// otadata cannot be read.
    OtadataUnreadable,
    /// A select entry is valid, but there is no slot that it could select. Only with anti-rollback and
    /// before v3.1, where nothing guards the division by the number of slots.
    NoSlots,
    /// The first select entries of the device cannot be written. Only v2.1 minds.
    OtadataNotWritten,
    /// The test pin is held, and there is no test application.
    NoTestApp,
    /// The test pin is held, and the test application does not load.
    TestAppRejected,
    /// No application loads.
    NothingLoads,
}

impl fmt::Display for NoBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PartitionTable => "the partition table is refused",
            Self::OtadataTooSmall => "otadata is smaller than 0x2000 bytes",
            Self::OtadataUnreadable => "otadata cannot be read",
            Self::NoSlots => "a valid select entry, but no slot it could select",
            Self::OtadataNotWritten => "otadata cannot be written",
            Self::NoTestApp => "the test pin is held, but there is no test application",
            Self::TestAppRejected => "the test pin is held, but the test application does not load",
            Self::NothingLoads => "no application loads",
        })
    }
}

/// Why boot selection chose what it chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// There is no otadata partition.
    NoOtadata,
    /// The table lists no slots.
    NoSlots,
    /// Both select entries are blank or rejected.
    BothInvalid,
    /// With anti-rollback: both select entries are blank or have a wrong CRC.
    InitialContents,
    /// No select entry is usable, though one is neither blank nor rejected: its CRC is wrong, or
    /// its image is too old.
    NoneActive,
    /// The select entry in this sector is the active one.
    Active {
        /// 0 or 1.
        sector: u8,
    },
    /// The test pin is held.
    TestPin,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOtadata => f.write_str("there is no otadata partition"),
            Self::NoSlots => f.write_str("the table lists no slots"),
            Self::BothInvalid => f.write_str("both select entries are blank or rejected"),
            Self::InitialContents => f.write_str("both select entries are blank or have a bad CRC"),
            Self::NoneActive => f.write_str("no select entry is usable"),
            Self::Active { sector } => write!(f, "the select entry in sector {sector} is active"),
            Self::TestPin => f.write_str("the test pin is held"),
        }
    }
}

/// Why the bootloader rewrites a select entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rewrite {
    /// PENDING_VERIFY becomes ABORTED: the image was reset before it confirmed itself.
    Abort,
    /// NEW becomes PENDING_VERIFY: the image gets its only trial.
    Trial,
    /// A first entry for a device without factory application and without otadata contents; v2.1 writes
    /// two.
    Initial,
}

/// One step of the bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Read both select entries.
    Entries([SelectEntry; 2]),
    /// Erases a sector of otadata and programs a select entry.
    Write {
        /// 0 or 1.
        sector: u8,
        /// What it programs.
        entry: SelectEntry,
        /// Why it does.
        rewrite: Rewrite,
    },
    /// The chip reported an error for the last write or erase; the bootloader goes on regardless.
    WriteFailed,
    /// Boot selection chose where to begin.
    Selected {
        /// What it chose.
        choice: Choice,
        /// Why it did.
        why: Why,
    },
    /// The factory-reset pin is held: the partitions that follow are erased, and boot selection runs
    /// a second time.
    FactoryReset,
    /// Erases a data partition.
    Erase(Region),
    /// Anti-rollback passes over an application: its description is unreadable, or its security
    /// version is below the one in eFuse.
    TooOld {
        /// Which application.
        choice: Choice,
        /// Its security version, if readable.
        version: Option<u32>,
        /// The version that eFuse demands.
        required: u32,
    },
    /// Burns a higher security version into eFuse.
    RaisedSecureVersion {
        /// The version before.
        from: u32,
        /// The version now.
        to: u32,
    },
    /// There is no such partition, or its size is 0.
    Empty(Choice),
    /// The image does not load; the next partition in line is tried.
    Rejected(App),
    /// The image loaded and verified, and starts.
    Started(App, ImageInfo),
    /// Gives up and resets.
    Reset(NoBoot),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries([first, second]) => write!(f, "otadata reads [{first} | {second}]"),
            Self::Write { sector, entry, rewrite } => {
                write!(f, "writes {entry} to otadata sector {sector}: ")?;
                f.write_str(match rewrite {
                    Rewrite::Abort => "the image did not confirm itself",
                    Rewrite::Trial => "the image gets its only trial",
                    Rewrite::Initial => "first entry of this device",
                })
            }
            Self::WriteFailed => f.write_str("the flash chip reported an error, which is ignored"),
            Self::Selected { choice, why } => write!(f, "selects {choice}: {why}"),
            Self::FactoryReset => f.write_str("the factory-reset pin is held"),
            Self::Erase(region) => write!(f, "erases {region}"),
            Self::TooOld { choice, version: Some(version), required } => {
                write!(f, "{choice} has security version {version}, eFuse demands {required}")
            }
            Self::TooOld { choice, version: None, .. } => {
                write!(f, "{choice} has no readable application description")
            }
            Self::RaisedSecureVersion { from, to } => {
                write!(f, "raises the security version in eFuse from {from} to {to}")
            }
            Self::Empty(choice) => write!(f, "there is no {choice}"),
            Self::Rejected(app) => write!(f, "{app} does not hold a valid image"),
            Self::Started(app, image) => write!(f, "starts {app}, {:#x} bytes", image.len),
            Self::Reset(why) => write!(f, "resets: {why}"),
        }
    }
}
