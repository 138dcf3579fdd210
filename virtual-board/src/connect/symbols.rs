//! Names of addresses, from the ELF files of what runs on the board.

use object::read::elf::ElfFile32;
use object::{Architecture, Endianness, Object, ObjectSegment, ObjectSymbol};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// Where an ESP32-C3 has memory for code and data (Technical Reference Manual, "System and Memory").
const MEMORY: [Range<u64>; 7] = [
    0x3C00_0000..0x3C80_0000,
    0x3FC8_0000..0x3FCE_0000,
    0x3FF0_0000..0x3FF2_0000,
    0x4000_0000..0x4006_0000,
    0x4037_C000..0x403E_0000,
    0x4200_0000..0x4280_0000,
    0x5000_0000..0x5000_2000,
];

/// The symbols of any number of ELF files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    addresses: BTreeMap<String, BTreeSet<u32>>,
}

impl Symbols {
    /// Adds the symbols of an ELF file, by the names that they have there and by those of the source.
    ///
    /// # Errors
    /// With what is wrong with the file, for people.
    pub(crate) fn add(&mut self, path: &Path) -> Result<(), String> {
        let complaint = |what: String| format!("{}: {what}", path.display());
        let bytes = std::fs::read(path).map_err(|error| complaint(error.to_string()))?;
        self.add_elf(&bytes).map_err(complaint)
    }

    fn add_elf(&mut self, bytes: &[u8]) -> Result<(), String> {
        let elf = object::File::parse(bytes).map_err(|_| "is no ELF file".to_owned())?;
        if elf.architecture() != Architecture::Riscv32 {
            let other = elf.architecture();
            return Err(format!("is for {other:?}; an ESP32-C3 executes 32-bit RISC-V"));
        }
        let elf = ElfFile32::<Endianness>::parse(bytes).map_err(|error| error.to_string())?;
        for segment in elf.segments().filter(|segment| segment.size() > 0) {
            let start = segment.address();
            if !MEMORY.iter().any(|memory| memory.contains(&start)) {
                return Err(format!(
                    "is for another chip: an ESP32-C3 has no memory at {start:#010x}"
                ));
            }
        }
        for symbol in elf.symbols().filter(ObjectSymbol::is_definition) {
            if let (Ok(name), Ok(address)) = (symbol.name(), u32::try_from(symbol.address())) {
                // The form without the hash.
                let source = format!("{:#}", rustc_demangle::demangle(name));
                for name in [name.to_owned(), source] {
                    self.addresses.entry(name).or_default().insert(address);
                }
            }
        }
        Ok(())
    }

    /// The address that a text stands for: a number, or a name with one meaning.
    ///
    /// # Errors
    /// With what is wrong, for people.
    pub(crate) fn address(&self, text: &str) -> Result<u32, String> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return super::cut::address(text);
        }
        match self.addresses.get(text) {
            Some(addresses) if addresses.len() == 1 => Ok(addresses.iter().copied().sum()),
            Some(addresses) => {
                let list: Vec<_> = addresses.iter().map(|it| format!("{it:#010x}")).collect();
                Err(format!("symbol '{text}' has several addresses: {}", list.join(", ")))
            }
            None => Err(format!("no symbol '{text}' in the ELF files given with --elf")),
        }
    }
}
