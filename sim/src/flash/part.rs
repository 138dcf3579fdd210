//! Flash parts as their vendors sell them.
//!
//! Times are what datasheets call `tPP` page program, `tSE` 4 KiB erase, `tBE1` 32 KiB, `tBE2`
//! 64 KiB and `tCE` chip erase, each typical and maximal. None was read from a vendor's AC table:
//! they are the figures that public drivers and feature lists quote. Take typical times as good
//! and maxima as orders of magnitude; each part says what is less sure than that.

use std::time::Duration;

use super::fault::ChipProfile;
use super::{EraseSize, OperationKind, SECTOR_SIZE};

const MIB: u32 = 1024 * 1024;

/// A typical and a maximal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypMax {
    /// Typical time at room temperature on a fresh part.
    pub typ: Duration,
    /// Maximal time over temperature and life.
    pub max: Duration,
}

const fn micros(typ: u64, max: u64) -> TypMax {
    TypMax { typ: Duration::from_micros(typ), max: Duration::from_micros(max) }
}

const fn millis(typ: u64, max: u64) -> TypMax {
    micros(typ * 1000, max * 1000)
}

/// How long a part is busy with each command. Transfer over the bus is not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Page program, `tPP`; charged in full for a shorter program too.
    pub page_program: TypMax,
    /// 4 KiB sector erase, `tSE`.
    pub sector_4k: TypMax,
    /// 32 KiB block erase, `tBE1`.
    pub block_32k: TypMax,
    /// 64 KiB block erase, `tBE2`.
    pub block_64k: TypMax,
    /// Chip erase, `tCE`.
    pub chip: TypMax,
}

impl Timing {
    /// The busy time of one kind of operation.
    #[must_use]
    pub fn of(&self, kind: &OperationKind) -> TypMax {
        match kind {
            OperationKind::Program { .. } => self.page_program,
            OperationKind::Erase(EraseSize::Sector4K) => self.sector_4k,
            OperationKind::Erase(EraseSize::Block32K) => self.block_32k,
            OperationKind::Erase(EraseSize::Block64K) => self.block_64k,
            OperationKind::Erase(EraseSize::Chip) => self.chip,
        }
    }
}

/// A NOR flash part. Pages have 256 bytes, sectors 4 KiB, on every part that ESP chips boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Ordering name without package suffix.
    pub name: &'static str,
    /// Answer to command 9Fh: manufacturer, memory type, capacity code.
    pub jedec_id: [u8; 3],
    /// Size in bytes, a multiple of the 4 KiB sector.
    pub capacity: u32,
    /// Busy times.
    pub timing: Timing,
    /// Program/erase cycles that the vendor promises for each sector.
    pub endurance: u32,
    /// What an interrupted operation may leave.
    pub profile: &'static ChipProfile,
    /// What the vendor says about interrupted operations, and where.
    pub profile_source: &'static str,
}

/// Of the whole family; other parts of it were not looked up one by one.
const WINBOND: &str = "Winbond W25Q32BV datasheet, 7.2.27, and W25Q64FV, 7.2.43: data under way may be corrupted by power off in suspend and by a reset; not how";
/// None that could be found.
const UNSTATED: &str = "no statement of the vendor was found";

const fn winbond_jv(name: &'static str, code: u8, mib: u32, chip: TypMax) -> Part {
    Part {
        name,
        jedec_id: [0xEF, 0x40, code],
        capacity: mib * MIB,
        timing: Timing {
            page_program: micros(400, 3_000),
            sector_4k: millis(45, 400),
            block_32k: millis(120, 1_600),
            block_64k: millis(150, 2_000),
            chip,
        },
        endurance: 100_000,
        profile: &ChipProfile::NOR,
        profile_source: WINBOND,
    }
}

impl Part {
    /// Winbond W25Q16JV, 2 MiB. Times of the W25Q32JV; chip erase, as on all four Winbond parts
    /// here, is unverified.
    pub const W25Q16JV: Self = winbond_jv("W25Q16JV", 0x15, 2, millis(5_000, 25_000));
    /// Winbond W25Q32JV (-IQ: quad enabled, memory type 40h), 4 MiB.
    pub const W25Q32JV: Self = winbond_jv("W25Q32JV", 0x16, 4, millis(10_000, 50_000));
    /// Winbond W25Q64JV, 8 MiB.
    pub const W25Q64JV: Self = winbond_jv("W25Q64JV", 0x17, 8, millis(20_000, 100_000));
    /// Winbond W25Q128JV, 16 MiB.
    pub const W25Q128JV: Self = winbond_jv("W25Q128JV", 0x18, 16, millis(40_000, 200_000));
    /// GigaDevice GD25Q32C, 4 MiB. Typical program, 4 KiB, 32 KiB and 64 KiB times are those that
    /// drivers quote from the GD25Q family's feature list; maxima and chip erase are unverified.
    pub const GD25Q32: Self = Self {
        name: "GD25Q32",
        jedec_id: [0xC8, 0x40, 0x16],
        capacity: 4 * MIB,
        timing: Timing {
            page_program: micros(600, 2_400),
            sector_4k: millis(50, 400),
            block_32k: millis(150, 800),
            block_64k: millis(250, 1_200),
            chip: millis(15_000, 30_000),
        },
        endurance: 100_000,
        profile: &ChipProfile::NOR,
        profile_source: UNSTATED,
    };
    /// XMC (Wuhan Xinxin) XM25QH32C, 4 MiB. All times are unverified for this part: typical ones
    /// are the feature list of its sibling XM25QH128A (chip erase scaled by capacity), maxima are
    /// the Winbond parts'.
    pub const XM25QH32: Self = Self {
        name: "XM25QH32",
        jedec_id: [0x20, 0x40, 0x16],
        capacity: 4 * MIB,
        timing: Timing {
            page_program: micros(500, 3_000),
            sector_4k: millis(40, 400),
            block_32k: millis(200, 1_600),
            block_64k: millis(300, 2_000),
            chip: millis(15_000, 60_000),
        },
        endurance: 100_000,
        profile: &ChipProfile::NOR,
        profile_source: UNSTATED,
    };

    /// Every named part.
    pub const ALL: &'static [Self] = &[
        Self::W25Q16JV,
        Self::W25Q32JV,
        Self::W25Q64JV,
        Self::W25Q128JV,
        Self::GD25Q32,
        Self::XM25QH32,
    ];

    /// The part of that name; letter case does not matter.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|part| part.name.eq_ignore_ascii_case(name))
    }

    /// The same part with another capacity in bytes, for small test chips.
    ///
    /// # Panics
    /// When `capacity` is 0 or not a multiple of 4096.
    #[must_use]
    pub const fn with_capacity(self, capacity: u32) -> Self {
        assert!(capacity > 0 && capacity.is_multiple_of(SECTOR_SIZE as u32));
        Self { capacity, ..self }
    }

    /// The same part with another endurance in erase cycles, for wear tests.
    #[must_use]
    pub const fn with_endurance(self, endurance: u32) -> Self {
        Self { endurance, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_part() {
        for part in Part::ALL {
            assert_eq!(Part::by_name(&part.name.to_lowercase()), Some(part));
        }
        assert_eq!(Part::by_name("W25Q32"), None);
    }

    #[test]
    fn capacity_codes_agree_with_capacities() {
        // JEDEC's third byte is the logarithm of the size for all these vendors.
        for part in Part::ALL {
            assert_eq!(1 << part.jedec_id[2], part.capacity, "{}", part.name);
        }
    }

    #[test]
    fn typical_times_are_below_maxima_and_grow_with_the_unit() {
        for Part { name, timing: t, .. } in Part::ALL {
            for time in [t.page_program, t.sector_4k, t.block_32k, t.block_64k, t.chip] {
                assert!(time.typ < time.max, "{name}");
            }
            let typ =
                [t.page_program, t.sector_4k, t.block_32k, t.block_64k, t.chip].map(|t| t.typ);
            assert!(typ.is_sorted(), "{name}");
        }
    }
}
