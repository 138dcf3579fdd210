//! The hashes of images that were found valid, so that each is read once and not for each request.

use crate::error::Failure;
use embedded_storage::nor_flash::MultiwriteNorFlash;
use ota_core::partition::App;
use ota_core::{Error, Ota};

/// Images whose hashes are kept. Of a device with more, the others are read for each request.
const KEPT: usize = 4;

/// What is known of images since the last request that may have written one.
///
/// It is wrong once something else has written a slot meanwhile, or flash has lost a bit. So it serves to
/// name images and for nothing else: whoever selects one verifies it again.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Hashes([Option<(App, [u8; 32])>; KEPT]);

impl Hashes {
    pub(crate) const fn new() -> Self {
        Self([None; KEPT])
    }

    /// The hash of the image in a partition; `None` without a valid image.
    #[inline(never)]
    pub(crate) fn of<F: MultiwriteNorFlash>(
        &mut self,
        ota: &mut Ota<F>,
        app: App,
    ) -> Result<Option<[u8; 32]>, Failure> {
        if let Some((_, hash)) = self.0.iter().flatten().find(|(known, _)| *known == app) {
            return Ok(Some(*hash));
        }
        let hash = match ota.verify(app) {
            Ok(verified) => verified.info().digest,
            Err(Error::Image(error)) => match error.into_flash() {
                Some(error) => return Err(Error::Flash(error).into()),
                None => None,
            },
            Err(error) => return Err(error.into()),
        };
        // What is not valid is looked at again: the next read may be better.
        if let (Some(hash), Some(free)) = (hash, self.0.iter_mut().find(|kept| kept.is_none())) {
            *free = Some((app, hash));
        }
        Ok(hash)
    }

    /// Slots may have changed.
    pub(crate) fn forget(&mut self) {
        *self = Self::new();
    }
}
