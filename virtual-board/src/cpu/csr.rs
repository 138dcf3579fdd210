//! Control and status registers (ESP32-C3 Technical Reference Manual, chapter "ESP-RISC-V CPU", and
//! RISC-V Privileged Architecture).

/// Interrupts are taken.
const MIE: u32 = 1 << 3;
/// `MIE` before the last trap.
const MPIE: u32 = 1 << 7;
/// Privilege before the last trap. Machine mode is the only one here.
const MPP: u32 = 3 << 11;
/// The bits of `mstatus` that `ustatus` shows: `UIE` and `UPIE`.
const USER_STATUS: u32 = 1 | 1 << 4;
/// `wfi` traps below machine mode.
const TW: u32 = 1 << 21;

/// `mtvec` mode: an interrupt on line n goes to base + 4n. The chip has no other.
const VECTORED: u32 = 1;

/// A PMP entry that keeps its value until reset.
const PMP_LOCKED: u8 = 1 << 7;
/// The address matching mode of a PMP entry, and its value for "up to this address".
const PMP_MODE: u8 = 3 << 3;
const PMP_TOP_OF_RANGE: u8 = 1 << 3;

/// Breakpoints and watchpoints of the chip.
const TRIGGERS: usize = 8;

/// Why an instruction trapped (`mcause`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Cause {
    FetchFault = 1,
    Illegal = 2,
    Breakpoint = 3,
    LoadFault = 5,
    StoreFault = 7,
    EnvironmentCall = 11,
}

/// The registers. Of PMP and triggers software sees what it wrote; they watch nothing.
#[derive(Clone, Debug)]
pub(super) struct Csrs {
    status: u32,
    vector: u32,
    scratch: u32,
    epc: u32,
    cause: u32,
    value: u32,
    pmp_config: [u8; 16],
    pmp_address: [u32; 16],
    trigger: u32,
    trigger_data: [[u32; 2]; TRIGGERS],
    trigger_control: u32,
    gpio: [u32; 3],
    counter: Counter,
}

/// The performance counter, `mpcer`, `mpcmr` and `mpccr`. It counts instructions whatever the event.
#[derive(Clone, Debug)]
struct Counter {
    event: u32,
    mode: u32,
    /// The count while it stands still; what to add to the clock while it runs.
    count: u32,
}

impl Counter {
    /// Bit of the mode: the counter runs.
    const ENABLE: u32 = 1;

    fn count(&self, clock: u64) -> u32 {
        if self.mode & Self::ENABLE == 0 {
            self.count
        } else {
            self.count.wrapping_add(clock as u32)
        }
    }

    fn set_count(&mut self, count: u32, clock: u64) {
        self.count =
            if self.mode & Self::ENABLE == 0 { count } else { count.wrapping_sub(clock as u32) };
    }

    fn set_mode(&mut self, mode: u32, clock: u64) {
        let count = self.count(clock);
        self.mode = mode & 3;
        self.set_count(count, clock);
    }
}

impl Csrs {
    /// The state after a reset.
    pub(super) fn new() -> Self {
        Self {
            status: MPP,
            vector: VECTORED,
            scratch: 0,
            epc: 0,
            cause: 0,
            value: 0,
            pmp_config: [0; 16],
            pmp_address: [0; 16],
            trigger: 0,
            trigger_data: [[0; 2]; TRIGGERS],
            trigger_control: 0,
            gpio: [0; 3],
            counter: Counter { event: 0, mode: 3, count: 0 },
        }
    }

    /// The performance counter.
    #[inline(always)]
    pub(super) fn counter(&self, clock: u64) -> u32 {
        self.counter.count(clock)
    }

    /// Reads a register, `None` when the chip has no such register.
    pub(super) fn read(&self, number: u32, clock: u64) -> Option<u32> {
        Some(match number {
            0x000 => self.status & USER_STATUS,
            0x300 => self.status,
            // RV32IMC with user mode.
            0x301 => 0x4010_1104,
            0x305 => self.vector,
            0x340 => self.scratch,
            0x341 => self.epc,
            0x342 => self.cause,
            0x343 => self.value,
            0x3A0..=0x3A3 => {
                let first = 4 * (number - 0x3A0) as usize;
                u32::from_le_bytes(std::array::from_fn(|i| self.pmp_config[first + i]))
            }
            0x3B0..=0x3BF => self.pmp_address[(number - 0x3B0) as usize],
            0x7A0 => self.trigger,
            0x7A1 | 0x7A2 => self.trigger_data[self.trigger as usize][(number - 0x7A1) as usize],
            0x7A5 => self.trigger_control,
            0x7E0 | 0x800 => self.counter.event,
            0x7E1 | 0x801 => self.counter.mode,
            0x7E2 | 0x802 => self.counter.count(clock),
            0x803..=0x805 => self.gpio[(number - 0x803) as usize],
            // Vendor, architecture and implementation of the ESP32-C3, and the only hart.
            0xF11 => 0x612,
            0xF12 => 0x8000_0001,
            0xF13 => 1,
            0xF14 => 0,
            _ => return None,
        })
    }

    /// Writes a register, `None` when there is no such register or it cannot be written.
    pub(super) fn write(&mut self, number: u32, value: u32, clock: u64) -> Option<()> {
        match number {
            0x000 => self.status = self.status & !USER_STATUS | value & USER_STATUS,
            0x300 => self.status = value & (MIE | MPIE | USER_STATUS | TW) | MPP,
            0x301 => {}
            0x305 => self.vector = value & !0xFF | VECTORED,
            0x340 => self.scratch = value,
            0x341 => self.epc = value & !1,
            0x342 => self.cause = value & 0x8000_001F,
            0x343 => self.value = value,
            0x3A0..=0x3A3 => {
                let first = 4 * (number - 0x3A0) as usize;
                for (config, byte) in self.pmp_config[first..].iter_mut().zip(value.to_le_bytes()) {
                    if *config & PMP_LOCKED == 0 {
                        *config = byte & !0x60;
                    }
                }
            }
            0x3B0..=0x3BF => {
                let entry = (number - 0x3B0) as usize;
                if !self.pmp_address_locked(entry) {
                    self.pmp_address[entry] = value;
                }
            }
            0x7A0 => self.trigger = value % TRIGGERS as u32,
            0x7A1 | 0x7A2 => {
                self.trigger_data[self.trigger as usize][(number - 0x7A1) as usize] = value;
            }
            0x7A5 => self.trigger_control = value,
            0x7E0 | 0x800 => self.counter.event = value,
            0x7E1 | 0x801 => self.counter.set_mode(value, clock),
            0x7E2 | 0x802 => self.counter.set_count(value, clock),
            0x803..=0x805 => self.gpio[(number - 0x803) as usize] = value,
            _ => return None,
        }
        Some(())
    }

    /// The address of a locked range, and the one before it when that is where the range starts.
    fn pmp_address_locked(&self, entry: usize) -> bool {
        let locked_top = PMP_LOCKED | PMP_TOP_OF_RANGE;
        self.pmp_config[entry] & PMP_LOCKED != 0
            || self
                .pmp_config
                .get(entry + 1)
                .is_some_and(|next| next & (PMP_LOCKED | PMP_MODE) == locked_top)
    }

    /// Whether interrupts are taken.
    pub(super) fn interrupts_enabled(&self) -> bool {
        self.status & MIE != 0
    }

    /// Traps because of the instruction at `pc`; where to go on.
    pub(super) fn exception(&mut self, cause: Cause, pc: u32, value: u32) -> u32 {
        self.enter(cause as u32, pc, value);
        self.vector & !VECTORED
    }

    /// Takes an interrupt before the instruction at `pc`; where to go on.
    pub(super) fn interrupt(&mut self, line: u32, pc: u32) -> u32 {
        self.enter(1 << 31 | line, pc, 0);
        (self.vector & !VECTORED).wrapping_add(4 * line)
    }

    fn enter(&mut self, cause: u32, pc: u32, value: u32) {
        self.epc = pc;
        self.cause = cause;
        self.value = value;
        let previous = if self.interrupts_enabled() { MPIE } else { 0 };
        self.status = self.status & !(MIE | MPIE) | previous;
    }

    /// Comes back from a trap (`mret`); where to go on.
    pub(super) fn leave(&mut self) -> u32 {
        let enabled = if self.status & MPIE == 0 { 0 } else { MIE };
        self.status = self.status & !MIE | enabled | MPIE;
        self.epc
    }
}
