//! Whole images: what is accepted, and that everything else is not.

use std::string::ToString;
use std::vec::Vec;

use embedded_storage::nor_flash::NorFlashErrorKind;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::partition::Region;
use crate::text::Text;
use crate::{Generation, SliceFlash};

mod limits;

type Result<T> = core::result::Result<T, ImageError<NorFlashErrorKind>>;

/// An image in parts, to change before it is put together.
#[derive(Clone)]
pub(super) struct Builder {
    header: Header,
    segments: Vec<(SegmentHeader, Vec<u8>)>,
}

fn descriptor() -> AppDescriptor {
    AppDescriptor {
        secure_version: 0,
        version: Text::new("1.2.3").unwrap(),
        project_name: Text::new("demo").unwrap(),
        time: Text::new("12:00:00").unwrap(),
        date: Text::new("Jan  1 2026").unwrap(),
        idf_version: Text::new("v6.0").unwrap(),
        elf_sha256: core::array::from_fn(|i| i as u8),
        min_block_revision: 0,
        max_block_revision: 0,
        mmu_page_size_log2: 16,
        spi_flash_mode: 2,
    }
}

impl Builder {
    /// A small image for the ESP32 with two segments.
    pub(super) fn example() -> Self {
        let header = Header {
            segment_count: 2,
            spi_mode: 2,
            spi_speed_size: 0x20,
            entry: 0x4008_0400,
            wp_pin: 0xEE,
            spi_pin_drive: [0; 3],
            chip: ChipId::ESP32,
            legacy_min_chip_revision: 0,
            min_chip_revision: 0,
            max_chip_revision: 399,
            reserved: [0; 4],
            hash_appended: 1,
        };
        let data = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
        Self { header, segments: Vec::new() }
            .segment(0x3F40_0020, &descriptor().emit())
            .segment(0x3FFB_0000, &data)
    }

    /// The same for a chip whose cache window for data starts at `window`.
    fn for_chip(chip: ChipId, window: u32) -> Self {
        let mut image = Self::example();
        image.header.chip = chip;
        image.segments[0].0.load_addr = window + 0x20;
        image
    }

    fn segment(mut self, load_addr: u32, data: &[u8]) -> Self {
        let data_len = data.len() as u32;
        self.segments.push((SegmentHeader { load_addr, data_len }, data.into()));
        self.header.segment_count = self.segments.len() as u8;
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut image = Vec::from(self.header.emit());
        let mut checksum = 0xEF;
        for (header, data) in &self.segments {
            image.extend(header.emit());
            image.extend(data);
            checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
        }
        image.resize((image.len() + 1).next_multiple_of(16), 0);
        *image.last_mut().unwrap() = checksum;
        if self.header.hash_appended != 0 {
            image.extend(Sha256::digest(&image));
        }
        image
    }
}

/// The flash range of an image that starts at offset 0 and fills its partition.
pub(super) fn whole(image: &[u8]) -> Region {
    Region { offset: 0, size: image.len() as u32 }
}

fn check(image: &[u8], requirements: &Requirements) -> Result<ImageInfo> {
    verify(&mut SliceFlash(image), whole(image), requirements)
}

fn strict() -> Requirements {
    Requirements::for_chip(ChipId::ESP32)
}

fn stock() -> Requirements {
    Requirements::bootloader(ChipId::ESP32, Generation::V6_1)
}

#[test]
fn the_example_is_byte_exact() {
    let image = Builder::example().build();
    let expected = [
        (0x000, *b"\xe9\x02\x02\x20\x00\x04\x08\x40\xee\0\0\0\0\0\0\0"),
        (0x010, *b"\x00\x8f\x01\0\0\0\0\x01\x20\x00\x40\x3f\x00\x01\0\0"),
        (0x120, *b"\x00\x00\xfb\x3f\x08\0\0\0\x11\x22\x33\x44\x55\x66\x77\x88"),
        (0x130, *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x49"),
        (0x140, *b"\xa2\xae\x4f\xca\x84\xeb\x76\xc8\x2a\x0a\x22\x14\xc1\x29\x82\xa7"),
        (0x150, *b"\x84\x72\xdf\xa0\x10\xde\x2b\xce\xf4\x74\x11\xaa\x01\x92\x52\x9d"),
    ];
    assert_eq!(image.len(), 0x160);
    for (offset, row) in expected {
        assert_eq!(image[offset..offset + 16], row, "{offset:#x}");
    }
    let info = check(&image, &strict()).unwrap();
    assert_eq!((info.len, info.entry, info.chip), (0x160, 0x4008_0400, ChipId::ESP32));
    assert_eq!(info.digest.unwrap(), image[0x140..]);
    assert_eq!(info.secure_version, Some(0));
    let described = describe(&mut SliceFlash(&image), whole(&image)).unwrap();
    assert_eq!(described, descriptor());
}

#[test]
fn strict_rejects_every_changed_byte() {
    let good = Builder::example().build();
    for at in 0..good.len() {
        for flip in 1..=u8::MAX {
            let mut image = good.clone();
            image[at] ^= flip;
            assert!(check(&image, &strict()).is_err(), "byte {at:#x} ^ {flip:#x}");
        }
    }
}

/// Of all changed bytes ESP-IDF accepts one: the flag that switches hashing off. After that nothing
/// protects the header, and the checksum is the only one left for the rest.
#[test]
fn the_stock_rules_accept_a_cleared_hash_flag() {
    let good = Builder::example().build();
    let mut accepted = Vec::new();
    for at in 0..good.len() {
        for flip in 1..=u8::MAX {
            let mut image = good.clone();
            image[at] ^= flip;
            if check(&image, &stock()).is_ok() {
                accepted.push((at, flip));
            }
        }
    }
    assert_eq!(accepted, [(0x17, 1)]);

    let mut image = good;
    image[0x17] = 0;
    assert_eq!(check(&image, &strict()), Err(ImageError::NoHash { offset: 0 }));
    image[0x04] ^= 0x10;
    let info = check(&image, &stock()).unwrap();
    assert_eq!((info.len, info.digest), (0x140, None));
}

#[test]
fn strict_rejects_an_image_of_nothing() {
    let mut nothing = Builder::example();
    nothing.segments.clear();
    nothing.header.segment_count = 0;
    nothing.header.hash_appended = 0;
    let image = nothing.build();
    assert_eq!((image.len(), image[31]), (32, 0xEF));
    assert_eq!(check(&image, &stock()).unwrap().len, 32);
    let count = ImageError::SegmentCount { offset: 0, found: 0, min: 1, max: 16 };
    assert_eq!(check(&image, &strict()), Err(count));
}

#[test]
fn strict_demands_a_descriptor() {
    let mut image = Builder::example();
    image.segments[0].1[0] ^= 1;
    let image = image.build();
    assert_eq!(check(&image, &stock()).unwrap().secure_version, None);
    assert_eq!(check(&image, &strict()), Err(ImageError::NoDescriptor { offset: 0x20 }));
    let describe = describe(&mut SliceFlash(&image), whole(&image));
    assert_eq!(describe, Err(ImageError::NoDescriptor { offset: 0x20 }));
}

#[test]
fn truncated_images_are_rejected() {
    let image = Builder::example().build();
    for len in 0..image.len() {
        let region = Region { offset: 0, size: len as u32 };
        let fits = verify(&mut SliceFlash(&image), region, &stock());
        assert!(matches!(fits, Err(ImageError::TooLong { .. })), "{len:#x}: {fits:?}");
        // The partition is large enough, but the flash ends or was not written further.
        let ends = verify(&mut SliceFlash(&image[..len]), whole(&image), &stock());
        assert!(matches!(ends, Err(ImageError::Read(_))), "{len:#x}: {ends:?}");
        let mut torn = image.clone();
        torn[len..].fill(0xFF);
        assert!(check(&torn, &stock()).is_err(), "{len:#x}");
    }
}

#[test]
fn an_image_may_fill_its_partition_but_not_more() {
    // Long enough to span several windows of the stream, and to end within one.
    for extra in [0, 4, 220, 1000, 4096] {
        let image = Builder::example().segment(0x4008_0000, &std::vec![7; extra]).build();
        let size = image.len() as u32;
        assert_eq!(check(&image, &strict()).unwrap().len, size);
        let mut flash = std::vec![0xFF; 0x1_0000];
        flash.extend(&image);
        let region = Region { offset: 0x1_0000, size };
        assert_eq!(verify(&mut SliceFlash(&flash), region, &strict()).unwrap().len, size);
        let region = Region { offset: 0x1_0000, size: size - 16 };
        let error = ImageError::TooLong { len: size, size: size - 16 };
        assert_eq!(verify(&mut SliceFlash(&flash), region, &strict()), Err(error));
    }
}

#[test]
fn a_signature_sector_must_fit() {
    let image = Builder::example().build();
    let mut flash = image;
    flash.resize(0x2000, 0xFF);
    let signed = Requirements { secure_boot_v2: true, ..strict() };
    assert_eq!(check(&flash, &signed).unwrap().len, 0x160);
    let error = ImageError::TooLong { len: 0x2000, size: 0x1FFF };
    assert_eq!(check(&flash[..0x1FFF], &signed), Err(error));
    assert!(check(&flash[..0x1FFF], &strict()).is_ok());
}

fn any_requirements() -> impl Strategy<Value = Requirements> {
    (any::<bool>(), any::<bool>(), any::<Option<u16>>()).prop_map(|(strict, signed, revision)| {
        Requirements {
            chip_revision: revision,
            block_revision: revision,
            secure_boot_v2: signed,
            strict,
            ..Requirements::bootloader(ChipId::ESP32C3, Generation::V6_1)
        }
    })
}

#[test]
fn the_digest_covers_the_bytes_asked_for_and_no_more() {
    let flash: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
    let region = Region { offset: 100, size: 800 };
    for len in [0, 1, 255, 256, 257, 800] {
        let found = digest(&mut SliceFlash(&flash), region, len).unwrap();
        let expected = Sha256::digest(&flash[100..100 + len as usize]);
        assert_eq!(found[..], expected[..], "{len} bytes");
    }
    let beyond = digest(&mut SliceFlash(&flash), region, 801);
    assert_eq!(beyond, Err(ImageError::TooLong { len: 801, size: 800 }));
    let missing = Region { offset: 900, size: 200 };
    assert!(matches!(digest(&mut SliceFlash(&flash), missing, 101), Err(ImageError::Read(_))));
}

proptest! {
    #[test]
    fn arbitrary_images_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..0x400),
        header: [u8; HEADER_LEN],
        lens in prop::collection::vec(0u32..0x40, 0..20),
        (offset, size) in prop_oneof![
            (0u32..8, 0u32..0x400),
            any::<(u32, u32)>(),
        ],
        requirements in any_requirements(),
        keep: bool,
    ) {
        let mut bytes = bytes;
        if keep {
            let mut header = Header::parse(&[&[MAGIC], &header[1..]].concat().try_into().unwrap()).unwrap();
            header.chip = requirements.chip;
            header.segment_count = lens.len() as u8;
            let mut at = 0;
            let mut put = |chunk: &[u8], skip: usize| {
                if let Some(place) = bytes.get_mut(at..at + chunk.len()) {
                    place.copy_from_slice(chunk);
                }
                at += chunk.len() + skip;
            };
            put(&header.emit(), 0);
            for len in lens {
                let data_len = len * 4;
                put(&SegmentHeader { load_addr: 0, data_len }.emit(), data_len as usize);
            }
        }
        let region = Region { offset, size };
        let mut flash = SliceFlash(&bytes);
        let error = verify(&mut flash, region, &requirements);
        let _ = std::format!("{error:?} {:?}", error.map_err(|error| error.to_string()));
        let _ = describe(&mut flash, region);
        let _ = signature_blocks(&mut flash, region, size);
        if let Ok(segments) = segments(&mut flash, region) {
            prop_assert!(segments.count() <= 16);
        }
    }

    #[test]
    fn any_built_image_verifies(
        lens in prop::collection::vec(0usize..300, 1..15),
        fill: u8,
        hash_appended: u8,
        offset in 0u32..2,
    ) {
        let mut image = Builder::example();
        image.header.hash_appended = hash_appended;
        for (len, i) in lens.iter().zip(0u8..) {
            image = image.segment(0x4008_0000, &std::vec![fill ^ i; len * 4]);
        }
        let image = image.build();
        let base = offset * 0x1_0000;
        let mut flash = std::vec![0; base as usize];
        flash.extend(&image);
        let region = Region { offset: base, size: image.len() as u32 };
        let info = verify(&mut SliceFlash(&flash), region, &stock()).unwrap();
        prop_assert_eq!(info.len as usize, image.len());
        prop_assert_eq!(info.digest.is_some(), hash_appended != 0);
    }
}
