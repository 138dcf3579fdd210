//! Bytes on their way to a client that may not read them.

use std::collections::VecDeque;
use std::io::{self, Write};

/// A bounded queue: when a client reads too slowly, the oldest bytes go, as they would on a wire.
#[derive(Debug)]
pub struct Outbound {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Outbound {
    /// A queue for at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit }
    }

    /// Appends; returns how many of the oldest bytes were dropped for it.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.bytes.extend(bytes);
        let dropped = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..dropped);
        dropped
    }

    /// Writes as much as a non-blocking writer takes.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write_to(&mut self, writer: &mut impl Write) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match writer.write(self.bytes.as_slices().0) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes up to `limit` bytes, the oldest first.
    pub fn take(&mut self, limit: usize) -> Vec<u8> {
        self.bytes.drain(..limit.min(self.bytes.len())).collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, two at a time, then would block.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(2).min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_oldest_bytes_go() {
        let mut queue = Outbound::new(4);
        assert_eq!(queue.push(b"abc"), 0);
        assert_eq!(queue.push(b"def"), 2);
        assert_eq!(queue.take(9), b"cdef");
        assert!(queue.is_empty());
    }

    #[test]
    fn writes_what_fits_and_keeps_the_rest() {
        let mut queue = Outbound::new(9);
        queue.push(b"abcdefg");
        let mut narrow = Narrow { taken: Vec::new(), room: 5 };
        queue.write_to(&mut narrow).unwrap();
        assert_eq!(narrow.taken, b"abcde");
        assert_eq!(queue.take(9), b"fg");
    }
}
