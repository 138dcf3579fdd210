//! Partition tables: good ones, odd ones, and ones that the bootloader refuses.

use super::dice::Dice;
use md5::{Digest, Md5};
use ota_core::partition::{Region, Subtype, Type};
use sim::layout::Layout;

/// Size of a record of the table, in bytes.
const RECORD: usize = 32;
/// Records that the bootloader looks at.
const RECORDS: usize = 96;
/// Size and alignment of the slots of generated tables, in bytes.
const SLOT: u32 = 0x1_0000;
const MIB: u32 = 0x10_0000;

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) ty: Type,
    pub(super) subtype: Subtype,
    pub(super) region: Region,
}

impl Entry {
    fn new(ty: Type, subtype: Subtype, offset: u32, size: u32) -> Self {
        Self { ty, subtype, region: Region { offset, size } }
    }

    pub(super) fn is_otadata(&self) -> bool {
        (self.ty, self.subtype) == (Type::DATA, Subtype::DATA_OTA)
    }

    pub(super) fn is_app(&self) -> bool {
        self.ty == Type::APP
    }

    fn record(&self, label: &str) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&[0xAA, 0x50, self.ty.0, self.subtype.0]);
        bytes[4..8].copy_from_slice(&self.region.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.region.size.to_le_bytes());
        bytes[12..12 + label.len()].copy_from_slice(label.as_bytes());
        bytes
    }
}

/// A table.
pub(super) struct Table {
    /// What is special about it.
    pub(super) class: &'static str,
    /// What stands on flash.
    pub(super) bytes: Vec<u8>,
    /// The entries in it, whether or not the bootloader accepts them.
    pub(super) entries: Vec<Entry>,
    /// Flash size in the header of the bootloader's image.
    pub(super) spi_size: u8,
}

/// What can be special about a table.
const CLASSES: [&str; 34] = [
    "otadata too small",
    "otadata large",
    "otadata misaligned",
    "otadata missing",
    "otadata twice",
    "otadata at 0",
    "otadata empty",
    "a slot twice",
    "a gap",
    "a slot empty",
    "factory empty",
    "factory at 0",
    "factories",
    "slots misaligned",
    "slots overlap",
    "test",
    "unknown types",
    "95 entries",
    "96 entries",
    "many slots",
    "no MD5",
    "bad MD5",
    "MD5 first",
    "MD5 between",
    "MD5 twice",
    "blank",
    "zeros",
    "noise",
    "bad magic",
    "entries behind the end",
    "beyond flash",
    "size wraps",
    "flash size",
    "a byte differs",
];

/// Makes a table; every third is ordinary.
pub(super) fn table(dice: &mut Dice) -> Table {
    match dice.below(9) {
        0 => stock(dice),
        1..=3 => encoded("ordinary", ordinary(dice), 2),
        _ => {
            let class = dice.pick(&CLASSES);
            special(class, dice)
        }
    }
}

/// One of the tables that come with the simulator.
fn stock(dice: &mut Dice) -> Table {
    let layouts = Layout::stock();
    let layout = &layouts[dice.below(layouts.len() as u32) as usize];
    let apps = layout.apps();
    let otadata = apps.otadata();
    let mut entries = vec![Entry { ty: Type::DATA, subtype: Subtype::DATA_OTA, region: otadata }];
    let app = |subtype, region| Entry { ty: Type::APP, subtype, region };
    entries.extend(apps.factory().map(|region| app(Subtype::APP_FACTORY, region)));
    let slots = (Subtype::APP_OTA_0.0..).zip(apps.slots());
    entries.extend(slots.map(|(subtype, region)| app(Subtype(subtype), region)));
    Table { class: "stock", bytes: layout.table().to_vec(), entries, spi_size: 2 }
}

/// Factory or not, no to 16 slots, 64 KiB each.
fn ordinary(dice: &mut Dice) -> Vec<Entry> {
    let slots = if dice.once_in(4) { dice.below(17) } else { 1 + dice.below(4) };
    let mut entries = vec![
        Entry::new(Type::DATA, Subtype(2), 0x9000, 0x4000),
        Entry::new(Type::DATA, Subtype::DATA_OTA, 0xD000, 0x2000),
    ];
    let mut next = SLOT;
    if slots == 0 || dice.once_in(2) {
        entries.push(Entry::new(Type::APP, Subtype::APP_FACTORY, next, SLOT));
        next += SLOT;
    }
    for slot in 0..slots {
        let subtype = Subtype(Subtype::APP_OTA_0.0 + slot as u8);
        entries.push(Entry::new(Type::APP, subtype, next + slot * SLOT, SLOT));
    }
    entries
}

fn special(class: &'static str, dice: &mut Dice) -> Table {
    let mut entries = ordinary(dice);
    let mut spi_size = 2;
    let otadata = 1;
    let is_slot = |entry: &Entry| entry.is_app() && entry.subtype != Subtype::APP_FACTORY;
    let slots: Vec<usize> = (0..entries.len()).filter(|&at| is_slot(&entries[at])).collect();
    let a_slot = slots.get(dice.below(slots.len() as u32) as usize).copied();
    let end = entries.iter().map(|entry| entry.region.offset + entry.region.size).max();
    let end = end.unwrap_or_default().max(2 * SLOT);
    match class {
        "otadata too small" => entries[otadata].region.size = dice.pick(&[1, 0x1000, 0x1FFF, 0x20]),
        "otadata large" => {
            entries[otadata].region =
                Region { offset: end, size: dice.pick(&[0x2001, 0x3000, SLOT]) };
        }
        "otadata misaligned" => {
            let offset = end + dice.pick(&[0x10, 0x20, 0x204, 0x7F0, 0xFC0, 0xFE0]);
            entries[otadata].region = Region { offset, size: dice.pick(&[0x2000, 0x3000]) };
        }
        "otadata missing" => drop(entries.remove(otadata)),
        "otadata twice" => {
            let second =
                Entry::new(Type::DATA, Subtype::DATA_OTA, end, dice.pick(&[0x1000, 0x2000]));
            let at = dice.below(entries.len() as u32 + 1) as usize;
            entries.insert(at, second);
        }
        "otadata at 0" => entries[otadata].region.offset = 0,
        "otadata empty" => entries[otadata].region.size = 0,
        "a slot twice" => {
            if let Some(slot) = a_slot {
                entries.push(Entry { region: Region { offset: end, size: SLOT }, ..entries[slot] });
            }
        }
        "a gap" => {
            if let Some(slot) = a_slot {
                entries.remove(slot);
            }
        }
        "a slot empty" => {
            if let Some(slot) = a_slot {
                entries[slot].region.size = 0;
            }
        }
        "factory empty" => {
            entries.push(Entry::new(Type::APP, Subtype::APP_FACTORY, end, 0));
        }
        "factory at 0" => {
            entries.push(Entry::new(Type::APP, Subtype::APP_FACTORY, 0, SLOT));
        }
        "factories" => {
            for place in 0..1 + dice.below(2) {
                let offset = end + place * SLOT;
                entries.push(Entry::new(Type::APP, Subtype::APP_FACTORY, offset, SLOT));
            }
        }
        "slots misaligned" => {
            let by = dice.pick(&[0x10, 0x1000, 0x8000, 0xF000]);
            slots.iter().for_each(|&slot| entries[slot].region.offset += by);
        }
        "slots overlap" => {
            let region = Region { offset: 2 * SLOT, size: dice.pick(&[SLOT, 2 * SLOT]) };
            for &slot in &slots {
                if dice.once_in(2) {
                    entries[slot].region = region;
                }
            }
        }
        "test" => entries.push(Entry::new(Type::APP, Subtype::APP_TEST, end, SLOT)),
        "unknown types" => {
            for place in 0..4 {
                let (ty, subtype) = (Type(dice.word() as u8), Subtype(dice.word() as u8));
                let at = dice.below(entries.len() as u32 + 1) as usize;
                let unknown = Entry::new(ty, subtype, end + place * SLOT, SLOT);
                if !unknown.is_app() && !unknown.is_otadata() {
                    entries.insert(at, unknown);
                }
            }
            let subtype = Subtype(dice.pick(&[0x01, 0x0F, 0x21, 0x30, 0x31, 0xFF]));
            entries.push(Entry::new(Type::APP, subtype, end + 4 * SLOT, SLOT));
        }
        "95 entries" | "96 entries" => {
            let count = if class == "95 entries" { 94 + dice.below(2) as usize } else { 96 };
            while entries.len() < count {
                entries.insert(0, Entry::new(Type::DATA, Subtype(2), 0x9000, 0x1000));
            }
            let mut bytes = records(&entries);
            if count == 94 {
                bytes.extend(md5_record(&bytes));
            }
            return Table { class, bytes, entries, spi_size };
        }
        "many slots" => {
            for extra in 0..17 + dice.below(8) {
                let subtype = Subtype(Subtype::APP_OTA_0.0 + (extra % 16) as u8);
                entries.push(Entry::new(Type::APP, subtype, end + extra * SLOT, SLOT));
            }
        }
        "no MD5" => return raw(class, records(&entries), entries),
        "bad MD5" => {
            let mut table = encoded(class, entries, spi_size);
            let at = table.bytes.len() - 1 - dice.below(16) as usize;
            table.bytes[at] ^= 1 << dice.below(8);
            return table;
        }
        "MD5 first" | "MD5 between" | "MD5 twice" => {
            let at =
                if class == "MD5 first" { 0 } else { dice.below(entries.len() as u32) as usize };
            let mut bytes = records(&entries[..at]);
            bytes.extend(md5_record(&bytes));
            bytes.extend(records(&entries[at..]));
            if class == "MD5 twice" {
                bytes.extend(md5_record(&bytes));
            }
            return raw(class, bytes, entries);
        }
        "blank" => return raw(class, Vec::new(), entries),
        "zeros" => return raw(class, vec![0; RECORDS * RECORD], entries),
        "noise" => return raw(class, dice.bytes::<{ RECORDS * RECORD }>().to_vec(), entries),
        "bad magic" => {
            let mut bytes = records(&entries);
            let at = dice.below(entries.len() as u32) as usize * RECORD;
            let magic =
                dice.pick(&[[0xAA, 0x51], [0x50, 0xAA], [0, 0], [0xFF, 0xFE], [0xFF, 0xFF]]);
            bytes[at..at + 2].copy_from_slice(&magic);
            if dice.once_in(2) {
                // An entry that begins as the end does is the end only with this type and subtype.
                bytes[at + 2..at + 4].copy_from_slice(&dice.pick(&[[0xFF, 0xFF], [0xFF, 0]]));
            }
            return raw(class, bytes, entries);
        }
        "entries behind the end" => {
            let mut bytes = records(&entries);
            bytes.extend(md5_record(&bytes));
            bytes.extend([0xFF; RECORD]);
            let ghost = Entry::new(Type::APP, Subtype::APP_FACTORY, end, SLOT);
            bytes.extend(ghost.record("ghost"));
            entries.push(ghost);
            return raw(class, bytes, entries);
        }
        "beyond flash" => {
            let (offset, size) = dice.pick(&[
                (4 * MIB, 0),
                (4 * MIB, 1),
                (4 * MIB - SLOT, SLOT),
                (4 * MIB - SLOT, SLOT + 1),
                (4 * MIB + SLOT, SLOT),
                (u32::MAX, 0),
            ]);
            let (ty, subtype) = dice.pick(&[
                (Type::DATA, Subtype(2)),
                (Type::APP, Subtype::APP_FACTORY),
                (Type::APP, Subtype::APP_OTA_0),
                (Type::DATA, Subtype::DATA_OTA),
            ]);
            entries.push(Entry::new(ty, subtype, offset, size));
        }
        "size wraps" => {
            let offset = dice.pick(&[0x3F_0000, 0x1_0000, 0x30_0000]);
            let size = dice.pick(&[0xFFFF_FFF0, 0xFFC1_0000, 0xFFFF_0000, 0x8000_0000]);
            let subtype = dice.pick(&[Subtype(2), Subtype(6)]);
            entries.push(Entry::new(Type::DATA, subtype, offset, size));
        }
        "flash size" => {
            spi_size = dice.below(16) as u8;
            let size = dice.pick(&[SLOT, MIB - SLOT, 2 * MIB, 4 * MIB, 16 * MIB, 16 * MIB + SLOT]);
            entries.push(Entry::new(Type::DATA, Subtype(2), SLOT, size));
        }
        "a byte differs" => {
            let mut bytes = records(&entries);
            let at = dice.below(bytes.len() as u32) as usize;
            bytes[at] = dice.word() as u8;
            bytes.extend(md5_record(&bytes));
            return raw(class, bytes, entries);
        }
        other => unreachable!("no rule for {other}"),
    }
    encoded(class, entries, spi_size)
}

fn raw(class: &'static str, bytes: Vec<u8>, entries: Vec<Entry>) -> Table {
    Table { class, bytes, entries, spi_size: 2 }
}

/// The entries with an MD5 record behind them.
fn encoded(class: &'static str, entries: Vec<Entry>, spi_size: u8) -> Table {
    let mut bytes = records(&entries);
    bytes.extend(md5_record(&bytes));
    Table { class, bytes, entries, spi_size }
}

fn records(entries: &[Entry]) -> Vec<u8> {
    let records = entries.iter().enumerate();
    records.flat_map(|(number, entry)| entry.record(&format!("part{number}"))).collect()
}

fn md5_record(before: &[u8]) -> [u8; RECORD] {
    let mut record = [0xFF; RECORD];
    record[..2].copy_from_slice(&[0xEB, 0xEB]);
    record[16..].copy_from_slice(&Md5::digest(before));
    record
}
