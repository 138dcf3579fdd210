//! Console framing: SMP packets as lines of text, between log lines.
//!
//! A packet travels as its length, its bytes and a CRC-16/XMODEM over them, all base64, in lines of at
//! most 127 bytes. The first line starts with the bytes 6 and 9, each further one with 4 and 20. Neither
//! pair occurs in text or base64, so that log lines and frames can share a UART.
//!
//! Source: Zephyr "SMP Transport Specification", UART/serial and console;
//! `include/zephyr/mgmt/mcumgr/transport/serial.h`.

use base64ct::{Base64, Encoding};
use crc::{CRC_16_XMODEM, Crc, NoTable};

use crate::header::HEADER_LEN;

/// Without a table, which would be half a kilobyte: the flash is slower than the CRC either way.
const CRC: Crc<u16, NoTable> = Crc::<u16, NoTable>::new(&CRC_16_XMODEM);

/// Bytes that start the first line of a packet.
const START: [u8; 2] = [6, 9];
/// Bytes that start each further line.
const CONTINUE: [u8; 2] = [4, 20];
/// Longest line, markers and newline included (`MCUMGR_SERIAL_MAX_FRAME` less the NUL).
const LINE: usize = 127;
/// Base64 characters in a line, a multiple of 4.
const TEXT: usize = LINE - START.len() - 1;
/// Bytes that they stand for.
const DATA: usize = TEXT / 4 * 3;
/// Length of the CRC behind a packet, which the length field counts.
const CRC_LEN: usize = 2;

/// Where in the console's text the receiver is.
#[derive(Clone, Copy, Debug, Hash)]
enum Place {
    /// In text that is not for it.
    Outside,
    /// Behind the first byte of a marker.
    Marker(u8),
    /// In a line that is a frame, and whether it is the first of a packet.
    Frame { first: bool },
}

/// Finds the packets in console input. Everything else in it is ignored.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Receiver<const N: usize> {
    place: Place,
    line: [u8; TEXT + 1],
    line_len: usize,
    packet: [u8; N],
    crc: [u8; CRC_LEN],
    /// Length of the packet without its CRC; `None` while no packet is being received.
    expected: Option<usize>,
    /// Bytes of it, and of its CRC, that have arrived.
    received: usize,
}

impl<const N: usize> Receiver<N> {
    pub(crate) const fn new() -> Self {
        Self {
            place: Place::Outside,
            line: [0; TEXT + 1],
            line_len: 0,
            packet: [0; N],
            crc: [0; CRC_LEN],
            expected: None,
            received: 0,
        }
    }

    /// Takes one byte of input; gives a packet when that completed one.
    pub(crate) fn push(&mut self, byte: u8) -> Option<&[u8]> {
        self.place = match (self.place, byte) {
            (Place::Marker(6), 9) => self.open(true),
            (Place::Marker(4), 20) => self.open(false),
            (_, 6 | 4) => Place::Marker(byte),
            (Place::Frame { first }, b'\n') => {
                self.place = Place::Outside;
                return self.close(first);
            }
            (Place::Frame { first }, _) => match self.line.get_mut(self.line_len) {
                Some(place) => {
                    *place = byte;
                    self.line_len += 1;
                    Place::Frame { first }
                }
                None => {
                    self.expected = None;
                    Place::Outside
                }
            },
            (Place::Outside | Place::Marker(_), _) => Place::Outside,
        };
        None
    }

    fn open(&mut self, first: bool) -> Place {
        self.line_len = 0;
        Place::Frame { first }
    }

    /// Takes a whole line.
    fn close(&mut self, first: bool) -> Option<&[u8]> {
        let line = self.line.get(..self.line_len)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut data = [0; DATA];
        let mut data = Base64::decode(line, &mut data).ok()?;
        if first {
            self.received = 0;
            self.expected = None;
            let (&len, rest) = data.split_first_chunk()?;
            let len = usize::from(u16::from_be_bytes(len)).checked_sub(CRC_LEN)?;
            self.expected = (HEADER_LEN..=N).contains(&len).then_some(len);
            data = rest;
        }
        let expected = self.expected?;
        let total = expected + CRC_LEN;
        if data.is_empty() || data.len() > total - self.received {
            // Not base64, or more than was announced.
            self.expected = None;
            return None;
        }
        for &byte in data {
            let place = match self.received.checked_sub(expected) {
                None => self.packet.get_mut(self.received),
                Some(at) => self.crc.get_mut(at),
            };
            *place? = byte;
            self.received += 1;
        }
        if self.received < total {
            return None;
        }
        self.expected = None;
        let packet = self.packet.get(..expected)?;
        (CRC.checksum(packet).to_be_bytes() == self.crc).then_some(packet)
    }
}

/// Sends a packet of at most 65533 bytes, a line at a time.
pub(crate) fn send(packet: &[u8], mut line_out: impl FnMut(&[u8])) {
    let Ok(len) = u16::try_from(packet.len() + CRC_LEN) else { return };
    let (len, crc) = (len.to_be_bytes(), CRC.checksum(packet).to_be_bytes());
    let mut bytes = len.iter().chain(packet).chain(&crc);
    let mut marker = START;
    loop {
        let mut data = [0; DATA];
        let mut filled = 0;
        for (place, &byte) in data.iter_mut().zip(bytes.by_ref().take(DATA)) {
            *place = byte;
            filled += 1;
        }
        if filled == 0 {
            return;
        }
        let mut line = [0; LINE];
        let [m0, m1, text @ ..] = &mut line;
        [*m0, *m1] = marker;
        let data = data.get(..filled).unwrap_or_default();
        let Ok(encoded) = Base64::encode(data, text) else { return };
        let text_len = encoded.len();
        if let Some(end) = text.get_mut(text_len) {
            *end = b'\n';
        }
        line_out(line.get(..START.len() + text_len + 1).unwrap_or_default());
        marker = CONTINUE;
    }
}

#[cfg(test)]
mod tests;
