//! What an update session needs of a partition table.

use embedded_storage::nor_flash::ReadNorFlash;

use super::{LayoutError, PartitionTable, SECTOR_LEN};
use crate::partition::{App, Kind, Partition, Region, Slot, Subtype, Type};

/// Smallest unit of erasure.
const SECTOR: u32 = 0x1000;

/// Alignment of application partitions: the page of the flash cache.
const APP_ALIGN: u32 = 0x1_0000;

/// Least size of otadata: one sector per select entry.
const OTADATA_MIN: u32 = 2 * SECTOR;

/// The partitions that boot selection and updates are about, checked by
/// [`PartitionTable::validate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppLayout {
    // Empty where there is none, as no partition here is.
    otadata: Region,
    factory: Region,
    test: Region,
    slots: [Region; Slot::MAX],
    count: u8,
}

impl AppLayout {
    /// The otadata partition: sector aligned, at least two sectors.
    pub fn otadata(&self) -> Region {
        self.otadata
    }

    /// The factory application's partition.
    pub fn factory(&self) -> Option<Region> {
        some(self.factory)
    }

    /// The test application's partition.
    pub fn test(&self) -> Option<Region> {
        some(self.test)
    }

    /// The partitions `ota_0`, `ota_1`, and so on; 1 to 16 of them, none empty.
    pub fn slots(&self) -> &[Region] {
        self.slots.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Number of slots, 1 to 16.
    pub fn slot_count(&self) -> u8 {
        self.count
    }

    /// The partition of a slot, or `None` if the table has no such slot.
    pub fn slot(&self, slot: Slot) -> Option<Region> {
        self.slots().get(usize::from(slot.index())).copied()
    }

    /// The partition of an application, or `None` if the table has none.
    pub fn app(&self, app: App) -> Option<Region> {
        match app {
            App::Factory => self.factory(),
            App::Test => self.test(),
            App::Ota(slot) => self.slot(slot),
        }
    }

    /// The application whose partition contains flash offset `at`.
    pub fn app_at(&self, at: u32) -> Option<App> {
        let byte = Region { offset: at, size: 1 };
        let slot = self.slots().iter().zip(0..).find(|(region, _)| region.overlaps(byte));
        match slot {
            Some((_, index)) => Slot::new(index).map(App::Ota),
            None if self.factory.overlaps(byte) => Some(App::Factory),
            None if self.test.overlaps(byte) => Some(App::Test),
            None => None,
        }
    }

    /// Takes in one entry.
    fn add<E>(&mut self, index: u8, entry: &Partition) -> Result<(), LayoutError<E>> {
        let (place, updated) = match entry.app() {
            Some(App::Factory) => (Some(&mut self.factory), false),
            Some(App::Test) => (Some(&mut self.test), false),
            Some(App::Ota(slot)) => (self.slots.get_mut(usize::from(slot.index())), true),
            None if entry.kind() == OTADATA => (Some(&mut self.otadata), true),
            None => (None, false),
        };
        let Some(place) = place else { return Ok(()) };
        if updated {
            check_writable(index, entry)?;
        }
        let region = entry.region();
        let app = entry.ty == Type::APP;
        let (align, min) = if app { (APP_ALIGN, SECTOR) } else { (SECTOR, OTADATA_MIN) };
        check_shape(index, region, align, min)?;
        if place.size != 0 {
            return Err(LayoutError::Duplicate { index, kind: entry.kind() });
        }
        *place = region;
        Ok(())
    }

    /// Counts the slots, once all entries are in.
    fn complete<E>(mut self) -> Result<Self, LayoutError<E>> {
        if self.otadata.size == 0 {
            return Err(LayoutError::NoOtadata);
        }
        let slots = || (0..Slot::MAX as u8).zip(&self.slots);
        let highest = slots().rfind(|(_, region)| region.size != 0);
        let highest =
            highest.and_then(|(index, _)| Slot::new(index)).ok_or(LayoutError::NoSlots)?;
        let missing = slots().find(|(_, region)| region.size == 0);
        let missing = missing.and_then(|(index, _)| Slot::new(index));
        if let Some(missing) = missing.filter(|missing| *missing < highest) {
            let [missing, highest] = [missing, highest].map(App::Ota);
            return Err(LayoutError::SlotGap { missing, highest });
        }
        self.count = highest.index() + 1;
        Ok(self)
    }
}

/// The region, unless it is empty.
fn some(region: Region) -> Option<Region> {
    (region.size != 0).then_some(region)
}

impl PartitionTable {
    /// Checks the table for what an update session relies on, more than either ESP-IDF side does:
    ///
    /// - every partition ends within the flash chip, none overlaps another or the table's sector;
    /// - one otadata partition, sector aligned, of at least two sectors;
    /// - slots `ota_0` to `ota_{n-1}`, each once, n at least 1. The bootloader counts entries and
    ///   the application counts slots, so with gaps or duplicates they would compute different
    ///   slots from the same select entry;
    /// - at most one factory and one test application;
    /// - application partitions at multiples of 64 KiB, with sizes of whole sectors, not empty;
    /// - slots and otadata not read-only.
    pub fn validate<F: ReadNorFlash>(
        &self,
        flash: &mut F,
    ) -> Result<AppLayout, LayoutError<F::Error>> {
        let mut layout = AppLayout {
            otadata: Region::default(),
            factory: Region::default(),
            test: Region::default(),
            slots: [Region::default(); Slot::MAX],
            count: 0,
        };
        for index in 0..self.count {
            let entry = self.entry(flash, index)?;
            self.check_place(flash, index, &entry)?;
            layout.add(index, &entry)?;
        }
        layout.complete()
    }

    /// Checks that a partition lies within flash and apart from earlier entries and the table.
    fn check_place<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        index: u8,
        entry: &Partition,
    ) -> Result<(), LayoutError<F::Error>> {
        let region = entry.region();
        let capacity = flash.capacity() as u64;
        if region.end().is_none_or(|end| u64::from(end) > capacity) {
            return Err(LayoutError::OutOfFlash { index, region, capacity });
        }
        let table = Region { offset: self.offset, size: SECTOR_LEN };
        if entry.ty != Type::PARTITION_TABLE && region.overlaps(table) {
            return Err(LayoutError::OverlapsTable { index, region, table });
        }
        for other in 0..index {
            let other_region = self.entry(flash, other)?.region();
            if region.overlaps(other_region) {
                return Err(LayoutError::Overlap { index, region, other, other_region });
            }
        }
        Ok(())
    }
}

const OTADATA: Kind = Kind { ty: Type::DATA, subtype: Subtype::DATA_OTA };

fn check_writable<E>(index: u8, entry: &Partition) -> Result<(), LayoutError<E>> {
    if entry.flags.readonly() {
        return Err(LayoutError::Readonly { index, region: entry.region() });
    }
    Ok(())
}

fn check_shape<E>(
    index: u8,
    region: Region,
    offset_align: u32,
    min: u32,
) -> Result<(), LayoutError<E>> {
    if !region.offset.is_multiple_of(offset_align) || !region.size.is_multiple_of(SECTOR) {
        return Err(LayoutError::Misaligned { index, region, offset_align, size_align: SECTOR });
    }
    if region.size < min {
        return Err(LayoutError::TooSmall { index, region, min });
    }
    Ok(())
}
