//! The partitions that boot selection and updates are about, whatever the numbers of the slots.

use ota_core::partition::{App, Kind, Partition, Region, Slot, Subtype, Type};

/// The partitions that boot selection and updates are about, in a table whose slots may have gaps in their
/// numbers.
///
/// The bootloader takes the number of slots for the modulus of boot selection, whatever their numbers
/// ([`slot_count`](Self::slot_count)). An application of ESP-IDF counts from `ota_0` up to the first number
/// that is missing ([`unbroken_count`](Self::unbroken_count)). With a gap the two differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apps {
    otadata: Region,
    factory: Option<Region>,
    test: Option<Region>,
    slots: [Option<Region>; Slot::MAX],
}

const OTADATA: Kind = Kind { ty: Type::DATA, subtype: Subtype::DATA_OTA };

impl Apps {
    /// The partitions of a table that lists none of them twice.
    pub(super) fn of(entries: impl IntoIterator<Item = Partition>) -> Self {
        let mut apps = Self::default();
        for entry in entries {
            let region = entry.region();
            match entry.app() {
                Some(App::Factory) => apps.factory = Some(region),
                Some(App::Test) => apps.test = Some(region),
                Some(App::Ota(slot)) => {
                    apps.slots[usize::from(slot.index())] = Some(region);
                }
                None if entry.kind() == OTADATA => apps.otadata = region,
                None => {}
            }
        }
        apps
    }

    /// The otadata partition.
    pub fn otadata(&self) -> Region {
        self.otadata
    }

    /// The factory application's partition.
    pub fn factory(&self) -> Option<Region> {
        self.factory
    }

    /// The test application's partition.
    pub fn test(&self) -> Option<Region> {
        self.test
    }

    /// The partitions of the slots that there are, in the order of their numbers.
    pub fn slots(&self) -> impl DoubleEndedIterator<Item = Region> + Clone + '_ {
        self.slots.iter().copied().flatten()
    }

    /// The partitions `ota_0`, `ota_1` and so on up to the last one, with what is missing between them.
    pub fn numbered_slots(&self) -> impl Iterator<Item = Option<Region>> + '_ {
        let end = self.slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.slots.iter().copied().take(end)
    }

    /// Number of slots, 1 to 16, as the bootloader counts them: one for each entry of the table.
    pub fn slot_count(&self) -> u8 {
        self.slots().count() as u8
    }

    /// Number of slots before the first number that is missing, 0 to 16, as an application of ESP-IDF counts
    /// them (`esp_ota_get_app_partition_count`).
    pub fn unbroken_count(&self) -> u8 {
        self.slots.iter().take_while(|slot| slot.is_some()).count() as u8
    }

    /// The partition of a slot, if the table has such a slot.
    pub fn slot(&self, slot: Slot) -> Option<Region> {
        self.slots[usize::from(slot.index())]
    }

    /// The slot with the next higher number than `slot`, the lowest after the last one and without one, as
    /// `esp_ota_get_next_update_partition` of ESP-IDF goes over gaps.
    pub fn slot_after(&self, slot: Option<Slot>) -> Option<Slot> {
        let first = slot.map_or(0, |slot| slot.index() + 1);
        let all = || (0..Slot::MAX as u8).filter_map(Slot::new);
        let exists = |slot: &Slot| self.slot(*slot).is_some();
        let mut later = all().filter(|slot| slot.index() >= first).filter(exists);
        later.next().or_else(|| all().find(exists))
    }

    /// The partition of an application, if the table has it.
    pub fn app(&self, app: App) -> Option<Region> {
        match app {
            App::Factory => self.factory,
            App::Test => self.test,
            App::Ota(slot) => self.slot(slot),
        }
    }

    /// The application whose partition contains flash offset `at`.
    pub fn app_at(&self, at: u32) -> Option<App> {
        let byte = Region { offset: at, size: 1 };
        let slots = (0..Slot::MAX as u8).filter_map(Slot::new).map(App::Ota);
        let mut apps = [App::Factory, App::Test].into_iter().chain(slots);
        apps.find(|&app| self.app(app).is_some_and(|region| region.overlaps(byte)))
    }
}
