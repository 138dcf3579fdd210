//! Flash contents as pieces that are written, or erased, as a whole.

use crate::board::{Contents, RigError};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of the unit of an erase.
pub(super) const SECTOR: u32 = 4096;
/// Most bytes in a piece: it is left alone if nothing in it differs.
pub(super) const PIECE: u32 = 64 * 1024;

/// What is to be in flash: pieces that are written, of whole sectors, and pieces that are erased.
pub(super) struct Pieces {
    /// Offsets and bytes, in their order.
    pub(super) written: Vec<(u32, Vec<u8>)>,
    /// All else, in its order.
    pub(super) erased: Vec<Range<u32>>,
}

impl Pieces {
    /// Divides the contents of a flash.
    ///
    /// # Errors
    /// Something lies behind the end of flash, or flash does not consist of sectors.
    pub(super) fn of(contents: &Contents) -> Result<Self, RigError> {
        let capacity = contents.capacity();
        if !capacity.is_multiple_of(SECTOR) {
            return Err(RigError::new(format!("flash of {capacity} bytes has no whole sectors")));
        }
        let mut sectors = BTreeMap::<u32, Vec<u8>>::new();
        for (offset, bytes) in contents.pieces() {
            let end = u64::from(offset) + bytes.len() as u64;
            if end > capacity.into() {
                let what = format!("{} bytes at {offset:#x}", bytes.len());
                return Err(RigError::new(format!("{what} do not fit flash of {capacity} bytes")));
            }
            let mut at = offset;
            let mut rest = bytes;
            while !rest.is_empty() {
                let within = at % SECTOR;
                let count = rest.len().min((SECTOR - within) as usize);
                let (head, tail) = rest.split_at(count);
                let sector =
                    sectors.entry(at - within).or_insert_with(|| vec![0xFF; SECTOR as usize]);
                sector[within as usize..][..count].copy_from_slice(head);
                rest = tail;
                at += count as u32;
            }
        }
        let mut pieces = Self { written: Vec::new(), erased: Vec::new() };
        for start in (0..capacity).step_by(SECTOR as usize) {
            pieces.push(start, sectors.remove(&start));
        }
        Ok(pieces)
    }

    /// Appends a sector to the last piece if it may.
    fn push(&mut self, start: u32, sector: Option<Vec<u8>>) {
        let may_grow = !start.is_multiple_of(PIECE);
        match sector {
            Some(bytes) => match self.written.last_mut() {
                Some((at, piece)) if may_grow && *at + piece.len() as u32 == start => {
                    piece.extend(bytes);
                }
                _ => self.written.push((start, bytes)),
            },
            None => match self.erased.last_mut() {
                Some(piece) if may_grow && piece.end == start => piece.end += SECTOR,
                _ => self.erased.push(start..start + SECTOR),
            },
        }
    }
}

/// Joins pieces that follow one another.
pub(super) fn joined(pieces: impl IntoIterator<Item = Range<u32>>) -> Vec<Range<u32>> {
    let mut joined: Vec<Range<u32>> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.end == piece.start => last.end = piece.end,
            _ => joined.push(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sector_is_in_one_piece() {
        let mut contents = Contents::erased(0x4_0000);
        contents.put(0x1000, vec![1; 0x1001]);
        contents.put(0x2800, vec![2; 0x10]);
        contents.put(0x1_E000, vec![3; 0x4000]);
        let pieces = Pieces::of(&contents).unwrap();
        let spans: Vec<_> =
            pieces.written.iter().map(|(at, bytes)| (*at, bytes.len() as u32)).collect();
        assert_eq!(spans, [(0x1000, 0x2000), (0x1_E000, 0x2000), (0x2_0000, 0x2000)]);
        let erased = [0..0x1000, 0x3000..0x1_0000, 0x1_0000..0x1_E000, 0x2_2000..0x3_0000];
        assert_eq!(pieces.erased[..4], erased);
        assert_eq!(joined(pieces.erased), [0..0x1000, 0x3000..0x1_E000, 0x2_2000..0x4_0000]);

        let sector = &pieces.written[0].1[0x1000..];
        assert_eq!((sector[0], sector[1], sector[0x7FF]), (1, 0xFF, 0xFF));
        assert_eq!((sector[0x800], sector[0x80F], sector[0x810]), (2, 2, 0xFF));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut contents = Contents::erased(0x4_0000);
        contents.put(0x3_FFFF, vec![0; 2]);
        assert!(Pieces::of(&contents).is_err_and(|error| error.to_string().contains("0x3ffff")));
        assert!(Pieces::of(&Contents::erased(1000)).is_err());
    }
}
