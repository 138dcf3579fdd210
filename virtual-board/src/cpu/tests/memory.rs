//! Memory and a device for tests.

use std::collections::BTreeMap;

use crate::cpu::{Bus, Cpu, Fault, Stored, Width};

/// Where [`Memory::with_code`] puts code: where the processor starts.
pub(super) const CODE: u32 = 0x4000_0000;

/// Where the data of [`Memory::with_code`] begins.
pub(super) const DATA: u32 = 0x2000_0000;

/// A register whose stores ask for attention, and that reads as the low word of the clock.
pub(super) const DEVICE: u32 = 0x6000_0000;

/// Pieces of memory, and a device.
#[derive(Default)]
pub(super) struct Memory {
    regions: Vec<(u32, Vec<u8>)>,
    /// Changes of a page that code was fetched from; `None` when it was not fetched from since the
    /// last one.
    versions: BTreeMap<u32, (u32, bool)>,
    /// Values and clocks of stores to the device.
    pub(super) device: Vec<(u32, u64)>,
}

impl Memory {
    /// 8 KiB for code that starts with `words`, and 4 KiB for data.
    pub(super) fn with_code(words: &[u32]) -> Self {
        let mut memory = Self::default();
        let mut code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        code.resize(0x2000, 0);
        memory.add(CODE, code);
        memory.add(DATA, vec![0; 0x1000]);
        memory
    }

    pub(super) fn add(&mut self, address: u32, bytes: Vec<u8>) {
        self.regions.push((address, bytes));
    }

    pub(super) fn bytes(&mut self, address: u32, size: usize) -> Result<&mut [u8], Fault> {
        self.regions
            .iter_mut()
            .find_map(|(start, bytes)| {
                let offset = address.checked_sub(*start)? as usize;
                bytes.get_mut(offset..offset.checked_add(size)?)
            })
            .ok_or(Fault)
    }

    /// Writes as a debugger does, between runs.
    pub(super) fn set(&mut self, address: u32, bytes: &[u8]) {
        self.bytes(address, bytes.len()).unwrap().copy_from_slice(bytes);
        self.changed(address);
        self.changed(address + bytes.len() as u32 - 1);
    }

    pub(super) fn word(&mut self, address: u32) -> u32 {
        self.load(address, Width::Word, 0).unwrap()
    }

    /// Whether code had been fetched from the page of `address`.
    fn changed(&mut self, address: u32) -> bool {
        match self.versions.get_mut(&(address / 1024)) {
            Some((version, fetched)) if *fetched => {
                *version += 1;
                *fetched = false;
                true
            }
            _ => false,
        }
    }
}

fn size(width: Width) -> usize {
    match width {
        Width::Byte => 1,
        Width::Half => 2,
        Width::Word => 4,
    }
}

impl Bus for Memory {
    fn load(&mut self, address: u32, width: Width, clock: u64) -> Result<u32, Fault> {
        if address == DEVICE {
            return Ok(clock as u32);
        }
        let mut value = [0; 4];
        let bytes = self.bytes(address, size(width))?;
        value[..bytes.len()].copy_from_slice(bytes);
        Ok(u32::from_le_bytes(value))
    }

    fn store(
        &mut self,
        address: u32,
        width: Width,
        value: u32,
        clock: u64,
    ) -> Result<Stored, Fault> {
        if address == DEVICE {
            self.device.push((value, clock));
            return Ok(Stored::Attention);
        }
        let size = size(width);
        self.bytes(address, size)?.copy_from_slice(&value.to_le_bytes()[..size]);
        let changed = self.changed(address) | self.changed(address + size as u32 - 1);
        Ok(if changed { Stored::Attention } else { Stored::Plain })
    }

    fn fetch(&mut self, address: u32) -> Result<u16, Fault> {
        self.versions.entry(address / 1024).or_default().1 = true;
        self.bytes(address, 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn code_version(&mut self, address: u32) -> u32 {
        self.versions.get(&(address / 1024)).map_or(0, |version| version.0)
    }
}

/// A processor that has executed all of `code`, which must not trap, with `x` in its registers from
/// x10 on.
pub(super) fn executed(code: &[u32], x: &[u32]) -> (Cpu, Memory) {
    let mut memory = Memory::with_code(code);
    let mut cpu = Cpu::new();
    cpu.state_mut().x[10..10 + x.len()].copy_from_slice(x);
    cpu.run(&mut memory, code.len() as u64);
    (cpu, memory)
}
