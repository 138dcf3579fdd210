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

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Symbol, SymbolSection};
    use object::{BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    fn elf(architecture: Architecture, symbols: &[(&str, u64)]) -> Vec<u8> {
        let mut elf =
            object::write::Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
        let text = elf.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        for &(name, value) in symbols {
            elf.add_symbol(Symbol {
                name: name.into(),
                value,
                size: 4,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(text),
                flags: SymbolFlags::None,
            });
        }
        elf.write().unwrap()
    }

    /// An executable with one segment and nothing else.
    fn executable(address: u32) -> Vec<u8> {
        let mut elf = vec![0; 84];
        elf[..7].copy_from_slice(b"\x7FELF\x01\x01\x01");
        // An executable for RISC-V; header sizes; one program header behind this one.
        for (at, value) in [(16, 2), (18, 243), (20, 1), (28, 52), (40, 52), (42, 32), (44, 1)] {
            elf[at] = value;
        }
        // Loaded at `address`, where it takes four bytes.
        elf[52] = 1;
        elf[60..64].copy_from_slice(&address.to_le_bytes());
        elf[72] = 4;
        elf
    }

    #[test]
    fn names_of_the_file_and_of_the_source() {
        let mut symbols = Symbols::default();
        let mangled = "_ZN9device_fw4main17h0123456789abcdefE";
        let file = elf(Architecture::Riscv32, &[(mangled, 0x4200_0020), ("twice", 16)]);
        symbols.add_elf(&file).unwrap();
        symbols.add_elf(&elf(Architecture::Riscv32, &[("twice", 32)])).unwrap();
        assert_eq!(symbols.address(mangled), Ok(0x4200_0020));
        assert_eq!(symbols.address("device_fw::main"), Ok(0x4200_0020));
        assert_eq!(symbols.address("0x40000000"), Ok(0x4000_0000));
        let error = symbols.address("twice").unwrap_err();
        assert!(error.contains("several addresses: 0x00000010, 0x00000020"), "{error}");
        assert!(symbols.address("main").unwrap_err().contains("no symbol 'main'"));
    }

    #[test]
    fn files_for_other_chips_are_refused() {
        let mut symbols = Symbols::default();
        let error = symbols.add_elf(&elf(Architecture::Xtensa, &[])).unwrap_err();
        assert!(error.contains("is for Xtensa"), "{error}");
        symbols.add_elf(&executable(0x4038_0000)).unwrap();
        // RAM of an ESP32-C6.
        let error = symbols.add_elf(&executable(0x4080_0000)).unwrap_err();
        assert!(error.contains("no memory at 0x40800000"), "{error}");
        assert!(symbols.add_elf(b"nonsense").unwrap_err().contains("is no ELF file"));
    }
}
