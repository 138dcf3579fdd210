//! UART: FIFOs, interrupts, rate detection, and the line to the host.

mod line;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use line::Line;
pub use line::Pacing;

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const FIFO: u32 = 0x00;
const INT_RAW: u32 = 0x04;
const INT_ST: u32 = 0x08;
const INT_ENA: u32 = 0x0C;
const INT_CLR: u32 = 0x10;
const CLKDIV: u32 = 0x14;
const STATUS: u32 = 0x1C;
const CONF0: u32 = 0x20;
const CONF1: u32 = 0x24;
const LOWPULSE: u32 = 0x28;
const HIGHPULSE: u32 = 0x2C;
const RXD_CNT: u32 = 0x30;
const MEM_CONF: u32 = 0x60;
const FSM_STATUS: u32 = 0x6C;
const CLK_CONF: u32 = 0x78;
const ID: u32 = 0x80;

const RX_FULL: u32 = 1 << 0;
const TX_EMPTY: u32 = 1 << 1;
const FRAME_ERROR: u32 = 1 << 3;
const RX_OVERFLOW: u32 = 1 << 4;
const RX_TIMEOUT: u32 = 1 << 8;
const TX_DONE: u32 = 1 << 14;

/// `STATUS` of idle lines, without the counts.
const STATUS_IDLE: u32 = 0xE000_C000;
const CONF0_RX_RESET: u32 = 1 << 17;
const CONF0_TX_RESET: u32 = 1 << 18;
const CONF0_DISCARD_DAMAGED: u32 = 1 << 26;
const CONF0_AUTOBAUD: u32 = 1 << 27;
const CONF1_RX_TIMEOUT: u32 = 1 << 21;
/// A state of the transmitter that is not idle.
const FSM_SENDING: u32 = 1 << 4;
const ID_UPDATE: u32 = 1 << 31;

/// Bytes that a FIFO holds.
const FIFO_BYTES: usize = 128;
/// Highest value of a pulse length, and its value before a pulse was seen.
const PULSE_MAX: u32 = 0xFFF;
/// Highest number of edges.
const EDGES_MAX: u32 = 0x3FF;

/// Interrupt source of UART0; that of UART1 follows.
const FIRST_SOURCE: u32 = 21;

const CRYSTAL_HZ: u64 = 40_000_000;
const FAST_RC_HZ: u64 = 17_500_000;
/// Ticks of the fastest peripheral clock, 80 MHz. It is the CPU's where that is slower.
const APB_TICKS: u64 = Ticks::PER_SECOND / 80_000_000;
/// Ticks of a CPU cycle as a reset leaves it, 20 MHz.
const RESET_CPU_CYCLE: u64 = Ticks::PER_SECOND / 20_000_000;

/// A UART at `0x6000_0000` or `0x6001_0000` (ESP-IDF, `uart_reg.h`; ESP32-C3 Technical Reference
/// Manual, chapter "UART Controller"), 8N1 without flow control.
#[derive(Clone, Debug)]
pub(crate) struct Uart {
    number: u32,
    registers: Registers,
    line: Line,
    received: VecDeque<u8>,
    to_send: VecDeque<u8>,
    /// The byte on its way to the host, and when its last bit leaves.
    sending: Option<(u8, Ticks)>,
    output: Vec<u8>,
    raw: u32,
    last_arrival: Ticks,
    /// A byte arrived, and no timeout has followed yet.
    timeout_armed: bool,
    edges: u32,
    pulse: u32,
    idle_polls: u32,
}

impl Uart {
    /// UART `number` (0 or 1).
    pub(crate) fn new(number: u32, pacing: Pacing) -> Self {
        let registers = Registers::new(&[(INT_ENA, 0), (CLKDIV, 0x2B6), (0x18, 8)])
            .with(&[(CONF0, 0x1000_001C), (CONF1, 0xC060), (0x34, 0), (0x38, 0xF0)])
            .with(&[(0x3C, 0x26E0), (0x40, 0x2200), (0x44, 0xA), (0x48, 0x0004_0100), (0x4C, 0)])
            .with(&[(0x50, 0x901), (0x54, 0x901), (0x58, 0xB), (0x5C, 0x32B)])
            .with(&[(MEM_CONF, 0x000A_0012), (0x64, 0), (0x68, 0x0008_0100)])
            .with(&[(0x70, PULSE_MAX), (0x74, PULSE_MAX), (CLK_CONF, 0x0370_1000), (0x7C, 0)])
            .with(&[(ID, 0x4000_0500)]);
        Self {
            number,
            registers,
            line: Line::new(pacing, RESET_CPU_CYCLE),
            received: VecDeque::new(),
            to_send: VecDeque::new(),
            sending: None,
            output: Vec::new(),
            raw: TX_EMPTY,
            last_arrival: Ticks::default(),
            timeout_armed: false,
            edges: 0,
            pulse: PULSE_MAX,
            idle_polls: 0,
        }
    }

    /// Sends bytes from the host. They arrive one after the other, as [`Pacing`] says.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Ticks) {
        self.line.send(bytes, now);
    }

    /// Forgets what the host has sent and has not arrived.
    pub(crate) fn discard(&mut self) {
        self.line.discard();
    }

    /// Takes what has reached the host since the last call.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Changes how fast bytes travel from now on.
    pub(crate) fn set_pacing(&mut self, pacing: Pacing) {
        self.line.pacing = pacing;
        if pacing == Pacing::Turbo {
            let pending = self.sending.take().map(|(byte, _)| byte);
            if pending.is_some() {
                self.raw |= TX_DONE;
            }
            self.output.extend(pending.into_iter().chain(self.to_send.drain(..)));
            self.assert_levels();
        }
    }

    /// Tells the length of a CPU clock cycle in ticks, which paces [`Pacing::Turbo`] and is the
    /// peripheral clock's below 80 MHz.
    pub(crate) fn set_cpu_cycle(&mut self, ticks: u64) {
        self.line.cpu_cycle = ticks;
    }

    /// How often in a row software has looked for a received byte or a level change and found none,
    /// since the last byte in either direction. 0 while a byte is on its way.
    pub(crate) fn idle_polls(&self) -> u32 {
        if self.line.is_idle() { self.idle_polls } else { 0 }
    }

    /// Frequency of the clock that the rate is divided from.
    fn source_hz(&self) -> u64 {
        let config = self.registers.get(CLK_CONF);
        let hz = match config >> 20 & 3 {
            1 => Ticks::PER_SECOND / self.line.cpu_cycle.max(APB_TICKS),
            2 => FAST_RC_HZ,
            _ => CRYSTAL_HZ,
        };
        hz / u64::from((config >> 12 & 0xFF) + 1)
    }

    /// The rate that software has set, in bits per second.
    fn rate(&self) -> u32 {
        let divider = self.registers.get(CLKDIV);
        let sixteenths = (divider & 0xFFF) << 4 | divider >> 20 & 0xF;
        (16 * self.source_hz() / u64::from(sixteenths.max(16))) as u32
    }

    /// When a byte that waits in the receiver has waited for too long.
    fn timeout(&self) -> Option<Ticks> {
        let enabled = self.registers.get(CONF1) & CONF1_RX_TIMEOUT != 0;
        let bits = u64::from(self.registers.get(MEM_CONF) >> 16 & 0x3FF);
        let due = || self.last_arrival + bits * line::frame_ticks(self.rate()) / 10;
        (enabled && self.timeout_armed && !self.received.is_empty()).then(due)
    }

    /// When the next byte from the host arrives. In turbo mode the host waits for room.
    fn next_arrival(&self) -> Option<Ticks> {
        let held = self.line.pacing == Pacing::Turbo && self.received.len() == FIFO_BYTES;
        let interrupts = self.registers.get(INT_ENA) & (RX_FULL | RX_TIMEOUT) != 0;
        self.line.next_arrival(interrupts).filter(|_| !held)
    }

    fn arrive(&mut self, now: Ticks) {
        let Some(byte) = self.line.arrive(now) else { return };
        self.idle_polls = 0;
        let config = self.registers.get(CONF0);
        if config & CONF0_AUTOBAUD != 0 {
            self.edges = (self.edges + line::edges(byte)).min(EDGES_MAX);
            let bit = self.source_hz() / u64::from(self.line.rate().max(1));
            self.pulse = (bit as u32).saturating_sub(1).min(PULSE_MAX);
        }
        let (byte, whole) = match self.line.pacing {
            Pacing::Turbo => (byte, true),
            Pacing::Baud(rate) => line::sample(byte, rate, self.rate()),
        };
        self.last_arrival = now;
        self.timeout_armed = true;
        if !whole {
            self.raw |= FRAME_ERROR;
            if config & CONF0_DISCARD_DAMAGED != 0 {
                return;
            }
        }
        if self.received.len() < FIFO_BYTES {
            self.received.push_back(byte);
        } else {
            self.raw |= RX_OVERFLOW;
        }
    }

    fn pop_received(&mut self, now: Ticks) -> u8 {
        if self.received.len() == FIFO_BYTES && self.line.pacing == Pacing::Turbo {
            // The host has waited for this room and starts its next byte.
            self.line.pause(now);
        }
        self.idle_polls = 0;
        self.received.pop_front().unwrap_or(0)
    }

    fn transmit(&mut self, byte: u8, now: Ticks) {
        self.idle_polls = 0;
        match self.line.pacing {
            Pacing::Turbo => {
                self.output.push(byte);
                self.raw |= TX_DONE;
            }
            Pacing::Baud(_) => {
                if self.to_send.len() < FIFO_BYTES {
                    self.to_send.push_back(byte);
                }
                if self.sending.is_none() {
                    self.send_next(now);
                }
            }
        }
    }

    fn send_next(&mut self, now: Ticks) {
        let end = now + line::frame_ticks(self.rate());
        self.sending = self.to_send.pop_front().map(|byte| (byte, end));
        if self.sending.is_none() {
            self.raw |= TX_DONE;
        }
    }

    /// Raises the interrupts that stand for a level: they come back when cleared too early.
    fn assert_levels(&mut self) {
        let config = self.registers.get(CONF1);
        if self.received.len() >= (config & 0x1FF).max(1) as usize {
            self.raw |= RX_FULL;
        }
        if self.to_send.len() < (config >> 9 & 0x1FF) as usize {
            self.raw |= TX_EMPTY;
        }
    }

    fn write_conf0(&mut self, value: u32) {
        if value & CONF0_RX_RESET != 0 {
            self.received.clear();
        }
        if value & CONF0_TX_RESET != 0 {
            self.to_send.clear();
            self.sending = None;
        }
        if value & !self.registers.get(CONF0) & CONF0_AUTOBAUD != 0 {
            self.edges = 0;
            self.pulse = PULSE_MAX;
        }
        self.registers.set(CONF0, value);
    }

    fn status(&self) -> u32 {
        STATUS_IDLE | self.received.len() as u32 | (self.to_send.len() as u32) << 16
    }

    fn count_poll(&mut self, found: bool) {
        self.idle_polls = if found { 0 } else { self.idle_polls.saturating_add(1) };
    }
}

impl Peripheral for Uart {
    fn read(&mut self, offset: u32, now: Ticks) -> Option<u32> {
        Some(match offset {
            FIFO => self.pop_received(now).into(),
            INT_RAW => self.raw,
            INT_ST => self.raw & self.registers.get(INT_ENA),
            INT_CLR => 0,
            STATUS => {
                self.count_poll(!self.received.is_empty());
                self.status()
            }
            LOWPULSE | HIGHPULSE => self.pulse,
            RXD_CNT => {
                self.count_poll(self.edges != 0);
                self.edges
            }
            FSM_STATUS => self.sending.map_or(0, |_| FSM_SENDING),
            _ => return self.registers.read(offset),
        })
    }

    fn write(&mut self, offset: u32, value: u32, now: Ticks) -> Option<()> {
        match offset {
            FIFO => self.transmit(value as u8, now),
            INT_CLR => self.raw &= !value,
            INT_RAW | INT_ST | STATUS | LOWPULSE | HIGHPULSE | RXD_CNT | FSM_STATUS => {}
            CONF0 => self.write_conf0(value),
            // Registers take effect at once, without the copying that this bit asks for.
            ID => self.registers.set(ID, value & !ID_UPDATE),
            _ => self.registers.write(offset, value)?,
        }
        self.assert_levels();
        Some(())
    }

    /// What has reached the host and what is still on its way to the chip outlives the reset.
    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() < Scope::Digital {
            return;
        }
        self.registers.reset();
        self.received.clear();
        self.to_send.clear();
        self.sending = None;
        self.raw = TX_EMPTY;
        self.timeout_armed = false;
        self.edges = 0;
        self.pulse = PULSE_MAX;
        self.idle_polls = 0;
    }

    fn advance(&mut self, now: Ticks) {
        while let Some((byte, end)) = self.sending.filter(|&(_, end)| end <= now) {
            let (byte, _) = line::sample(byte, self.rate(), self.line.rate());
            self.output.push(byte);
            self.send_next(end);
        }
        loop {
            let due = |event: Option<Ticks>| event.filter(|&event| event <= now);
            match (due(self.next_arrival()), due(self.timeout())) {
                (Some(arrival), timeout) if timeout.is_none_or(|timeout| arrival <= timeout) => {
                    self.arrive(arrival);
                }
                (_, Some(_)) => {
                    self.timeout_armed = false;
                    self.raw |= RX_TIMEOUT;
                }
                _ => break,
            }
        }
        self.assert_levels();
    }

    fn next_event(&self) -> Option<Ticks> {
        let sent = self.sending.map(|(_, end)| end);
        [self.next_arrival(), self.timeout(), sent].into_iter().flatten().min()
    }

    fn interrupts(&self) -> u64 {
        let high = self.raw & self.registers.get(INT_ENA) != 0;
        u64::from(high) << (FIRST_SOURCE + self.number)
    }
}
