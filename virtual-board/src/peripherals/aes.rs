//! AES accelerator: one block at a time ("typical AES"), keys of 128 and 256 bits.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const KEY: u32 = 0x00;
const TEXT_IN: u32 = 0x20;
const TEXT_OUT: u32 = 0x30;
const MODE: u32 = 0x40;
const ENDIAN: u32 = 0x44;
const TRIGGER: u32 = 0x48;
const STATE: u32 = 0x4C;
const DMA_ENABLE: u32 = 0x90;

/// The AES block at `0x6003_A000` (ESP-IDF, `hwcrypto_reg.h`). A block of text is done as soon as
/// software asks. Bytes are in memory order, which is the only order that the ESP32-C3 documents;
/// operation by DMA does not exist.
#[derive(Clone, Debug)]
pub(crate) struct Aes {
    registers: Registers,
}

impl Aes {
    /// The block after power-on.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(&[(MODE, 0)])
            .with_array(KEY, 8, 0)
            .with_array(TEXT_IN, 4, 0)
            .with_array(TEXT_OUT, 4, 0);
        Self { registers }
    }

    /// Encrypts or decrypts the input, or returns `None` in a mode that does not exist.
    fn run(&mut self) -> Option<()> {
        let mut block = Block::from(self.bytes::<16>(TEXT_IN));
        match self.registers.get(MODE) {
            0 => Aes128::new(&self.bytes::<16>(KEY).into()).encrypt_block(&mut block),
            2 => Aes256::new(&self.bytes::<32>(KEY).into()).encrypt_block(&mut block),
            4 => Aes128::new(&self.bytes::<16>(KEY).into()).decrypt_block(&mut block),
            6 => Aes256::new(&self.bytes::<32>(KEY).into()).decrypt_block(&mut block),
            _ => return None,
        }
        for (offset, bytes) in (TEXT_OUT..).step_by(4).zip(block.as_chunks().0) {
            self.registers.set(offset, u32::from_le_bytes(*bytes));
        }
        Some(())
    }

    /// `N` bytes from `offset` on, in memory order.
    fn bytes<const N: usize>(&self, offset: u32) -> [u8; N] {
        std::array::from_fn(|index| {
            let word = self.registers.get(offset + (index as u32 & !3));
            word.to_le_bytes()[index % 4]
        })
    }
}

impl Peripheral for Aes {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            ENDIAN | TRIGGER | STATE | DMA_ENABLE => Some(0),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        match offset {
            TRIGGER => self.run(),
            ENDIAN | DMA_ENABLE => (value == 0).then_some(()),
            STATE => Some(()),
            _ => self.registers.write(offset, value),
        }
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            self.registers.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ticks = Ticks(0);

    fn crypt(mode: u32, key: &[u8], text: [u8; 16]) -> [u8; 16] {
        let mut aes = Aes::new();
        aes.write(DMA_ENABLE, 0, NOW).expect("known");
        let words = |bytes: &[u8]| -> Vec<u32> {
            bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
        };
        for (offset, word) in (KEY..).step_by(4).zip(words(key)) {
            aes.write(offset, word, NOW).expect("known");
        }
        for (offset, word) in (TEXT_IN..).step_by(4).zip(words(&text)) {
            aes.write(offset, word, NOW).expect("known");
        }
        aes.write(MODE, mode, NOW).expect("known");
        aes.write(TRIGGER, 1, NOW).expect("known");
        assert_eq!(aes.read(STATE, NOW), Some(0));
        aes.bytes(TEXT_OUT)
    }

    /// The examples of FIPS 197, appendix C.
    #[test]
    fn agrees_with_the_standard() {
        let key: [u8; 32] = std::array::from_fn(|index| index as u8);
        let text = std::array::from_fn(|index| 0x11 * index as u8);
        let short = 0x69C4_E0D8_6A7B_0430_D8CD_B780_70B4_C55A_u128.to_be_bytes();
        let long = 0x8EA2_B7CA_5167_45BF_EAFC_4990_4B49_6089_u128.to_be_bytes();
        assert_eq!(crypt(0, &key[..16], text), short);
        assert_eq!(crypt(4, &key[..16], short), text);
        assert_eq!(crypt(2, &key, text), long);
        assert_eq!(crypt(6, &key, long), text);
    }

    #[test]
    fn what_does_not_exist_is_not_answered() {
        let mut aes = Aes::new();
        assert_eq!(aes.write(DMA_ENABLE, 1, NOW), None);
        assert_eq!(aes.write(ENDIAN, 1, NOW), None);
        aes.write(MODE, 1, NOW).expect("known");
        assert_eq!(aes.write(TRIGGER, 1, NOW), None);
    }

    #[test]
    fn a_digital_reset_forgets_the_key() {
        let mut aes = Aes::new();
        aes.write(KEY, 1, NOW).expect("known");
        aes.reset(ResetCause::Software, NOW);
        assert_eq!(aes.read(KEY, NOW), Some(0));
    }
}
