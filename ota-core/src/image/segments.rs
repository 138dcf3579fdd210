//! Walking the segments of an image.

use embedded_storage::nor_flash::ReadNorFlash;

use super::header::{HEADER_LEN, Header, SEGMENT_HEADER_LEN, SegmentHeader};
use super::{ImageError, verify::MAX_SEGMENTS};
use crate::partition::Region;
use crate::read::read_array;

/// A segment of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of the segment, from 0.
    pub index: u8,
    /// Address the data is for.
    pub load_addr: u32,
    /// Flash range of the data.
    pub data: Region,
}

/// Reads the segment headers of the image in `region` one after the other.
///
/// This finds segments as the lengths in the image place them, each within `region`;
/// [`verify`](super::verify()) the image first.
pub fn segments<F: ReadNorFlash>(
    flash: &mut F,
    region: Region,
) -> Result<Segments<'_, F>, ImageError<F::Error>> {
    let bytes: [u8; HEADER_LEN] = read_array(flash, region.offset)?;
    let [found, ..] = bytes;
    let header =
        Header::parse(&bytes).ok_or(ImageError::BadMagic { offset: region.offset, found })?;
    let count = header.segment_count.min(MAX_SEGMENTS);
    Ok(Segments { flash, region, count, next: 0, at: HEADER_LEN as u32 })
}

/// Iterator over the segments of an image; see [`segments`]. It ends after an error.
#[derive(Debug)]
pub struct Segments<'f, F> {
    flash: &'f mut F,
    region: Region,
    count: u8,
    next: u8,
    /// Offset of the next segment header from the start of the image.
    at: u32,
}

impl<F: ReadNorFlash> Segments<'_, F> {
    fn read(&mut self, index: u8) -> Result<Segment, ImageError<F::Error>> {
        let data = self.at.saturating_add(SEGMENT_HEADER_LEN as u32);
        let header = read_array(self.flash, self.region.offset.saturating_add(self.at))?;
        let SegmentHeader { load_addr, data_len } = SegmentHeader::parse(&header);
        let len = data.saturating_add(data_len);
        if len > self.region.size {
            return Err(ImageError::TooLong { len, size: self.region.size });
        }
        self.at = len;
        let offset = self.region.offset.saturating_add(data);
        Ok(Segment { index, load_addr, data: Region { offset, size: data_len } })
    }
}

impl<F: ReadNorFlash> Iterator for Segments<'_, F> {
    type Item = Result<Segment, ImageError<F::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index >= self.count {
            return None;
        }
        let segment = self.read(index);
        self.next = if segment.is_ok() { index + 1 } else { self.count };
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SliceFlash;
    use crate::image::tests::Builder;
    use std::vec::Vec;

    #[test]
    fn segments_can_be_walked() {
        let image = Builder::example().build();
        let mut flash = std::vec![0xFF; 0x1_0000];
        flash.extend(&image);
        let region = Region { offset: 0x1_0000, size: image.len() as u32 };
        let mut flash = SliceFlash(&flash);
        let found: Result<Vec<_>, _> = segments(&mut flash, region).unwrap().collect();
        let segment = |index, load_addr, offset, size| Segment {
            index,
            load_addr,
            data: Region { offset, size },
        };
        let expected =
            [segment(0, 0x3F40_0020, 0x1_0020, 256), segment(1, 0x3FFB_0000, 0x1_0128, 8)];
        assert_eq!(found.unwrap(), expected);
        let short = Region { size: 0x128, ..region };
        let found: Vec<_> = segments(&mut flash, short).unwrap().collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], Err(ImageError::TooLong { len: 0x130, size: 0x128 }));
    }
}
