//! The 8 bytes before the data of an SMP packet.
//!
//! Source: Zephyr "SMP Protocol Specification", `include/zephyr/mgmt/mcumgr/mgmt/mgmt_defines.h`.

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// What a packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Read,
    Write,
}

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Errors have one code for all groups.
    V1,
    /// Errors have codes of their group.
    V2,
    /// Not defined; the two bits as they came.
    Unknown(u8),
}

/// The header of a request. The response has the same but for the operation and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) op: Op,
    pub(crate) version: Version,
    pub(crate) len: u16,
    pub(crate) group: u16,
    pub(crate) sequence: u8,
    pub(crate) command: u8,
}

impl Header {
    /// Reads the header of a request; `None` for anything but a request.
    pub(crate) fn parse(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let [kind, _flags, l0, l1, g0, g1, sequence, command] = bytes;
        let op = match kind & 0b111 {
            0 => Op::Read,
            2 => Op::Write,
            _ => return None,
        };
        let version = match kind >> 3 & 0b11 {
            0 => Version::V1,
            1 => Version::V2,
            bits => Version::Unknown(bits),
        };
        let (len, group) = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([g0, g1]));
        Some(Self { op, version, len, group, sequence, command })
    }

    /// The header of the response to this request, with `len` bytes of data.
    pub(crate) fn response(&self, len: u16) -> [u8; HEADER_LEN] {
        let op = match self.op {
            Op::Read => 1,
            Op::Write => 3,
        };
        let version = match self.version {
            Version::V1 => 0,
            Version::V2 => 1,
            Version::Unknown(bits) => bits,
        };
        let ([l0, l1], [g0, g1]) = (len.to_be_bytes(), self.group.to_be_bytes());
        [version << 3 | op, 0, l0, l1, g0, g1, self.sequence, self.command]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_both_versions_parse() {
        // The header of an image upload by the Python package `smp` 4.2, and an echo in version 1.
        let upload = Header::parse([0x0A, 0, 0, 0x74, 0, 1, 0x9A, 1]).unwrap();
        let expected = Header {
            op: Op::Write,
            version: Version::V2,
            len: 0x74,
            group: 1,
            sequence: 0x9A,
            command: 1,
        };
        assert_eq!(upload, expected);
        assert_eq!(upload.response(5), [0x0B, 0, 0, 5, 0, 1, 0x9A, 1]);
        let echo = Header::parse([0x00, 0, 0, 4, 0, 0, 7, 0]).unwrap();
        assert_eq!((echo.op, echo.version), (Op::Read, Version::V1));
        assert_eq!(echo.response(0x102), [0x01, 0, 1, 2, 0, 0, 7, 0]);
    }

    #[test]
    fn responses_are_not_requests() {
        for op in [1, 3, 4, 5, 6, 7] {
            assert_eq!(Header::parse([op, 0, 0, 0, 0, 0, 0, 0]), None);
        }
    }
}
