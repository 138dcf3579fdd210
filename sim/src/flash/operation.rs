//! Flash operations: the commands that change cells.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// The unit of an erase command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EraseSize {
    /// 4 KiB sector, command 20h.
    Sector4K,
    /// 32 KiB block, command 52h.
    Block32K,
    /// 64 KiB block, command D8h.
    Block64K,
    /// The whole chip, command C7h.
    Chip,
}

impl EraseSize {
    /// Size of the unit in bytes on a chip of `capacity` bytes.
    #[must_use]
    pub fn bytes(self, capacity: u32) -> u32 {
        match self {
            Self::Sector4K => 4 * 1024,
            Self::Block32K => 32 * 1024,
            Self::Block64K => 64 * 1024,
            Self::Chip => capacity,
        }
    }
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OperationKind {
    /// Page program, command 02h: clears bits so that cells become `old & data`. The bytes stay
    /// within one 256-byte page.
    Program {
        /// The bytes, from the operation's offset on.
        data: Arc<[u8]>,
    },
    /// Erase of the unit that contains the offset: all its bits become 1.
    Erase(EraseSize),
}

/// One flash operation: a kind and where it applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// What is done.
    pub kind: OperationKind,
    /// First byte address, from the start of the chip. For an erase, the start of the unit.
    pub offset: u32,
}

impl Operation {
    /// A page program of `data` at `offset`.
    #[must_use]
    pub fn program(offset: u32, data: impl Into<Arc<[u8]>>) -> Self {
        Self { kind: OperationKind::Program { data: data.into() }, offset }
    }

    /// An erase of the unit that starts at `offset`.
    #[must_use]
    pub fn erase(offset: u32, size: EraseSize) -> Self {
        Self { kind: OperationKind::Erase(size), offset }
    }

    /// The bytes that the operation may change on a chip of `capacity` bytes, if it is healthy.
    #[must_use]
    pub fn range(&self, capacity: u32) -> Range<u32> {
        let length = match &self.kind {
            OperationKind::Program { data } => data.len() as u32,
            OperationKind::Erase(size) => size.bytes(capacity),
        };
        self.offset..self.offset.saturating_add(length)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match &self.kind {
            OperationKind::Program { data } => write!(f, "program {offset:#010x} +{}", data.len()),
            OperationKind::Erase(EraseSize::Sector4K) => write!(f, "erase 4K {offset:#010x}"),
            OperationKind::Erase(EraseSize::Block32K) => write!(f, "erase 32K {offset:#010x}"),
            OperationKind::Erase(EraseSize::Block64K) => write!(f, "erase 64K {offset:#010x}"),
            OperationKind::Erase(EraseSize::Chip) => write!(f, "erase chip"),
        }
    }
}

/// One line of the operation log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Number of the operation since the chip was made, from 0.
    pub sequence: u64,
    /// Simulated time at which it started, since the chip was made.
    pub started: Duration,
    /// How long the chip takes for it.
    pub duration: Duration,
    /// The operation.
    pub operation: Operation,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.started.as_secs_f64() * 1e3;
        write!(f, "#{} {millis:.3} ms {}", self.sequence, self.operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_read_like_a_log() {
        let program = Operation::program(0xD000, vec![0; 32]);
        assert_eq!(program.to_string(), "program 0x0000d000 +32");
        let erase = Operation::erase(0x10000, EraseSize::Block64K);
        assert_eq!(erase.to_string(), "erase 64K 0x00010000");
        let entry = LogEntry {
            sequence: 7,
            started: Duration::from_micros(1500),
            duration: Duration::ZERO,
            operation: erase,
        };
        assert_eq!(entry.to_string(), "#7 1.500 ms erase 64K 0x00010000");
    }

    #[test]
    fn ranges_cover_the_unit() {
        assert_eq!(Operation::program(3, vec![0; 5]).range(8192), 3..8);
        assert_eq!(Operation::erase(0, EraseSize::Chip).range(8192), 0..8192);
        assert_eq!(Operation::erase(4096, EraseSize::Sector4K).range(8192), 4096..8192);
    }
}
