//! The application descriptor.
//!
//! Layout from ESP-IDF `esp_app_desc.h` (`esp_app_desc_t`).

use embedded_storage::nor_flash::ReadNorFlash;

use super::ImageError;
use crate::partition::Region;
use crate::read::read_array;
use crate::text::Text;

/// Length of the application descriptor in bytes.
pub const DESCRIPTOR_LEN: usize = 256;

/// Offset of the application descriptor from the start of the image: the data of segment 0.
pub const DESCRIPTOR_OFFSET: u32 = 0x20;

/// First word of an application descriptor (`ESP_APP_DESC_MAGIC_WORD`).
pub const DESCRIPTOR_MAGIC: u32 = 0xABCD_5432;

/// What an application says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppDescriptor {
    /// Version that anti-rollback compares.
    pub secure_version: u32,
    /// Version of the application.
    pub version: Text<32>,
    /// Name of the project.
    pub project_name: Text<32>,
    /// Time of the build.
    pub time: Text<16>,
    /// Date of the build.
    pub date: Text<16>,
    /// Version of ESP-IDF.
    pub idf_version: Text<32>,
    /// SHA-256 of the ELF file.
    pub elf_sha256: [u8; 32],
    /// Least eFuse block revision, major x 100 + minor; 0 and 65535 for none.
    pub min_block_revision: u16,
    /// Greatest eFuse block revision, major x 100 + minor; 0 and 65535 for none.
    pub max_block_revision: u16,
    /// Page size of the flash cache as a power of two; 0 when not recorded.
    pub mmu_page_size_log2: u8,
    /// Flash mode; 0 when not recorded.
    pub spi_flash_mode: u8,
}

impl AppDescriptor {
    /// Reads a descriptor; `None` if it does not start with its magic word.
    pub fn parse(bytes: &[u8; DESCRIPTOR_LEN]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if u32::from_le_bytes(fields.take()) != DESCRIPTOR_MAGIC {
            return None;
        }
        let secure_version = u32::from_le_bytes(fields.take());
        let _reserved: [u8; 8] = fields.take();
        Some(Self {
            secure_version,
            version: Text(fields.take()),
            project_name: Text(fields.take()),
            time: Text(fields.take()),
            date: Text(fields.take()),
            idf_version: Text(fields.take()),
            elf_sha256: fields.take(),
            min_block_revision: u16::from_le_bytes(fields.take()),
            max_block_revision: u16::from_le_bytes(fields.take()),
            mmu_page_size_log2: u8::from_le_bytes(fields.take()),
            spi_flash_mode: u8::from_le_bytes(fields.take()),
        })
    }

    /// The 256 bytes of the descriptor on flash, reserved bytes 0.
    pub fn emit(&self) -> [u8; DESCRIPTOR_LEN] {
        let mut bytes = [0; DESCRIPTOR_LEN];
        let mut at = 0;
        for field in [
            DESCRIPTOR_MAGIC.to_le_bytes().as_slice(),
            &self.secure_version.to_le_bytes(),
            &[0; 8],
            &self.version.0,
            &self.project_name.0,
            &self.time.0,
            &self.date.0,
            &self.idf_version.0,
            &self.elf_sha256,
            &self.min_block_revision.to_le_bytes(),
            &self.max_block_revision.to_le_bytes(),
            &[self.mmu_page_size_log2, self.spi_flash_mode],
        ] {
            for (byte, place) in field.iter().zip(bytes.iter_mut().skip(at)) {
                *place = *byte;
            }
            at += field.len();
        }
        bytes
    }
}

/// Takes fixed-size fields off the front of a record; zeros once it is used up.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((&field, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        field
    }
}

/// Reads the application descriptor of the image in `region`, without verifying the image.
pub fn describe<F: ReadNorFlash>(
    flash: &mut F,
    region: Region,
) -> Result<AppDescriptor, ImageError<F::Error>> {
    let need = DESCRIPTOR_OFFSET + DESCRIPTOR_LEN as u32;
    if region.size < need {
        return Err(ImageError::TooLong { len: need, size: region.size });
    }
    // An offset beyond `u32` saturates and then fails the bounds check of the read.
    let offset = region.offset.saturating_add(DESCRIPTOR_OFFSET);
    let bytes = read_array(flash, offset)?;
    AppDescriptor::parse(&bytes).ok_or(ImageError::NoDescriptor { offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn descriptors_survive_a_round_trip(bytes in prop::collection::vec(any::<u8>(), DESCRIPTOR_LEN)) {
            let mut bytes: [u8; DESCRIPTOR_LEN] = bytes.try_into().unwrap();
            bytes[..4].copy_from_slice(&DESCRIPTOR_MAGIC.to_le_bytes());
            let descriptor = AppDescriptor::parse(&bytes).unwrap();
            let again = descriptor.emit();
            prop_assert_eq!(AppDescriptor::parse(&again), Some(descriptor));
            // All but the reserved bytes come back.
            prop_assert_eq!(&again[..8], &bytes[..8]);
            prop_assert_eq!(&again[16..0xB6], &bytes[16..0xB6]);
        }
    }
}
