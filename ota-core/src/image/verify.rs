//! Verification of an image.
//!
//! Source: ESP-IDF `esp_image_format.c` (`image_load`), which bootloader and applications share,
//! and `bootloader_common_loader.c` for the revisions.

use embedded_storage::nor_flash::ReadNorFlash;

use super::descriptor::{DESCRIPTOR_LEN, DESCRIPTOR_MAGIC, DESCRIPTOR_OFFSET};
use super::header::{HEADER_LEN, SEGMENT_HEADER_LEN};
use super::stream::{Refused, Stream, xor};
use super::{
    ChipId, Header, ImageError, Requirements, SIGNATURE_SECTOR_LEN, SegmentHeader, signature_offset,
};
use crate::partition::Region;

/// Most segments of an image (`ESP_IMAGE_MAX_SEGMENTS`).
pub(super) const MAX_SEGMENTS: u8 = 16;

/// Segments must be shorter than this, in bytes.
const SEGMENT_LIMIT: u32 = 0x100_0000;

/// Checksum of no data.
const CHECKSUM_SEED: u8 = 0xEF;

/// The checksum is the last byte of a block of this many bytes.
const CHECKSUM_BLOCK: u32 = 16;

/// Length of the appended SHA-256.
const HASH_LEN: u32 = 32;

/// Offset of the eFuse block revision limits from the start of the image, and of the page size
/// that follows them.
const BLOCK_REVISION_OFFSET: u32 = 0xD0;
const PAGE_SIZE_OFFSET: u32 = 0xD4;

/// A verified image. Only [`verify`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// The flash range that holds the image: its partition.
    pub region: Region,
    /// Length in bytes, appended SHA-256 included, signature sector not.
    pub len: u32,
    /// Address of the first instruction.
    pub entry: u32,
    /// Chip the image is for.
    pub chip: ChipId,
    /// SHA-256 of the image up to the appended one, which it equals; `None` if none is appended.
    pub digest: Option<[u8; 32]>,
    /// Version that anti-rollback compares, as it was when hashed; `None` if segment 0 does not
    /// start with an [application descriptor](super::AppDescriptor).
    pub secure_version: Option<u32>,
}

/// Verifies the image in `region` as the loader of ESP-IDF does, and more if
/// [`strict`](Requirements::strict).
///
/// Reads the image once, with 256 bytes of it in memory, and never beyond `region`.
///
/// # Errors
/// The first rule that the image breaks. The order of the rules differs from ESP-IDF where the
/// verdict does not depend on it: an image that cannot fit is refused before its data is read.
pub fn verify<F: ReadNorFlash>(
    flash: &mut F,
    region: Region,
    requirements: &Requirements,
) -> Result<ImageInfo, ImageError<F::Error>> {
    let max = requirements.max_partition_size;
    if region.size > max {
        return Err(ImageError::PartitionTooLarge { size: region.size, max });
    }
    let mut info = ImageInfo {
        region,
        len: 0,
        entry: 0,
        chip: requirements.chip,
        digest: None,
        secure_version: None,
    };
    let mut stream = Stream::new(flash, region);
    // What was refused is in the verdict.
    let _ = check(&mut stream, requirements, &mut info);
    stream.verdict().map(|()| info)
}

/// SHA-256 of the first `len` bytes of `region`, whatever they are.
///
/// # Errors
/// [`ImageError::TooLong`] when the region is shorter, [`ImageError::Read`].
pub(crate) fn digest<F: ReadNorFlash>(
    flash: &mut F,
    region: Region,
    len: u32,
) -> Result<[u8; HASH_LEN as usize], ImageError<F::Error>> {
    let mut stream = Stream::new(flash, region);
    let digest = hash_all(&mut stream, len).ok().flatten().unwrap_or_default();
    // What was refused is in the verdict.
    stream.verdict().map(|()| digest)
}

fn hash_all<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    len: u32,
) -> Result<Option<[u8; HASH_LEN as usize]>, Refused> {
    stream.check_room(len)?;
    let mut left = len;
    while left > 0 {
        left -= stream.next(left)?.len() as u32;
    }
    Ok(stream.finish_hash())
}

/// Checks the image and fills in what it learns.
fn check<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    requirements: &Requirements,
    info: &mut ImageInfo,
) -> Result<(), Refused> {
    let mut bytes = [0; HEADER_LEN];
    stream.take(&mut bytes)?;
    let [found, ..] = bytes;
    let offset = stream.image_offset();
    let Some(header) = Header::parse(&bytes) else {
        return Err(stream.refuse(ImageError::BadMagic { offset, found }));
    };
    check_header(stream, &header, requirements)?;
    info.entry = header.entry;
    let hashed = requirements.verify_hash && header.hash_appended != 0;
    if !hashed {
        stream.stop_hashing();
    }

    let mut checksum = CHECKSUM_SEED;
    let mut page = requirements.mmu_page_size;
    for index in 0..header.segment_count {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        stream.take(&mut bytes)?;
        let segment = SegmentHeader::parse(&bytes);
        check_segment(stream, index, segment)?;
        if index == 0 {
            info.secure_version = check_first_segment(stream, segment, requirements, &mut page)?;
        }
        check_mapping(stream, index, segment, requirements.chip, page)?;
        let mut left = segment.data_len;
        while left > 0 {
            let data = stream.next(left)?;
            checksum ^= xor(data);
            left -= data.len() as u32;
        }
    }

    check_checksum(stream, checksum)?;
    info.len = stream.at() + if hashed { HASH_LEN } else { 0 };
    check_length(stream, info.len, info.region.size, requirements.secure_boot_v2)?;
    info.digest = stream.finish_hash();
    if let Some(digest) = &info.digest {
        let offset = stream.flash_offset();
        let mut appended = [0; HASH_LEN as usize];
        stream.take(&mut appended)?;
        if appended != *digest {
            return Err(stream.refuse(ImageError::Hash { offset }));
        }
    }
    Ok(())
}

/// Whether a revision limit is one.
pub(super) fn is_set(limit: u16) -> bool {
    !matches!(limit, 0 | u16::MAX)
}

fn check_header<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    header: &Header,
    requirements: &Requirements,
) -> Result<(), Refused> {
    let offset = stream.image_offset();
    if header.chip != requirements.chip {
        let expected = requirements.chip;
        return Err(stream.refuse(ImageError::WrongChip { offset, found: header.chip, expected }));
    }
    if let Some(found) = requirements.chip_revision {
        let (min, max) = (header.min_chip_revision, header.max_chip_revision);
        let too_new = is_set(max) && found > max && !requirements.ignore_max_chip_revision;
        // Unlike the other limits, 65535 is a limit here: no chip is that new.
        if found < min || too_new {
            return Err(stream.refuse(ImageError::ChipRevision { offset, found, min, max }));
        }
    }
    let min = u8::from(requirements.strict);
    if !(min..=MAX_SEGMENTS).contains(&header.segment_count) {
        let found = header.segment_count;
        return Err(stream.refuse(ImageError::SegmentCount {
            offset,
            found,
            min,
            max: MAX_SEGMENTS,
        }));
    }
    if requirements.strict && header.hash_appended == 0 {
        return Err(stream.refuse(ImageError::NoHash { offset }));
    }
    Ok(())
}

/// Checks the length of a segment whose header was just taken.
fn check_segment<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    index: u8,
    segment: SegmentHeader,
) -> Result<(), Refused> {
    let len = segment.data_len;
    if !len.is_multiple_of(4) || len >= SEGMENT_LIMIT {
        let offset = stream.flash_offset().saturating_sub(SEGMENT_HEADER_LEN as u32);
        return Err(stream.refuse(ImageError::SegmentLength { index, offset, len }));
    }
    stream.check_room(len)
}

/// Checks what stands at the start of the data of segment 0: the application descriptor, or
/// whatever is there instead. Returns the secure version if it is a descriptor, and sets the page
/// size on chips whose images state it.
fn check_first_segment<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    segment: SegmentHeader,
    requirements: &Requirements,
    page: &mut u32,
) -> Result<Option<u32>, Refused> {
    let (len, offset) = (segment.data_len, stream.flash_offset());
    let min = if requirements.strict { DESCRIPTOR_LEN as u32 } else { 0 };
    let min = requirements.min_segment0.max(min);
    if len < min {
        let offset = offset.saturating_sub(SEGMENT_HEADER_LEN as u32);
        return Err(stream.refuse(ImageError::SegmentTooShort { offset, len, min }));
    }
    let mut secure_version = None;
    if stream.peek(DESCRIPTOR_OFFSET).map(u32::from_le_bytes) == Some(DESCRIPTOR_MAGIC) {
        secure_version = stream.peek(DESCRIPTOR_OFFSET + 4).map(u32::from_le_bytes);
    }
    let states_page = requirements.chip.has_configurable_page();
    if secure_version.is_none() && (requirements.strict || states_page) {
        return Err(stream.refuse(ImageError::NoDescriptor { offset }));
    }
    // 8 KiB to 256 KiB are page sizes; other values stand for the one of the build.
    if let (true, Some([log2 @ 13..=18])) = (states_page, stream.peek(PAGE_SIZE_OFFSET)) {
        *page = 1 << log2;
    }
    // ESP-IDF looks at the limits before it looks whether this is a descriptor, but not if there is
    // no data at all.
    if len > 0
        && requirements.chip != ChipId::ESP32
        && let Some(found) = requirements.block_revision
        && let Some([n0, n1, x0, x1]) = stream.peek(BLOCK_REVISION_OFFSET)
    {
        let (min, max) = (u16::from_le_bytes([n0, n1]), u16::from_le_bytes([x0, x1]));
        let too_old = is_set(min) && found < min;
        let too_new = is_set(max) && found > max && !requirements.ignore_max_block_revision;
        if too_old || too_new {
            let offset = offset.saturating_add(BLOCK_REVISION_OFFSET - DESCRIPTOR_OFFSET);
            return Err(stream.refuse(ImageError::BlockRevision { offset, found, min, max }));
        }
    }
    Ok(secure_version)
}

/// Checks that a segment that is mapped through the flash cache can be.
fn check_mapping<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    index: u8,
    segment: SegmentHeader,
    chip: ChipId,
    page: u32,
) -> Result<(), Refused> {
    let (offset, load_addr) = (stream.flash_offset(), segment.load_addr);
    let mapped = chip.flash_windows().iter().any(|&(low, high)| (low..high).contains(&load_addr));
    if mapped && !offset.abs_diff(load_addr).is_multiple_of(page) {
        return Err(stream.refuse(ImageError::Misaligned { index, offset, load_addr, page }));
    }
    Ok(())
}

/// Takes the padding and the checksum, which ends a block.
fn check_checksum<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    computed: u8,
) -> Result<(), Refused> {
    let mut left = CHECKSUM_BLOCK - stream.at() % CHECKSUM_BLOCK;
    stream.check_room(left)?;
    let mut found = 0;
    while left > 0 {
        let bytes = stream.next(left)?;
        found = bytes.last().copied().unwrap_or_default();
        left -= bytes.len() as u32;
    }
    if found != computed {
        let offset = stream.flash_offset().saturating_sub(1);
        return Err(stream.refuse(ImageError::Checksum { offset, found, computed }));
    }
    Ok(())
}

/// Checks that the image and its signature sector fit the partition.
fn check_length<F: ReadNorFlash>(
    stream: &mut Stream<'_, F>,
    len: u32,
    size: u32,
    signed: bool,
) -> Result<(), Refused> {
    let sector = if signed { signature_offset(len) } else { None };
    let len = match sector {
        Some(sector) => sector.saturating_add(SIGNATURE_SECTOR_LEN),
        None => len,
    };
    if len > size {
        return Err(stream.refuse(ImageError::TooLong { len, size }));
    }
    Ok(())
}
