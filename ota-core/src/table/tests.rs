use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::partition::{App, Flags, Label, Region, Slot};
use crate::{Generation, SliceFlash};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

fn entry(ty: Type, subtype: Subtype, offset: u32, size: u32, label: &str) -> Partition {
    let label = Label::new(label).unwrap();
    Partition { ty, subtype, offset, size, label, flags: Flags(0) }
}

fn slot(index: u8, offset: u32, size: u32) -> Partition {
    entry(Type::APP, Slot::new(index).unwrap().subtype(), offset, size, "slot")
}

/// ESP-IDF's stock layout "factory app, two OTA definitions".
fn stock() -> Vec<Partition> {
    [
        entry(Type::DATA, Subtype::DATA_NVS, 0x9000, 0x4000, "nvs"),
        entry(Type::DATA, Subtype::DATA_OTA, 0xD000, 0x2000, "otadata"),
        entry(Type::DATA, Subtype::DATA_PHY, 0xF000, 0x1000, "phy_init"),
        entry(Type::APP, Subtype::APP_FACTORY, 0x1_0000, MIB, "factory"),
        entry(Type::APP, Slot::new(0).unwrap().subtype(), 0x11_0000, MIB, "ota_0"),
        entry(Type::APP, Slot::new(1).unwrap().subtype(), 0x21_0000, MIB, "ota_1"),
    ]
    .into()
}

fn bytes(entries: &[Partition]) -> Vec<u8> {
    entries.iter().flat_map(Partition::emit).collect()
}

fn md5_record(before: &[u8]) -> [u8; ENTRY_LEN] {
    let mut record = [0xFF; ENTRY_LEN];
    record[..2].copy_from_slice(&MD5_MAGIC);
    record[16..].copy_from_slice(&Md5::digest(before));
    record
}

/// A table file as `gen_esp32part.py` writes it.
fn file(entries: &[Partition]) -> Vec<u8> {
    let mut file = bytes(entries);
    file.extend(md5_record(&file));
    file.resize(0xC00, 0xFF);
    file
}

/// Flash of 4 MiB with a table at its default offset.
fn flash(table: &[u8]) -> Vec<u8> {
    let mut flash = std::vec![0xFF; 4 * MIB as usize];
    flash[DEFAULT_OFFSET as usize..][..table.len()].copy_from_slice(table);
    flash
}

#[test]
fn the_stock_table_is_byte_exact() {
    let file = file(&stock());
    let row =
        b"\xaa\x50\x00\x10\x00\x00\x11\x00\x00\x00\x10\x00ota_0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(file[0x80..0xA0], *row);
    assert_eq!(Partition::parse(row), Some(stock()[4]));
    let hex: std::string::String =
        Sha256::digest(&file).iter().map(|byte| std::format!("{byte:02x}")).collect();
    assert_eq!(hex, "d1c0e9d02fa9d26cd2e1984e7b5dd20157204f501ddc83ce82229e5f3175ee8b");
}

#[test]
fn entries_come_back() {
    let flash = flash(&file(&stock()));
    let mut flash = SliceFlash(&flash);
    let table = PartitionTable::load(&mut flash, DEFAULT_OFFSET).unwrap();
    assert_eq!((table.offset(), table.count()), (DEFAULT_OFFSET, 6));
    let entries: Result<Vec<_>, _> = table.entries(&mut flash).collect();
    assert_eq!(entries.unwrap(), stock());

    let mut find = |ty, subtype, label| table.find(&mut flash, ty, subtype, label).unwrap();
    assert_eq!(find(Type::APP, None, None), Some(stock()[3]));
    assert_eq!(find(Type::APP, Some(Subtype(0x11)), None), Some(stock()[5]));
    assert_eq!(find(Type::APP, None, Some("ota_0")), Some(stock()[4]));
    assert_eq!(find(Type::DATA, None, Some("ota_0")), None);
    assert_eq!(find(Type::APP, Some(Subtype::APP_TEST), None), None);
}

#[test]
fn the_application_demands_the_md5_record() {
    let good = file(&stock());
    let load = |file: &[u8]| PartitionTable::load(&mut SliceFlash(file), 0);
    let load_without = |file: &[u8]| PartitionTable::load_without_md5(&mut SliceFlash(file), 0);

    let mut flipped = good.clone();
    flipped[0x65] ^= 1;
    assert_eq!(load(&flipped), Err(TableError::Md5Mismatch { offset: 0xC0 }));
    assert_eq!(load_without(&flipped).unwrap().count(), 6);

    let mut without = bytes(&stock());
    without.resize(0xC00, 0xFF);
    assert_eq!(load(&without), Err(TableError::NoMd5 { offset: 0xC0 }));
    assert_eq!(load_without(&without).unwrap().count(), 6);

    assert_eq!(load_without(&[0xFF; 0xC00]), Err(TableError::Empty { offset: 0 }));
    assert_eq!(load(&file(&[])), Err(TableError::Empty { offset: 0 }));
    assert!(matches!(load(&good[..0xC0]), Err(TableError::Read(_))));
}

#[test]
fn a_table_without_end_is_read_for_one_sector() {
    let endless = bytes(&stock()[..1]).repeat(200);
    let load = PartitionTable::load_without_md5(&mut SliceFlash(&endless), 0);
    assert_eq!(load.unwrap().count(), 128);
    let load = PartitionTable::load(&mut SliceFlash(&endless), 0);
    assert_eq!(load, Err(TableError::NoMd5 { offset: 0x1000 }));
}

fn validate(
    entries: &[Partition],
) -> Result<AppLayout, LayoutError<embedded_storage::nor_flash::NorFlashErrorKind>> {
    let flash = flash(&file(entries));
    let mut flash = SliceFlash(&flash);
    PartitionTable::load(&mut flash, DEFAULT_OFFSET).unwrap().validate(&mut flash)
}

#[test]
fn the_stock_layout_is_sane() {
    let layout = validate(&stock()).unwrap();
    assert_eq!(layout.otadata(), Region { offset: 0xD000, size: 0x2000 });
    assert_eq!(layout.factory(), Some(Region { offset: 0x1_0000, size: MIB }));
    assert_eq!(layout.test(), None);
    assert_eq!(layout.slot_count(), 2);
    let ota_1 = App::Ota(Slot::new(1).unwrap());
    assert_eq!(layout.app(ota_1), Some(Region { offset: 0x21_0000, size: MIB }));
    assert_eq!(layout.app(App::Ota(Slot::new(2).unwrap())), None);
    assert_eq!(layout.app_at(0x20_FFFF), Some(App::Ota(Slot::new(0).unwrap())));
    assert_eq!(layout.app_at(0x21_0000), Some(ota_1));
    assert_eq!(layout.app_at(0x1_0000), Some(App::Factory));
    assert_eq!(layout.app_at(0x31_0000), None);
}

/// The stock table with one change, and what is wrong then.
#[test]
fn each_fault_of_a_layout_is_named() {
    let message = |change: &dyn Fn(&mut Vec<Partition>)| {
        let mut entries = stock();
        change(&mut entries);
        validate(&entries).unwrap_err().to_string()
    };
    let case = |change: &dyn Fn(&mut Vec<Partition>), expected: &str| {
        assert_eq!(message(change), expected);
    };
    case(
        &|t| t[5].size += MIB,
        "entry 5 at 0x210000..0x410000 must end within the flash of 0x400000 bytes",
    );
    case(
        &|t| t[5].size = u32::MAX,
        "entry 5 at 0x210000..0x10020ffff must end within the flash of 0x400000 bytes",
    );
    case(
        &|t| t[4].size += 0x1000,
        "entry 5 at 0x210000..0x310000 overlaps entry 4 at 0x110000..0x211000; partitions must not share flash",
    );
    case(
        &|t| t[0].offset = 0x8000,
        "entry 0 at 0x8000..0xc000 overlaps the partition table at 0x8000..0x9000; it must not",
    );
    case(
        &|t| t[4].offset += 0x1000,
        "entry 4 at 0x111000..0x211000 must have an offset that is a multiple of 0x10000 and a size that is a multiple of 0x1000",
    );
    case(
        &|t| t[4].size -= 4,
        "entry 4 at 0x110000..0x20fffc must have an offset that is a multiple of 0x10000 and a size that is a multiple of 0x1000",
    );
    case(
        &|t| t[1].offset -= 0x200,
        "entry 1 at 0xce00..0xee00 overlaps entry 0 at 0x9000..0xd000; partitions must not share flash",
    );
    case(&|t| t[1].size = 0x1000, "entry 1 at 0xd000..0xe000 must have at least 0x2000 bytes");
    case(&|t| t[4].size = 0, "entry 4 at 0x110000..0x110000 must have at least 0x1000 bytes");
    case(
        &|t| t[1].flags = Flags(Flags::READONLY),
        "entry 1 at 0xd000..0xf000 must not be read-only: updates write it",
    );
    case(
        &|t| t[5].flags = Flags(Flags::READONLY),
        "entry 5 at 0x210000..0x310000 must not be read-only: updates write it",
    );
    case(
        &|t| t.push(slot(1, 0x31_0000, 0x1000)),
        "entry 6 is a second app/ota_1; there must be one",
    );
    case(
        &|t| t.push(entry(Type::DATA, Subtype::DATA_OTA, 0x31_0000, 0x2000, "second")),
        "entry 6 is a second data/ota; there must be one",
    );
    case(
        &|t| t.push(entry(Type::APP, Subtype::APP_FACTORY, 0x31_0000, 0x1000, "second")),
        "entry 6 is a second app/factory; there must be one",
    );
    case(&|t| t.retain(|entry| *entry != stock()[1]), "no data/ota partition; there must be one");
    case(&|t| t.truncate(4), "no app/ota_0 partition; there must be one");
    case(
        &|t| t.retain(|entry| *entry != stock()[4]),
        "no ota_0, but ota_1: slots must be numbered without gaps from ota_0",
    );
    case(
        &|t| t.push(slot(3, 0x31_0000, 0x1000)),
        "no ota_2, but ota_3: slots must be numbered without gaps from ota_0",
    );
}

#[test]
fn sixteen_slots_are_sane() {
    let mut entries = stock();
    entries.truncate(3);
    entries.extend((0..16).rev().map(|i| slot(i, 0x1_0000 + u32::from(i) * 0x1_0000, 0x1_0000)));
    let layout = validate(&entries).unwrap();
    assert_eq!(layout.slots().len(), 16);
    assert_eq!(layout.slots()[15].offset, 0x10_0000);
}

fn boot(
    table: &[u8],
    generation: Generation,
) -> Result<BootTable, BootTableError<embedded_storage::nor_flash::NorFlashErrorKind>> {
    BootTable::load(&mut SliceFlash(&flash(table)), DEFAULT_OFFSET, 4 * MIB, generation)
}

#[test]
fn the_bootloader_reads_the_stock_table() {
    let table = boot(&file(&stock()), Generation::V6_1).unwrap();
    assert_eq!(table.otadata, Region { offset: 0xD000, size: 0x2000 });
    assert_eq!(table.factory, Region { offset: 0x1_0000, size: MIB });
    assert_eq!(table.test, Region::default());
    assert_eq!(table.app_count(), 2);
    assert_eq!(table.slot(1), Region { offset: 0x21_0000, size: MIB });
    assert_eq!(table.slot(2), Region::default());
    assert_eq!(table.slot(u32::MAX), Region::default());
}

#[test]
fn the_bootloader_counts_slot_entries_not_slots() {
    let gap = [slot(0, 0x1_0000, MIB), slot(2, 0x11_0000, MIB)];
    let table = boot(&file(&gap), Generation::V6_1).unwrap();
    assert_eq!(table.app_count(), 2);
    assert_eq!((table.slot(1), table.slot(2)), Default::default());

    let twice = [slot(0, 0x1_0000, MIB), slot(0, 0x11_0000, MIB)];
    let table = boot(&file(&twice), Generation::V6_1).unwrap();
    assert_eq!(table.app_count(), 2);
    assert_eq!(table.slot(0).offset, 0x11_0000);

    let many: Vec<_> = (0..20).map(|_| slot(15, 0x1_0000, MIB)).collect();
    let table = boot(&file(&many), Generation::V6_1).unwrap();
    assert_eq!(table.app_count(), 20);
    assert_eq!(table.slot(15).size, MIB);
    assert_eq!(table.slot(16), Region::default());
}

#[test]
fn an_md5_record_in_the_middle_costs_the_last_entry() {
    let mut table = bytes(&stock()[..4]);
    table.extend(md5_record(&table));
    table.extend(bytes(&stock()[4..]));
    let boot = boot(&table, Generation::V6_1).unwrap();
    assert_eq!(boot.app_count(), 1);
    assert_eq!(boot.slot(0).offset, 0x11_0000);

    table.extend(md5_record(&table));
    let error = self::boot(&table, Generation::V6_1).unwrap_err();
    assert_eq!(error, BootTableError::SecondMd5 { index: 7, offset: 0x80E0 });
}

#[test]
fn the_walked_md5_record_counts_as_whatever_its_bytes_say() {
    let mut record = md5_record(&[]);
    record[2..4].copy_from_slice(&[Type::APP.0, Subtype::APP_FACTORY.0]);
    record[4..12].copy_from_slice(&[0, 0, 1, 0, 0, 0, 1, 0]);
    let mut table = Vec::from(record);
    table.extend(bytes(&stock()[4..]));
    let table = boot(&table, Generation::V6_1).unwrap();
    assert_eq!(table.factory, Region { offset: 0x1_0000, size: 0x1_0000 });
    assert_eq!(table.app_count(), 1);
}

#[test]
fn the_bootloader_checks_flash_size_md5_and_end() {
    let mut entries = stock();
    entries[0].offset = 4 * MIB;
    entries[0].size = 0;
    assert!(boot(&file(&entries), Generation::V6_1).is_ok());
    entries[0].size = 1;
    let region = entries[0].region();
    let out = |index, region| {
        let offset = DEFAULT_OFFSET + 32 * u32::from(index);
        Err(BootTableError::OutOfChip { index, offset, region, chip_size: 4 * MIB })
    };
    assert_eq!(boot(&file(&entries), Generation::V6_1), out(0, region));

    let mut table = file(&stock());
    table[0x65] ^= 1;
    let mismatch = BootTableError::Md5Mismatch { index: 6, offset: 0x80C0 };
    assert_eq!(boot(&table, Generation::V6_1), Err(mismatch));

    // A terminator is four bytes; what follows does not matter.
    let mut table = file(&stock());
    table[0xE4..].fill(0x55);
    assert!(boot(&table, Generation::V6_1).is_ok());
    table[0xE3] = 0;
    let bad = BootTableError::BadRecord { index: 7, offset: 0x80E0 };
    assert_eq!(boot(&table, Generation::V6_1), Err(bad));

    let entry = bytes(&stock()[..1]);
    assert!(boot(&entry.repeat(95), Generation::V6_1).is_ok());
    let endless = BootTableError::NoTerminator { offset: 0x8C00 };
    assert_eq!(boot(&entry.repeat(96), Generation::V6_1), Err(endless));
}

#[test]
fn old_bootloaders_check_less() {
    let blank = BootTableError::BadRecord { index: 0, offset: 0x8000 };
    assert_eq!(boot(&[], Generation::V6_1), Err(blank));
    assert_eq!(boot(&[], Generation::V4_4).unwrap().app_count(), 0);

    let wraps = [slot(0, 0x3F_0000, 0xFFFF_FFF0)];
    assert!(boot(&file(&wraps), Generation::V6_1).is_err());
    assert_eq!(boot(&file(&wraps), Generation::V4_4).unwrap().slot(0).size, 0xFFFF_FFF0);
    assert!(boot(&file(&wraps), Generation::V5_5).is_ok());
    assert_eq!(boot(&[], Generation::V5_1).unwrap().app_count(), 0);
    assert_eq!(boot(&[], Generation::V5_5), Err(blank));
    let md5 = BootTableError::BadRecord { index: 1, offset: 0x8020 };
    let table = file(&[slot(0, 0x1_0000, MIB)]);
    assert_eq!(boot(&table, Generation::V3_0), Err(md5));
    assert!(boot(&table, Generation::V3_3).is_ok());
    assert!(boot(&slot(0, 0x1_0000, MIB).emit(), Generation::V2_1).is_ok());

    let beyond = [slot(0, 4 * MIB + 1, 0xFFFF_FFF0)];
    assert!(boot(&file(&beyond), Generation::V4_4).is_err());
}

/// Records that are often entries, MD5 records or terminators, so that the parsers get further than
/// the first one.
fn any_record() -> impl Strategy<Value = [u8; ENTRY_LEN]> {
    (any::<[u8; ENTRY_LEN]>(), 0..8, any::<(u8, u8)>()).prop_map(|(mut record, kind, (o, s))| {
        match kind {
            0 => {}
            1 => record[..2].copy_from_slice(&MD5_MAGIC),
            2 => record.fill(0xFF),
            _ => {
                let ty = record[2] % 2;
                record[..3].copy_from_slice(&[0xAA, 0x50, ty]);
                record[4..12].copy_from_slice(&[0, 0, o, 0, 0, s % 16, 0, 0]);
            }
        }
        record
    })
}

proptest! {
    #[test]
    fn arbitrary_tables_never_panic(
        records in prop::collection::vec(any_record(), 0..140),
        cut in 0usize..32,
        offset in prop_oneof![Just(0), 0u32..64, any::<u32>()],
        chip_size: u32,
    ) {
        let mut table = records.concat();
        table.truncate(table.len().saturating_sub(cut));
        for generation in Generation::ALL {
            let _ = BootTable::load(&mut SliceFlash(&table), offset, chip_size, generation);
        }
        let _ = PartitionTable::load(&mut SliceFlash(&table), offset);
        if let Ok(loaded) = PartitionTable::load_without_md5(&mut SliceFlash(&table), offset) {
            prop_assert_eq!(loaded.entries(&mut SliceFlash(&table)).count(), loaded.count().into());
            let _ = loaded.validate(&mut SliceFlash(&table));
        }
    }

    #[test]
    fn both_sides_read_a_generated_table_alike(
        apps in prop::collection::vec((0u8..16, 1u32..0x100), 0..20),
    ) {
        let mut at = 0x1_0000;
        let entries: Vec<_> = apps.iter().map(|&(index, sectors)| {
            let entry = slot(index, at, sectors * 0x1000);
            at += sectors.next_multiple_of(16) * 0x1000;
            entry
        }).collect();
        let flash = file(&entries);
        let boot = BootTable::load(&mut SliceFlash(&flash), 0, u32::MAX, Generation::V6_1);
        let app = PartitionTable::load(&mut SliceFlash(&flash), 0);
        prop_assert_eq!(app.is_ok(), !entries.is_empty());
        if let (Ok(boot), Ok(app)) = (boot, app) {
            prop_assert_eq!(boot.app_count(), u32::from(app.count()));
            for entry in &entries {
                let k = Slot::of(entry.kind()).unwrap().index();
                let last = entries.iter().rfind(|other| other.kind() == entry.kind()).unwrap();
                if u32::from(k) < boot.app_count() {
                    prop_assert_eq!(boot.slot(k.into()), last.region());
                }
            }
        }
    }
}
