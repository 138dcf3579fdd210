//! Bits that flip at rest.

use super::device::{Device, START};
use super::otadata;
use super::stop::{Run, fail};
use crate::scenario::Damage;
use ota_core::SliceFlash;
use ota_core::image::{Requirements, verify};
use ota_core::otadata::{ENTRY_SIZE, SECTOR_SIZE, active};
use ota_core::partition::{App, Region, Slot};
use std::collections::BTreeMap;

/// Chooses bits, and gives the bytes that hold them as they are then, by their offset in flash.
pub(super) fn choose(
    device: &mut Device<'_>,
    place: Damage,
    count: u32,
    seed: u32,
) -> Run<BTreeMap<u32, u8>> {
    let region = region(device, place)?;
    let bytes = device.read_flash(region.offset..region.offset + region.size)?;
    let mut stream = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    let mut flipped = BTreeMap::<u32, u8>::new();
    let mut masks = BTreeMap::<u32, u8>::new();
    let bits = u64::from(region.size) * 8;
    let wanted = u64::from(count).min(bits);
    let mut done = 0;
    while done < wanted {
        let mut number = [0; 8];
        stream.fill(&mut number);
        let bit = u64::from_le_bytes(number) % bits;
        let (at, mask) = ((bit / 8) as u32, 1 << (bit % 8));
        let taken = masks.entry(at).or_default();
        if *taken & mask == 0 {
            *taken |= mask;
            done += 1;
        }
    }
    for (at, mask) in masks {
        let byte = bytes.get(at as usize).copied().unwrap_or(0xFF);
        flipped.insert(region.offset + at, byte ^ mask);
    }
    let offsets: Vec<_> = flipped.keys().map(|at| format!("{at:#x}")).collect();
    device.remark(&format!("bits flip at {}", offsets.join(", ")));
    Ok(flipped)
}

/// Where bits flip.
fn region(device: &mut Device<'_>, place: Damage) -> Run<Region> {
    let apps = *device.case.device.layout.apps();
    match place {
        Damage::RunningSlot | Damage::PassiveSlot => {
            let running = device.running(START)?;
            let is = |app: &App| app.to_string() == running.slot;
            let slots = (0..apps.slot_count()).filter_map(Slot::new).map(App::Ota);
            let Some(app) = slots.chain([App::Factory, App::Test]).find(is) else {
                return fail("the firmware does not say which slot it runs from");
            };
            let app = match (place, app) {
                (Damage::RunningSlot, app) => Some(app),
                (_, App::Ota(slot)) => {
                    Slot::new((slot.index() + 1) % apps.slot_count()).map(App::Ota)
                }
                (_, App::Factory | App::Test) => Slot::new(0).map(App::Ota),
            };
            let Some(region) = app.and_then(|app| apps.app(app)) else {
                return fail("the partition table has no other slot");
            };
            // Only bits of the image matter; without one, all of the slot.
            let bytes = device.read_flash(region.offset..region.offset + region.size)?;
            let requirements = Requirements::for_chip(device.case.device.chip.id());
            let whole = Region { offset: 0, size: region.size };
            let length = verify(&mut SliceFlash(&bytes), whole, &requirements).map(|it| it.len);
            Ok(Region { offset: region.offset, size: length.unwrap_or(region.size) })
        }
        Damage::ActiveEntry | Damage::OtherEntry => {
            let offset = apps.otadata().offset;
            let bytes = device.read_flash(offset..offset + otadata::BOTH)?;
            let Some(index) = otadata::parse(&bytes).as_ref().and_then(active) else {
                return fail("no select entry counts, so none of them is the active one");
            };
            let index = if place == Damage::ActiveEntry { index } else { 1 - index };
            let offset = offset + index as u32 * SECTOR_SIZE;
            Ok(Region { offset, size: ENTRY_SIZE as u32 })
        }
    }
}
