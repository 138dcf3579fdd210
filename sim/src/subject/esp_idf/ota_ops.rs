//! `esp_ota_ops.c` of ESP-IDF v5.4 to v6.1, as far as it touches flash.
//!
//! Every select entry is written the same way: erase its sector, program 32 bytes. Nothing is read
//! back, nothing is tried again.

use super::super::{Device, Failure};
use crate::bootloader::AntiRollback;
use crate::flash::{Chip, FlashError};
use ::ota_core::Extent;
use ::ota_core::image::{self, Requirements};
use ::ota_core::otadata::{self, ENTRY_SIZE, SECTOR_SIZE, SelectEntry, State};
use ::ota_core::partition::{App, Region, Slot};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

// Names and values: `esp_err.h`, `esp_ota_ops.h`, `esp_flash_err.h`.
pub(super) const FAIL: &str = "ESP_FAIL (-0x1)";
pub(super) const INVALID_ARG: &str = "ESP_ERR_INVALID_ARG (0x102)";
const INVALID_SIZE: &str = "ESP_ERR_INVALID_SIZE (0x104)";
const NOT_FOUND: &str = "ESP_ERR_NOT_FOUND (0x105)";
const OTA_PARTITION_CONFLICT: &str = "ESP_ERR_OTA_PARTITION_CONFLICT (0x1501)";
const OTA_VALIDATE_FAILED: &str = "ESP_ERR_OTA_VALIDATE_FAILED (0x1503)";
const OTA_SMALL_SEC_VER: &str = "ESP_ERR_OTA_SMALL_SEC_VER (0x1504)";
const OTA_ROLLBACK_FAILED: &str = "ESP_ERR_OTA_ROLLBACK_FAILED (0x1505)";
const OTA_ROLLBACK_INVALID_STATE: &str = "ESP_ERR_OTA_ROLLBACK_INVALID_STATE (0x1506)";
const FLASH_OP_FAIL: &str = "ESP_ERR_FLASH_OP_FAIL (0x6001)";

/// `esp_ota_get_next_update_partition(NULL)`: the slot after the running one, the lowest at the end
/// and for factory and test. The only slot follows itself. It goes over gaps in the numbers of slots.
pub(super) fn next_update_partition(device: &Device<'_>) -> Result<Slot, Failure> {
    let running = match device.running {
        App::Ota(slot) => Some(slot),
        App::Factory | App::Test => None,
    };
    // Without a partition the application gets NULL, and begin refuses that.
    device.layout.apps().slot_after(running).ok_or_else(|| INVALID_ARG.into())
}

/// An open session (`ota_ops_entry_t`).
pub(super) struct Session {
    region: Region,
    need_erase: bool,
    wrote_size: u32,
}

impl Session {
    /// `esp_ota_begin`.
    ///
    /// A rollback build of a release that `revokes` the inactive select entry does so when the slot is
    /// erased already.
    pub(super) fn begin(
        device: &mut Device<'_>,
        slot: Slot,
        extent: Extent,
        revokes: bool,
    ) -> Result<Self, Failure> {
        let region = device.layout.apps().slot(slot).ok_or(NOT_FOUND)?;
        if device.running == App::Ota(slot) {
            return Err(OTA_PARTITION_CONFLICT.into());
        }
        if device.rollback && running_state(device) == Some(State::PENDING_VERIFY) {
            return Err(OTA_ROLLBACK_INVALID_STATE.into());
        }
        match extent {
            Extent::Sequential => {}
            Extent::Unknown | Extent::Known(0) => {
                erase_range(device.chip, region, 0, region.size)?;
            }
            Extent::Known(size) => {
                erase_range(device.chip, region, 0, size.next_multiple_of(SECTOR_SIZE))?;
            }
        }
        if device.rollback && revokes {
            // The original ignores the result too.
            let _ = invalidate_inactive_ota_data_slot(device);
        }
        Ok(Self { region, need_erase: extent == Extent::Sequential, wrote_size: 0 })
    }

    /// `esp_ota_write`: erases the sectors whose first byte is in `data`, then looks at the first
    /// byte of the image, then programs. The length of `data` must be a multiple of 4.
    pub(super) fn write(&mut self, device: &mut Device<'_>, data: &[u8]) -> Result<(), Failure> {
        let Some(first) = data.first() else {
            return Ok(());
        };
        let end = self.wrote_size + data.len() as u32;
        if self.need_erase {
            let from = self.wrote_size.next_multiple_of(SECTOR_SIZE);
            let to = end.next_multiple_of(SECTOR_SIZE);
            if from < to {
                erase_range(device.chip, self.region, from, to - from)?;
            }
        }
        if self.wrote_size == 0 && *first != image::MAGIC {
            return Err(OTA_VALIDATE_FAILED.into());
        }
        write_range(device.chip, self.region, self.wrote_size, data)?;
        self.wrote_size = end;
        Ok(())
    }

    /// `esp_ota_end`: verifies the image.
    pub(super) fn end(self, device: &mut Device<'_>) -> Result<(), Failure> {
        if self.wrote_size == 0 {
            return Err(INVALID_ARG.into());
        }
        image_validate(device, self.region)
    }
}

/// Which entry `esp_ota_set_boot_partition` writes over when there is an active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetBoot {
    /// The inactive one, up to v5.5. Where the slot is selected already, both entries then get the same
    /// number, and the running image may lose its own entry (esp-idf issue 14688).
    Inactive,
    /// The active one where it selects the slot already, else the inactive one: v6.0 and later.
    InPlaceIfSelected,
    /// Not that of the running image, whichever is active (ruuvi.gateway_esp.c pull request 1283).
    NotOfRunning,
}

/// `esp_ota_set_boot_partition` of a slot, with `esp_rewrite_ota_data`. Under anti-rollback a slot whose image
/// is too old is erased.
pub(super) fn set_boot_slot(
    device: &mut Device<'_>,
    slot: Slot,
    which: SetBoot,
) -> Result<(), Failure> {
    let region = device.layout.apps().slot(slot).ok_or(INVALID_ARG)?;
    image_validate(device, region)?;
    if device.anti_rollback.is_some() && secure_version(device, region)? < *device.secure_version {
        erase_range(device.chip, region, 0, region.size)?;
        return Err(OTA_SMALL_SEC_VER.into());
    }
    let entries = read_otadata(device)?;
    let count = device.layout.apps().unbroken_count();
    if slot.index() >= count {
        return Err(INVALID_ARG.into());
    }
    let kept = match which {
        SetBoot::NotOfRunning => entry_of_running(device, &entries),
        SetBoot::Inactive | SetBoot::InPlaceIfSelected => None,
    };
    let (sector, seq) = match kept.or_else(|| otadata::active(&entries)) {
        Some(active)
            if which == SetBoot::InPlaceIfSelected
                && selected_slot(device, &entries[active]) == Some(slot) =>
        {
            (active, entries[active].seq)
        }
        Some(kept) => (1 - kept, next_seq(entries[kept].seq, slot, count)?),
        None => (0, u32::from(slot.index()) + 1),
    };
    let state = if device.rollback { State::NEW } else { State::UNDEFINED };
    rewrite_ota_seq(device, sector, SelectEntry { seq, state, ..entries[sector] })
}

/// `esp_ota_set_boot_partition` of factory: erases otadata from its start to its end.
pub(super) fn set_boot_factory(device: &mut Device<'_>) -> Result<(), Failure> {
    let factory = device.layout.apps().factory().ok_or(INVALID_ARG)?;
    image_validate(device, factory)?;
    let otadata = device.layout.apps().otadata();
    erase_range(device.chip, otadata, 0, otadata.size)
}

/// `esp_ota_mark_app_valid_cancel_rollback`: [`FAIL`] without an active entry.
pub(super) fn mark_app_valid_cancel_rollback(device: &mut Device<'_>) -> Result<(), Failure> {
    let (sector, entry) = active_entry(device)?;
    if entry.state == State::VALID {
        return Ok(());
    }
    rewrite_ota_seq(device, sector, SelectEntry { state: State::VALID, ..entry })?;
    set_anti_rollback(device)
}

/// `esp_ota_set_anti_rollback`: burns the running image's security version into eFuse.
fn set_anti_rollback(device: &mut Device<'_>) -> Result<(), Failure> {
    let Some(AntiRollback { field_bits }) = device.anti_rollback else {
        return Ok(());
    };
    let running = device.layout.apps().app(device.running).ok_or(NOT_FOUND)?;
    let version = secure_version(device, running)?;
    if version > field_bits {
        return Err(INVALID_ARG.into());
    }
    *device.secure_version = version.max(*device.secure_version);
    Ok(())
}

/// The security version that `esp_ota_get_partition_description` reads.
fn secure_version(device: &mut Device<'_>, region: Region) -> Result<u32, Failure> {
    match image::describe(device.chip, region) {
        Ok(description) => Ok(description.secure_version),
        Err(error) => Err(format!("{NOT_FOUND}: {error}")),
    }
}

/// `esp_ota_mark_app_invalid_rollback`; the application restarts afterwards.
pub(super) fn mark_app_invalid_rollback(device: &mut Device<'_>) -> Result<(), Failure> {
    let (sector, entry) = active_entry(device)?;
    if !rollback_is_possible(device) {
        return Err(OTA_ROLLBACK_FAILED.into());
    }
    rewrite_ota_seq(device, sector, SelectEntry { state: State::INVALID, ..entry })
}

/// `esp_ota_check_rollback_is_possible`: whether the other entry's image verifies and is not too old, or,
/// without anti-rollback, factory's if there is no other valid entry. Reads otadata anew.
fn rollback_is_possible(device: &mut Device<'_>) -> bool {
    let Ok(entries) = read_otadata(device) else {
        return false;
    };
    let Some(active) = otadata::active(&entries) else {
        return false;
    };
    let other = &entries[1 - active];
    let target = if other.is_valid() {
        selected_slot(device, other).and_then(|slot| device.layout.apps().slot(slot))
    } else {
        device.layout.apps().factory().filter(|_| device.anti_rollback.is_none())
    };
    let Some(region) = target else { return false };
    let new_enough = device.anti_rollback.is_none()
        || secure_version(device, region).is_ok_and(|version| version >= *device.secure_version);
    new_enough && image_validate(device, region).is_ok()
}

/// `esp_ota_invalidate_inactive_ota_data_slot`: erases the entry that is not active, whatever its
/// state, if it selects another slot than the running one.
fn invalidate_inactive_ota_data_slot(device: &mut Device<'_>) -> Result<(), Failure> {
    let entries = read_otadata(device)?;
    let inactive = 1 - otadata::active(&entries).ok_or(FAIL)?;
    if entries[inactive].is_blank_or_bad_crc() {
        return Err(FAIL.into());
    }
    match selected_slot(device, &entries[inactive]) {
        Some(slot) if App::Ota(slot) != device.running => {
            let otadata = device.layout.apps().otadata();
            erase_range(device.chip, otadata, sector_offset(inactive), SECTOR_SIZE)
        }
        _ => Err(FAIL.into()),
    }
}

/// `esp_ota_get_state_partition` of the running partition; `None` for its errors.
pub(super) fn running_state(device: &mut Device<'_>) -> Option<State> {
    let entries = read_otadata(device).ok()?;
    Some(entries[entry_of_running(device, &entries)?].state)
}

/// The first entry that selects the running slot, active or not.
fn entry_of_running(device: &Device<'_>, entries: &[SelectEntry; 2]) -> Option<usize> {
    let App::Ota(running) = device.running else {
        return None;
    };
    entries.iter().position(|entry| entry.crc_ok() && selected_slot(device, entry) == Some(running))
}

/// The active entry and its sector, as `esp_ota_current_ota_is_workable` finds them: none where the
/// application counts no slots.
fn active_entry(device: &mut Device<'_>) -> Result<(usize, SelectEntry), Failure> {
    let entries = read_otadata(device)?;
    let has_slots = device.layout.apps().unbroken_count() > 0;
    let active = otadata::active(&entries).filter(|_| has_slots).ok_or(FAIL)?;
    Ok((active, entries[active]))
}

/// The slot that the application takes an entry for: it counts slots up to the first number that is missing
/// (`esp_ota_get_app_partition_count`), the bootloader counts all of them.
fn selected_slot(device: &Device<'_>, entry: &SelectEntry) -> Option<Slot> {
    let index = entry.slot_index(device.layout.apps().unbroken_count().into())?;
    Slot::new(u8::try_from(index).ok()?)
}

/// The least number *not below* `current` that selects `slot`, from the loop in
/// `esp_rewrite_ota_data`. It can be the reserved 0xFFFF_FFFF, and 0.
///
/// # Errors
/// When the number exceeds 32 bits; the loop of the original then goes on with a wrapped number, and
/// for most counts of slots never ends.
pub(super) fn next_seq(current: u32, slot: Slot, count: u8) -> Result<u32, Failure> {
    let count = u32::from(count);
    let base = (u32::from(slot.index()) + 1) % count;
    let rounds = current.saturating_sub(base).div_ceil(count);
    rounds
        .checked_mul(count)
        .and_then(|seq| seq.checked_add(base))
        .ok_or_else(|| "esp_rewrite_ota_data does not return: no sequence number left".into())
}

/// `image_validate`: the rules of ESP-IDF, which demand neither hash nor descriptor.
fn image_validate(device: &mut Device<'_>, region: Region) -> Result<(), Failure> {
    let requirements = Requirements { strict: false, ..*device.requirements };
    match image::verify(device.chip, region, &requirements) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{OTA_VALIDATE_FAILED}: {error}")),
    }
}

/// `read_otadata`: reads both entries once.
fn read_otadata(device: &mut Device<'_>) -> Result<[SelectEntry; 2], Failure> {
    let offset = device.layout.apps().otadata().offset;
    let mut entries = [SelectEntry::BLANK; 2];
    for (sector, entry) in entries.iter_mut().enumerate() {
        let mut bytes = [0; ENTRY_SIZE];
        let read = device.chip.read(offset + sector_offset(sector), &mut bytes);
        read.map_err(|error| format!("{NOT_FOUND}: {error}"))?;
        *entry = SelectEntry::parse(&bytes);
    }
    Ok(entries)
}

/// `rewrite_ota_seq`: replaces an entry, with a new CRC and the label bytes it is given.
fn rewrite_ota_seq(
    device: &mut Device<'_>,
    sector: usize,
    entry: SelectEntry,
) -> Result<(), Failure> {
    let entry = SelectEntry { crc: otadata::seq_crc(entry.seq), ..entry };
    let otadata = device.layout.apps().otadata();
    let offset = sector_offset(sector);
    erase_range(device.chip, otadata, offset, SECTOR_SIZE)?;
    write_range(device.chip, otadata, offset, &entry.emit())
}

fn sector_offset(sector: usize) -> u32 {
    sector as u32 * SECTOR_SIZE
}

/// `esp_partition_erase_range`.
fn erase_range(chip: &mut Chip, region: Region, offset: u32, size: u32) -> Result<(), Failure> {
    let start = bounded(region, offset, size)?;
    chip.erase(start, start + size).map_err(flash_failure)
}

/// `esp_partition_write`.
fn write_range(chip: &mut Chip, region: Region, offset: u32, data: &[u8]) -> Result<(), Failure> {
    let start = bounded(region, offset, data.len() as u32)?;
    chip.write(start, data).map_err(flash_failure)
}

/// Flash offset of a range in a partition.
fn bounded(region: Region, offset: u32, size: u32) -> Result<u32, Failure> {
    match offset.checked_add(size) {
        Some(end) if end <= region.size => Ok(region.offset + offset),
        _ => Err(INVALID_SIZE.into()),
    }
}

fn flash_failure(error: FlashError) -> Failure {
    format!("{FLASH_OP_FAIL}: {error}")
}
