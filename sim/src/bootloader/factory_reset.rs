//! The factory-reset pin: which data partitions it erases.
//!
//! Source: ESP-IDF `bootloader_common.c` (`bootloader_common_erase_part_type_data`).

use super::event::Event;
use super::power_loss::PowerLoss;
use super::run::{Run, Step};
use embedded_storage::nor_flash::NorFlash;
use ota_core::partition::{Partition, Region, Subtype, Type};
use ota_core::table::PartitionTable;

/// The factory-reset pin, as built into the bootloader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactoryReset {
    /// Labels of the data partitions to erase (`CONFIG_BOOTLOADER_DATA_FACTORY_RESET`).
    pub labels: Vec<String>,
    /// Erase otadata too (`CONFIG_BOOTLOADER_OTA_DATA_ERASE`).
    pub otadata: bool,
}

impl FactoryReset {
    fn erases(&self, partition: &Partition) -> bool {
        partition.ty == Type::DATA
            && (self.otadata && partition.subtype == Subtype::DATA_OTA
                || self.labels.iter().any(|label| label.as_bytes() == partition.label.as_bytes()))
    }
}

impl<F, I, E> Run<'_, F, I, E>
where
    F: NorFlash<Error: PowerLoss>,
    E: FnMut(Event),
{
    /// Erases the partitions in the order of the table, each from its start to its end.
    pub(super) fn erase_data(&mut self, settings: &FactoryReset) -> Step<(), F::Error> {
        for region in self.regions_to_erase(settings) {
            self.event(Event::Erase(region));
            let erased = self.flash.erase(region.offset, region.offset.wrapping_add(region.size));
            if self.unless_power_lost(erased)?.is_none() {
                self.event(Event::WriteFailed);
            }
        }
        Ok(())
    }

    /// Reads the table anew, as the bootloader does: boot selection keeps no labels. Entries behind
    /// an MD5 record in the middle of the table are left out.
    fn regions_to_erase(&mut self, settings: &FactoryReset) -> Vec<Region> {
        let Ok(table) = PartitionTable::load_without_md5(self.flash, self.config.table_offset)
        else {
            return Vec::new();
        };
        table
            .entries(self.flash)
            .flatten()
            .filter(|partition| settings.erases(partition))
            .map(|partition| partition.region())
            .collect()
    }
}
