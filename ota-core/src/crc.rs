//! The CRC-32 of the mask ROM.

/// `crc32_le` of the mask ROM (ESP-IDF `esp_rom_crc.h`): reflected polynomial 0xEDB88320, the
/// register inverted on entry and on exit.
///
/// Because of the two inversions calls chain: `crc32_le(crc32_le(init, a), b)` covers `a` then `b`.
/// With `init` 0 this is the common CRC-32 of zlib; a select entry uses `init` 0xFFFFFFFF.
pub fn crc32_le(init: u32, data: &[u8]) -> u32 {
    // Four bits at a time: 64 bytes of table instead of 1 KiB, a quarter of the bitwise work.
    const TABLE: [u32; 16] = table();
    let mut crc = !init;
    for &byte in data {
        crc ^= u32::from(byte);
        crc = (crc >> 4) ^ TABLE[(crc & 0xF) as usize];
        crc = (crc >> 4) ^ TABLE[(crc & 0xF) as usize];
    }
    !crc
}

const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut crc = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[nibble] = crc;
        nibble += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::crc32_le;

    #[test]
    fn check_values() {
        assert_eq!(crc32_le(0, b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32_le(u32::MAX, b"123456789"), 0xD202_D277);
    }

    #[test]
    fn sequence_numbers() {
        for (seq, crc) in [
            (0u32, 0xFFFF_FFFF),
            (1, 0x4743_989A),
            (2, 0x55F6_3774),
            (3, 0xED4A_5011),
            (4, 0x709D_68A8),
            (5, 0xC821_0FCD),
            (6, 0xDA94_A023),
            (7, 0x6228_C746),
            (8, 0x3A4B_D710),
            (0xFF, 0x21FA_F90E),
            (0x100, 0xFE3D_95C8),
            (0xFFFF_FFFE, 0x99F8_B879),
        ] {
            assert_eq!(crc32_le(u32::MAX, &seq.to_le_bytes()), crc, "seq {seq:#x}");
        }
    }

    #[test]
    fn calls_chain() {
        let data = *b"the quick brown fox";
        let (a, b) = data.split_at(7);
        assert_eq!(crc32_le(crc32_le(5, a), b), crc32_le(5, &data));
    }
}
