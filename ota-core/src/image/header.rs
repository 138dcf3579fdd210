//! Image and segment headers.
//!
//! Layout from ESP-IDF `esp_app_format.h` (`esp_image_header_t`, `esp_image_segment_header_t`).

use super::ChipId;

/// Length of the image header in bytes.
pub const HEADER_LEN: usize = 24;

/// Length of a segment header in bytes.
pub const SEGMENT_HEADER_LEN: usize = 8;

/// First byte of an image.
pub const MAGIC: u8 = 0xE9;

/// The first 24 bytes of an image. No field but the magic is checked on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Number of segments; [`verify`](super::verify()) allows 16.
    pub segment_count: u8,
    /// Flash mode: 0 QIO, 1 QOUT, 2 DIO, 3 DOUT, 4 fast read, 5 slow read.
    pub spi_mode: u8,
    /// Flash clock in the low nibble (0 divides by 2, 1 by 3, 2 by 4, 0xF by 1); flash size in the
    /// high nibble (0 to 7 for 1 to 128 MB).
    pub spi_speed_size: u8,
    /// Address of the first instruction.
    pub entry: u32,
    /// Write protect pin of the flash chip; 0xEE for none.
    pub wp_pin: u8,
    /// Drive strengths of the flash pins.
    pub spi_pin_drive: [u8; 3],
    /// Chip the image is built for.
    pub chip: ChipId,
    /// Least chip revision in a form that is no longer used.
    pub legacy_min_chip_revision: u8,
    /// Least chip revision, major x 100 + minor.
    pub min_chip_revision: u16,
    /// Greatest chip revision, major x 100 + minor; 0 and 65535 for none.
    pub max_chip_revision: u16,
    /// Reserved bytes.
    pub reserved: [u8; 4],
    /// Not 0 if a SHA-256 of the image follows it.
    pub hash_appended: u8,
}

impl Header {
    /// Reads a header; `None` if it does not start with the magic byte 0xE9.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let &[
            MAGIC,
            segment_count,
            spi_mode,
            spi_speed_size,
            e0,
            e1,
            e2,
            e3,
            wp_pin,
            d0,
            d1,
            d2,
            c0,
            c1,
            legacy_min_chip_revision,
            n0,
            n1,
            x0,
            x1,
            r0,
            r1,
            r2,
            r3,
            hash_appended,
        ] = bytes
        else {
            return None;
        };
        Some(Self {
            segment_count,
            spi_mode,
            spi_speed_size,
            entry: u32::from_le_bytes([e0, e1, e2, e3]),
            wp_pin,
            spi_pin_drive: [d0, d1, d2],
            chip: ChipId(u16::from_le_bytes([c0, c1])),
            legacy_min_chip_revision,
            min_chip_revision: u16::from_le_bytes([n0, n1]),
            max_chip_revision: u16::from_le_bytes([x0, x1]),
            reserved: [r0, r1, r2, r3],
            hash_appended,
        })
    }

    /// The 24 bytes of the header on flash.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let [e0, e1, e2, e3] = self.entry.to_le_bytes();
        let [d0, d1, d2] = self.spi_pin_drive;
        let [c0, c1] = self.chip.0.to_le_bytes();
        let [n0, n1] = self.min_chip_revision.to_le_bytes();
        let [x0, x1] = self.max_chip_revision.to_le_bytes();
        let [r0, r1, r2, r3] = self.reserved;
        [
            MAGIC,
            self.segment_count,
            self.spi_mode,
            self.spi_speed_size,
            e0,
            e1,
            e2,
            e3,
            self.wp_pin,
            d0,
            d1,
            d2,
            c0,
            c1,
            self.legacy_min_chip_revision,
            n0,
            n1,
            x0,
            x1,
            r0,
            r1,
            r2,
            r3,
            self.hash_appended,
        ]
    }
}

/// The 8 bytes before the data of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentHeader {
    /// Address the data is for. Below 0x10000000 the segment is padding.
    pub load_addr: u32,
    /// Length of the data in bytes.
    pub data_len: u32,
}

impl SegmentHeader {
    /// Reads a segment header.
    pub fn parse(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Self {
        let [a0, a1, a2, a3, l0, l1, l2, l3] = *bytes;
        Self {
            load_addr: u32::from_le_bytes([a0, a1, a2, a3]),
            data_len: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }

    /// The 8 bytes of the segment header on flash.
    pub fn emit(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let [a0, a1, a2, a3] = self.load_addr.to_le_bytes();
        let [l0, l1, l2, l3] = self.data_len.to_le_bytes();
        [a0, a1, a2, a3, l0, l1, l2, l3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_survive_a_round_trip(mut bytes: [u8; HEADER_LEN], segment: [u8; SEGMENT_HEADER_LEN]) {
            prop_assert_eq!(Header::parse(&bytes).is_some(), bytes[0] == MAGIC);
            bytes[0] = MAGIC;
            prop_assert_eq!(Header::parse(&bytes).unwrap().emit(), bytes);
            prop_assert_eq!(SegmentHeader::parse(&segment).emit(), segment);
        }
    }
}
