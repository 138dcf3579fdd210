//! What a power cut may leave on a flash part, and where that is known from.

use super::{FaultClass, FaultProfile};

/// A class of torn contents that a part is explored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornClass {
    /// The class.
    pub class: FaultClass,
    /// Who says so, and of what.
    pub source: &'static str,
}

/// What a power cut may leave on a flash part, by name.
///
/// No vendor of the [parts](crate::flash::Part) was found to say what an interrupted operation leaves, beyond
/// that data under way may be corrupted. So parts are not told apart: each has the profile [`NOR`](Self::NOR),
/// the most that any vendor allows within the unit of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipProfile {
    /// Name in reports and certificates.
    pub name: &'static str,
    /// For what it is, in a sentence.
    pub about: &'static str,
    /// Its classes, F0 first.
    pub torn: &'static [TornClass],
}

const fn torn(class: FaultClass, source: &'static str) -> TornClass {
    TornClass { class, source }
}

const BETWEEN: TornClass = torn(
    FaultClass::Between,
    "ESP-IDF, esp_partition on the Linux target: an operation happens or does not",
);
const TORN_PREFIX: TornClass = torn(
    FaultClass::TornPrefix,
    "ESP-IDF, esp_partition_fail_after() on the Linux target stops after any word; here after any byte",
);
const TORN_BITS: TornClass = torn(
    FaultClass::TornBits,
    "Infineon KBA218817: after an interrupted program any reading is possible, also that of the intended data",
);
const TORN_ERASE: TornClass = torn(
    FaultClass::TornErase,
    "Infineon KBA218817: after an interrupted erase any reading is possible, from all zeros to all ones",
);
const COLLATERAL: TornClass = torn(
    FaultClass::Collateral,
    "Microchip FAQ 3411, SST26VF016B: an interrupted page program may disturb all of the sector",
);
const REPEATED: TornClass = torn(
    FaultClass::Repeated,
    "no property of a part: power fails as often as it likes, also while what it left is put right",
);
const RESET: TornClass = torn(
    FaultClass::Reset,
    "ESP-IDF, SPI_FLASH_BROWNOUT_RESET: on a brown-out the flash is reset; Winbond W25Q64FV datasheet, 7.2.43: that ends an operation under way and may corrupt data",
);

impl ChipProfile {
    /// Any NOR flash that keeps damage within the unit of the operation that was cut.
    pub const NOR: Self = Self {
        name: "nor",
        about: "any NOR flash on which a cut damages what was being written and nothing else",
        torn: &[BETWEEN, TORN_PREFIX, TORN_BITS, TORN_ERASE, REPEATED, RESET],
    };
    /// The same with damage beside it, on parts whose vendor warns of that.
    pub const NOR_DISTURB: Self = Self {
        name: "nor-disturb",
        about: "NOR flash on which a cut can damage the rest of the sector too",
        torn: &[BETWEEN, TORN_PREFIX, TORN_BITS, TORN_ERASE, COLLATERAL, REPEATED, RESET],
    };
    /// What tests on ESP-IDF's emulated flash can show. No real part is as tame.
    pub const EMULATION: Self = Self {
        name: "emulation",
        about: "ESP-IDF's emulated flash on a host, for comparison: no real part is as tame",
        torn: &[BETWEEN, TORN_PREFIX, REPEATED],
    };

    /// Every profile.
    pub const ALL: &'static [Self] = &[Self::NOR, Self::NOR_DISTURB, Self::EMULATION];

    /// The profile of that name; letter case does not matter.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|profile| profile.name.eq_ignore_ascii_case(name))
    }

    /// The profile that has exactly the classes of `faults`.
    #[must_use]
    pub fn of(faults: &FaultProfile) -> Option<&'static Self> {
        Self::ALL.iter().find(|profile| profile.faults(faults.seed).classes().eq(faults.classes()))
    }

    /// Its classes as faults to enumerate.
    #[must_use]
    pub fn faults(&self, seed: u64) -> FaultProfile {
        self.torn.iter().map(|torn| torn.class).fold(FaultProfile::none(seed), FaultProfile::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_enumerable_and_told_apart() {
        let enumerable = FaultProfile::enumerable(1);
        for profile in ChipProfile::ALL {
            let faults = profile.faults(1);
            assert_eq!(ChipProfile::of(&faults), Some(profile));
            assert_eq!(ChipProfile::by_name(&profile.name.to_uppercase()), Some(profile));
            assert!(faults.classes().all(|class| enumerable.has(class)), "{}", profile.name);
            let classes = profile.torn.iter().map(|torn| torn.class);
            assert!(classes.eq(faults.classes()), "{}: each once, F0 first", profile.name);
        }
        assert_eq!(ChipProfile::of(&FaultProfile::none(1)), None);
        assert_eq!(ChipProfile::NOR_DISTURB.faults(1), enumerable);
    }
}
