//! Partition layouts of the devices that are explored.

mod apps;

pub use self::apps::Apps;

use crate::flash::Part;
use esp_idf_part::{Error as CsvError, PartitionTable as Csv};
use ota_core::partition::ENTRY_LEN;
use ota_core::table::{AppLayout, LayoutError as Refusal, PartitionTable};
use ota_core::{Generation, SliceFlash};

/// Where ESP-IDF puts the partition table unless told otherwise, in bytes.
pub const TABLE_OFFSET: u32 = ota_core::table::DEFAULT_OFFSET;

/// A partition table that an update session of `ota-core` accepts, or would but for a gap in the numbers of
/// its slots.
#[derive(Clone, Debug)]
pub struct Layout {
    name: String,
    /// The table as it was given.
    source: Vec<u8>,
    /// The table as it stands on flash.
    table: Vec<u8>,
    apps: Apps,
    validated: Result<AppLayout, LayoutError>,
    otadata: Vec<u8>,
    part: Option<Part>,
}

/// What is wrong with a partition table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LayoutError(String);

/// A layout that comes with the program.
struct Stock {
    name: &'static str,
    csv: &'static str,
    /// What a new device holds in otadata; erased where shorter.
    otadata: &'static [u8],
}

const STOCK: [Stock; 4] = [
    Stock { name: "factory-2-slots", csv: include_str!("../fixtures/two_ota.csv"), otadata: &[] },
    Stock {
        name: "2-slots",
        csv: include_str!("../fixtures/two_ota_no_factory.csv"),
        otadata: &[],
    },
    Stock { name: "3-slots", csv: include_str!("../fixtures/three_ota.csv"), otadata: &[] },
    Stock { name: "arduino", csv: include_str!("../fixtures/arduino.csv"), otadata: &BOOT_APP0 },
];

/// The otadata contents that Arduino flashes with every upload (`boot_app0.bin`): sequence number 1 in
/// the first sector, and 0 in the second, which makes a valid entry of an erased sector.
const BOOT_APP0: [u8; 0x1004] = {
    let mut bytes = [0xFF; 0x1004];
    let first = [1, 0, 0, 0];
    let crc = [0x9A, 0x98, 0x43, 0x47];
    let mut i = 0;
    while i < 4 {
        bytes[i] = first[i];
        bytes[28 + i] = crc[i];
        bytes[0x1000 + i] = 0;
        i += 1;
    }
    bytes
};

/// A layout that comes with the program and its flash part.
struct Broad {
    name: &'static str,
    csv: &'static str,
    part: Part,
}

const BREADTH: [Broad; 5] = [
    Broad {
        name: "16-slots",
        csv: include_str!("../fixtures/sixteen_ota.csv"),
        part: Part::W25Q16JV,
    },
    Broad {
        name: "factory-1-slot",
        csv: include_str!("../fixtures/one_ota.csv"),
        part: Part::W25Q16JV,
    },
    Broad {
        name: "otadata-last",
        csv: include_str!("../fixtures/otadata_last.csv"),
        part: Part::W25Q16JV,
    },
    Broad {
        name: "otadata-behind",
        csv: include_str!("../fixtures/otadata_behind.csv"),
        part: Part::W25Q64JV,
    },
    Broad {
        name: "otadata-between",
        csv: include_str!("../fixtures/otadata_between.csv"),
        part: Part::W25Q128JV,
    },
];

/// Layouts whose slots have gaps in their numbers. Update code that knows better refuses them.
const GAPS: [Broad; 3] = [
    Broad { name: "gap-0-2", csv: include_str!("../fixtures/gap_0_2.csv"), part: Part::W25Q16JV },
    Broad {
        name: "gap-0-1-3",
        csv: include_str!("../fixtures/gap_0_1_3.csv"),
        part: Part::W25Q16JV,
    },
    Broad { name: "gap-1-2", csv: include_str!("../fixtures/gap_1_2.csv"), part: Part::W25Q16JV },
];

/// How an MD5 record begins (`ESP_PARTITION_MAGIC_MD5`).
const MD5_MAGIC: [u8; 2] = [0xEB; 2];

/// The stock layouts are for chips of 4 MB.
const STOCK_CAPACITY: u32 = 0x40_0000;

/// What the CSV parser said, with what would be right.
fn in_words(error: &CsvError) -> LayoutError {
    LayoutError(match error {
        CsvError::OverlappingPartitions(one, other) => {
            format!("partitions {one:?} and {other:?} overlap; partitions must not share flash")
        }
        CsvError::UnalignedPartition => {
            "a partition is misaligned: offsets of app partitions should be multiples of 0x10000, others of 0x1000".into()
        }
        error => error.to_string(),
    })
}

impl Broad {
    fn layout(&self) -> Layout {
        let layout = Layout::from_csv(self.name, self.csv, self.part.capacity)
            .expect("the layouts are valid");
        Layout { part: Some(self.part), ..layout }
    }
}

impl Layout {
    /// The layouts that come with the program: factory and two slots, two slots, three slots, and
    /// Arduino's default with its `boot_app0` contents of otadata.
    pub fn stock() -> Vec<Self> {
        STOCK
            .iter()
            .map(|stock| {
                let mut layout = Self::from_csv(stock.name, stock.csv, STOCK_CAPACITY)
                    .expect("the stock layouts are valid");
                layout.otadata = stock.otadata.to_vec();
                layout
            })
            .collect()
    }

    /// Layouts at the edges of what a partition table can say, each for a [flash part](Self::part) of its
    /// own, of 2 to 16 MB: sixteen slots; a single slot beside factory; and otadata at the end of flash,
    /// behind the applications and between them, at no multiple of 64 KiB.
    pub fn breadth() -> Vec<Self> {
        BREADTH.iter().map(Broad::layout).collect()
    }

    /// Layouts with gaps in the numbers of their slots, which ESP-IDF's tools accept and its update code does
    /// not cope with: `ota_0` and `ota_2` beside factory; `ota_0`, `ota_1` and `ota_3`; `ota_1` and `ota_2`.
    /// Each is for a [flash part](Self::part) of 2 MB, and none is [valid](Self::validated) to `ota-core`.
    pub fn gaps() -> Vec<Self> {
        GAPS.iter().map(Broad::layout).collect()
    }

    /// Reads a partition table in ESP-IDF's CSV format for a chip of `capacity` bytes.
    ///
    /// # Errors
    /// What is wrong, in words; with the line where the parser knows it.
    pub fn from_csv(
        name: impl Into<String>,
        csv: &str,
        capacity: u32,
    ) -> Result<Self, LayoutError> {
        let table = Csv::try_from_str(csv).map_err(|error| in_words(&error))?;
        let table = table.to_bin().map_err(|error| in_words(&error))?;
        Self::from_binary(name, &table, capacity)
    }

    /// Reads a partition table in its binary format for a chip of `capacity` bytes.
    ///
    /// # Errors
    /// What is wrong, in words, with flash offsets. A gap in the numbers of slots is not among it; see
    /// [`validated`](Self::validated).
    pub fn from_binary(
        name: impl Into<String>,
        table: &[u8],
        capacity: u32,
    ) -> Result<Self, LayoutError> {
        let mut flash = vec![0xFF; capacity as usize];
        let place = flash.get_mut(TABLE_OFFSET as usize..).and_then(|f| f.get_mut(..table.len()));
        let too_large = || {
            LayoutError(format!(
                "{} bytes at {TABLE_OFFSET:#x} do not fit a chip of {capacity:#x} bytes",
                table.len()
            ))
        };
        place.ok_or_else(too_large)?.copy_from_slice(table);
        let mut device = SliceFlash(&flash);
        let parsed = PartitionTable::load(&mut device, TABLE_OFFSET)
            .map_err(|error| LayoutError(error.to_string()))?;
        let validated = match parsed.validate(&mut device) {
            // Gaps are what it looks for last: all else is as it should be.
            Err(gap @ Refusal::SlotGap { .. }) => Err(LayoutError(gap.to_string())),
            result => Ok(result.map_err(|error| LayoutError(error.to_string()))?),
        };
        let entries: Result<Vec<_>, _> = parsed.entries(&mut device).collect();
        let apps = Apps::of(entries.map_err(|error| LayoutError(error.to_string()))?);
        let (name, source, table) = (name.into(), table.to_vec(), table.to_vec());
        Ok(Self { name, source, table, apps, validated, otadata: Vec::new(), part: None })
    }

    /// The same partitions in a table that the bootloader of `generation` accepts. Before v3.1 a table
    /// has no MD5 record, and a bootloader refuses one.
    #[must_use]
    pub fn for_bootloader(mut self, generation: Generation) -> Self {
        if generation < Generation::V3_3 {
            let is_md5 = |record: &&[u8]| record.starts_with(&MD5_MAGIC);
            let records = self.source.chunks(ENTRY_LEN);
            self.table = records.filter(|record| !is_md5(record)).flatten().copied().collect();
        }
        self
    }

    /// Name for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The partition table as it stands on flash.
    pub fn table(&self) -> &[u8] {
        &self.table
    }

    /// The flash part that the layout is for, if it is not for any that is large enough.
    pub fn part(&self) -> Option<Part> {
        self.part
    }

    /// The table as it was given.
    pub(crate) fn source(&self) -> &[u8] {
        &self.source
    }

    /// The partitions that boot selection and updates deal with.
    pub fn apps(&self) -> &Apps {
        &self.apps
    }

    /// The same as an update session of `ota-core` takes them.
    ///
    /// # Errors
    /// Which slot is missing, where the slots have a gap in their numbers: `ota-core` refuses that.
    pub fn validated(&self) -> Result<&AppLayout, LayoutError> {
        self.validated.as_ref().map_err(Clone::clone)
    }

    /// What a new device holds at the start of otadata.
    pub fn otadata(&self) -> &[u8] {
        &self.otadata
    }
}
