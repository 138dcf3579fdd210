//! Registers and memory of a device that has failed.

use super::Target;
use crate::board::RigError;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a device had in its registers and its memory at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostMortem {
    registers: Vec<(String, u64)>,
    /// Parts of memory and where they begin.
    memory: Vec<(u32, Vec<u8>)>,
}

impl PostMortem {
    /// Takes it from a device, which stands still meanwhile.
    pub(super) fn take(target: &mut dyn Target, ranges: &[Range<u32>]) -> Result<Self, RigError> {
        let running = !target.is_halted()?;
        if running {
            target.halt()?;
        }
        let read = || {
            let registers = target.registers()?;
            let memory = ranges
                .iter()
                .map(|range| Ok((range.start, target.read_memory(range.clone())?)))
                .collect::<Result<_, RigError>>()?;
            Ok(Self { registers, memory })
        };
        let mut read = read;
        let taken = read();
        if running {
            target.go_on()?;
        }
        taken
    }

    /// Writes it into files of that folder: `NAME-1.registers.txt`, and `NAME-1.3fc80000.bin` for a part of
    /// memory from that address on. Nothing is written over: the number is the first that is free. Gives the
    /// paths, that of the registers first.
    pub(super) fn write(&self, folder: &Path, name: &str) -> Result<Vec<PathBuf>, RigError> {
        let failed =
            |path: &Path, error: &io::Error| RigError::new(format!("{}: {error}", path.display()));
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let mut text = String::new();
        for (register, value) in &self.registers {
            // A String takes everything.
            let _ = writeln!(text, "{register:<8} {value:#010x}");
        }
        let mut number = 1;
        let (path, mut file) = loop {
            let path = folder.join(format!("{name}-{number}.registers.txt"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(&path, &error)),
            }
        };
        file.write_all(text.as_bytes()).map_err(|error| failed(&path, &error))?;
        let mut paths = vec![path];
        for (start, bytes) in &self.memory {
            let path = folder.join(format!("{name}-{number}.{start:08x}.bin"));
            fs::write(&path, bytes).map_err(|error| failed(&path, &error))?;
            paths.push(path);
        }
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_files_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("results");
        let taken = PostMortem {
            registers: vec![("pc".into(), 0x4200_0000), ("ra".into(), 7)],
            memory: vec![(0x3FC8_0000, vec![1, 2, 3])],
        };
        let first = taken.write(&folder, "case").unwrap();
        let second = taken.write(&folder, "case").unwrap();
        let names = |paths: &[PathBuf]| -> Vec<_> {
            paths.iter().map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&first), ["case-1.registers.txt", "case-1.3fc80000.bin"]);
        assert_eq!(names(&second), ["case-2.registers.txt", "case-2.3fc80000.bin"]);
        let text = fs::read_to_string(&first[0]).unwrap();
        assert_eq!(text, "pc       0x42000000\nra       0x00000007\n");
        assert_eq!(fs::read(&second[1]).unwrap(), [1, 2, 3]);
    }
}
