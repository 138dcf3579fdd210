//! Synthetic application images: byte patterns that the bootloader accepts as an ESP32-C3
//! application, of any size, and ways to spoil them.
//!
//! They hold no code, and their content follows from a seed, so tests and benchmarks get the same
//! bytes on every machine. The builder shares no code with the parser in `ota_core::image`: each is
//! a check on the other.
//!
//! The format is that of ESP-IDF `esp_app_format.h` (`esp_image_header_t`), `esp_app_desc.h`, and the "Firmware
//! Image Format" page of the esptool documentation.

use ota_core::image::ChipId;
use sha2::{Digest, Sha256};

/// Least image size that [`ImageBuilder::new`] takes, in bytes.
pub const MIN_SIZE: u32 = 0x200;

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first byte is 0xE8.
    Magic,
    /// The header names the ESP32-S3.
    Chip,
    /// Needs chip revision 4.0.
    MinRevision,
    /// The header counts 17 segments.
    SegmentCount,
    /// The instruction segment sits 16 bytes off its place in the 64 KiB page of the flash MMU.
    MmuAlignment,
    /// The checksum byte is wrong; the hash covers the wrong byte.
    Checksum,
    /// The last bit of the appended hash is flipped.
    Hash,
    /// One bit of the header is flipped; only the hash can tell.
    HeaderBit,
    /// The same bit is flipped, and the header says that there is no hash: the bootloader accepts
    /// this, since the checksum does not cover the header.
    HeaderBitUnhashed,
    /// Only the first 0x140 bytes were programmed; the rest is erased.
    Torn,
}

/// Makes one image. The size counts everything, hash included.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    size: u32,
    seed: u64,
    chip: ChipId,
    version: String,
    secure_version: u32,
    hash: bool,
    fault: Option<Fault>,
}

/// Data of the first segment starts here, and with it the application description.
const DESC_OFFSET: usize = 0x20;
const DESC_SIZE: usize = 256;
const SEGMENT_HEADER: usize = 8;
const HASH_SIZE: usize = 32;

/// Start of the read-only data window of the flash MMU.
const DROM: u32 = 0x3C00_0000;
/// Start of the instruction window of the flash MMU.
const IROM: u32 = 0x4200_0000;
/// Data RAM that no part of the bootloader occupies.
const DRAM: u32 = 0x3FC9_0000;
const RAM_DATA: usize = 16;
const MMU_PAGE: u32 = 0x1_0000;

impl ImageBuilder {
    /// An image of `size` bytes for the ESP32-C3, with an appended hash.
    ///
    /// # Panics
    ///
    /// If `size` is below [`MIN_SIZE`], above 16 MiB, or not a multiple of 16.
    pub fn new(size: u32) -> Self {
        assert!(
            (MIN_SIZE..=1 << 24).contains(&size) && size.is_multiple_of(16),
            "image size {size:#x}"
        );
        Self {
            size,
            seed: 0,
            chip: ChipId::ESP32C3,
            version: "1.0.0".into(),
            secure_version: 0,
            hash: true,
            fault: None,
        }
    }

    /// Chooses the content: two seeds give two different images.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Chip that the header names. The addresses suit the ESP32-C2, C3 and S3, whose flash windows start
    /// alike.
    pub fn chip(mut self, chip: ChipId) -> Self {
        self.chip = chip;
        self
    }

    /// Version text of the application description; the first 31 bytes are kept.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Security version of the application description.
    pub fn secure_version(mut self, version: u32) -> Self {
        self.secure_version = version;
        self
    }

    /// Leaves the hash out.
    pub fn without_hash(mut self) -> Self {
        self.hash = false;
        self
    }

    /// Spoils the image.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The bytes of the image.
    pub fn build(&self) -> Vec<u8> {
        let size = self.size as usize;
        let hashed = if self.hash { size - HASH_SIZE } else { size };
        // The checksum is the last byte of a 16-byte block; segments are whole words.
        let segments_end = hashed - 4;

        let mut image = vec![0; hashed];
        let content = DESC_OFFSET + DESC_SIZE..segments_end;
        blake3::Hasher::new()
            .update(&self.seed.to_le_bytes())
            .finalize_xof()
            .fill(&mut image[content]);
        self.put_header(&mut image);
        self.put_description(&mut image);
        let checksum = self.put_segments(&mut image, segments_end);
        image[hashed - 1] = checksum ^ u8::from(self.fault == Some(Fault::Checksum));
        if self.hash {
            let hash = Sha256::digest(&image);
            image.extend_from_slice(&hash);
        }
        self.spoil_after_hashing(&mut image);
        image
    }

    fn put_header(&self, image: &mut [u8]) {
        let fault = |fault| self.fault == Some(fault);
        image[0x00] = if fault(Fault::Magic) { 0xE8 } else { 0xE9 };
        image[0x01] = if fault(Fault::SegmentCount) { 17 } else { 3 };
        image[0x02] = 2; // DIO
        image[0x03] = 0x2F; // 4 MB at 80 MHz
        put_u32(image, 0x04, IROM);
        image[0x08] = 0xEE; // no write-protect pin
        let chip = if fault(Fault::Chip) { ChipId::ESP32S3 } else { self.chip };
        put_u16(image, 0x0C, chip.0);
        put_u16(image, 0x0F, if fault(Fault::MinRevision) { 400 } else { 0 });
        put_u16(image, 0x11, u16::MAX);
        image[0x17] = u8::from(self.hash);
    }

    fn put_description(&self, image: &mut [u8]) {
        let desc = &mut image[DESC_OFFSET..DESC_OFFSET + DESC_SIZE];
        put_u32(desc, 0x00, 0xABCD_5432);
        put_u32(desc, 0x04, self.secure_version);
        let version = &self.version.as_bytes()[..self.version.len().min(31)];
        put_bytes(desc, 0x10, version);
        put_bytes(desc, 0x30, b"synthetic");
        put_bytes(desc, 0x50, b"12:00:00");
        put_bytes(desc, 0x60, b"Jan  1 2026");
        put_bytes(desc, 0x70, b"v6.0");
        put_bytes(desc, 0x90, &self.seed.to_le_bytes());
        put_u16(desc, 0xB2, u16::MAX); // greatest eFuse block revision: no limit
        desc[0xB4] = 16; // log2 of the MMU page size
    }

    /// Writes the segment headers between the content: description and read-only data, RAM data,
    /// instructions. Returns the checksum.
    fn put_segments(&self, image: &mut [u8], end: usize) -> u8 {
        let spare = end - DESC_OFFSET - DESC_SIZE - 2 * SEGMENT_HEADER - RAM_DATA;
        let rodata = DESC_SIZE + spare / 4 / 4 * 4;
        let lengths = [rodata, RAM_DATA, 0];
        let windows = [DROM, DRAM, IROM];

        let mut checksum = 0xEF;
        let mut data = DESC_OFFSET;
        for (index, (window, mut length)) in windows.into_iter().zip(lengths).enumerate() {
            if index == 2 {
                length = end - data;
            }
            let mut load = window;
            if window != DRAM {
                load += data as u32 % MMU_PAGE;
            }
            if window == IROM && self.fault == Some(Fault::MmuAlignment) {
                load ^= 0x10;
            }
            put_u32(image, data - 8, load);
            put_u32(image, data - 4, length as u32);
            checksum = image[data..data + length].iter().fold(checksum, |sum, byte| sum ^ byte);
            data += length + SEGMENT_HEADER;
        }
        checksum
    }

    fn spoil_after_hashing(&self, image: &mut [u8]) {
        const WP_PIN: usize = 0x08;
        const HASH_APPENDED: usize = 0x17;
        match self.fault {
            Some(Fault::Hash) => *image.last_mut().expect("an image is never empty") ^= 1,
            Some(Fault::HeaderBit) => image[WP_PIN] ^= 1,
            Some(Fault::HeaderBitUnhashed) => {
                image[WP_PIN] ^= 1;
                image[HASH_APPENDED] = 0;
            }
            Some(Fault::Torn) => image[0x140..].fill(0xFF),
            _ => {}
        }
    }
}

fn put_bytes(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    put_bytes(bytes, at, &value.to_le_bytes());
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    put_bytes(bytes, at, &value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_core::image::{ImageInfo, Requirements, describe, verify};
    use ota_core::partition::Region;
    use ota_core::{Generation, SliceFlash};

    fn check(image: &[u8]) -> Option<ImageInfo> {
        let mut requirements = Requirements::bootloader(ChipId::ESP32C3, Generation::V6_2);
        requirements.chip_revision = Some(3);
        let region = Region { offset: 0, size: image.len() as u32 };
        verify(&mut SliceFlash(image), region, &requirements).ok()
    }

    #[test]
    fn images_of_every_size_verify() {
        for size in (MIN_SIZE..MIN_SIZE + 0x100).step_by(16).chain([128 << 10, 1 << 20]) {
            let builder = ImageBuilder::new(size).seed(7).secure_version(5);
            let hashed = builder.build();
            let info = check(&hashed).expect("valid");
            assert_eq!((info.len, info.secure_version), (size, Some(5)));
            assert!(info.digest.is_some());

            let unhashed = builder.without_hash().build();
            assert_eq!(check(&unhashed).map(|info| (info.len, info.digest)), Some((size, None)));
        }
    }

    #[test]
    fn the_description_names_the_version() {
        let image = ImageBuilder::new(MIN_SIZE).version("2.1.0-rc1").build();
        let region = Region { offset: 0, size: MIN_SIZE };
        let description = describe(&mut SliceFlash(&image), region).expect("a description");
        assert_eq!(description.version.as_str(), Ok("2.1.0-rc1"));
    }

    #[test]
    fn faults_spoil_the_image_and_change_it() {
        use Fault::*;
        let builder = ImageBuilder::new(0x800);
        for fault in
            [Magic, Chip, MinRevision, SegmentCount, MmuAlignment, Checksum, Hash, HeaderBit, Torn]
        {
            assert_eq!(check(&builder.clone().fault(fault).build()), None, "{fault:?}");
        }
        let accepted = builder.clone().fault(HeaderBitUnhashed).build();
        assert!(check(&accepted).is_some());
        assert_ne!(accepted, builder.build());
    }

    #[test]
    fn the_seed_decides_the_content() {
        let build = |seed| ImageBuilder::new(0x800).seed(seed).build();
        assert_eq!(build(1), build(1));
        assert_ne!(build(1), build(2));
    }
}
