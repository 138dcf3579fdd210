//! Flash contents that the flash model does not predict, as files.

use crate::board::RigError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Keeps what was read and what was predicted, each all of flash, and gives the paths of both. The folder is
/// made if it is not there; files that are there stay, and both names get the first number that is free.
pub(super) fn write(
    folder: &Path,
    name: &str,
    read: &[u8],
    predicted: &[u8],
) -> Result<[PathBuf; 2], RigError> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut number = 1;
    loop {
        let path = |kind: &str| folder.join(format!("{name}-{number}.{kind}.bin"));
        let paths = [path("read"), path("predicted")];
        let [first, second] = &paths;
        match (create(first), second.exists()) {
            (Ok(mut file), false) => {
                file.write_all(read).map_err(|error| failed(first, &error))?;
                fs::write(second, predicted).map_err(|error| failed(second, &error))?;
                return Ok(paths);
            }
            // The other half of a pair: both get a number of their own.
            (Ok(_), true) => fs::remove_file(first).map_err(|error| failed(first, &error))?,
            (Err(error), _) if error.kind() == ErrorKind::AlreadyExists => {}
            (Err(error), _) => return Err(failed(first, &error)),
        }
        number += 1;
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn failed(path: &Path, error: &io::Error) -> RigError {
    RigError::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("not").join("there");
        let kept = |byte: u8| write(&folder, "case-1-cut", &[byte], &[byte, byte]).unwrap();
        let mut all: Vec<_> = (1..=3).map(|byte| (byte, kept(byte))).collect();
        // Half of a pair is enough to keep off.
        fs::write(folder.join("case-1-cut-4.predicted.bin"), "precious").unwrap();
        all.push((4, kept(4)));
        for (byte, [read, predicted]) in &all {
            assert_eq!(fs::read(read).unwrap(), [*byte], "{}", read.display());
            assert_eq!(fs::read(predicted).unwrap(), [*byte, *byte], "{}", predicted.display());
        }
        assert!(all[3].1[0].ends_with("case-1-cut-5.read.bin"));
        assert!(!folder.join("case-1-cut-4.read.bin").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file.join("folder"), "case", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("file/folder: "), "{error}");
    }
}
