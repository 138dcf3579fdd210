//! Differences between released second-stage bootloaders.

use core::fmt;

/// A generation of ESP-IDF's second-stage bootloader.
///
/// A generation stands for the last patch release of its series. What differs from one to the next has
/// a name: the rules for partition tables and images here, those of boot selection in the model of the
/// bootloader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// ESP-IDF v2.1, of 2017.
    V2_1,
    /// ESP-IDF v3.0: images may end with a SHA-256.
    V3_0,
    /// ESP-IDF v3.3: partition tables may end with an MD5 record. (v3.1 and v3.2 know it too, and are
    /// like v3.0 otherwise.)
    V3_3,
    /// ESP-IDF v4.4: an image says for which chip it is.
    V4_4,
    /// ESP-IDF v5.1.
    V5_1,
    /// ESP-IDF v5.5: flash of up to 128 MB, eFuse block revisions.
    V5_5,
    /// ESP-IDF v6.1: the end of a partition does not wrap.
    V6_1,
    /// ESP-IDF v6.2: segment 0 of an application must hold a whole application descriptor.
    V6_2,
}

impl Generation {
    /// All generations, the oldest first.
    pub const ALL: [Self; 8] = [
        Self::V2_1,
        Self::V3_0,
        Self::V3_3,
        Self::V4_4,
        Self::V5_1,
        Self::V5_5,
        Self::V6_1,
        Self::V6_2,
    ];

    /// Its name, such as `v5.5`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2_1 => "v2.1",
            Self::V3_0 => "v3.0",
            Self::V3_3 => "v3.3",
            Self::V4_4 => "v4.4",
            Self::V5_1 => "v5.1",
            Self::V5_5 => "v5.5",
            Self::V6_1 => "v6.1",
            Self::V6_2 => "v6.2",
        }
    }

    /// The generation of this [`name`](Self::name).
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|generation| generation.name() == name)
    }

    /// Flash size in bytes that the bootloader assumes: it does not probe the chip but trusts
    /// the high nibble of byte 3 of its own image header. Values it does not know mean 2 MB.
    ///
    /// Sizes above 16 MB are known from v5.5 on (on the ESP32-C3 from v5.5.2 on, and by late patch
    /// releases of series before).
    ///
    /// Source: ESP-IDF `update_flash_config` of the bootloader (`bootloader_start.c` up to v3.0,
    /// `bootloader_init.c` in v3.3, `bootloader_<chip>.c` in v4.4, `bootloader_flash_config_<chip>.c`
    /// since), `esp_app_format.h` (`esp_image_flash_size_t`).
    pub fn chip_size(self, spi_size: u8) -> u32 {
        const MB: u32 = 0x10_0000;
        let largest = if self >= Self::V5_5 { 7 } else { 4 };
        if spi_size <= largest { MB << spi_size } else { 2 * MB }
    }

    /// Whether a partition table may hold an MD5 record. Bootloaders before v3.1 refuse a table with
    /// one, as any record that they do not know.
    ///
    /// Source: ESP-IDF `flash_partitions.c` (`esp_partition_table_basic_verify` up to v3.0,
    /// `esp_partition_table_verify` since).
    pub(crate) fn knows_table_md5(self) -> bool {
        self >= Self::V3_3
    }

    /// Whether a table that begins with its terminator is refused. Before v5.5 it is an empty table, which
    /// in the end boots nothing either.
    ///
    /// Source: ESP-IDF `flash_partitions.c` (`esp_partition_table_verify`).
    pub(crate) fn refuses_empty_table(self) -> bool {
        self >= Self::V5_5
    }

    /// Whether the end of a partition is computed modulo 2^32, so that one of a huge size passes as
    /// one that ends within the chip. Fixed in v6.1.
    ///
    /// Source: ESP-IDF `flash_partitions.c` (`esp_partition_table_verify`).
    pub(crate) fn partition_end_wraps(self) -> bool {
        self < Self::V6_1
    }

    /// Whether an image that says that it ends with its SHA-256 must do so. Before v3.0 one byte, the
    /// checksum, is all that protects an image.
    ///
    /// Source: ESP-IDF `esp_image_format.c` (`esp_image_basic_verify` in v2.1, `esp_image_load` since).
    pub(crate) fn verifies_hash(self) -> bool {
        self >= Self::V3_0
    }

    /// Least length in bytes of segment 0 of an application, where there is one.
    ///
    /// Source: ESP-IDF `esp_image_format.c`, on the master branch that becomes v6.2.
    pub(crate) fn least_segment0(self) -> Option<u32> {
        (self >= Self::V6_2).then_some(crate::image::DESCRIPTOR_LEN as u32)
    }

    /// Whether the eFuse block revisions that an image is for are looked at; never on the ESP32.
    ///
    /// Source: ESP-IDF `esp_image_format.c` (`bootloader_common_check_efuse_blk_validity`): not in
    /// v5.1, in v5.4 and later.
    pub fn checks_block_revision(self) -> bool {
        self >= Self::V5_5
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
        assert_eq!(Generation::V5_5.chip_size(5), 0x200_0000);
        for old in [Generation::V2_1, Generation::V4_4, Generation::V5_1] {
            assert_eq!(old.chip_size(4), 0x100_0000);
            assert_eq!(old.chip_size(5), 0x20_0000);
        }
    }

    #[test]
    fn each_generation_is_found_by_its_name() {
        for generation in Generation::ALL {
            assert_eq!(Generation::by_name(generation.name()), Some(generation));
        }
        assert_eq!(Generation::by_name("v3.1"), None);
        assert!(Generation::ALL.is_sorted());
    }
}
