//! Entries of the partition table.
//!
//! Layout and values from ESP-IDF `esp_flash_partitions.h`, `esp_partition.h` and
//! `gen_esp32part.py`.

use core::fmt;

use crate::text::Text;

/// Length of an entry in bytes.
pub const ENTRY_LEN: usize = 32;

/// First two bytes of an entry.
pub(crate) const MAGIC: [u8; 2] = [0xAA, 0x50];

/// Name of a partition.
pub type Label = Text<16>;

/// Type of a partition. Any byte is kept; the constants are the types ESP-IDF defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Type(pub u8);

impl Type {
    /// An application image.
    pub const APP: Self = Self(0x00);
    /// Data.
    pub const DATA: Self = Self(0x01);
    /// A second-stage bootloader.
    pub const BOOTLOADER: Self = Self(0x02);
    /// A partition table.
    pub const PARTITION_TABLE: Self = Self(0x03);
}

/// Subtype of a partition; its meaning depends on the [`Type`]. Any byte is kept; the constants
/// are the subtypes ESP-IDF defines, prefixed with their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subtype(pub u8);

impl Subtype {
    /// The application the device left the factory with.
    pub const APP_FACTORY: Self = Self(0x00);
    /// `ota_0`, the first of sixteen consecutive slots; see [`Slot`].
    pub const APP_OTA_0: Self = Self(0x10);
    /// The test application.
    pub const APP_TEST: Self = Self(0x20);
    /// First slot of the trusted execution environment.
    pub const APP_TEE_0: Self = Self(0x30);
    /// Second slot of the trusted execution environment.
    pub const APP_TEE_1: Self = Self(0x31);
    /// The two select entries.
    pub const DATA_OTA: Self = Self(0x00);
    /// Radio calibration data.
    pub const DATA_PHY: Self = Self(0x01);
    /// Non-volatile storage.
    pub const DATA_NVS: Self = Self(0x02);
    /// Core dumps.
    pub const DATA_COREDUMP: Self = Self(0x03);
    /// Keys of encrypted non-volatile storage.
    pub const DATA_NVS_KEYS: Self = Self(0x04);
    /// Emulated eFuse bits.
    pub const DATA_EFUSE: Self = Self(0x05);
    /// Data of no declared kind.
    pub const DATA_UNDEFINED: Self = Self(0x06);
    /// Files of the `esphttpd` web server.
    pub const DATA_ESPHTTPD: Self = Self(0x80);
    /// A FAT file system.
    pub const DATA_FAT: Self = Self(0x81);
    /// A SPIFFS file system.
    pub const DATA_SPIFFS: Self = Self(0x82);
    /// A LittleFS file system.
    pub const DATA_LITTLEFS: Self = Self(0x83);
    /// Boot selection of the trusted execution environment.
    pub const DATA_TEE_OTA: Self = Self(0x90);
    /// The bootloader that the mask ROM starts.
    pub const BOOTLOADER_PRIMARY: Self = Self(0x00);
    /// Staging area of a bootloader update.
    pub const BOOTLOADER_OTA: Self = Self(0x01);
    /// The bootloader that the mask ROM falls back to.
    pub const BOOTLOADER_RECOVERY: Self = Self(0x02);
    /// The partition table in use.
    pub const PARTITION_TABLE_PRIMARY: Self = Self(0x00);
    /// Staging area of a partition table update.
    pub const PARTITION_TABLE_OTA: Self = Self(0x01);
}

/// Type and subtype together. Displays as in a partition CSV file, such as `app/ota_0`; numbers
/// stand for what has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Type of the partition.
    pub ty: Type,
    /// Subtype of the partition.
    pub subtype: Subtype,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ty {
            Type::APP => f.write_str("app/")?,
            Type::DATA => f.write_str("data/")?,
            Type::BOOTLOADER => f.write_str("bootloader/")?,
            Type::PARTITION_TABLE => f.write_str("partition_table/")?,
            Type(other) => write!(f, "{other:#04x}/")?,
        }
        if let Some(slot) = Slot::of(*self) {
            return slot.fmt(f);
        }
        let name = match (self.ty, self.subtype) {
            (Type::APP, Subtype::APP_FACTORY) => "factory",
            (Type::APP, Subtype::APP_TEST) => "test",
            (Type::APP, Subtype::APP_TEE_0) => "tee_0",
            (Type::APP, Subtype::APP_TEE_1) => "tee_1",
            (Type::DATA, Subtype::DATA_OTA) => "ota",
            (Type::DATA, Subtype::DATA_PHY) => "phy",
            (Type::DATA, Subtype::DATA_NVS) => "nvs",
            (Type::DATA, Subtype::DATA_COREDUMP) => "coredump",
            (Type::DATA, Subtype::DATA_NVS_KEYS) => "nvs_keys",
            (Type::DATA, Subtype::DATA_EFUSE) => "efuse",
            (Type::DATA, Subtype::DATA_UNDEFINED) => "undefined",
            (Type::DATA, Subtype::DATA_ESPHTTPD) => "esphttpd",
            (Type::DATA, Subtype::DATA_FAT) => "fat",
            (Type::DATA, Subtype::DATA_SPIFFS) => "spiffs",
            (Type::DATA, Subtype::DATA_LITTLEFS) => "littlefs",
            (Type::DATA, Subtype::DATA_TEE_OTA) => "tee_ota",
            (Type::BOOTLOADER, Subtype::BOOTLOADER_PRIMARY) => "primary",
            (Type::BOOTLOADER, Subtype::BOOTLOADER_OTA) => "ota",
            (Type::BOOTLOADER, Subtype::BOOTLOADER_RECOVERY) => "recovery",
            (Type::PARTITION_TABLE, Subtype::PARTITION_TABLE_PRIMARY) => "primary",
            (Type::PARTITION_TABLE, Subtype::PARTITION_TABLE_OTA) => "ota",
            (_, Subtype(other)) => return write!(f, "{other:#04x}"),
        };
        f.write_str(name)
    }
}

/// Number of an `ota_N` partition: 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// How many slots a partition table can name.
    pub const MAX: usize = 16;

    /// The slot with this number, or `None` above 15.
    pub fn new(index: u8) -> Option<Self> {
        (usize::from(index) < Self::MAX).then_some(Self(index))
    }

    /// The slot that a partition of this kind is.
    pub fn of(kind: Kind) -> Option<Self> {
        if kind.ty != Type::APP {
            return None;
        }
        Self::new(kind.subtype.0.checked_sub(Subtype::APP_OTA_0.0)?)
    }

    /// Number of the slot, 0 to 15.
    pub fn index(self) -> u8 {
        self.0
    }

    /// `ota_` and the number.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; Slot::MAX] = [
            "ota_0", "ota_1", "ota_2", "ota_3", "ota_4", "ota_5", "ota_6", "ota_7", "ota_8",
            "ota_9", "ota_10", "ota_11", "ota_12", "ota_13", "ota_14", "ota_15",
        ];
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Subtype of the slot's partition.
    pub fn subtype(self) -> Subtype {
        Subtype(Subtype::APP_OTA_0.0 | self.0)
    }
}

/// The [name](Self::name).
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The applications that boot selection knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum App {
    /// The factory application.
    Factory,
    /// The application in a slot.
    Ota(Slot),
    /// The test application.
    Test,
}

impl App {
    /// The name of the subtype: `factory`, `ota_0` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factory => "factory",
            Self::Ota(slot) => slot.name(),
            Self::Test => "test",
        }
    }
}

/// The [name](Self::name).
impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Flag bits of a partition. Bits without a meaning are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// Bit of a partition that is encrypted when flash encryption is on.
    pub const ENCRYPTED: u32 = 1 << 0;
    /// Bit of a partition that applications must not write.
    pub const READONLY: u32 = 1 << 1;

    /// Whether the partition is encrypted when flash encryption is on. Application, bootloader,
    /// partition table, `ota`, `tee_ota` and `nvs_keys` partitions are so regardless of this bit.
    pub fn encrypted(self) -> bool {
        self.0 & Self::ENCRYPTED != 0
    }

    /// Whether applications must not write the partition.
    pub fn readonly(self) -> bool {
        self.0 & Self::READONLY != 0
    }
}

/// A range of flash. Nothing about it is checked; see [`end`](Self::end).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Region {
    /// First byte, counted from the start of flash.
    pub offset: u32,
    /// Length in bytes.
    pub size: u32,
}

impl Region {
    /// Offset just behind the last byte, or `None` if that exceeds `u32`.
    pub fn end(self) -> Option<u32> {
        self.offset.checked_add(self.size)
    }

    /// Whether the two ranges share a byte.
    pub fn overlaps(self, other: Self) -> bool {
        let (low, high) = if self.offset <= other.offset { (self, other) } else { (other, self) };
        high.size != 0 && high.offset - low.offset < low.size
    }
}

/// `0x10000..0x110000`.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.offset, u64::from(self.offset) + u64::from(self.size))
    }
}

/// One entry of a partition table. Any field values are possible; the
/// [table](crate::table) checks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Type.
    pub ty: Type,
    /// Subtype, to be read together with the type.
    pub subtype: Subtype,
    /// First byte, counted from the start of flash.
    pub offset: u32,
    /// Length in bytes.
    pub size: u32,
    /// Name.
    pub label: Label,
    /// Flag bits.
    pub flags: Flags,
}

impl Partition {
    /// Reads an entry; `None` if it does not start with `AA 50`.
    pub fn parse(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        bytes.starts_with(&MAGIC).then(|| Self::parse_fields(bytes))
    }

    /// Reads the fields of a 32-byte record whatever its magic is.
    pub(crate) fn parse_fields(bytes: &[u8; ENTRY_LEN]) -> Self {
        let &[_, _, ty, subtype, o0, o1, o2, o3, s0, s1, s2, s3, ref label @ .., f0, f1, f2, f3] =
            bytes;
        Self {
            ty: Type(ty),
            subtype: Subtype(subtype),
            offset: u32::from_le_bytes([o0, o1, o2, o3]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            label: Text(*label),
            flags: Flags(u32::from_le_bytes([f0, f1, f2, f3])),
        }
    }

    /// The 32 bytes of the entry on flash.
    pub fn emit(&self) -> [u8; ENTRY_LEN] {
        let [m0, m1] = MAGIC;
        let [o0, o1, o2, o3] = self.offset.to_le_bytes();
        let [s0, s1, s2, s3] = self.size.to_le_bytes();
        let mut bytes = [0; ENTRY_LEN];
        let (head, tail) = bytes.split_at_mut(12);
        head.copy_from_slice(&[m0, m1, self.ty.0, self.subtype.0, o0, o1, o2, o3, s0, s1, s2, s3]);
        let (label, flags) = tail.split_at_mut(16);
        label.copy_from_slice(&self.label.0);
        flags.copy_from_slice(&self.flags.0.to_le_bytes());
        bytes
    }

    /// Type and subtype.
    pub fn kind(&self) -> Kind {
        Kind { ty: self.ty, subtype: self.subtype }
    }

    /// Which application the partition holds, as far as boot selection knows it.
    pub fn app(&self) -> Option<App> {
        match (self.ty, self.subtype) {
            (Type::APP, Subtype::APP_FACTORY) => Some(App::Factory),
            (Type::APP, Subtype::APP_TEST) => Some(App::Test),
            _ => Slot::of(self.kind()).map(App::Ota),
        }
    }

    /// The flash range.
    pub fn region(&self) -> Region {
        Region { offset: self.offset, size: self.size }
    }

    /// Offset just behind the last byte, or `None` if that exceeds `u32`.
    pub fn end(&self) -> Option<u32> {
        self.region().end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn kind(ty: Type, subtype: Subtype) -> Kind {
        Kind { ty, subtype }
    }

    #[test]
    fn kinds_have_names() {
        assert_eq!(kind(Type::APP, Subtype::APP_FACTORY).to_string(), "app/factory");
        assert_eq!(kind(Type::APP, Subtype(0x1F)).to_string(), "app/ota_15");
        assert_eq!(kind(Type::DATA, Subtype::DATA_OTA).to_string(), "data/ota");
        assert_eq!(kind(Type::DATA, Subtype(0x10)).to_string(), "data/0x10");
        assert_eq!(kind(Type(0x40), Subtype(0)).to_string(), "0x40/0x00");
    }

    #[test]
    fn only_ota_subtypes_are_slots() {
        let app = |subtype| Slot::of(kind(Type::APP, Subtype(subtype))).map(Slot::index);
        assert_eq!(
            [0x00, 0x0F, 0x10, 0x1F, 0x20, 0x30].map(app),
            [None, None, Some(0), Some(15), None, None]
        );
        assert_eq!(Slot::of(kind(Type::DATA, Subtype(0x10))), None);
        assert_eq!(Slot::new(16), None);
    }

    #[test]
    fn touching_regions_do_not_overlap() {
        let region = |offset, size| Region { offset, size };
        assert!(region(0, 2).overlaps(region(1, 1)));
        assert!(!region(0, 2).overlaps(region(2, 1)));
        assert!(!region(0, 2).overlaps(region(1, 0)));
        assert!(region(u32::MAX, u32::MAX).overlaps(region(u32::MAX, 1)));
    }

    proptest! {
        #[test]
        fn entries_survive_a_round_trip(mut bytes: [u8; ENTRY_LEN]) {
            prop_assert_eq!(Partition::parse(&bytes).is_some(), bytes.starts_with(&MAGIC));
            bytes[..2].copy_from_slice(&MAGIC);
            let entry = Partition::parse(&bytes).unwrap();
            prop_assert_eq!(entry.emit(), bytes);
            let _ = std::format!("{entry:?} {} {} {}", entry.label, entry.kind(), entry.region());
            let _ = (entry.app(), entry.end(), entry.label.as_str());
        }
    }
}
