//! The board: chip, flash, power and pins.

mod execute;
mod ports;
mod snapshot;

pub use snapshot::Snapshot;

use std::collections::{BTreeMap, BTreeSet};

use sim::flash::{Chip, Memory, Part};

use crate::bus::{Clock, RTC_RAM_SIZE, SRAM_SIZE, SystemBus, Unimplemented};
use crate::cpu::{Cpu, State};
use crate::cut::{Cut, CutPoint};
use crate::devices::Devices;
use crate::flash::{CutOutcome, FlashDevice, PowerCut};
use crate::memory::{Ram, RamSnapshot};
use crate::peripherals::{ChipIdentity, Pacing, ResetCause, Scope};
use crate::rom::{Rom, RomError, RomRevision};
use crate::time::Ticks;
use crate::watch::Watch;
use crate::window::Window;

/// Instructions that run before an interrupt is taken that a store has raised. The interrupt reaches
/// the CPU later than the instructions behind the store; the ROM's console driver relies on it.
const INTERRUPT_DELAY: u64 = 4;

/// What the boot strap pins select at the next reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strap {
    /// Boot from flash: GPIO9 high.
    #[default]
    FlashBoot,
    /// Serial download over UART0, UART1 or USB: GPIO9 low.
    Download,
}

/// What board to make.
#[derive(Clone, Debug)]
pub struct Config {
    /// The flash chip.
    pub part: &'static Part,
    /// What it holds.
    pub flash: Memory,
    /// The mask ROM.
    pub rom: RomRevision,
    /// What is burnt into the eFuses.
    pub identity: ChipIdentity,
    /// How fast the serial lines are.
    pub pacing: Pacing,
    /// Seed of everything random: what SRAM holds at power-on, the random number generator, torn flash
    /// contents.
    pub seed: u64,
}

impl Config {
    /// A board with that flash chip and contents: the usual ROM, chip revision 0.4, lines without
    /// baud rate, seed 0.
    #[must_use]
    pub fn new(part: &'static Part, flash: Memory) -> Self {
        Self {
            part,
            flash,
            rom: RomRevision::default(),
            identity: ChipIdentity::default(),
            pacing: Pacing::default(),
            seed: 0,
        }
    }
}

/// Why a board can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no ROM.
    #[error(transparent)]
    Rom(#[from] RomError),
    /// The contents do not fit the chip.
    #[error("{contents} bytes of contents for a flash chip of {chip} bytes ({name})")]
    FlashSize {
        /// Size of the contents in bytes.
        contents: u32,
        /// Size of the chip in bytes.
        chip: u32,
        /// Name of the chip.
        name: &'static str,
    },
}

/// Why a board stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The time is up.
    Limit,
    /// Power is off, by a cut or because it never came on.
    PowerOff,
    /// The next instruction has a breakpoint.
    Breakpoint,
    /// The text that [`Board::watch_console`] waits for has appeared.
    ConsoleText,
    /// The flash operation that [`Board::watch_operation`] waits for has started.
    FlashOperation,
}

/// An ESP32-C3 on a board of its own.
#[derive(Clone, Debug)]
pub struct Board {
    cpu: Cpu,
    bus: SystemBus,
    strap: Strap,
    seed: u64,
    powered: bool,
    boots: u64,
    /// What SRAM holds when power comes.
    cold: RamSnapshot,
    cold_rtc: RamSnapshot,
    /// Instructions to run before the next interrupt is taken.
    delay: u64,
    /// A cut that the flash chip does not see coming.
    cut: Option<Cut>,
    cut_watch: Option<Watch>,
    watch: Option<Watch>,
    alarm: Option<Ticks>,
    breakpoints: BTreeSet<u32>,
    console: Vec<u8>,
}

impl Board {
    /// Makes a board. It has no power yet.
    ///
    /// # Errors
    /// When the flash contents do not fit the chip, or there is no ROM.
    pub fn new(config: Config) -> Result<Self, Error> {
        let Config { part, flash, rom, identity, pacing, seed } = config;
        if flash.capacity() != part.capacity {
            let (contents, chip) = (flash.capacity(), part.capacity);
            return Err(Error::FlashSize { contents, chip, name: part.name });
        }
        let mut noise = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let cold = RamSnapshot::filled(SRAM_SIZE as usize, |page| noise.fill(page));
        let cold_rtc = RamSnapshot::filled(RTC_RAM_SIZE as usize, |page| noise.fill(page));
        let flash = FlashDevice::new(Chip::with_memory(*part, flash).with_seed(seed));
        let devices = Devices::new(flash, identity, pacing, seed);
        let bus = SystemBus {
            rom: Rom::load(rom)?,
            sram: Ram::new(&cold),
            rtc_ram: Ram::new(&cold_rtc),
            window: Window::new(part.capacity),
            clock: Clock::new(devices.ticks_per_instruction()),
            devices,
            unimplemented: Default::default(),
        };
        Ok(Self {
            cpu: Cpu::new(),
            bus,
            strap: Strap::default(),
            seed,
            powered: false,
            boots: 0,
            cold,
            cold_rtc,
            delay: 0,
            cut: None,
            cut_watch: None,
            watch: None,
            alarm: None,
            breakpoints: BTreeSet::new(),
            console: Vec::new(),
        })
    }

    /// Turns power on. A board that has power loses it first.
    pub fn power_on(&mut self) {
        self.power_off();
        self.bus.devices.flash_mut().power_on();
        self.powered = true;
        self.reset(ResetCause::PowerOn);
    }

    /// Takes power away. A flash operation under way stays as far done as its time had passed.
    pub fn power_off(&mut self) {
        self.lose_power(&CutOutcome::Elapsed { seed: self.seed });
    }

    fn lose_power(&mut self, outcome: &CutOutcome) {
        if self.powered {
            let now = self.now();
            self.bus.devices.flash_mut().power_off(outcome, now);
            self.bus.refresh_window();
            self.powered = false;
        }
    }

    /// Whether the board has power.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Resets the chip; the flash chip keeps its power and finishes what it was doing. The EN pin gives
    /// [`ResetCause::PowerOn`], and the RAM loses its contents. Without power nothing happens.
    pub fn reset(&mut self, cause: ResetCause) {
        if !self.powered {
            return;
        }
        if cause.scope() == Scope::Power {
            self.bus.sram.restore(&self.cold);
            self.bus.rtc_ram.restore(&self.cold_rtc);
        }
        let now = self.now();
        let strap = if cause.scope() >= Scope::Digital { Some(self.strap) } else { None };
        self.bus.devices.reset(cause, strap, now);
        self.bus.refresh_map();
        self.bus.follow_clock(self.cpu.clock());
        self.cpu.reset();
        self.delay = 0;
        self.boots += 1;
    }

    /// Sets the strap pins. The chip looks at them when it is reset.
    pub fn set_strap(&mut self, strap: Strap) {
        self.strap = strap;
    }

    /// Simulated time since the board was made.
    #[must_use]
    pub fn now(&self) -> Ticks {
        self.bus.clock.at(self.cpu.clock())
    }

    /// Instructions executed since the board was made, those included that an idle loop would have
    /// executed until its next interrupt.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.cpu.clock()
    }

    /// How often the chip has started, for whatever cause.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// Plans a power cut, in place of one planned before; `None` plans none.
    pub fn plan_cut(&mut self, cut: Option<Cut>) {
        let flash = self.bus.devices.flash_mut();
        flash.plan_cut(None);
        self.cut = None;
        self.cut_watch = match &cut {
            Some(Cut { point: CutPoint::Console(text), .. }) => Some(Watch::new(text)),
            _ => None,
        };
        match cut {
            Some(Cut { point: CutPoint::Flash(trigger), outcome }) => {
                flash.plan_cut(Some(PowerCut { trigger, outcome }));
            }
            other => self.cut = other,
        }
        self.arrange_stops();
    }

    /// Has [`run`](Self::run) stop as soon as UART0 has sent `text`; `None` waits for nothing. Output from
    /// before this call does not count.
    pub fn watch_console(&mut self, text: Option<&[u8]>) {
        self.watch = text.map(Watch::new);
        self.arrange_stops();
    }

    /// Has [`run`](Self::run) stop as soon as the flash chip has got the program or erase with this
    /// number, from 0 since the board was made; `None` waits for nothing.
    pub fn watch_operation(&mut self, number: Option<u64>) {
        self.bus.devices.watch_operation(number);
    }

    /// Has [`run`](Self::run) stop once at this time with [`Stop::Limit`]; `None` waits for nothing. The
    /// limit of a run may be passed while firmware waits for the flash chip, this time is not.
    pub fn watch_time(&mut self, time: Option<Ticks>) {
        self.alarm = time;
    }

    /// Has [`run`](Self::run) stop before the instructions at these addresses.
    pub fn set_breakpoints(&mut self, addresses: BTreeSet<u32>) {
        self.breakpoints = addresses;
        self.arrange_stops();
    }

    /// The flash chip.
    #[must_use]
    pub fn flash(&self) -> &FlashDevice {
        self.bus.devices.flash()
    }

    /// The flash chip, to plan what happens to it.
    pub fn flash_mut(&mut self) -> &mut FlashDevice {
        self.bus.devices.flash_mut()
    }

    /// Accesses to registers that are not modelled, by address.
    #[must_use]
    pub fn unimplemented(&self) -> &BTreeMap<u32, Unimplemented> {
        &self.bus.unimplemented
    }

    /// The CPU's registers.
    #[must_use]
    pub fn cpu(&self) -> &State {
        self.cpu.state()
    }

    /// The CPU's registers, for a debugger.
    pub fn cpu_mut(&mut self) -> &mut State {
        self.cpu.state_mut()
    }

    /// The ROM's ELF file, with its symbols.
    #[must_use]
    pub fn rom_elf(&self) -> &[u8] {
        &self.bus.rom.elf
    }

    /// Reads memory as a debugger does: no device notices. `None` where there is no memory.
    pub fn peek(&mut self, address: u32) -> Option<u8> {
        self.bus.peek(address)
    }

    /// Writes RAM as a debugger does. `None` where there is none.
    pub fn poke(&mut self, address: u32, value: u8) -> Option<()> {
        self.bus.poke(address, value)
    }
}
