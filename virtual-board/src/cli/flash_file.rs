//! The file that holds the flash contents between runs.

use sim::flash::{Memory, Part, SECTOR_SIZE};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// First byte of an image (ESP-IDF, `esp_app_format.h`), and of what the ROM looks for at offset 0.
const IMAGE_MAGIC: u8 = 0xE9;
/// Offset of the chip id in an image header, 16 bits, and the ESP32-C3's.
const CHIP_ID: usize = 12;
const ESP32_C3: u16 = 5;
/// The part of a new file.
const USUAL: &Part = &Part::W25Q32JV;
/// Parts by size.
const BY_SIZE: [&Part; 4] = [&Part::W25Q16JV, &Part::W25Q32JV, &Part::W25Q64JV, &Part::W25Q128JV];

/// Contents of a flash chip, and where they came from.
#[derive(Debug)]
pub(super) struct FlashFile {
    /// Without one, the contents are not kept.
    path: Option<PathBuf>,
    /// The part that they fit.
    pub(super) part: &'static Part,
    /// The contents.
    pub(super) memory: Memory,
    /// What the file holds now, if it exists.
    saved: Option<Memory>,
}

impl FlashFile {
    /// Reads a file; one that does not exist stands for an erased chip.
    ///
    /// # Errors
    /// With what is wrong with the file, for people.
    pub(super) fn open(path: Option<&Path>, part: Option<&'static Part>) -> Result<Self, String> {
        let bytes = match path.map(std::fs::read) {
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
            bytes => bytes.transpose().map_err(|error| complaint(path, &error.to_string()))?,
        };
        let path = path.map(Path::to_owned);
        let Some(bytes) = bytes else {
            let part = part.unwrap_or(USUAL);
            return Ok(Self { path, part, memory: Memory::erased(part.capacity), saved: None });
        };
        check(&bytes).map_err(|what| complaint(path.as_deref(), what))?;
        let fits = |part: &&&Part| part.capacity as usize == bytes.len();
        let size = bytes.len();
        let part = match part {
            Some(part) => fits(&&part).then_some(part).ok_or_else(|| {
                format!("has {size} bytes, but a {} has {}", part.name, part.capacity)
            }),
            None => BY_SIZE.iter().find(fits).copied().ok_or_else(|| {
                format!(
                    "has {size} bytes, but a flash chip has 2, 4, 8 or 16 MiB; --image takes a \
                     merged image"
                )
            }),
        }
        .map_err(|what| complaint(path.as_deref(), &what))?;
        let memory = Memory::with_contents(part.capacity, &bytes);
        Ok(Self { path, part, saved: Some(memory.clone()), memory })
    }

    /// Writes a merged image to the start of the flash chip.
    ///
    /// # Errors
    /// With what is wrong with the file, for people.
    pub(super) fn write_image(&mut self, path: &Path) -> Result<(), String> {
        let complaint = |what: &str| complaint(Some(path), what);
        let bytes = std::fs::read(path).map_err(|error| complaint(&error.to_string()))?;
        check(&bytes).map_err(complaint)?;
        let (size, part) = (bytes.len(), self.part);
        let capacity = part.capacity;
        if size > capacity as usize {
            let name = part.name;
            return Err(complaint(&format!("has {size} bytes, but a {name} has {capacity}")));
        }
        let end = size.next_multiple_of(SECTOR_SIZE) as u32;
        self.memory.erase(0..end);
        self.memory.program(0, &bytes);
        Ok(())
    }

    /// A warning for people, if the ROM will not boot this.
    pub(super) fn warning(&self) -> Option<String> {
        let header = self.memory.to_vec(0..24);
        let chip = u16::from_le_bytes([header[CHIP_ID], header[CHIP_ID + 1]]);
        let blank = header.iter().all(|&byte| byte == 0xFF);
        match header[0] {
            IMAGE_MAGIC if chip == ESP32_C3 => None,
            IMAGE_MAGIC => Some(format!(
                "the bootloader at offset 0 of the flash is for another chip (id {chip})"
            )),
            _ => (!blank).then(|| "there is no bootloader at offset 0 of the flash".into()),
        }
    }

    /// Writes the file if the contents have changed, all of it or, when that fails, nothing.
    ///
    /// # Errors
    /// With what went wrong, for people.
    pub(super) fn save(&mut self, memory: &Memory) -> Result<(), String> {
        let Some(path) = self.path.as_deref().filter(|_| self.saved.as_ref() != Some(memory))
        else {
            return Ok(());
        };
        write(path, memory)
            .map_err(|error| complaint(Some(path), &format!("can't write: {error}")))?;
        self.saved = Some(memory.clone());
        Ok(())
    }
}

fn complaint(path: Option<&Path>, what: &str) -> String {
    format!("{}: {what}", path.unwrap_or(Path::new("")).display())
}

/// Recognises what is no flash contents.
fn check(bytes: &[u8]) -> Result<(), &'static str> {
    if bytes.starts_with(b"\x7FELF") {
        return Err("is an ELF file, not flash contents; espflash makes a merged image of it");
    }
    Ok(())
}

fn write(path: &Path, memory: &Memory) -> io::Result<()> {
    // A link stays one.
    let path = if path.is_symlink() { path.canonicalize()? } else { path.to_owned() };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    if let Ok(metadata) = path.metadata() {
        builder.permissions(metadata.permissions());
    } else {
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    }
    let mut file = builder.tempfile_in(parent.unwrap_or(Path::new(".")))?;
    file.write_all(&memory.to_vec(0..memory.capacity()))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::tempdir;

    #[test]
    fn a_new_file_is_an_erased_chip_and_keeps_what_is_saved() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("flash.bin");
        let mut file = FlashFile::open(Some(&path), Some(&Part::W25Q16JV)).unwrap();
        assert_eq!(file.memory, Memory::erased(2 * 1024 * 1024));
        assert!(!path.exists(), "nothing is written before it is asked for");
        let mut memory = file.memory.clone();
        memory.program(0x1000, b"kept");
        file.save(&memory).unwrap();
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
        let file = FlashFile::open(Some(&path), None).unwrap();
        assert_eq!((file.part.name, file.memory == memory), ("W25Q16JV", true));
    }

    #[test]
    fn unchanged_contents_are_not_written() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("flash.bin");
        let mut file = FlashFile::open(Some(&path), None).unwrap();
        let memory = file.memory.clone();
        file.save(&memory).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.save(&memory).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_flash_contents_is_named() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("file");
        let complaint = |bytes: &[u8], part| {
            std::fs::write(&path, bytes).unwrap();
            FlashFile::open(Some(&path), part).unwrap_err()
        };
        assert!(complaint(b"\x7FELF...", None).contains("is an ELF file"));
        assert!(complaint(&[0xE9; 5000], None).contains("has 5000 bytes, but a flash chip has"));
        assert!(complaint(&[], None).contains("has 0 bytes"));
        let error = complaint(&vec![0; 2 << 20], Some(&Part::GD25Q32));
        assert!(error.contains("has 2097152 bytes, but a GD25Q32 has 4194304"), "{error}");
        let error = FlashFile::open(Some(directory.path()), None).unwrap_err();
        assert!(error.contains("directory"), "{error}");
    }

    #[test]
    fn contents_that_will_not_boot_are_warned_of() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("flash.bin");
        let warning = |header: &[u8]| {
            let mut bytes = vec![0xFF; 2 << 20];
            bytes[..header.len()].copy_from_slice(header);
            std::fs::write(&path, bytes).unwrap();
            FlashFile::open(Some(&path), None).unwrap().warning()
        };
        let mut header = [0; 24];
        header[0] = IMAGE_MAGIC;
        header[CHIP_ID] = 5;
        assert_eq!(warning(&header), None);
        assert_eq!(warning(&[]), None);
        header[CHIP_ID] = 9;
        assert!(warning(&header).unwrap().contains("another chip (id 9)"));
        assert!(warning(b"random").unwrap().contains("no bootloader"));
    }

    #[test]
    fn an_image_replaces_the_start() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("merged.bin");
        let mut file = FlashFile::open(None, None).unwrap();
        file.memory.program(0x1000, &[0; 0x2000]);
        std::fs::write(&path, [0x5A; 0x1001]).unwrap();
        file.write_image(&path).unwrap();
        assert_eq!(file.memory.to_vec(0xFFF..0x1003), [0x5A, 0x5A, 0xFF, 0xFF]);
        assert_eq!(file.memory.to_vec(0x1FFF..0x2001), [0xFF, 0]);
        std::fs::write(&path, vec![0; (4 << 20) + 1]).unwrap();
        let error = file.write_image(&path).unwrap_err();
        assert!(error.contains("has 4194305 bytes, but a W25Q32JV has 4194304"), "{error}");
        // Nothing is kept without a file.
        let memory = file.memory.clone();
        file.save(&memory).unwrap();
    }
}
