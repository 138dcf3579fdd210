//! All devices of the chip: where they are, and what they want of the CPU.

use crate::board::Strap;
use crate::cpu::Stored;
use crate::flash::FlashDevice;
use crate::peripherals::{
    Aes, Cache, ChipIdentity, Efuse, Gpio, InterruptMatrix, Mmu, Pacing, Peripheral, ResetCause,
    RtcCntl, Sha, Spi, Storage, Syscon, System, Systimer, TimerGroup, Uart, UsbSerialJtag,
};
use crate::time::Ticks;

/// A block of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Uart0,
    Uart1,
    Usb,
    Gpio,
    Interrupt,
    Efuse,
    System,
    Cache,
    Mmu,
    Sha,
    Aes,
    Syscon,
    Rtc,
    Timer0,
    Timer1,
    Systimer,
    Spi1,
    /// The blocks that only keep what is written.
    Storage,
}

/// Number of blocks.
const BLOCKS: usize = Block::Storage as usize + 1;

/// The blocks that have events, interrupts or resets of their own.
const ACTIVE: [Block; 9] = [
    Block::Uart0,
    Block::Uart1,
    Block::Usb,
    Block::System,
    Block::Rtc,
    Block::Timer0,
    Block::Timer1,
    Block::Systimer,
    Block::Spi1,
];

/// Commands to a busy flash chip, one after the other, from which on it is taken for polling.
const POLLS: u32 = 3;

/// Cycle of the peripheral bus at 80 MHz.
const APB_TICKS: u64 = Ticks::PER_SECOND / 80_000_000;

/// Value of the strap register for flash boot, and for download.
const STRAP_FLASH_BOOT: u32 = 0xC;
const STRAP_DOWNLOAD: u32 = 0x4;

/// What a store to a register did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) block: Block,
    pub(crate) stored: Stored,
}

/// The devices on the chip and the flash chip beside it.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    uart0: Uart,
    uart1: Uart,
    usb: UsbSerialJtag,
    gpio: Gpio,
    interrupt: InterruptMatrix,
    efuse: Efuse,
    system: System,
    cache: Cache,
    mmu: Mmu,
    sha: Sha,
    aes: Aes,
    syscon: Syscon,
    rtc: RtcCntl,
    timer0: TimerGroup,
    timer1: TimerGroup,
    systimer: Systimer,
    spi1: Spi,
    storage: Storage,
    /// Interrupt sources that each block holds high.
    levels: [u64; BLOCKS],
    /// When each block has something to do.
    events: [Option<Ticks>; BLOCKS],
    /// The earliest of them.
    next_event: Option<Ticks>,
    reset: Option<ResetCause>,
    /// Commands in a row that the flash chip got while it was busy.
    polls: u32,
    announce_output: bool,
    /// The flash operation whose start is reported.
    operation: Option<u64>,
}

impl Devices {
    /// The devices of a chip that has not been powered yet.
    pub(crate) fn new(
        flash: FlashDevice,
        identity: ChipIdentity,
        pacing: Pacing,
        seed: u64,
    ) -> Self {
        Self {
            uart0: Uart::new(0, pacing),
            uart1: Uart::new(1, pacing),
            usb: UsbSerialJtag::new(),
            gpio: Gpio::new(STRAP_FLASH_BOOT),
            interrupt: InterruptMatrix::new(),
            efuse: Efuse::new(identity),
            system: System::new(),
            cache: Cache::new(),
            mmu: Mmu::new(),
            sha: Sha::new(),
            aes: Aes::new(),
            syscon: Syscon::new(seed),
            rtc: RtcCntl::new(),
            timer0: TimerGroup::new(0),
            timer1: TimerGroup::new(1),
            systimer: Systimer::new(),
            spi1: Spi::new(flash),
            storage: Storage::new(),
            levels: [0; BLOCKS],
            events: [None; BLOCKS],
            next_event: None,
            reset: None,
            polls: 0,
            announce_output: false,
            operation: None,
        }
    }

    /// Resets the chip; `strap` is what it finds at its pins if it looks at them.
    pub(crate) fn reset(&mut self, cause: ResetCause, strap: Option<Strap>, now: Ticks) {
        if let Some(strap) = strap {
            self.gpio.set_strap(match strap {
                Strap::FlashBoot => STRAP_FLASH_BOOT,
                Strap::Download => STRAP_DOWNLOAD,
            });
            let flash_boot = strap == Strap::FlashBoot;
            self.timer0.set_flash_boot(flash_boot);
            self.rtc.set_flash_boot(flash_boot);
        }
        self.reset = None;
        self.polls = 0;
        for block in BLOCK {
            let device = self.device(block);
            device.reset(cause, now);
            // What it asked for has happened.
            device.take_reset();
            self.refresh(block);
        }
    }

    fn device(&mut self, block: Block) -> &mut dyn Peripheral {
        match block {
            Block::Uart0 => &mut self.uart0,
            Block::Uart1 => &mut self.uart1,
            Block::Usb => &mut self.usb,
            Block::Gpio => &mut self.gpio,
            Block::Interrupt => &mut self.interrupt,
            Block::Efuse => &mut self.efuse,
            Block::System => &mut self.system,
            Block::Cache => &mut self.cache,
            Block::Mmu => &mut self.mmu,
            Block::Sha => &mut self.sha,
            Block::Aes => &mut self.aes,
            Block::Syscon => &mut self.syscon,
            Block::Rtc => &mut self.rtc,
            Block::Timer0 => &mut self.timer0,
            Block::Timer1 => &mut self.timer1,
            Block::Systimer => &mut self.systimer,
            Block::Spi1 => &mut self.spi1,
            Block::Storage => &mut self.storage,
        }
    }

    /// Whether an address is that of a FIFO, which a read changes.
    pub(crate) fn is_fifo(address: u32) -> bool {
        matches!(address, 0x6000_0000 | 0x6001_0000 | 0x6004_3000)
    }

    /// Reads the register at an aligned address; `None` if it is not modelled.
    pub(crate) fn read(&mut self, address: u32, now: Ticks) -> Option<u32> {
        let (block, offset) = locate(address);
        let device = self.device(block);
        if ACTIVE.contains(&block) {
            device.advance(now);
            let value = device.read(offset, now);
            self.refresh(block);
            return value;
        }
        if block == Block::Interrupt {
            self.drive_interrupts();
        }
        self.device(block).read(offset, now)
    }

    /// Writes the register at an aligned address; `None` if it is not modelled.
    pub(crate) fn write(&mut self, address: u32, value: u32, now: Ticks) -> Option<Written> {
        let (block, offset) = locate(address);
        let commands = self.flash().commands();
        let device = self.device(block);
        device.advance(now);
        device.write(offset, value, now)?;
        let mut stored = Stored::Plain;
        if ACTIVE.contains(&block) {
            if let Some(cause) = device.take_reset() {
                self.reset = Some(cause);
                stored = Stored::Attention;
            }
            if self.refresh(block) {
                stored = Stored::Attention;
            }
        }
        match block {
            Block::Interrupt => stored = Stored::Attention,
            Block::Spi1 if self.flash().commands() != commands => {
                self.count_poll();
                if self.polled_until().is_some()
                    || self.saw_operation()
                    || self.flash().power_loss().is_some()
                {
                    stored = Stored::Attention;
                }
            }
            Block::Uart0 if self.announce_output && Self::is_fifo(address) => {
                stored = Stored::Attention;
            }
            _ => {}
        }
        Some(Written { block, stored })
    }

    /// Looks at what a block wants; whether its interrupts rose or its event comes earlier.
    pub(crate) fn refresh(&mut self, block: Block) -> bool {
        let device = self.device(block);
        let (levels, event) = (device.interrupts(), device.next_event());
        let index = block as usize;
        let rose = levels & !self.levels[index] != 0;
        let changed = levels != self.levels[index];
        self.levels[index] = levels;
        if changed {
            self.drive_interrupts();
        }
        if event == self.events[index] {
            return rose;
        }
        self.events[index] = event;
        let before = self.next_event;
        self.next_event = self.events.iter().flatten().min().copied();
        let earlier = match (self.next_event, before) {
            (Some(now), Some(before)) => now < before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        rose || earlier
    }

    /// Shows the interrupt matrix the levels of its sources.
    fn drive_interrupts(&mut self) {
        let sources = self.levels.iter().fold(0, |all, levels| all | levels);
        self.interrupt.set_sources(sources);
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, now: Ticks) {
        if self.next_event.is_none_or(|event| event > now) {
            return;
        }
        for block in ACTIVE {
            if self.events[block as usize].is_some_and(|event| event <= now) {
                let device = self.device(block);
                device.advance(now);
                let reset = device.take_reset();
                self.reset = self.reset.or(reset);
                self.refresh(block);
            }
        }
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(crate) fn next_event(&self) -> Option<Ticks> {
        self.next_event
    }

    /// The interrupt line that the CPU takes next, if it lets it through.
    pub(crate) fn pending_interrupt(&self) -> Option<u32> {
        self.interrupt.pending()
    }

    /// The reset that a device asks for.
    pub(crate) fn take_reset(&mut self) -> Option<ResetCause> {
        self.reset.take()
    }

    /// Counts a command to the flash chip.
    fn count_poll(&mut self) {
        self.polls = if self.flash().busy_until().is_some() { self.polls + 1 } else { 0 };
    }

    /// When the flash chip will be ready, if software only waits for that.
    pub(crate) fn polled_until(&self) -> Option<Ticks> {
        self.flash().busy_until().filter(|_| self.polls >= POLLS)
    }

    /// Tells the devices the clock that they run on.
    pub(crate) fn follow_clock(&mut self, now: Ticks) {
        let cycle = self.ticks_per_instruction();
        self.uart0.set_cpu_cycle(cycle);
        self.uart1.set_cpu_cycle(cycle);
        // From the PLL the peripheral bus has 80 MHz, otherwise the CPU's clock.
        let apb = cycle.max(APB_TICKS);
        self.timer0.set_apb_ticks(apb, now);
        self.timer1.set_apb_ticks(apb, now);
        for block in [Block::Uart0, Block::Uart1, Block::Timer0, Block::Timer1] {
            self.refresh(block);
        }
    }

    /// Reports the start of the flash operation with this number.
    pub(crate) fn watch_operation(&mut self, number: Option<u64>) {
        self.operation = number;
    }

    /// Whether the operation to be reported has started.
    pub(crate) fn saw_operation(&self) -> bool {
        self.operation.is_some_and(|number| self.flash().operations() > number)
    }

    /// Whether stores to the transmit FIFO of UART0 shall be reported.
    pub(crate) fn announce_output(&mut self, announce: bool) {
        self.announce_output = announce;
    }

    /// Time that one instruction takes.
    pub(crate) fn ticks_per_instruction(&self) -> u64 {
        self.system.cpu_ticks_per_cycle()
    }

    /// The flash mapping.
    pub(crate) fn mmu(&self) -> &Mmu {
        &self.mmu
    }

    /// The flash chip.
    pub(crate) fn flash(&self) -> &FlashDevice {
        self.spi1.flash()
    }

    /// The flash chip.
    pub(crate) fn flash_mut(&mut self) -> &mut FlashDevice {
        self.spi1.flash_mut()
    }

    /// The first serial port. [`refresh`](Self::refresh) has to follow what changes it.
    pub(crate) fn uart0(&mut self) -> &mut Uart {
        &mut self.uart0
    }

    /// The USB port. [`refresh`](Self::refresh) has to follow what changes it.
    pub(crate) fn usb(&mut self) -> &mut UsbSerialJtag {
        &mut self.usb
    }
}

/// All blocks, each at its own index.
const BLOCK: [Block; BLOCKS] = [
    Block::Uart0,
    Block::Uart1,
    Block::Usb,
    Block::Gpio,
    Block::Interrupt,
    Block::Efuse,
    Block::System,
    Block::Cache,
    Block::Mmu,
    Block::Sha,
    Block::Aes,
    Block::Syscon,
    Block::Rtc,
    Block::Timer0,
    Block::Timer1,
    Block::Systimer,
    Block::Spi1,
    Block::Storage,
];

/// The block at an address, and the offset in it. (ESP-IDF,
/// `components/soc/esp32c3/register/soc/reg_base.h`.)
fn locate(address: u32) -> (Block, u32) {
    let block = match address >> 12 {
        0x6_0000 => Block::Uart0,
        0x6_0002 => Block::Spi1,
        0x6_0004 => Block::Gpio,
        0x6_0008 if address & 0x800 != 0 => return (Block::Efuse, address & 0x7FF),
        0x6_0008 => Block::Rtc,
        0x6_0010 => Block::Uart1,
        0x6_001F => Block::Timer0,
        0x6_0020 => Block::Timer1,
        0x6_0023 => Block::Systimer,
        0x6_0026 => Block::Syscon,
        0x6_003A => Block::Aes,
        0x6_003B => Block::Sha,
        0x6_0043 => Block::Usb,
        0x6_00C0 => Block::System,
        0x6_00C2 => Block::Interrupt,
        0x6_00C4 => Block::Cache,
        0x6_00C5 => Block::Mmu,
        _ => return (Block::Storage, address),
    };
    (block, address & 0xFFF)
}
