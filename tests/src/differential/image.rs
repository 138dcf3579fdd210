//! Images: good ones, spoilt ones, and ones that no tool makes.

use super::dice::Dice;
use ota_core::image::{ChipId, SEGMENT_HEADER_LEN};
use ota_core::partition::Region;
use sha2::{Digest, Sha256};
use sim::synthetic::{Fault, ImageBuilder, MIN_SIZE};

/// Start of the window through which the chip sees constant data on flash.
pub(super) const DROM: u32 = 0x3C00_0000;
/// Start of the window from which applications run.
pub(super) const IROM: u32 = 0x4200_0000;
/// Size of each window, in bytes.
pub(super) const WINDOW: u32 = 0x80_0000;
/// RAM that no part of a bootloader occupies.
const DRAM: u32 = 0x3FC9_0000;
/// Least data of the first segment: an application description.
const DESCRIPTION: usize = 256;

/// Spoils an image of [`ImageBuilder`].
const FAULTS: [(&str, Fault); 10] = [
    ("bad magic", Fault::Magic),
    ("another chip", Fault::Chip),
    ("needs a later revision", Fault::MinRevision),
    ("17 segments", Fault::SegmentCount),
    ("misaligned for the MMU", Fault::MmuAlignment),
    ("bad checksum", Fault::Checksum),
    ("bad hash", Fault::Hash),
    ("a header bit differs", Fault::HeaderBit),
    ("a header bit differs, no hash", Fault::HeaderBitUnhashed),
    ("torn", Fault::Torn),
];

/// An image for a partition, and what is special about it.
pub(super) fn image(dice: &mut Dice, region: Region) -> (&'static str, Vec<u8>) {
    let size = MIN_SIZE + dice.below(0x60) * 16;
    // Images are told apart by where they stand.
    let builder = |size| ImageBuilder::new(size).seed(u64::from(region.offset));
    // The last bytes of a large partition would take long to check.
    let room = (MIN_SIZE..=0x2_0000).contains(&region.size) && region.size.is_multiple_of(16);
    match dice.below(24) {
        0..=8 => ("good", builder(size).build()),
        9 => ("no hash", builder(size).without_hash().build()),
        10 => ("long", builder(size + 0x3000).build()),
        11 if room => ("fills its partition", builder(region.size).build()),
        12 if room => ("16 bytes too long", builder(region.size + 16).build()),
        13 if room => ("a sector too long", builder(region.size + 0x1000).build()),
        14 => ("blank", vec![0xFF; size as usize]),
        15 => ("zeros", vec![0; size as usize]),
        16 => ("noise", noise(dice, size as usize)),
        17 => {
            let mut image = builder(size).build();
            let at = dice.below(size) as usize;
            image[at] ^= 1 << dice.below(8);
            ("a bit differs", image)
        }
        18 => {
            let mut image = builder(size).build();
            image[dice.below(size) as usize..].fill(0xFF);
            ("torn, prefix", image)
        }
        19 | 20 => odd(dice, region),
        _ => {
            let (class, fault) = dice.pick(&FAULTS);
            (class, builder(size).fault(fault).build())
        }
    }
}

fn noise(dice: &mut Dice, size: usize) -> Vec<u8> {
    (0..size.div_ceil(32)).flat_map(|_| dice.bytes::<32>()).collect()
}

/// The parts of an image that [`ImageBuilder`] does not vary.
struct Parts {
    min_revision: u16,
    max_revision: u16,
    hash: u8,
    /// Load address and data.
    segments: Vec<(u32, Vec<u8>)>,
}

fn odd(dice: &mut Dice, region: Region) -> (&'static str, Vec<u8>) {
    let mut description = vec![0; DESCRIPTION];
    description[..4].copy_from_slice(&0xABCD_5432_u32.to_le_bytes());
    description[0x90..0x98].copy_from_slice(&u64::from(region.offset).to_le_bytes());
    let ram = |size: usize| (DRAM, vec![0x5A; size]);
    let mut parts = Parts {
        min_revision: 0,
        max_revision: u16::MAX,
        hash: 1,
        segments: vec![(DROM, description), ram(16), (IROM, vec![0; 16])],
    };
    let class = match dice.below(15) {
        0 => {
            parts.segments.clear();
            parts.hash = dice.below(2) as u8;
            "no segments"
        }
        1 => {
            let short = dice.below(64) as usize * 4;
            parts.segments[0].1.truncate(short);
            "short first segment"
        }
        2 => {
            let more = 13 + dice.below(2) as usize;
            parts.segments.extend(vec![ram(4); more]);
            "16 segments or 17"
        }
        3 => {
            parts.segments.push((0, vec![0; dice.below(32) as usize * 4]));
            "a padding segment"
        }
        4 => {
            parts.segments.push(ram(dice.below(16) as usize));
            "segment length not of words"
        }
        5 => {
            parts.segments.push(ram(0));
            "an empty segment"
        }
        6 => {
            parts.min_revision = dice.pick(&[3, 4, 5, 100, u16::MAX]);
            "least revision"
        }
        7 => {
            parts.max_revision = dice.pick(&[0, 3, 4, 99, 199]);
            "greatest revision"
        }
        8 => {
            let limits = &mut parts.segments[0].1[0xB0..0xB4];
            let min = dice.pick(&[0_u16, 102, 103, 104, 200, u16::MAX]);
            let max = dice.pick(&[0_u16, 102, 103, 199, u16::MAX]);
            limits[..2].copy_from_slice(&min.to_le_bytes());
            limits[2..].copy_from_slice(&max.to_le_bytes());
            "eFuse block revision"
        }
        9 => {
            parts.segments[0].1[..4].copy_from_slice(&dice.bytes::<4>());
            "no description"
        }
        10 => {
            parts.hash = dice.pick(&[0, 2, 0x80, 0xFF]);
            "hash flag"
        }
        11 => {
            parts.segments[1].0 = dice.pick(&[
                0,
                0x3FC8_0000,
                0x3FCD_0000,
                0x3FCD_C000,
                0x3FCE_0000,
                0x4037_C000,
                0x4038_0000,
                0x403C_E710,
                0x403E_0000,
                0x5000_0000,
                0x5000_1FF8,
                0x1000_0000,
                0x6000_0000,
            ]);
            "RAM segment elsewhere"
        }
        12 => {
            parts.segments.pop();
            "no code on flash"
        }
        13 => {
            parts.segments[0].0 = DRAM + 0x1000;
            "no constants on flash"
        }
        _ => {
            let shift = dice.pick(&[0x10, 0x1000, 0x1_0000, 0x4_0000]);
            let segment = dice.pick(&[0, 2]);
            parts.segments[segment].0 += shift;
            "mapped elsewhere"
        }
    };
    (class, parts.build())
}

impl Parts {
    fn build(&self) -> Vec<u8> {
        let mut image = vec![0; 24];
        image[0] = 0xE9;
        image[1] = self.segments.len() as u8;
        image[2..4].copy_from_slice(&[2, 0x2F]);
        image[4..8].copy_from_slice(&IROM.to_le_bytes());
        image[8] = 0xEE;
        image[0x0C..0x0E].copy_from_slice(&ChipId::ESP32C3.0.to_le_bytes());
        image[0x0F..0x11].copy_from_slice(&self.min_revision.to_le_bytes());
        image[0x11..0x13].copy_from_slice(&self.max_revision.to_le_bytes());
        image[0x17] = self.hash;
        let mut checksum = 0xEF;
        for (load, data) in &self.segments {
            // What is mapped has to stand at the same place in a 64 KiB page of flash and window.
            let at = image.len() as u32 + SEGMENT_HEADER_LEN as u32;
            let is_mapped = [DROM, IROM].contains(&(load & !(WINDOW - 1)));
            let load = if is_mapped { load + at } else { *load };
            image.extend(load.to_le_bytes());
            image.extend((data.len() as u32).to_le_bytes());
            image.extend(data);
            checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
        }
        let end = (image.len() + 1).next_multiple_of(16);
        image.resize(end - 1, 0);
        image.push(checksum);
        if self.hash != 0 {
            let hash = Sha256::digest(&image);
            image.extend_from_slice(&hash);
        }
        image
    }
}
