//! Chips and what an image must respect about them.

use core::fmt;

/// Chip that an image is built for. Any value is kept; the constants are the chips ESP-IDF knows
/// (`esp_chip_id_t` in `esp_app_format.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChipId(pub u16);

impl ChipId {
    /// ESP32.
    pub const ESP32: Self = Self(0x0000);
    /// ESP32-S2.
    pub const ESP32S2: Self = Self(0x0002);
    /// ESP32-C3.
    pub const ESP32C3: Self = Self(0x0005);
    /// ESP32-S3.
    pub const ESP32S3: Self = Self(0x0009);
    /// ESP32-C2.
    pub const ESP32C2: Self = Self(0x000C);
    /// ESP32-C6.
    pub const ESP32C6: Self = Self(0x000D);
    /// ESP32-H2.
    pub const ESP32H2: Self = Self(0x0010);
    /// ESP32-P4.
    pub const ESP32P4: Self = Self(0x0012);
    /// ESP32-C61.
    pub const ESP32C61: Self = Self(0x0014);
    /// ESP32-C5.
    pub const ESP32C5: Self = Self(0x0017);
    /// ESP32-H21.
    pub const ESP32H21: Self = Self(0x0019);
    /// ESP32-H4.
    pub const ESP32H4: Self = Self(0x001C);
    /// ESP32-S31.
    pub const ESP32S31: Self = Self(0x0020);

    /// Address ranges (first address, first address behind) through which the chip reads flash by
    /// its cache. The loader maps segments there instead of copying them. None for an unknown chip.
    ///
    /// Source: ESP-IDF `soc/ext_mem_defs.h` and `soc/soc.h` of each chip (`SOC_IROM_LOW`, ...).
    pub(crate) fn flash_windows(self) -> &'static [(u32, u32)] {
        match self {
            Self::ESP32 => &[(0x3F40_0000, 0x3F80_0000), (0x400D_0000, 0x4040_0000)],
            Self::ESP32S2 => &[(0x3F00_0000, 0x3FF8_0000), (0x4008_0000, 0x4080_0000)],
            Self::ESP32S3 => &[(0x3C00_0000, 0x3E00_0000), (0x4200_0000, 0x4400_0000)],
            Self::ESP32C2 => &[(0x3C00_0000, 0x3C40_0000), (0x4200_0000, 0x4240_0000)],
            Self::ESP32C3 => &[(0x3C00_0000, 0x3C80_0000), (0x4200_0000, 0x4280_0000)],
            Self::ESP32C6 | Self::ESP32H2 | Self::ESP32H21 => &[(0x4200_0000, 0x4300_0000)],
            Self::ESP32C61 | Self::ESP32H4 | Self::ESP32C5 => &[(0x4200_0000, 0x4400_0000)],
            Self::ESP32P4 => &[(0x4000_0000, 0x4400_0000), (0x4800_0000, 0x4C00_0000)],
            Self::ESP32S31 => &[(0x4000_0000, 0x4400_0000), (0x5000_0000, 0x5400_0000)],
            _ => &[],
        }
    }

    /// Espressif's name of the chip; `None` for a number that is not assigned.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ESP32 => "ESP32",
            Self::ESP32S2 => "ESP32-S2",
            Self::ESP32C3 => "ESP32-C3",
            Self::ESP32S3 => "ESP32-S3",
            Self::ESP32C2 => "ESP32-C2",
            Self::ESP32C6 => "ESP32-C6",
            Self::ESP32H2 => "ESP32-H2",
            Self::ESP32P4 => "ESP32-P4",
            Self::ESP32C61 => "ESP32-C61",
            Self::ESP32C5 => "ESP32-C5",
            Self::ESP32H21 => "ESP32-H21",
            Self::ESP32H4 => "ESP32-H4",
            Self::ESP32S31 => "ESP32-S31",
            _ => return None,
        })
    }

    /// Whether the page size of the flash cache is configurable, so that an image states its own
    /// (ESP-IDF `SOC_MMU_PAGE_SIZE_CONFIGURABLE`).
    pub(crate) fn has_configurable_page(self) -> bool {
        matches!(
            self,
            Self::ESP32C2
                | Self::ESP32C6
                | Self::ESP32H2
                | Self::ESP32H21
                | Self::ESP32C61
                | Self::ESP32H4
                | Self::ESP32S31
        )
    }
}

/// The [name](Self::name), or the number.
impl fmt::Display for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "chip {:#06x}", self.0),
        }
    }
}
