//! `ota.rs`, `ota_updater.rs` and `FlashRegion` of `esp-bootloader-esp-idf` 0.6.0, and `FlashStorage` of
//! `esp-storage` 0.10.0.

use super::super::Failure;
use crate::flash::Chip;
use crate::layout::Layout;
use ::ota_core::otadata::{self, ENTRY_SIZE, MIN_PARTITION_SIZE, SECTOR_SIZE, SelectEntry, State};
use ::ota_core::partition::{App, Region, Slot};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// What the crate answers where a select entry is neither blank nor well-formed (`Error::Invalid`).
const INVALID: &str = "Invalid";
/// The slot's number is not below the number of slots (`Error::InvalidArgument`).
const INVALID_ARGUMENT: &str = "InvalidArgument";
/// No partition is selected (`Error::InvalidState`).
const INVALID_STATE: &str = "InvalidState";
/// otadata is not as the crate wants it (`Error::InvalidPartition`).
const INVALID_PARTITION: &str = "InvalidPartition: otadata must have 0x2000 bytes";

/// `Ota`, with the flash that it works on.
pub(super) struct OtaData<'a> {
    chip: &'a mut Chip,
    otadata: Region,
    slots: u8,
}

impl<'a> OtaData<'a> {
    /// `Ota::new`.
    pub(super) fn new(chip: &'a mut Chip, layout: &Layout) -> Result<Self, Failure> {
        let apps = layout.apps();
        if apps.otadata().size != MIN_PARTITION_SIZE {
            return Err(INVALID_PARTITION.into());
        }
        Ok(Self { chip, otadata: apps.otadata(), slots: apps.slot_count() })
    }

    /// `Ota::current_app_partition`: the slot that otadata selects, `None` for factory. The inner error is
    /// what the crate returns, the outer one a panic.
    pub(super) fn current_app_partition(&mut self) -> Result<Result<Option<u8>, Failure>, Failure> {
        let entries = match self.entries() {
            Ok(entries) => entries,
            Err(error) => return Ok(Err(error)),
        };
        let Some(sector) = current(&entries) else { return Ok(Ok(None)) };
        let number = entries[sector].seq.checked_sub(1).ok_or_else(|| panicked("subtract"))?;
        Ok(Ok(Some((number % u32::from(self.slots)) as u8)))
    }

    /// `OtaUpdater::next_partition`: the slot after the selected one, or the one after that if the first
    /// runs. The number of a selected factory partition is computed as if it were a slot.
    pub(super) fn next_partition(&mut self, running: App) -> Result<Slot, Failure> {
        let current = self.current_app_partition()??;
        let next = current.map_or(0, |slot| (slot + 1) % self.slots);
        let next = match running {
            App::Ota(slot) if slot.index() == next => {
                let current = current.ok_or_else(|| panicked("subtract"))?;
                (current + 2) % self.slots
            }
            _ => next,
        };
        Slot::new(next).ok_or_else(|| INVALID.into())
    }

    /// `Ota::set_current_app_partition` of a slot. The new number is the greatest one and the distance to
    /// the slot, which from factory is taken modulo the number of slots as well. The state word and the
    /// label of the entry that is written over stay.
    pub(super) fn set_current_app_partition(&mut self, slot: Slot) -> Result<(), Failure> {
        // The crate counts slots as the bootloader does, whatever their numbers.
        if slot.index() >= self.slots {
            return Err(INVALID_ARGUMENT.into());
        }
        let current = self.current_app_partition()??;
        if current == Some(slot.index()) {
            return Ok(());
        }
        let increment = match current {
            None => (slot.index() + 1) % self.slots,
            Some(current) => (slot.index() + self.slots - current) % self.slots,
        };
        let entries = self.entries()?;
        let numbers = entries.iter().map(|entry| entry.seq);
        let greatest = numbers.filter(|&seq| seq != SelectEntry::SEQ_BLANK).max().unwrap_or(0);
        let seq = greatest.checked_add(increment.into()).ok_or_else(|| panicked("add"))?;
        let sector = self::current(&entries).map_or(0, |current| 1 - current);
        let crc = otadata::seq_crc(seq);
        self.write_entry(sector, SelectEntry { seq, crc, ..entries[sector] })
    }

    /// `OtaUpdater::reset_data`, which is `Ota::set_current_app_partition` of factory.
    pub(super) fn reset(&mut self) -> Result<(), Failure> {
        for sector in 0..2 {
            self.write(self.otadata, sector * SECTOR_SIZE, &[0xFF; ENTRY_SIZE])?;
        }
        Ok(())
    }

    /// `Ota::current_ota_state`.
    pub(super) fn current_ota_state(&mut self) -> Result<State, Failure> {
        let entries = self.entries()?;
        Ok(entries[current(&entries).ok_or(INVALID_STATE)?].state)
    }

    /// `Ota::set_current_ota_state`: writes over the entry that is selected.
    pub(super) fn set_current_ota_state(&mut self, state: State) -> Result<(), Failure> {
        let entries = self.entries()?;
        let sector = current(&entries).ok_or(INVALID_STATE)?;
        self.write_entry(sector, SelectEntry { state, ..entries[sector] })
    }

    /// Both entries; [`INVALID`] if one of them is neither blank nor well-formed.
    fn entries(&mut self) -> Result<[SelectEntry; 2], Failure> {
        let mut entries = [SelectEntry::BLANK; 2];
        for (sector, entry) in (0..).zip(&mut entries) {
            let mut bytes = [0; ENTRY_SIZE];
            let read = self.chip.read(self.otadata.offset + sector * SECTOR_SIZE, &mut bytes);
            read.map_err(|error| format!("StorageError: {error}"))?;
            *entry = SelectEntry::parse(&bytes);
            let blank = entry.seq == SelectEntry::SEQ_BLANK && entry.state == State::UNDEFINED;
            if !blank && (entry.state.is_odd() || !entry.crc_ok()) {
                return Err(INVALID.into());
            }
        }
        Ok(entries)
    }

    fn write_entry(&mut self, sector: usize, entry: SelectEntry) -> Result<(), Failure> {
        self.write(self.otadata, sector as u32 * SECTOR_SIZE, &entry.emit())
    }

    /// `FlashRegion::write`, which is `FlashStorage::write`: reads the sector, erases it, and programs all
    /// of it. `data` must not reach into another sector.
    pub(super) fn write(
        &mut self,
        region: Region,
        offset: u32,
        data: &[u8],
    ) -> Result<(), Failure> {
        if offset.checked_add(data.len() as u32).is_none_or(|end| end > region.size) {
            return Err("OutOfBounds".into());
        }
        let start = region.offset + offset;
        let mut sector = [0; SECTOR_SIZE as usize];
        let written = self.chip.read(start, &mut sector).and_then(|()| {
            sector[..data.len()].copy_from_slice(data);
            self.chip.erase(start, start + SECTOR_SIZE)?;
            self.chip.write(start, &sector)
        });
        written.map_err(|error| format!("StorageError: {error}"))
    }
}

/// The entry that is selected, as the crate sees it: the greater number, whatever its state, and the
/// second of two equal ones.
fn current(entries: &[SelectEntry; 2]) -> Option<usize> {
    let [first, second] = entries.map(|entry| entry.seq);
    match (first == SelectEntry::SEQ_BLANK, second == SelectEntry::SEQ_BLANK) {
        (true, true) => None,
        (true, false) => Some(1),
        (false, true) => Some(0),
        (false, false) => Some(usize::from(first <= second)),
    }
}

fn panicked(operation: &str) -> Failure {
    format!("panicked: attempt to {operation} with overflow")
}
