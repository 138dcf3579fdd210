//! The memory map.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cpu::{Bus, Fault, Stored, Width};
use crate::devices::{Block, Devices};
use crate::memory::{HitCode, Ram};
use crate::rom::Rom;
use crate::time::Ticks;
use crate::window::Window;

/// SRAM on the instruction bus: 16 KiB of its own, then what the data bus sees too.
const SRAM: u32 = 0x4037_C000;
/// The part of the SRAM on the data bus.
const SRAM_DATA: u32 = 0x3FC8_0000;
/// Size of that part.
const SRAM_DATA_SIZE: u32 = 384 * 1024;
/// Size of the part that only the instruction bus sees.
const SRAM_CODE_SIZE: u32 = 16 * 1024;
/// Size of the whole SRAM.
pub(crate) const SRAM_SIZE: u32 = SRAM_CODE_SIZE + SRAM_DATA_SIZE;
const RTC_RAM: u32 = 0x5000_0000;
/// Size of the RTC fast RAM.
pub(crate) const RTC_RAM_SIZE: u32 = 8 * 1024;
const ROM: u32 = 0x4000_0000;
const ROM_SIZE: u32 = 384 * 1024;
const ROM_DATA: u32 = 0x3FF0_0000;
const ROM_DATA_SIZE: u32 = 128 * 1024;
/// Where the part of the ROM on the data bus starts.
const ROM_DATA_OFFSET: u32 = 256 * 1024;
const WINDOW_DATA: u32 = 0x3C00_0000;
const WINDOW_CODE: u32 = 0x4200_0000;
const WINDOW_SIZE: u32 = 8 * 1024 * 1024;
const REGISTERS: u32 = 0x6000_0000;
const REGISTERS_SIZE: u32 = 0xD_1000;

/// What a load through an invalid entry of the flash mapping gives.
const UNMAPPED: u32 = 0xDEAD_BEEF;

/// How instructions take time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Time at which `instructions` had been executed.
    time: Ticks,
    instructions: u64,
    ticks_per_instruction: u64,
}

impl Clock {
    /// A clock that starts at the first instruction.
    pub(crate) fn new(ticks_per_instruction: u64) -> Self {
        Self { time: Ticks(0), instructions: 0, ticks_per_instruction }
    }

    /// The time when so many instructions have been executed.
    #[inline(always)]
    pub(crate) fn at(&self, instructions: u64) -> Ticks {
        self.time + (instructions - self.instructions) * self.ticks_per_instruction
    }

    /// How many instructions it takes from `now` until `then`, rounded up.
    pub(crate) fn instructions_until(&self, now: Ticks, then: Ticks) -> u64 {
        (then - now).div_ceil(self.ticks_per_instruction)
    }

    /// From now on an instruction takes so long.
    pub(crate) fn set_rate(&mut self, instructions: u64, ticks_per_instruction: u64) {
        self.time = self.at(instructions);
        self.instructions = instructions;
        self.ticks_per_instruction = ticks_per_instruction;
    }

    /// Lets time pass without instructions.
    pub(crate) fn skip_to(&mut self, instructions: u64, time: Ticks) {
        self.time = self.at(instructions).max(time);
        self.instructions = instructions;
    }
}

/// Accesses to a register that is not modelled. It keeps what is written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unimplemented {
    /// Number of loads.
    pub reads: u64,
    /// Number of stores.
    pub writes: u64,
    /// What was stored last.
    pub value: u32,
}

/// Everything behind the CPU.
#[derive(Clone, Debug)]
pub(crate) struct SystemBus {
    pub(crate) rom: Arc<Rom>,
    pub(crate) sram: Ram,
    pub(crate) rtc_ram: Ram,
    pub(crate) window: Window,
    pub(crate) devices: Devices,
    pub(crate) clock: Clock,
    pub(crate) unimplemented: BTreeMap<u32, Unimplemented>,
}

/// Where an address leads.
enum Place {
    Rom(usize),
    Sram(usize),
    RtcRam(usize),
    Window(u32),
    Registers,
}

fn place(address: u32) -> Option<Place> {
    let within = |start: u32, size: u32| {
        let offset = address.wrapping_sub(start);
        (offset < size).then_some(offset)
    };
    if let Some(offset) = within(SRAM, SRAM_SIZE) {
        return Some(Place::Sram(offset as usize));
    }
    if let Some(offset) = within(SRAM_DATA, SRAM_DATA_SIZE) {
        return Some(Place::Sram((offset + SRAM_CODE_SIZE) as usize));
    }
    if let Some(offset) =
        within(WINDOW_DATA, WINDOW_SIZE).or_else(|| within(WINDOW_CODE, WINDOW_SIZE))
    {
        return Some(Place::Window(offset));
    }
    if let Some(offset) = within(ROM, ROM_SIZE) {
        return Some(Place::Rom(offset as usize));
    }
    if let Some(offset) = within(ROM_DATA, ROM_DATA_SIZE) {
        return Some(Place::Rom((offset + ROM_DATA_OFFSET) as usize));
    }
    if within(REGISTERS, REGISTERS_SIZE).is_some() {
        return Some(Place::Registers);
    }
    within(RTC_RAM, RTC_RAM_SIZE).map(|offset| Place::RtcRam(offset as usize))
}

impl SystemBus {
    #[inline(always)]
    fn read<const N: usize>(&mut self, address: u32, clock: u64) -> Result<[u8; N], Fault> {
        // The stack and the heap are here: the first question, and the only one inlined.
        let offset = address.wrapping_sub(SRAM_DATA);
        if offset < SRAM_DATA_SIZE {
            let offset = (offset + SRAM_CODE_SIZE) as usize;
            if let Some(bytes) = self.sram.bytes().get(offset..offset + N) {
                return Ok(bytes.try_into().expect("a slice of that length"));
            }
        }
        self.read_elsewhere(address, clock)
    }

    #[inline(never)]
    fn read_elsewhere<const N: usize>(
        &mut self,
        address: u32,
        clock: u64,
    ) -> Result<[u8; N], Fault> {
        let slice = |bytes: &[u8], offset: usize| {
            bytes.get(offset..offset + N).and_then(|it| it.try_into().ok()).ok_or(Fault)
        };
        match place(address).ok_or(Fault)? {
            Place::Rom(offset) => slice(&self.rom.bytes, offset),
            Place::Sram(offset) => slice(self.sram.bytes(), offset),
            Place::RtcRam(offset) => slice(self.rtc_ram.bytes(), offset),
            Place::Window(offset) => {
                let flash = self.devices.flash().memory();
                Ok(self.window.read(offset, flash).unwrap_or_else(|| {
                    let mut bytes = [0; N];
                    bytes.copy_from_slice(&UNMAPPED.to_le_bytes()[..N]);
                    bytes
                }))
            }
            Place::Registers => {
                let word = self.read_register(address & !3, clock) >> (8 * (address & 3));
                let mut bytes = [0; N];
                bytes.copy_from_slice(&word.to_le_bytes()[..N]);
                Ok(bytes)
            }
        }
    }

    fn read_register(&mut self, address: u32, clock: u64) -> u32 {
        let now = self.clock.at(clock);
        if let Some(value) = self.devices.read(address, now) {
            return value;
        }
        let entry = self.unimplemented.entry(address).or_default();
        entry.reads += 1;
        entry.value
    }

    #[inline(always)]
    fn write<const N: usize>(
        &mut self,
        address: u32,
        value: [u8; N],
        clock: u64,
    ) -> Result<Stored, Fault> {
        let offset = address.wrapping_sub(SRAM_DATA);
        if offset < SRAM_DATA_SIZE {
            let offset = (offset + SRAM_CODE_SIZE) as usize;
            if let Some(hit) = self.sram.write(offset, value) {
                return Ok(stored(hit));
            }
        }
        self.write_elsewhere(address, value, clock)
    }

    #[inline(never)]
    fn write_elsewhere<const N: usize>(
        &mut self,
        address: u32,
        value: [u8; N],
        clock: u64,
    ) -> Result<Stored, Fault> {
        match place(address).ok_or(Fault)? {
            Place::Rom(_) | Place::Window(_) => Err(Fault),
            Place::Sram(offset) => self.sram.write(offset, value).map(stored).ok_or(Fault),
            Place::RtcRam(offset) => self.rtc_ram.write(offset, value).map(stored).ok_or(Fault),
            Place::Registers => {
                let mut word = [0; 4];
                word[..N].copy_from_slice(&value);
                let shift = 8 * (address & 3);
                let mut word = u32::from_le_bytes(word) << shift;
                let address = address & !3;
                if N < 4 && !Devices::is_fifo(address) {
                    let mask = (u32::MAX >> (32 - 8 * N)) << shift;
                    word |= self.read_register(address, clock) & !mask;
                }
                Ok(self.write_register(address, word, clock))
            }
        }
    }

    fn write_register(&mut self, address: u32, value: u32, clock: u64) -> Stored {
        let now = self.clock.at(clock);
        let Some(written) = self.devices.write(address, value, now) else {
            let entry = self.unimplemented.entry(address).or_default();
            entry.writes += 1;
            entry.value = value;
            return Stored::Plain;
        };
        match written.block {
            Block::Mmu => {
                self.refresh_map();
                Stored::Attention
            }
            Block::System => {
                // The store itself still runs at the old rate.
                self.follow_clock(clock);
                Stored::Attention
            }
            Block::Spi1 if self.refresh_window() => Stored::Attention,
            _ => written.stored,
        }
    }
}

impl SystemBus {
    /// Takes over the clock that software has chosen.
    pub(crate) fn follow_clock(&mut self, instructions: u64) {
        self.devices.follow_clock(self.clock.at(instructions));
        self.clock.set_rate(instructions, self.devices.ticks_per_instruction());
    }

    /// Takes over the flash mapping.
    pub(crate) fn refresh_map(&mut self) {
        let mmu = self.devices.mmu();
        self.window.set_map(|entry| mmu.page(entry));
    }

    /// Drops copies of flash contents that have changed; whether any have.
    pub(crate) fn refresh_window(&mut self) -> bool {
        let changed = self.devices.flash_mut().take_changed();
        changed.into_iter().map(|range| self.window.forget(range)).count() > 0
    }

    /// Reads memory; `None` where there is none.
    pub(crate) fn peek(&mut self, address: u32) -> Option<u8> {
        match place(address)? {
            Place::Rom(offset) => self.rom.bytes.get(offset).copied(),
            Place::Sram(offset) => self.sram.bytes().get(offset).copied(),
            Place::RtcRam(offset) => self.rtc_ram.bytes().get(offset).copied(),
            Place::Window(offset) => {
                self.window.read(offset, self.devices.flash().memory()).map(|[byte]| byte)
            }
            Place::Registers => None,
        }
    }

    /// Writes RAM; `None` where there is none.
    pub(crate) fn poke(&mut self, address: u32, value: u8) -> Option<()> {
        match place(address)? {
            Place::Sram(offset) => self.sram.write(offset, [value]).map(drop),
            Place::RtcRam(offset) => self.rtc_ram.write(offset, [value]).map(drop),
            Place::Rom(_) | Place::Window(_) | Place::Registers => None,
        }
    }
}

fn stored(HitCode(hit): HitCode) -> Stored {
    if hit { Stored::Attention } else { Stored::Plain }
}

impl Bus for SystemBus {
    #[inline(always)]
    fn load(&mut self, address: u32, width: Width, clock: u64) -> Result<u32, Fault> {
        match width {
            Width::Byte => self.read(address, clock).map(|[byte]| u32::from(byte)),
            Width::Half => self.read(address, clock).map(|it| u32::from(u16::from_le_bytes(it))),
            Width::Word => self.read(address, clock).map(u32::from_le_bytes),
        }
    }

    #[inline(always)]
    fn store(
        &mut self,
        address: u32,
        width: Width,
        value: u32,
        clock: u64,
    ) -> Result<Stored, Fault> {
        match width {
            Width::Byte => self.write(address, [value as u8], clock),
            Width::Half => self.write(address, (value as u16).to_le_bytes(), clock),
            Width::Word => self.write(address, value.to_le_bytes(), clock),
        }
    }

    fn fetch(&mut self, address: u32) -> Result<u16, Fault> {
        let read = |bytes: &[u8], offset: usize| {
            let bytes = bytes.get(offset..offset + 2).and_then(|it| it.try_into().ok());
            bytes.map(u16::from_le_bytes).ok_or(Fault)
        };
        match place(address).ok_or(Fault)? {
            Place::Rom(offset) => read(&self.rom.bytes, offset),
            Place::Sram(offset) => read(self.sram.bytes(), offset),
            Place::RtcRam(offset) => read(self.rtc_ram.bytes(), offset),
            Place::Window(offset) => {
                let bytes = self.window.read(offset, self.devices.flash().memory());
                bytes.map(u16::from_le_bytes).ok_or(Fault)
            }
            Place::Registers => Err(Fault),
        }
    }

    #[inline(always)]
    fn code_version(&mut self, address: u32) -> u32 {
        match place(address) {
            Some(Place::Window(offset)) => self.window.code_version(offset),
            Some(Place::Sram(offset)) => self.sram.code_version(offset),
            Some(Place::RtcRam(offset)) => self.rtc_ram.code_version(offset),
            Some(Place::Rom(_) | Place::Registers) | None => 0,
        }
    }
}
