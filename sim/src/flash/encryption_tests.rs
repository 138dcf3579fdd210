use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::*;
use crate::flash::{Chip, Driver, FlashError, Memory, Part};

const CAPACITY: u32 = 256 * 1024;

fn encryption() -> Encryption {
    Encryption::new(&Encryption::KEY, vec![0x1000..0x20000, 0x30000..0x40000])
}

fn chip() -> Chip {
    let part = Part::W25Q32JV.with_capacity(CAPACITY);
    Chip::new(part).with_driver(Driver::ESP_IDF_APP).with_encryption(encryption().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Made with `espsecure.py encrypt_flash_data --aes_xts` of esptool 5.6.0 and a key file that holds
/// [`Encryption::KEY`], from the bytes 3, 10, 17 and so on; the second one crosses a data unit.
const VECTORS: [(u32, &str); 2] = [
    (
        0xD000,
        "775123f4a0196d0b5febdd078d54df93044ddbb2aa985d1a1808b343241bc0a4\
         4f09d8a242ba3cf3693dba7b780895e01c10f814a8d013367e8816ae0840261e",
    ),
    (
        0x10FE0,
        "51a181f076f495d4402798db5b509aa2d3c881790bf24579490291a6e21020c2\
         a64d73f1a99dce6aec40a9b8d56c05eeea46b91062d9daebc9c44bae23c0fe87",
    ),
];

fn plain() -> [u8; 64] {
    std::array::from_fn(|i| (i * 7 + 3) as u8)
}

#[test]
fn ciphertext_is_that_of_espsecure() {
    for (address, expected) in VECTORS {
        let mut bytes = plain();
        encryption().encrypt(address, &mut bytes);
        assert_eq!(hex(&bytes), expected, "{address:#x}");
        encryption().decrypt(address, &mut bytes);
        assert_eq!(bytes, plain());
        // Each block on its own.
        for (at, index) in (address..).step_by(16).zip(0..4) {
            let mut block: [u8; 16] = std::array::from_fn(|i| plain()[16 * index + i]);
            encryption().encrypt(at, &mut block);
            assert_eq!(hex(&block), expected[32 * index..32 * (index + 1)]);
        }
    }
}

#[test]
fn a_driver_sees_plaintext_where_flash_holds_ciphertext() {
    let mut chip = chip();
    chip.erase(0x10000, 0x12000).unwrap();
    chip.write(0x10FE0, &plain()).unwrap();
    assert_eq!(hex(&chip.memory().to_vec(0x10FE0..0x11020)), VECTORS[1].1);
    for (offset, length) in [(0, 64), (0, 1), (5, 30), (31, 2), (63, 1), (16, 16)] {
        let mut bytes = vec![0; length];
        chip.read(0x10FE0 + offset as u32, &mut bytes).unwrap();
        assert_eq!(bytes, plain()[offset..offset + length], "{offset} {length}");
    }
    // Outside of the encrypted partitions, nothing is encrypted.
    chip.write(0x20004, &plain()[..4]).unwrap();
    assert_eq!(chip.memory().to_vec(0x20004..0x20008), plain()[..4]);
}

#[test]
fn writes_are_split_as_the_esp32_c3_does() {
    let mut chip = chip();
    chip.log();
    chip.write(0x1010, &[0; 96]).unwrap();
    let rows = chip.take_log().into_iter().map(|entry| entry.operation.to_string());
    let rows: Vec<_> = rows.collect();
    assert_eq!(
        rows,
        [
            "program 0x00001010 +16",
            "program 0x00001020 +32",
            "program 0x00001040 +32",
            "program 0x00001060 +16",
        ]
    );
    for (offset, length) in [(0x1004, 16), (0x1000, 4), (0x1000, 36)] {
        assert_eq!(chip.write(offset, &vec![0; length]), Err(FlashError::NotAligned));
    }
}

#[test]
fn erased_and_torn_blocks_are_noise() {
    let mut chip = chip();
    let mut erased = [0; 32];
    chip.read(0x2000, &mut erased).unwrap();
    assert!(erased.iter().filter(|&&byte| byte == 0xFF).count() < 4, "{erased:?}");
    chip.write(0x2000, &plain()[..32]).unwrap();
    let mut memory: Memory = chip.memory().clone();
    // One bit of the second block.
    let byte = memory.to_vec(0x2017..0x2018)[0];
    memory.set(0x2017, &[byte ^ 8]);
    let mut torn = [0; 32];
    memory.read(0x2000, &mut torn);
    encryption().decrypt(0x2000, &mut torn);
    assert_eq!(torn[..16], plain()[..16]);
    let kept = torn[16..].iter().zip(&plain()[16..]).filter(|(torn, plain)| torn == plain).count();
    assert!(kept < 4, "{torn:?}");
}

#[test]
fn a_block_cannot_be_programmed_twice() {
    let mut chip = chip();
    let first = [0xFF; 16];
    let mut second = first;
    second[15] = 0xFE;
    chip.write(0x3000, &first).unwrap();
    chip.write(0x3000, &second).unwrap();
    let mut found = [0; 16];
    chip.read(0x3000, &mut found).unwrap();
    assert!(found != first && found != second);
}
