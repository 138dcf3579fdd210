//! Secure Boot V2 signature blocks.
//!
//! They are recognised so that their space is respected. Verifying signatures is out of scope:
//! that is up to the bootloader of a device with secure boot.
//!
//! Layout from ESP-IDF `esp_secure_boot.h` (`ets_secure_boot_signature_t`) and `espsecure.py`.

use embedded_storage::nor_flash::ReadNorFlash;

use super::ImageError;
use crate::crc::crc32_le;
use crate::partition::Region;
use crate::read::{read_array, read_unaligned};

/// Length of the sector that holds the signature blocks.
pub const SIGNATURE_SECTOR_LEN: u32 = 0x1000;

/// Length of a signature block.
const BLOCK_LEN: u32 = 1216;

/// Most blocks in a sector.
const MAX_BLOCKS: u8 = 3;

/// Bytes before the CRC of a block, which covers them.
const CRC_OFFSET: u32 = 1196;

/// First byte of a block.
const MAGIC: u8 = 0xE7;

/// Offset of the signature sector from the start of an image of `image_len` bytes: the next
/// multiple of a sector, or `None` if that exceeds `u32`. (Images to be signed are padded so that
/// they end on a multiple of 64 KiB.)
pub fn signature_offset(image_len: u32) -> Option<u32> {
    image_len.checked_next_multiple_of(SIGNATURE_SECTOR_LEN)
}

/// Counts the intact Secure Boot V2 signature blocks, 0 to 3, behind the image of `image_len` bytes
/// in `region`: consecutive blocks with the magic byte, a known version (2 for RSA, 3 for ECDSA)
/// and a matching CRC. Says nothing about the validity of the signatures.
pub fn signature_blocks<F: ReadNorFlash>(
    flash: &mut F,
    region: Region,
    image_len: u32,
) -> Result<u8, ImageError<F::Error>> {
    let sector = signature_offset(image_len).unwrap_or(u32::MAX);
    let end = sector.saturating_add(SIGNATURE_SECTOR_LEN);
    if end > region.size {
        return Ok(0);
    }
    let mut offset = region.offset.saturating_add(sector);
    for count in 0..MAX_BLOCKS {
        if !is_block(flash, offset)? {
            return Ok(count);
        }
        offset = offset.saturating_add(BLOCK_LEN);
    }
    Ok(MAX_BLOCKS)
}

fn is_block<F: ReadNorFlash>(flash: &mut F, offset: u32) -> Result<bool, ImageError<F::Error>> {
    let [magic, version, _, _] = read_array(flash, offset)?;
    if magic != MAGIC || !matches!(version, 2 | 3) {
        return Ok(false);
    }
    let mut buf = [0; 128];
    let mut crc = 0;
    let mut done = 0;
    while done < CRC_OFFSET {
        let len = (CRC_OFFSET - done).min(buf.len() as u32);
        let chunk = buf.get_mut(..len as usize).unwrap_or_default();
        read_unaligned(flash, offset.saturating_add(done), chunk)?;
        crc = crc32_le(crc, chunk);
        done += len;
    }
    let stored: [u8; 4] = read_array(flash, offset.saturating_add(CRC_OFFSET))?;
    Ok(u32::from_le_bytes(stored) == crc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SliceFlash;
    use crate::image::tests::{Builder, whole};
    use std::vec::Vec;

    fn signature_block(version: u8) -> Vec<u8> {
        let mut block: Vec<u8> = (0..1216).map(|i| (i * 7) as u8).collect();
        block[..2].copy_from_slice(&[0xE7, version]);
        let crc = crc32_le(0, &block[..1196]);
        block[1196..1200].copy_from_slice(&crc.to_le_bytes());
        block
    }

    #[test]
    fn signature_blocks_are_counted() {
        let image = Builder::example().build();
        let len = image.len() as u32;
        let count = |blocks: &[Vec<u8>], size: usize| {
            let mut flash = image.clone();
            flash.resize(0x1000, 0xFF);
            flash.extend(blocks.concat());
            flash.resize(size, 0xFF);
            signature_blocks(&mut SliceFlash(&flash), whole(&flash), len).unwrap()
        };
        let mut broken = signature_block(2);
        broken[600] ^= 1;
        let [rsa, ecdsa, unknown] = [2, 3, 4].map(signature_block);
        assert_eq!(count(&[], 0x2000), 0);
        assert_eq!(count(std::slice::from_ref(&rsa), 0x2000), 1);
        assert_eq!(count(&[rsa.clone(), ecdsa.clone(), ecdsa.clone()], 0x2000), 3);
        assert_eq!(count(&[rsa.clone(), broken, ecdsa.clone()], 0x2000), 1);
        assert_eq!(count(&[unknown, ecdsa], 0x2000), 0);
        assert_eq!(count(&[rsa], 0x1FFF), 0);
    }

    #[test]
    fn the_sector_starts_where_the_image_ends_or_later() {
        assert_eq!([0x1000, 0x1001].map(signature_offset), [Some(0x1000), Some(0x2000)]);
        assert_eq!(signature_offset(u32::MAX), None);
    }
}
