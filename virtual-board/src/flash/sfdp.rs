//! Serial flash discoverable parameters, command 5Ah.

use std::time::Duration;

use sim::flash::{Part, TypMax};

/// Size of the parameter area.
const SIZE: usize = 256;
/// Where the basic table starts.
const BASIC: u8 = 0x80;
/// Where the vendor's table starts.
const VENDOR: u8 = 0xC0;
/// JEDEC manufacturer whose parts have the basic table alone.
const WINBOND: u8 = 0xEF;

/// The parameter area of a part: header and basic flash parameter table of 16 words after JEDEC
/// JESD216B. Parts of other vendors than Winbond have a second header with the vendor's number, at
/// address 10h where ESP-IDF looks for it (`bootloader_flash.c`, XMC start-up); its table is blank.
pub(super) fn parameters(part: &Part) -> [u8; SIZE] {
    let mut area = [0xFF; SIZE];
    let vendor = part.jedec_id[0];
    let headers = if vendor == WINBOND { 1 } else { 2 };
    area[..8].copy_from_slice(&[b'S', b'F', b'D', b'P', 6, 1, headers - 1, 0xFF]);
    area[8..16].copy_from_slice(&[0, 6, 1, 16, BASIC, 0, 0, 0xFF]);
    if headers > 1 {
        area[16..24].copy_from_slice(&[vendor, 0, 1, 3, VENDOR, 0, 0, 0xFF]);
    }
    let table = area[usize::from(BASIC)..].chunks_exact_mut(4);
    for (bytes, word) in table.zip(basic_table(part)) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    area
}

/// The words of the basic table, in the order of JESD216B section 6.4.
fn basic_table(part: &Part) -> [u32; 16] {
    [
        // 4 KiB erase 20h, 3-byte addresses, reads 1-1-2, 1-2-2, 1-4-4 and 1-1-4.
        0xFFF1_20E5,
        // Density in bits - 1.
        part.capacity * 8 - 1,
        // 1-4-4 read EBh with 2 mode and 4 wait clocks; 1-1-4 read 6Bh with 8 wait clocks.
        0x6B08_EB44,
        // 1-1-2 read 3Bh with 8 wait clocks; 1-2-2 read BBh with 4 mode clocks.
        0xBB80_3B08,
        // Neither 2-2-2 nor 4-4-4 reads.
        0xFFFF_FFEE,
        0x0000_FFFF,
        0x0000_FFFF,
        // Erase types: 2^12 bytes 20h, 2^15 bytes 52h; 2^16 bytes D8h, none.
        0x520F_200C,
        0x0000_D810,
        erase_times(part),
        program_times(part),
        // Suspend within 20 us, 64 us after a resume at the earliest. While an erase is suspended,
        // its unit is closed; while a program is, nothing can be changed.
        0x3300_0180 | 19 << 13 | 1 << 18,
        0x757A_757A,
        // Busy is bit 0 of command 05h; power-down B9h, release ABh within 3 us.
        0x07 | 2 << 8 | 1 << 13 | 0xAB << 15 | 0xB9 << 23,
        // Quad enable is bit 1 of status register 2; no 0-4-4 mode.
        0xFF00_0000 | 0b101 << 20,
        // Software reset 66h, 99h; status registers are written after 06h, or 50h to be volatile.
        0x0000_1089,
    ]
}

fn erase_times(part: &Part) -> u32 {
    let times = [part.timing.sector_4k, part.timing.block_32k, part.timing.block_64k];
    let encode = |time: TypMax| {
        let (count, unit) = scale(time.typ, [1, 16, 128, 1000].map(Duration::from_millis));
        count | unit << 5
    };
    let [sector, half, block] = times.map(encode);
    let factor = times.map(factor).into_iter().fold(0, u32::max);
    factor | sector << 4 | half << 11 | block << 18
}

fn program_times(part: &Part) -> u32 {
    let page = part.timing.page_program;
    let (page_count, page_unit) = scale(page.typ, [8, 64].map(Duration::from_micros));
    let (chip_count, chip_unit) =
        scale(part.timing.chip.typ, [16, 256, 4_000, 64_000].map(Duration::from_millis));
    // Pages of 2^8 bytes; a first byte in 4 x 8 us and each further one in 3 x 1 us, as the W25Q
    // datasheets have it.
    let bytes = 8 << 4 | 3 << 14 | 1 << 18 | 2 << 19;
    let page = factor(page) | page_count << 8 | page_unit << 13;
    1 << 31 | chip_unit << 29 | chip_count << 24 | bytes | page
}

/// `(count, index of unit)` of the smallest unit in which `(count + 1) * unit` reaches `time`.
fn scale<const N: usize>(time: Duration, units: [Duration; N]) -> (u32, u32) {
    let counts = units.map(|unit| time.as_nanos().div_ceil(unit.as_nanos()).max(1) as u32 - 1);
    let index = counts.iter().position(|&count| count < 32).unwrap_or(N - 1);
    (counts[index].min(31), index as u32)
}

/// The `n` with which `2 * (n + 1) * typ` reaches the maximum, at most 15.
fn factor(time: TypMax) -> u32 {
    let factor = time.max.as_nanos().div_ceil(2 * time.typ.as_nanos().max(1)).max(1) - 1;
    factor.min(15) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(area: &[u8], index: usize) -> u32 {
        let at = usize::from(area[0x0C]) + 4 * (index - 1);
        u32::from_le_bytes(area[at..at + 4].try_into().unwrap())
    }

    /// Reads a five-bit count and the unit above it, as JESD216B has them.
    fn time(field: u32, units: [u64; 4]) -> Duration {
        Duration::from_micros((u64::from(field & 0x1F) + 1) * units[(field >> 5 & 3) as usize])
    }

    #[test]
    fn a_reader_of_the_standard_finds_the_part() {
        for part in Part::ALL {
            let area = parameters(part);
            assert_eq!(&area[..4], b"SFDP");
            assert_eq!(area[0x0B], 16, "words");
            assert_eq!(word(&area, 2) / 8 + 1, part.capacity);
            let types = [word(&area, 8), word(&area, 9)].map(u32::to_le_bytes).concat();
            assert_eq!(types, [12, 0x20, 15, 0x52, 16, 0xD8, 0, 0]);
            assert_eq!(word(&area, 11) >> 4 & 0xF, 8, "page");
        }
    }

    #[test]
    fn times_cover_those_of_the_part() {
        for part in Part::ALL {
            let area = parameters(part);
            let (erase, program) = (word(&area, 10), word(&area, 11));
            let erase_units = [1_000, 16_000, 128_000, 1_000_000];
            let chip_units = [16_000, 256_000, 4_000_000, 64_000_000];
            let erases = u64::from(erase & 0xF) + 1;
            let programs = u64::from(program & 0xF) + 1;
            let t = &part.timing;
            let told = [
                (t.sector_4k, time(erase >> 4, erase_units), erases),
                (t.block_32k, time(erase >> 11, erase_units), erases),
                (t.block_64k, time(erase >> 18, erase_units), erases),
                (t.page_program, time(program >> 8 & 0x3F, [8, 64, 0, 0]), programs),
            ];
            for (real, typ, factor) in told {
                assert!(real.typ <= typ && typ < 2 * real.typ, "{} {real:?} {typ:?}", part.name);
                assert!(real.max <= typ * 2 * factor as u32, "{} {real:?} {typ:?}", part.name);
            }
            let chip = time(program >> 24, chip_units);
            assert!(t.chip.typ <= chip && chip < 2 * t.chip.typ, "{} {chip:?}", part.name);
        }
    }

    #[test]
    fn the_vendor_is_where_the_bootloader_looks() {
        assert_eq!(parameters(&Part::XM25QH32)[0x10], 0x20);
        assert_eq!(parameters(&Part::GD25Q32)[0x10], 0xC8);
        assert_eq!(parameters(&Part::W25Q32JV)[0x10], 0xFF);
    }
}
