//! Flash as the CPU sees it, through the cache.
//!
//! The cache itself is not modelled: reads always see what the flash chip holds, and take no time. Real
//! firmware reads stale lines when it forgets to invalidate the cache behind a write. Modelling that
//! would need the replacement order of the real cache, which is not published; an approximation would
//! show failures that chips do not have, and hide others.

use std::sync::Arc;

use sim::flash::Memory;

/// Unit of the mapping, in bytes.
const PAGE: usize = 64 * 1024;
/// Entries of the mapping table.
pub(crate) const ENTRIES: usize = 128;

/// Flash mapped into the address space: 128 entries of 64 KiB, the same for instructions and data.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Index in `pages` for each entry; `None` when it maps nothing.
    map: [Option<u16>; ENTRIES],
    pages: Vec<Page>,
    /// Never used twice, not even after a restore: one version, one content.
    next_version: u32,
}

#[derive(Clone, Debug)]
struct Page {
    version: u32,
    /// Copied out of the flash at the first access.
    bytes: Option<Arc<[u8]>>,
}

impl Window {
    /// Nothing is mapped.
    pub(crate) fn new(flash_size: u32) -> Self {
        let count = flash_size.div_ceil(PAGE as u32);
        let pages = (0..count).map(|version| Page { version, bytes: None }).collect();
        Self { map: [None; ENTRIES], pages, next_version: count }
    }

    /// Takes over the mapping table: the flash page of each entry, `None` for an invalid one. Pages
    /// beyond the end of the chip repeat its contents, as address bits that the chip lacks are ignored.
    pub(crate) fn set_map(&mut self, entry: impl Fn(usize) -> Option<u8>) {
        let count = self.pages.len() as u32;
        for (index, slot) in self.map.iter_mut().enumerate() {
            *slot = entry(index).map(|page| (u32::from(page) % count) as u16);
        }
    }

    /// The flash contents in a range changed.
    pub(crate) fn forget(&mut self, range: std::ops::Range<u32>) {
        let first = range.start as usize / PAGE;
        let end = (range.end as usize).div_ceil(PAGE).min(self.pages.len());
        for page in self.pages.get_mut(first..end).unwrap_or_default() {
            *page = Page { version: self.next_version, bytes: None };
            self.next_version += 1;
        }
    }

    /// Goes back to an earlier state of the same flash and mapping.
    pub(crate) fn restore(&mut self, snapshot: &Self) {
        self.map = snapshot.map;
        self.pages.clone_from(&snapshot.pages);
    }

    /// The 64 KiB page behind an offset in the window; `None` where nothing is mapped.
    #[inline(always)]
    fn page(&mut self, offset: u32, flash: &Memory) -> Option<&Arc<[u8]>> {
        let index = usize::from(self.map[offset as usize / PAGE % ENTRIES]?);
        let page = &mut self.pages[index];
        if page.bytes.is_none() {
            page.bytes = Some(copy(index, flash));
        }
        page.bytes.as_ref()
    }

    /// Reads bytes at an offset in the window; `None` where nothing is mapped.
    #[inline(always)]
    pub(crate) fn read<const N: usize>(&mut self, offset: u32, flash: &Memory) -> Option<[u8; N]> {
        let at = offset as usize % PAGE;
        if at + N > PAGE {
            return self.read_across(offset, flash);
        }
        self.page(offset, flash)?.get(at..at + N)?.try_into().ok()
    }

    #[cold]
    fn read_across<const N: usize>(&mut self, offset: u32, flash: &Memory) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (byte, at) in bytes.iter_mut().zip(offset..) {
            [*byte] = self.read(at, flash)?;
        }
        Some(bytes)
    }

    /// Version of the code at an offset; see [`Bus`](crate::cpu::Bus).
    #[inline(always)]
    pub(crate) fn code_version(&self, offset: u32) -> u32 {
        match self.map[offset as usize / PAGE % ENTRIES] {
            Some(index) => self.pages[usize::from(index)].version,
            None => u32::MAX,
        }
    }
}

#[cold]
fn copy(index: usize, flash: &Memory) -> Arc<[u8]> {
    let start = (index * PAGE) as u32;
    let end = start.saturating_add(PAGE as u32).min(flash.capacity());
    flash.to_vec(start..end).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash() -> Memory {
        let mut flash = Memory::erased(256 * 1024);
        for page in 0..4 {
            flash.set(page * PAGE as u32, &[page as u8; 8]);
            flash.set((page + 1) * PAGE as u32 - 2, &[0xE0 + page as u8; 2]);
        }
        flash
    }

    #[test]
    fn entries_map_pages_of_flash() {
        let (mut window, flash) = (Window::new(256 * 1024), flash());
        assert_eq!(window.read::<4>(0, &flash), None);
        window.set_map(|entry| {
            [(0, 3), (1, 1), (127, 6)].iter().find(|it| it.0 == entry).map(|it| it.1)
        });
        assert_eq!(window.read(0, &flash), Some([3, 3, 3, 3]));
        assert_eq!(window.read(0x1_0000, &flash), Some([1, 1]));
        assert_eq!(window.read(0xFFFE, &flash), Some([0xE3, 0xE3, 1, 1]), "across two entries");
        assert_eq!(window.read(127 << 16, &flash), Some([2]), "a page that the chip lacks");
    }

    #[test]
    fn a_version_stands_for_one_content() {
        let (mut window, mut flash) = (Window::new(256 * 1024), flash());
        window.set_map(|entry| (entry < 2).then_some(entry as u8));
        let saved = window.clone();
        let before = window.code_version(0x1_0000);
        assert_eq!(window.read(0x1_0000, &flash), Some([1]));
        flash.set(0x1_0000, &[9]);
        window.forget(0x1_0000..0x1_0001);
        let changed = window.code_version(0x1_0000);
        assert_ne!(changed, before);
        assert_eq!(window.read(0x1_0000, &flash), Some([9]));
        window.restore(&saved);
        assert_eq!(window.code_version(0x1_0000), before);
        window.forget(0x1_0000..0x1_0001);
        assert_ne!(window.code_version(0x1_0000), changed);
    }
}
