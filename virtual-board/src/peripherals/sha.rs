//! SHA accelerator: one block at a time, SHA-1, SHA-224 and SHA-256.

use sha1::block_api::compress as compress_sha1;
use sha2::block_api::compress256;

use super::registers::Registers;
use super::{Peripheral, ResetCause, Scope};
use crate::time::Ticks;

const MODE: u32 = 0x00;
const START: u32 = 0x10;
const CONTINUE: u32 = 0x14;
const BUSY: u32 = 0x18;
const CLEAR_IRQ: u32 = 0x24;
const H: u32 = 0x40;
const H_END: u32 = 0x60;
const M: u32 = 0x80;
const M_END: u32 = 0xC0;

/// Initial states (FIPS 180-4, sections 5.3.1 to 5.3.3).
const SHA1_START: [u32; 8] =
    [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0, 0, 0, 0];
const SHA224_START: [u32; 8] = [
    0xC105_9ED8,
    0x367C_D507,
    0x3070_DD17,
    0xF70E_5939,
    0xFFC0_0B31,
    0x6858_1511,
    0x64F9_8FA7,
    0xBEFA_4FA4,
];
const SHA256_START: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

/// The SHA block at `0x6003_B000` (ESP-IDF, `hwcrypto_reg.h`). A block of the message is hashed as
/// soon as software asks; hashing by DMA does not exist.
#[derive(Clone, Debug)]
pub(crate) struct Sha {
    registers: Registers,
    /// Words of the state.
    state: [u32; 8],
    /// Words of the message as software wrote them: the first byte is the lowest.
    message: [u32; 16],
}

impl Sha {
    /// The block after power-on.
    pub(crate) fn new() -> Self {
        let registers = Registers::new(&[(MODE, 0), (0x04, 0), (0x08, 0), (0x0C, 0), (0x28, 0)])
            .with(&[(0x2C, 0)]);
        Self { registers, state: [0; 8], message: [0; 16] }
    }

    /// Hashes the message block into `state`, or returns `None` in a mode that does not exist.
    fn compress(&mut self, mode: u32) -> Option<()> {
        let mut block = [0; 64];
        for (bytes, word) in block.chunks_exact_mut(4).zip(self.message) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        match mode {
            0 => compress_sha1(self.state.first_chunk_mut()?, &[block]),
            1 | 2 => compress256(&mut self.state, &[block]),
            _ => return None,
        }
        Some(())
    }
}

impl Peripheral for Sha {
    fn read(&mut self, offset: u32, _now: Ticks) -> Option<u32> {
        match offset {
            START | CONTINUE | BUSY | CLEAR_IRQ => Some(0),
            // The words of the digest are big-endian, those of the bus little-endian.
            H..H_END => Some(self.state[(offset - H) as usize / 4].swap_bytes()),
            M..M_END => Some(self.message[(offset - M) as usize / 4]),
            _ => self.registers.read(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32, _now: Ticks) -> Option<()> {
        match offset {
            START => {
                let mode = self.registers.get(MODE);
                self.state = match mode {
                    0 => SHA1_START,
                    1 => SHA224_START,
                    _ => SHA256_START,
                };
                self.compress(mode)
            }
            CONTINUE => self.compress(self.registers.get(MODE)),
            BUSY | CLEAR_IRQ => Some(()),
            H..H_END => {
                self.state[(offset - H) as usize / 4] = value.swap_bytes();
                Some(())
            }
            M..M_END => {
                self.message[(offset - M) as usize / 4] = value;
                Some(())
            }
            _ => self.registers.write(offset, value),
        }
    }

    fn reset(&mut self, cause: ResetCause, _now: Ticks) {
        if cause.scope() >= Scope::Digital {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    const NOW: Ticks = Ticks(0);

    /// Hashes as the ROM does: it pads, and it writes the state back before each further block.
    fn hash(sha: &mut Sha, mode: u32, message: &[u8]) -> Vec<u8> {
        let mut padded = message.to_vec();
        padded.push(0x80);
        padded.resize(padded.len().next_multiple_of(64), 0);
        if padded.len() - message.len() < 9 {
            padded.resize(padded.len() + 64, 0);
        }
        let length = padded.len() - 8;
        padded[length..].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());

        let mut state = [0; 8];
        for (index, block) in padded.chunks(64).enumerate() {
            sha.write(MODE, mode, NOW).expect("known");
            for (word, bytes) in block.chunks(4).enumerate() {
                let value = u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
                sha.write(M + 4 * word as u32, value, NOW).expect("known");
            }
            assert_eq!(sha.read(BUSY, NOW), Some(0));
            for (word, &value) in state.iter().enumerate() {
                sha.write(H + 4 * word as u32, value, NOW).expect("known");
            }
            sha.write(if index == 0 { START } else { CONTINUE }, 1, NOW).expect("known");
            state = std::array::from_fn(|word| sha.read(H + 4 * word as u32, NOW).expect("known"));
        }
        state.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn digests_agree_with_software() {
        let message: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut sha = Sha::new();
        for length in [0, 3, 55, 56, 63, 64, 65, 1000] {
            let message = &message[..length];
            assert_eq!(hash(&mut sha, 0, message)[..20], sha1::Sha1::digest(message)[..]);
            assert_eq!(hash(&mut sha, 1, message)[..28], sha2::Sha224::digest(message)[..]);
            assert_eq!(hash(&mut sha, 2, message)[..], sha2::Sha256::digest(message)[..]);
        }
    }

    #[test]
    fn what_does_not_exist_is_not_answered() {
        let mut sha = Sha::new();
        assert_eq!(sha.write(0x1C, 1, NOW), None);
        assert_eq!(sha.write(0x20, 1, NOW), None);
        sha.write(MODE, 3, NOW).expect("known");
        assert_eq!(sha.write(START, 1, NOW), None);
    }

    #[test]
    fn a_digital_reset_forgets_the_state() {
        let mut sha = Sha::new();
        hash(&mut sha, 2, b"message");
        sha.reset(ResetCause::SoftwareCpu, NOW);
        assert_ne!(sha.read(H, NOW), Some(0));
        sha.reset(ResetCause::Software, NOW);
        assert_eq!(sha.read(H, NOW), Some(0));
    }
}
