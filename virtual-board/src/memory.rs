//! RAM whose snapshots cost what changed.

use std::sync::Arc;

/// Unit of sharing between snapshots, and of the versions of code, in bytes.
pub(crate) const PAGE: usize = 1024;

/// Instructions were decoded from the page.
const CODE: u8 = 1;
/// The page is as in `shared`.
const CLEAN: u8 = 2;

type Page = Arc<[u8; PAGE]>;

/// RAM. A store to a page with flags takes the slow path, which clears them; all others cost a look at
/// the flags.
#[derive(Clone, Debug)]
pub(crate) struct Ram {
    bytes: Vec<u8>,
    flags: Vec<u8>,
    /// Goes up when code that was decoded from the page changes.
    versions: Vec<u32>,
    /// The pages at the last snapshot or restore.
    shared: Vec<Page>,
}

/// Contents of a RAM.
#[derive(Clone, Debug)]
pub(crate) struct RamSnapshot(Vec<Page>);

/// Whether a store hit a page from which code was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HitCode(pub(crate) bool);

impl RamSnapshot {
    /// Contents made by `fill`; a size of whole pages.
    pub(crate) fn filled(size: usize, mut fill: impl FnMut(&mut [u8; PAGE])) -> Self {
        let pages = (0..size / PAGE).map(|_| {
            let mut page = [0; PAGE];
            fill(&mut page);
            Arc::new(page)
        });
        Self(pages.collect())
    }
}

impl Ram {
    /// A RAM with these contents.
    pub(crate) fn new(contents: &RamSnapshot) -> Self {
        let pages = contents.0.clone();
        Self {
            bytes: pages.iter().flat_map(|page| page.iter().copied()).collect(),
            flags: vec![CLEAN; pages.len()],
            versions: vec![0; pages.len()],
            shared: pages,
        }
    }

    /// All bytes.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes within the RAM; `false` when the bytes do not fit.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(
        &mut self,
        offset: usize,
        value: [u8; N],
    ) -> Option<HitCode> {
        let target = self.bytes.get_mut(offset..offset + N)?;
        target.copy_from_slice(&value);
        let (first, last) = (offset / PAGE, (offset + N - 1) / PAGE);
        if self.flags[first] == 0 && first == last {
            return Some(HitCode(false));
        }
        Some(self.touch(first, last))
    }

    /// Notes that pages change.
    #[cold]
    fn touch(&mut self, first: usize, last: usize) -> HitCode {
        let mut hit = false;
        for page in first..=last {
            if self.flags[page] & CODE != 0 {
                self.versions[page] += 1;
                hit = true;
            }
            self.flags[page] = 0;
        }
        HitCode(hit)
    }

    /// The version of the code at an offset, which from now on is watched.
    #[inline(always)]
    pub(crate) fn code_version(&mut self, offset: usize) -> u32 {
        let page = offset / PAGE;
        self.flags[page] |= CODE;
        self.versions[page]
    }

    /// The contents now.
    pub(crate) fn snapshot(&mut self) -> RamSnapshot {
        for (index, bytes) in self.bytes.chunks_exact(PAGE).enumerate() {
            if self.flags[index] & CLEAN == 0 {
                let page: &[u8; PAGE] = bytes.try_into().expect("chunks have the size of a page");
                self.shared[index] = Arc::new(*page);
                self.flags[index] |= CLEAN;
            }
        }
        RamSnapshot(self.shared.clone())
    }

    /// Goes back to contents of a RAM of the same size.
    pub(crate) fn restore(&mut self, snapshot: &RamSnapshot) {
        for (index, page) in snapshot.0.iter().enumerate() {
            if self.flags[index] & CLEAN != 0 && Arc::ptr_eq(&self.shared[index], page) {
                continue;
            }
            self.bytes[index * PAGE..][..PAGE].copy_from_slice(&page[..]);
            self.touch(index, index);
            self.flags[index] = CLEAN;
            self.shared[index] = Arc::clone(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram() -> Ram {
        Ram::new(&RamSnapshot::filled(4 * PAGE, |page| page.fill(0xAA)))
    }

    #[test]
    fn a_restored_snapshot_brings_back_every_byte() {
        let mut ram = ram();
        ram.write(10, [1, 2, 3, 4]).unwrap();
        let first = ram.snapshot();
        ram.write(11, [9]).unwrap();
        ram.write(3 * PAGE, [7, 7]).unwrap();
        let second = ram.snapshot();
        ram.write(12, [8]).unwrap();
        ram.restore(&first);
        assert_eq!(ram.bytes()[10..14], [1, 2, 3, 4]);
        assert_eq!(ram.bytes()[3 * PAGE], 0xAA);
        ram.restore(&second);
        assert_eq!(ram.bytes()[10..14], [1, 9, 3, 4]);
        assert_eq!(ram.bytes()[3 * PAGE..][..2], [7, 7]);
    }

    #[test]
    fn snapshots_share_what_did_not_change() {
        let mut ram = ram();
        let first = ram.snapshot();
        ram.write(PAGE, [1]).unwrap();
        let second = ram.snapshot();
        let same: Vec<_> = first.0.iter().zip(&second.0).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(same, [true, false, true, true]);
    }

    #[test]
    fn stores_and_restores_change_the_version_of_code() {
        let mut ram = ram();
        let saved = ram.snapshot();
        let version = ram.code_version(PAGE);
        assert_eq!(ram.write(0, [1]), Some(HitCode(false)));
        assert_eq!(ram.code_version(PAGE), version);
        // The last byte of the word lies in the page with code.
        assert_eq!(ram.write(PAGE - 3, [0; 4]), Some(HitCode(true)));
        let changed = ram.code_version(PAGE);
        assert_ne!(changed, version);
        ram.restore(&saved);
        assert_ne!(ram.code_version(PAGE), changed);
    }

    #[test]
    fn nothing_is_written_past_the_end() {
        let mut ram = ram();
        assert_eq!(ram.write(4 * PAGE - 1, [1, 2]), None);
        assert_eq!(ram.bytes()[4 * PAGE - 1], 0xAA);
    }
}
