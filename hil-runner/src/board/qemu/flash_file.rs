//! The flash of a machine that does not run: a file.

use crate::board::{Contents, RigError};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Sizes of flash that QEMU's machine has, in MiB.
const SIZES: [u32; 4] = [2, 4, 8, 16];

/// A file with all of a flash.
pub(super) struct FlashFile {
    path: PathBuf,
    file: File,
    capacity: u32,
}

impl FlashFile {
    /// Makes one that is erased.
    pub(super) fn create(path: PathBuf, capacity: u32) -> Result<Self, RigError> {
        if !SIZES.iter().any(|size| size << 20 == capacity) {
            let sizes = SIZES.map(|size| size.to_string()).join(", ");
            return Err(RigError::new(format!(
                "QEMU has no flash of {capacity:#x} bytes: it has {sizes} MiB"
            )));
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let mut flash = Self { path, file, capacity };
        flash.provision(&Contents::erased(capacity))?;
        Ok(flash)
    }

    /// For QEMU.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it hold exactly this.
    pub(super) fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        if contents.capacity() != self.capacity {
            return Err(RigError::new(format!(
                "contents of a flash of {:#x} bytes are not for one of {:#x}",
                contents.capacity(),
                self.capacity
            )));
        }
        let mut all = vec![0xFF; self.capacity as usize];
        for (offset, bytes) in contents.pieces() {
            let piece = all.get_mut(offset as usize..).and_then(|it| it.get_mut(..bytes.len()));
            piece.ok_or_else(|| self.beyond(offset, bytes.len()))?.copy_from_slice(bytes);
        }
        self.file.write_all_at(&all, 0).map_err(|error| self.at(&error))
    }

    /// Reads some of it.
    pub(super) fn read(&self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        let mut bytes = vec![0; range.len()];
        if range.end > self.capacity {
            return Err(self.beyond(range.start, bytes.len()));
        }
        self.file.read_exact_at(&mut bytes, range.start.into()).map_err(|error| self.at(&error))?;
        Ok(bytes)
    }

    /// Overwrites some of it.
    pub(super) fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        if u64::from(offset) + bytes.len() as u64 > self.capacity.into() {
            return Err(self.beyond(offset, bytes.len()));
        }
        self.file.write_all_at(bytes, offset.into()).map_err(|error| self.at(&error))
    }

    fn beyond(&self, offset: u32, length: usize) -> RigError {
        let what = format!("{length} bytes at {offset:#x} do not fit");
        RigError::new(format!("{what} flash of {:#x} bytes", self.capacity))
    }

    fn at(&self, error: &std::io::Error) -> RigError {
        RigError::new(format!("{}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash");
        let mut flash = FlashFile::create(path.clone(), 2 << 20).unwrap();
        let mut contents = Contents::erased(2 << 20);
        contents.put(0x1000, *b"abc");
        flash.write(0x8000, b"old").unwrap();
        flash.provision(&contents).unwrap();
        flash.write(0x1FFFFE, &[1, 2]).unwrap();
        assert_eq!(flash.read(0xFFF..0x1004).unwrap(), b"\xFFabc\xFF");
        assert_eq!(flash.read(0x8000..0x8003).unwrap(), [0xFF; 3]);
        assert_eq!(flash.read(0x1FFFFE..0x200000).unwrap(), [1, 2]);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 2 << 20);
    }

    #[test]
    fn nothing_lies_beyond_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut flash = FlashFile::create(folder.path().join("flash"), 2 << 20).unwrap();
        let mut contents = Contents::erased(2 << 20);
        contents.put(0x1FFFFF, [0; 2]);
        for error in [
            flash.provision(&contents).unwrap_err(),
            flash.read(0x1FFFFF..0x200001).map(drop).unwrap_err(),
            flash.write(0x1FFFFF, &[0; 2]).unwrap_err(),
        ] {
            assert!(error.to_string().contains("2 bytes at 0x1fffff do not fit flash"), "{error}");
        }
        let error = flash.provision(&Contents::erased(4 << 20)).unwrap_err().to_string();
        assert!(error.contains("of 0x400000 bytes are not for one of 0x200000"), "{error}");
        let odd = FlashFile::create(folder.path().join("odd"), 1 << 20).err().unwrap().to_string();
        assert!(odd.contains("it has 2, 4, 8, 16 MiB"), "{odd}");
    }
}
