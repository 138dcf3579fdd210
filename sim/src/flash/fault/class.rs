//! Classes of faults, and the choice among them.

use std::{fmt, str::FromStr};

use super::ChipProfile;
use serde::{Deserialize, Serialize};

/// A class of faults. Each one is known from a vendor's or a researcher's statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FaultClass {
    /// F0: a cut between operations; each one happened entirely or not at all.
    ///
    /// The model of ESP-IDF's host emulation (`esp_partition` on the Linux target).
    Between,
    /// F1: a program stops after some of its bytes.
    ///
    /// `esp_partition_fail_after()` and the older NVS flash emulator stop at word boundaries.
    TornPrefix,
    /// F2: a program stops with each of its 1-to-0 bits done or not.
    ///
    /// Infineon KBA218817: after an interrupted program any reading is possible, "including a
    /// correct-looking image of the intended data".
    TornBits,
    /// F3: an erase stops with its whole unit untouched, all zeros (the chip programs cells before
    /// it erases them), all ones, or a mix.
    ///
    /// Infineon KBA218817; the pre-program phase is usual in NOR erase algorithms.
    TornErase,
    /// F4: bits that an interrupted operation touched read differently from read to read until the
    /// next completed erase.
    ///
    /// Infineon KBA218817 ("unstable"); littlefs issue 671 (metastable cells after a cut).
    Unstable,
    /// F5: cells read correctly now and flip at a later power-on; a program on them may leave ones.
    ///
    /// Tseng, Grupp, Swanson, "Understanding the Impact of Power Loss on Flash Memory", DAC 2011;
    /// linux-mtd, I. Djelic, 2011-10-18 (areas that read well a few times after a cut).
    Weak,
    /// F6: an interrupted program disturbs other bytes of its page or its sector, never of another.
    ///
    /// Microchip FAQ for the SST26VF016B: the whole sector of the page may be corrupted.
    Collateral,
    /// F7: an operation reports success and did nothing, or only a part.
    ///
    /// ESP-IDF's NVS documentation, "Unstable power conditions": an erase may not complete without
    /// the application noticing.
    Silent,
    /// F8: repeated cuts, during recovery too. Nothing to do for the flash: the explorer nests.
    Repeated,
    /// F9: the processor resets and power stays. The chip completes its operation, or is reset as
    /// well and leaves it torn.
    ///
    /// ESP-IDF option `SPI_FLASH_BROWNOUT_RESET` resets the flash, aborting what it does.
    Reset,
    /// F10: a worn-out sector no longer erases: an error, or bits stuck at 0.
    ///
    /// Endurance in every datasheet, 100,000 cycles.
    WearOut,
    /// F11: a read fails on the bus.
    ///
    /// Timeouts of ESP-IDF's `spi_flash` driver.
    ReadFault,
}

impl FaultClass {
    /// All classes, F0 first.
    pub const ALL: [Self; 12] = [
        Self::Between,
        Self::TornPrefix,
        Self::TornBits,
        Self::TornErase,
        Self::Unstable,
        Self::Weak,
        Self::Collateral,
        Self::Silent,
        Self::Repeated,
        Self::Reset,
        Self::WearOut,
        Self::ReadFault,
    ];
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{}", *self as u8)
    }
}

impl FromStr for FaultClass {
    type Err = String;

    /// Reads `F0` to `F11`, in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |class: &Self| class.to_string().eq_ignore_ascii_case(text);
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| format!("unknown fault class {text:?}, expected F0 to F11"))
    }
}

/// Which faults may happen, and the seed of every choice that is not enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FaultProfile {
    classes: u16,
    /// Seed of mixed values and of random faults.
    pub seed: u64,
    /// A program that changes at most this many 32-bit words is torn in every combination of its
    /// words and after every byte; a larger one in representative ways. 8 covers a select entry.
    pub exhaustive_words: u32,
}

impl FaultProfile {
    /// No faults: add classes with [`with`](Self::with).
    #[must_use]
    pub const fn none(seed: u64) -> Self {
        Self { classes: 0, seed, exhaustive_words: 8 }
    }

    /// The classes that [`crash_states`](super::crash_states) enumerates with stable contents: F0
    /// to F3, F6, F8 and F9.
    #[must_use]
    pub fn enumerable(seed: u64) -> Self {
        use FaultClass::{Between, Collateral, Repeated, Reset, TornBits, TornErase, TornPrefix};
        [Between, TornPrefix, TornBits, TornErase, Collateral, Repeated, Reset]
            .into_iter()
            .fold(Self::none(seed), Self::with)
    }

    /// Adds a class.
    #[must_use]
    pub const fn with(self, class: FaultClass) -> Self {
        Self { classes: self.classes | 1 << class as u16, ..self }
    }

    /// Removes a class.
    #[must_use]
    pub const fn without(self, class: FaultClass) -> Self {
        Self { classes: self.classes & !(1 << class as u16), ..self }
    }

    /// Whether the class is selected.
    #[must_use]
    pub const fn has(&self, class: FaultClass) -> bool {
        self.classes & 1 << class as u16 != 0
    }

    /// The selected classes, F0 first.
    pub fn classes(&self) -> impl Iterator<Item = FaultClass> + '_ {
        FaultClass::ALL.into_iter().filter(|&class| self.has(class))
    }
}

/// The classes, and the [chip profile](ChipProfile) that has them: `faults F0 F1 F8 (chip profile emulation)`.
impl fmt::Display for FaultProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faults")?;
        self.classes().try_for_each(|class| write!(f, " {class}"))?;
        match ChipProfile::of(self) {
            Some(profile) => write!(f, " (chip profile {})", profile.name),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_their_numbers() {
        for (number, class) in FaultClass::ALL.into_iter().enumerate() {
            assert_eq!(class.to_string(), format!("F{number}"));
            assert_eq!(class.to_string().parse(), Ok(class));
        }
        assert!("F12".parse::<FaultClass>().is_err());
    }

    #[test]
    fn a_profile_selects() {
        let profile = FaultProfile::enumerable(1).without(FaultClass::Reset);
        let names: Vec<_> = profile.classes().map(|class| class.to_string()).collect();
        assert_eq!(names, ["F0", "F1", "F2", "F3", "F6", "F8"]);
    }
}
