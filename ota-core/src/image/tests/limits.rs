//! Each rule of the verification at its limits.

use std::string::ToString;

use super::*;

#[test]
fn partitions_above_16_mib_are_refused() {
    let image = Builder::example().build();
    let at = |size| verify(&mut SliceFlash(&image), Region { offset: 0, size }, &strict());
    let error = ImageError::PartitionTooLarge { size: 0x100_0001, max: 0x100_0000 };
    assert_eq!(at(0x100_0001), Err(error));
    assert_eq!(error.esp_err(), Some(0x102));
    assert!(!matches!(at(0x100_0000), Err(ImageError::PartitionTooLarge { .. })));
}

#[test]
fn chip_and_revisions_are_compared() {
    let mut image = Builder::example();
    image.header.min_chip_revision = 301;
    let bytes = image.build();
    let at = |bytes: &[u8], revision| {
        check(bytes, &Requirements { chip_revision: Some(revision), ..strict() }).is_ok()
    };
    assert_eq!([300, 301, 399, 400].map(|r| at(&bytes, r)), [false, true, true, false]);
    let newest =
        Requirements { chip_revision: Some(400), ignore_max_chip_revision: true, ..strict() };
    assert!(check(&bytes, &newest).is_ok());
    let message = check(&bytes, &Requirements { chip_revision: Some(3), ..strict() });
    assert_eq!(
        message.unwrap_err().to_string(),
        "the image at flash offset 0x0 needs a chip revision from v3.1 up to v3.99 but this is v0.3"
    );
    for unset in [0, u16::MAX] {
        image.header.max_chip_revision = unset;
        assert!(at(&image.build(), 500));
    }
    let other = Requirements::for_chip(ChipId::ESP32C3);
    let error = check(&bytes, &other).unwrap_err();
    assert_eq!(error.esp_err(), Some(-1));
    assert_eq!(
        error.to_string(),
        "the image at flash offset 0x0 is for ESP32 and should be for ESP32-C3"
    );
}

#[test]
fn block_revisions_are_compared_except_on_the_esp32() {
    let revision = |chip, window, revision| {
        let mut image = Builder::for_chip(chip, window);
        let mut descriptor = descriptor();
        descriptor.min_block_revision = 2;
        descriptor.max_block_revision = 103;
        image.segments[0].1 = descriptor.emit().into();
        let block_revision = Some(revision);
        check(&image.build(), &Requirements { block_revision, ..Requirements::for_chip(chip) })
    };
    let c3 = |r| revision(ChipId::ESP32C3, 0x3C00_0000, r).is_ok();
    assert_eq!([1, 2, 103, 104].map(c3), [false, true, true, false]);
    assert!(revision(ChipId::ESP32, 0x3F40_0000, 1).is_ok());
    let error = ImageError::BlockRevision { offset: 0xD0, found: 1, min: 2, max: 103 };
    assert_eq!(revision(ChipId::ESP32C3, 0x3C00_0000, 1), Err(error));
}

/// The limits are taken from offset 0xD0 even where there is no descriptor.
#[test]
fn block_revisions_are_taken_from_any_bytes() {
    let mut image = Builder::for_chip(ChipId::ESP32C3, 0x3C00_0000);
    image.segments[0].1 = std::vec![5; 64];
    image.segments[0].0.data_len = 64;
    let image = image.segment(0x3FC8_0000, &[9; 0x100]).build();
    let stock = Requirements::bootloader(ChipId::ESP32C3, Generation::V6_1);
    assert!(check(&image, &stock).is_ok());
    let known = Requirements { block_revision: Some(0x0909), ..stock };
    assert!(check(&image, &known).is_ok());
    let known = Requirements { block_revision: Some(0x0908), ..stock };
    assert!(matches!(check(&image, &known), Err(ImageError::BlockRevision { .. })));

    let mut empty = Builder::for_chip(ChipId::ESP32C3, 0x3C00_0000);
    empty.segments[0] = (SegmentHeader { load_addr: 0, data_len: 0 }, Vec::new());
    let image = empty.segment(0x3FC8_0000, &[9; 0x100]).build();
    assert!(check(&image, &known).is_ok(), "segment 0 has no data to look at");
}

#[test]
fn generations_differ_in_the_length_of_segment_0() {
    let mut image = Builder::example();
    image.segments[0].1.truncate(252);
    image.segments[0].0.data_len = 252;
    let image = image.build();
    let by = |generation| check(&image, &Requirements::bootloader(ChipId::ESP32, generation));
    assert!(by(Generation::V4_4).is_ok());
    assert!(by(Generation::V6_1).is_ok());
    let error = ImageError::SegmentTooShort { offset: 0x18, len: 252, min: 256 };
    assert_eq!(by(Generation::V6_2), Err(error));
    assert_eq!(check(&image, &Requirements { min_segment0: 0, ..strict() }), Err(error));
}

#[test]
fn segment_headers_are_limited() {
    let with = |count, len| {
        let mut image = Builder::example();
        image.header.segment_count = count;
        image.segments[1].0.data_len = len;
        check(&image.build(), &stock())
    };
    let length = |len| Err(ImageError::SegmentLength { index: 1, offset: 0x120, len });
    assert_eq!(with(2, 7), length(7));
    assert_eq!(with(2, 0x100_0000), length(0x100_0000));
    assert_eq!(with(2, u32::MAX - 3), length(u32::MAX - 3));
    assert!(matches!(with(2, 0xFF_FFFC), Err(ImageError::TooLong { len: 0x100_0124, .. })));
    let count = ImageError::SegmentCount { offset: 0, found: 17, min: 0, max: 16 };
    assert_eq!(with(17, 8), Err(count));
    let mut most = Builder::example();
    for _ in 2..16 {
        most = most.segment(0, &[]);
    }
    assert!(check(&most.build(), &strict()).is_ok());
}

#[test]
fn mapped_segments_must_be_congruent() {
    let mut image = Builder::example();
    let (mapped, ram) = (0x400D_0128, 0x4008_0124);
    image.segments[1].0.load_addr = mapped;
    assert!(check(&image.build(), &strict()).is_ok());
    image.segments[1].0.load_addr = mapped + 4;
    let error =
        ImageError::Misaligned { index: 1, offset: 0x128, load_addr: mapped + 4, page: 0x1_0000 };
    assert_eq!(check(&image.build(), &strict()), Err(error));
    image.segments[1].0.load_addr = ram;
    assert!(check(&image.build(), &strict()).is_ok());
    // Congruence is about where the image stands, not about offsets within it.
    let mut flash = std::vec![0xFF; 0x8000];
    flash.extend(Builder::example().build());
    let region = Region { offset: 0x8000, size: 0x160 };
    let error = verify(&mut SliceFlash(&flash), region, &strict());
    assert!(matches!(error, Err(ImageError::Misaligned { index: 0, offset: 0x8020, .. })));
}

#[test]
fn configurable_chips_state_their_page_size() {
    let at = |log2, offset: u32| {
        let mut image = Builder::for_chip(ChipId::ESP32C6, 0x4200_0000);
        let descriptor = AppDescriptor { mmu_page_size_log2: log2, ..descriptor() };
        image.segments[0].1 = descriptor.emit().into();
        let image = image.build();
        let mut flash = std::vec![0xFF; offset as usize];
        flash.extend(&image);
        let region = Region { offset, size: image.len() as u32 };
        verify(&mut SliceFlash(&flash), region, &Requirements::for_chip(ChipId::ESP32C6)).is_ok()
    };
    assert_eq!([13, 15, 16, 18].map(|log2| at(log2, 0x8000)), [true, true, false, false]);
    assert_eq!([0, 12, 19, 255].map(|log2| at(log2, 0x1_0000)), [true; 4]);
    assert_eq!([0, 12, 19, 255].map(|log2| at(log2, 0x8000)), [false; 4]);
    assert!(!at(18, 0x1_0000));

    let mut image = Builder::for_chip(ChipId::ESP32C6, 0x4200_0000);
    image.segments[0].1[0] ^= 1;
    let stock = Requirements::bootloader(ChipId::ESP32C6, Generation::V6_1);
    assert_eq!(check(&image.build(), &stock), Err(ImageError::NoDescriptor { offset: 0x20 }));
}
