//! The application descriptor.
//!
//! Layout from ESP-IDF `esp_app_desc.h` (`esp_app_desc_t`).

use embedded_storage::nor_flash::ReadNorFlash;

use super::ImageError;
use crate::partition::Region;
use crate::read::read_unaligned;
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
        let mut descriptor = Self {
            secure_version: u32::from_le_bytes(fields.take()),
            version: Text([0; 32]),
            project_name: Text([0; 32]),
            time: Text([0; 16]),
            date: Text([0; 16]),
            idf_version: Text([0; 32]),
            elf_sha256: [0; 32],
            min_block_revision: 0,
            max_block_revision: 0,
            mmu_page_size_log2: 0,
            spi_flash_mode: 0,
        };
        let _reserved: [u8; 8] = fields.take();
        fields.copy_to(&mut descriptor.version.0);
        fields.copy_to(&mut descriptor.project_name.0);
        fields.copy_to(&mut descriptor.time.0);
        fields.copy_to(&mut descriptor.date.0);
        fields.copy_to(&mut descriptor.idf_version.0);
        fields.copy_to(&mut descriptor.elf_sha256);
        let [n0, n1, x0, x1, page, mode] = fields.take();
        descriptor.min_block_revision = u16::from_le_bytes([n0, n1]);
        descriptor.max_block_revision = u16::from_le_bytes([x0, x1]);
        descriptor.mmu_page_size_log2 = page;
        descriptor.spi_flash_mode = mode;
        Some(descriptor)
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
        let mut field = [0; N];
        self.copy_to(&mut field);
        field
    }

    // Once for all lengths: a copy of known length is unrolled, byte by byte without alignment.
    #[inline(never)]
    fn copy_to(&mut self, field: &mut [u8]) {
        if let Some((bytes, rest)) = self.0.split_at_checked(field.len()) {
            field.copy_from_slice(bytes);
            self.0 = rest;
        }
    }
}

/// Reads the application descriptor of the image in `region`, without verifying the image.
// Its buffers would make the frames of its callers large.
#[inline(never)]
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
    let mut bytes = [0; DESCRIPTOR_LEN];
    read_unaligned(flash, offset, &mut bytes)?;
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
