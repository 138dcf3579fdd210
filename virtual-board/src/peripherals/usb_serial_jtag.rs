//! USB-Serial-JTAG: the serial port over USB. The JTAG side does not exist.

use std::collections::VecDeque;

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const EP1: u32 = 0x00;
const EP1_CONF: u32 = 0x04;
const INT_RAW: u32 = 0x08;
const INT_ST: u32 = 0x0C;
const INT_ENA: u32 = 0x10;
const INT_CLR: u32 = 0x14;
const FRAME_NUMBER: u32 = 0x24;

const FLUSH: u32 = 1 << 0;
const IN_HAS_ROOM: u32 = 1 << 1;
const OUT_HAS_DATA: u32 = 1 << 2;

const START_OF_FRAME: u32 = 1 << 1;
const OUT_PACKET: u32 = 1 << 2;
const IN_EMPTY: u32 = 1 << 3;

const SOURCE: u32 = 26;

/// Bytes of a packet, in either direction.
const PACKET_BYTES: usize = 64;
/// A full-speed bus starts a frame every millisecond.
const FRAME_TICKS: u64 = Ticks::PER_SECOND / 1000;
/// A busy host sends about 10 packets in a frame, about half of what fits.
const PACKET_TICKS: u64 = FRAME_TICKS / 10;

/// The block at `0x6004_3000` (ESP-IDF, `usb_serial_jtag_reg.h`; ESP32-C3 Technical Reference Manual,
/// chapter "USB Serial/JTAG Controller").
///
/// Software can always write. What it writes while no host is attached is lost.
#[derive(Clone, Debug)]
pub(crate) struct UsbSerialJtag {
    registers: Registers,
    attached: bool,
    /// Bytes that the host has yet to send.
    waiting: VecDeque<u8>,
    /// When the host sends its next packet, if the last one has been read.
    next_packet: Ticks,
    received: VecDeque<u8>,
    to_send: Vec<u8>,
    output: Vec<u8>,
    raw: u32,
    /// The frame that has started last, since the board was made.
    frame: u64,
}

impl UsbSerialJtag {
    /// A port with no host attached.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(&[(INT_ENA, 0), (0x18, 0x4200), (0x1C, 0), (0x20, 0x44)])
            .with_array(0x28, 4, 1)
            .with_array(0x38, 4, 0)
            .with(&[(0x48, 2), (0x80, 0)]);
        Self {
            registers,
            attached: false,
            waiting: VecDeque::new(),
            next_packet: Ticks::default(),
            received: VecDeque::new(),
            to_send: Vec::new(),
            output: Vec::new(),
            raw: IN_EMPTY,
            frame: 0,
        }
    }

    /// Attaches or detaches the host. Software that finds one (by its frames) may prefer this port to
    /// a UART for its console.
    pub(crate) fn set_attached(&mut self, attached: bool, now: Ticks) {
        self.attached = attached;
        self.frame = now.0 / FRAME_TICKS;
    }

    /// Sends bytes from the host. They arrive in packets, as software reads them.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Ticks) {
        if self.waiting.is_empty() {
            self.next_packet = self.next_packet.max(now);
        }
        self.waiting.extend(bytes);
    }

    /// Takes what has reached the host since the last call.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    fn send_packet(&mut self) {
        if self.attached {
            self.output.append(&mut self.to_send);
        }
        self.to_send.clear();
        self.raw |= IN_EMPTY;
    }

    /// When the host's next packet arrives: not before the last one has been read.
    fn packet(&self) -> Option<Ticks> {
        (!self.waiting.is_empty() && self.received.is_empty()).then_some(self.next_packet)
    }
}

impl Peripheral for UsbSerialJtag {
    fn read(&mut self, offset: u32, now: Ticks) -> Option<u32> {
        Some(match offset {
            EP1 => {
                let byte = self.received.pop_front().unwrap_or(0);
                if self.received.is_empty() {
                    self.next_packet = self.next_packet.max(now);
                }
                byte.into()
            }
            EP1_CONF if self.received.is_empty() => IN_HAS_ROOM,
            EP1_CONF => IN_HAS_ROOM | OUT_HAS_DATA,
            INT_RAW => self.raw,
            INT_ST => self.raw & self.registers.get(INT_ENA),
            INT_CLR => 0,
            FRAME_NUMBER if self.attached => self.frame as u32 & 0x7FF,
            FRAME_NUMBER => 0,
            _ => return self.registers.read(offset),
        })
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        match offset {
            EP1 => {
                self.to_send.push(value as u8);
                if self.to_send.len() == PACKET_BYTES {
                    self.send_packet();
                }
            }
            EP1_CONF if value & FLUSH != 0 => self.send_packet(),
            INT_CLR => self.raw &= !value,
            EP1_CONF | INT_RAW | INT_ST | FRAME_NUMBER => {}
            _ => return self.registers.write(offset, value),
        }
        Some(())
    }

    /// What has reached the host and what it has yet to send outlives the reset.
    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() < Scope::Digital {
            return;
        }
        self.registers.reset();
        self.received.clear();
        self.to_send.clear();
        self.raw = IN_EMPTY;
    }

    fn advance(&mut self, now: Ticks) {
        if self.packet().is_some_and(|packet| packet <= now) {
            let length = self.waiting.len().min(PACKET_BYTES);
            self.received.extend(self.waiting.drain(..length));
            self.next_packet = now + PACKET_TICKS;
            self.raw |= OUT_PACKET;
        }
        let frame = now.0 / FRAME_TICKS;
        if self.attached && frame != self.frame {
            self.frame = frame;
            self.raw |= START_OF_FRAME;
        }
    }

    fn next_event(&self) -> Option<Ticks> {
        // Frames that nobody waits for are counted when software looks.
        let frames = self.attached && self.registers.get(INT_ENA) & START_OF_FRAME != 0;
        let frame = frames.then(|| Ticks((self.frame + 1) * FRAME_TICKS));
        self.packet().into_iter().chain(frame).min()
    }

    fn interrupts(&self) -> u64 {
        let high = self.raw & self.registers.get(INT_ENA) != 0;
        u64::from(high) << SOURCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);

    fn print(usb: &mut UsbSerialJtag, text: &[u8]) {
        for &byte in text {
            assert_ne!(usb.read(EP1_CONF, NOW).expect("known") & IN_HAS_ROOM, 0);
            usb.write(EP1, byte.into(), NOW).expect("known");
        }
        usb.write(EP1_CONF, FLUSH, NOW).expect("known");
    }

    fn drain(usb: &mut UsbSerialJtag, now: Ticks) -> Vec<u8> {
        let mut bytes = Vec::new();
        while usb.read(EP1_CONF, now).expect("known") & OUT_HAS_DATA != 0 {
            bytes.push(usb.read(EP1, now).expect("known") as u8);
        }
        bytes
    }

    #[test]
    fn software_can_print_with_and_without_a_host() {
        let mut usb = UsbSerialJtag::new();
        print(&mut usb, &[1; 100]);
        assert_eq!(usb.take_output(), b"");
        usb.set_attached(true, NOW);
        print(&mut usb, b"hello");
        assert_eq!(usb.take_output(), b"hello");
    }

    #[test]
    fn packets_leave_when_flushed_or_full() {
        let mut usb = UsbSerialJtag::new();
        usb.set_attached(true, NOW);
        usb.write(INT_CLR, IN_EMPTY, NOW).expect("known");
        for byte in 0..70 {
            usb.write(EP1, byte, NOW).expect("known");
        }
        assert_eq!(usb.take_output(), (0..64).collect::<Vec<_>>());
        assert_eq!(usb.read(INT_RAW, NOW), Some(IN_EMPTY));
        usb.write(INT_CLR, IN_EMPTY, NOW).expect("known");
        usb.write(EP1_CONF, FLUSH, NOW).expect("known");
        assert_eq!(usb.take_output(), (64..70).collect::<Vec<_>>());
        assert_eq!(usb.read(INT_RAW, NOW), Some(IN_EMPTY));
    }

    #[test]
    fn packets_arrive_one_at_a_time() {
        let mut usb = UsbSerialJtag::new();
        usb.write(INT_ENA, OUT_PACKET, NOW).expect("known");
        let bytes: Vec<u8> = (0..100).collect();
        usb.receive(&bytes, NOW);
        assert_eq!(usb.interrupts(), 0);
        let first = usb.next_event().expect("a packet");
        usb.advance(first);
        assert_eq!((usb.interrupts(), usb.next_event()), (1 << SOURCE, None));
        assert_eq!(drain(&mut usb, first), bytes[..64]);
        usb.write(INT_CLR, OUT_PACKET, first).expect("known");
        usb.advance(first);
        assert_eq!((usb.interrupts(), drain(&mut usb, first)), (0, vec![]));

        let second = usb.next_event().expect("another packet");
        assert_eq!(second, first + PACKET_TICKS);
        usb.advance(second);
        assert_eq!(usb.read(INT_ST, second), Some(OUT_PACKET));
        assert_eq!(drain(&mut usb, second), bytes[64..]);
        assert_eq!(usb.next_event(), None);
    }

    #[test]
    fn frames_start_only_with_a_host() {
        let mut usb = UsbSerialJtag::new();
        let later = Ticks(10 * FRAME_TICKS);
        usb.advance(later);
        assert_eq!(usb.read(INT_RAW, later), Some(IN_EMPTY));

        usb.set_attached(true, later);
        usb.advance(later + FRAME_TICKS / 2);
        assert_eq!(usb.read(INT_RAW, later), Some(IN_EMPTY));
        assert_eq!(usb.next_event(), None);
        usb.write(INT_ENA, START_OF_FRAME, later).expect("known");
        let frame = usb.next_event().expect("a frame");
        assert_eq!(frame, Ticks(11 * FRAME_TICKS));
        usb.advance(frame);
        assert_eq!(usb.interrupts(), 1 << SOURCE);
        assert_eq!(usb.read(FRAME_NUMBER, frame), Some(11));
        usb.write(INT_CLR, START_OF_FRAME, frame).expect("known");
        assert_eq!(usb.interrupts(), 0);
        assert_eq!(usb.next_event(), Some(Ticks(12 * FRAME_TICKS)));
    }

    #[test]
    fn a_reset_spares_what_is_outside_the_chip() {
        let mut usb = UsbSerialJtag::new();
        usb.set_attached(true, NOW);
        print(&mut usb, b"out");
        usb.write(EP1, 1, NOW).expect("known");
        usb.receive(&[2; 65], NOW);
        usb.advance(NOW);
        usb.reset(ResetCause::SoftwareCpu, NOW);
        assert_eq!(usb.read(EP1_CONF, NOW), Some(IN_HAS_ROOM | OUT_HAS_DATA));
        usb.reset(ResetCause::UsbUart, NOW);
        assert_eq!(usb.read(EP1_CONF, NOW), Some(IN_HAS_ROOM));
        assert_eq!(usb.take_output(), b"out");
        usb.advance(Ticks(PACKET_TICKS));
        assert_eq!(drain(&mut usb, Ticks(PACKET_TICKS)), [2]);
    }
}
