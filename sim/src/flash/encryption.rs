//! Flash encryption as the ESP32-C3 does it: XTS-AES-128 between the chip's bus and its flash.
//!
//! Flash holds ciphertext in blocks of 16 bytes, each of which depends on its address and on its own
//! plaintext alone. So a block of which a single bit is torn reads as 16 bytes of noise, an erased sector
//! reads as noise, and a block cannot be programmed twice: the bits that both ciphertexts have in common are
//! a third one.
//!
//! The data unit of XTS has 128 bytes; its tweak is the address of the unit, little-endian, and the bytes of
//! the unit go through the cipher in reverse order. Source: `espsecure.py encrypt_flash_data --aes_xts` of
//! esptool, ESP32-C3 Technical Reference Manual, chapter "External Memory Encryption and Decryption".

use std::{fmt, ops::Range};

use aes::{
    Aes128,
    cipher::{Array, KeyInit},
};
use xts_mode::Xts128;

/// Bytes of the data unit.
const UNIT: usize = 128;

/// A chip's key, and which part of its flash it is for.
pub struct Encryption {
    cipher: Xts128<Aes128>,
    ranges: Vec<Range<u32>>,
}

impl Encryption {
    /// Bytes of a block: encrypted flash is programmed in whole ones, at multiples of this.
    pub const BLOCK_SIZE: usize = 16;
    /// Most bytes that the ESP32-C3 encrypts and programs in one command; more than a block only at a
    /// multiple of this. Source: ESP-IDF `SOC_FLASH_ENCRYPTED_XTS_AES_BLOCK_MAX`,
    /// `esp_flash_write_encrypted`; the ROM routine that the bootloader calls writes such rows too.
    pub const ROW_SIZE: usize = 32;
    /// The key of simulated devices. Nothing depends on which it is.
    pub const KEY: [u8; 32] = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E,
        0x0F, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D,
        0x1E, 0x1F,
    ];

    /// `key` as it stands in a key file of espsecure: of the data, then of the tweak. `ranges` are the
    /// partitions that are encrypted, made of whole sectors.
    #[must_use]
    pub fn new(key: &[u8; 32], ranges: Vec<Range<u32>>) -> Self {
        let (data, tweak) = key.split_at(16);
        let [data, tweak] = [data, tweak].map(|half| {
            let half: [u8; 16] = std::array::from_fn(|i| half[i]);
            Aes128::new(&half.into())
        });
        Self { cipher: Xts128::new(data, tweak), ranges }
    }

    /// Whether an address lies in a partition that is encrypted.
    #[must_use]
    pub fn covers(&self, address: u32) -> bool {
        self.ranges.iter().any(|range| range.contains(&address))
    }

    /// Turns plaintext for `address` into ciphertext. Both address and length are multiples of
    /// [`BLOCK_SIZE`](Self::BLOCK_SIZE); what is left over at the end stays as it is.
    pub fn encrypt(&self, address: u32, bytes: &mut [u8]) {
        each_unit(address, bytes, |tweak, unit| self.cipher.encrypt_sector(unit, tweak));
    }

    /// Turns ciphertext at `address` into plaintext; see [`encrypt`](Self::encrypt).
    pub fn decrypt(&self, address: u32, bytes: &mut [u8]) {
        each_unit(address, bytes, |tweak, unit| self.cipher.decrypt_sector(unit, tweak));
    }
}

/// Passes the units that `bytes` lie in to a cipher. No block depends on its neighbours, so those that are
/// not among `bytes` are taken for zeros.
fn each_unit(
    address: u32,
    bytes: &mut [u8],
    cipher: impl Fn(Array<u8, aes::cipher::consts::U16>, &mut [u8]),
) {
    let whole = bytes.len() / Encryption::BLOCK_SIZE * Encryption::BLOCK_SIZE;
    let mut rest = &mut bytes[..whole];
    let mut at = address;
    while !rest.is_empty() {
        let start = at as usize % UNIT;
        let (part, tail) = rest.split_at_mut(rest.len().min(UNIT - start));
        let mut unit = [0; UNIT];
        unit[start..start + part.len()].copy_from_slice(part);
        unit.reverse();
        let mut tweak = [0; 16];
        tweak[..4].copy_from_slice(&(at - start as u32).to_le_bytes());
        cipher(tweak.into(), &mut unit);
        unit.reverse();
        part.copy_from_slice(&unit[start..start + part.len()]);
        at += part.len() as u32;
        rest = tail;
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").field("ranges", &self.ranges).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "encryption_tests.rs"]
mod tests;
