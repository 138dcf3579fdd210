//! Differences between released second-stage bootloaders.

/// A generation of ESP-IDF's second-stage bootloader, as far as the rules of this crate differ.
///
/// Each variant names the release whose behaviour is known; in which release between two of them
/// a rule changed is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// ESP-IDF v4.4.
    V4_4,
    /// ESP-IDF v6.1.
    V6_1,
    /// ESP-IDF v6.2: segment 0 of an application must hold a whole application descriptor.
    V6_2,
}

impl Generation {
    /// Flash size in bytes that the bootloader assumes: it does not probe the chip but trusts
    /// the high nibble of byte 3 of its own image header. Values it does not know mean 2 MB.
    ///
    /// Source: ESP-IDF `update_flash_config` of the bootloader, `esp_app_format.h`
    /// (`esp_image_flash_size_t`).
    pub fn chip_size(self, spi_size: u8) -> u32 {
        const MB: u32 = 0x10_0000;
        let largest = if self == Self::V4_4 { 4 } else { 7 };
        if spi_size <= largest { MB << spi_size } else { 2 * MB }
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn unknown_flash_sizes_mean_two_megabytes() {
        assert_eq!(Generation::V6_1.chip_size(0), 0x10_0000);
        assert_eq!(Generation::V6_1.chip_size(7), 128 * 0x10_0000);
        assert_eq!(Generation::V6_1.chip_size(8), 0x20_0000);
        assert_eq!(Generation::V4_4.chip_size(4), 0x100_0000);
        assert_eq!(Generation::V4_4.chip_size(5), 0x20_0000);
    }
}
