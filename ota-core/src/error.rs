//! What can go wrong in an update, and what ESP-IDF calls it.

use crate::esp_err;
use crate::image::ImageError;
use crate::partition::App;
use core::fmt;

/// Why a call of the update session failed. `E` is the error of the flash driver.
///
/// [`esp_err`](Self::esp_err) gives the `esp_err_t` that ESP-IDF returns in the same situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The flash driver reported an error.
    Flash(E),
    /// The flash cannot be used: see the message for what is needed.
    UnsupportedFlash,
    /// The partition table has no such app partition.
    NoSuchPartition(App),
    /// Only `ota_0` to `ota_15` take an update.
    NotAnOtaSlot(App),
    /// The slot holds the image that is running.
    RunningSlot,
    /// The slot holds an image that a select entry points to.
    SlotInUse,
    /// The running image must be confirmed or rejected before the next update may begin.
    PendingVerify,
    /// More bytes than the slot holds.
    TooLarge {
        /// Bytes asked for.
        size: u32,
        /// Bytes that the slot holds.
        available: u32,
    },
    /// An offset or a length that is not a multiple of the flash's write size, or a write at an offset
    /// in a session that erases as it goes.
    NotAligned {
        /// Offset inside the slot, in bytes.
        offset: u32,
    },
    /// The first byte of the data is not that of an application image.
    NotAnImage {
        /// The byte found; 0xE9 is right.
        found: u8,
    },
    /// Nothing was written before the end of the session.
    NothingWritten,
    /// The image in the slot does not verify.
    Image(ImageError<E>),
    /// The image ends beyond what this session wrote.
    Incomplete {
        /// Length of the image, in bytes.
        length: u32,
        /// Bytes that the session wrote.
        written: u32,
    },
    /// The secure version of the image is below the one that the device demands.
    SecureVersionTooLow {
        /// Secure version of the image.
        found: u32,
        /// Least secure version that the device accepts.
        required: u32,
    },
    /// There is no other image to roll back to.
    NoRollbackTarget,
    /// The next boot does not select the image that is running, so it cannot be confirmed or rejected.
    NotSelected,
    /// The sequence numbers are used up.
    SequenceExhausted,
    /// A sector does not erase.
    EraseFailed {
        /// Flash offset of the sector.
        offset: u32,
    },
    /// A select entry does not read back as written.
    WriteFailed {
        /// Flash offset of the entry.
        offset: u32,
    },
}

impl<E> Error<E> {
    /// The `esp_err_t` that ESP-IDF has for this situation (`esp_err.h`, `esp_ota_ops.h`,
    /// `esp_image_format.h`, `esp_flash_err.h`); `None` where it has none.
    pub fn esp_err(&self) -> Option<i32> {
        Some(match self {
            Self::UnsupportedFlash | Self::SequenceExhausted => return None,
            Self::Flash(_) | Self::EraseFailed { .. } | Self::WriteFailed { .. } => {
                esp_err::FLASH_OP_FAIL
            }
            Self::NoSuchPartition(_) => esp_err::NOT_FOUND,
            Self::NotAnOtaSlot(_) | Self::NotAligned { .. } | Self::NothingWritten => {
                esp_err::INVALID_ARG
            }
            Self::TooLarge { .. } => esp_err::INVALID_SIZE,
            Self::RunningSlot | Self::SlotInUse => esp_err::OTA_PARTITION_CONFLICT,
            Self::NotAnImage { .. } | Self::Image(_) | Self::Incomplete { .. } => {
                esp_err::OTA_VALIDATE_FAILED
            }
            Self::SecureVersionTooLow { .. } => esp_err::OTA_SMALL_SEC_VER,
            Self::NoRollbackTarget => esp_err::OTA_ROLLBACK_FAILED,
            Self::PendingVerify => esp_err::OTA_ROLLBACK_INVALID_STATE,
            Self::NotSelected => esp_err::FAIL,
        })
    }
}

/// Why select entries could not be read or changed, or a sector not erased.
///
/// A few bytes instead of the many of [`Error`], which carries what is wrong with an image: on the
/// device each caller that hands an error up pays for its size in code and stack.
// In C's layout the values stand in whole words. In Rust's, some start at the second byte, and handing an
// error up takes it apart and together again.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) enum EntryError<E> {
    Flash(E),
    EraseFailed { offset: u32 },
    WriteFailed { offset: u32 },
    NotSelected,
    PendingVerify,
    SequenceExhausted,
}

impl<E> From<EntryError<E>> for Error<E> {
    // Every `?` of the public functions ends here; inlined, each would have its own copy.
    #[cold]
    #[inline(never)]
    fn from(error: EntryError<E>) -> Self {
        match error {
            EntryError::Flash(error) => Self::Flash(error),
            EntryError::EraseFailed { offset } => Self::EraseFailed { offset },
            EntryError::WriteFailed { offset } => Self::WriteFailed { offset },
            EntryError::NotSelected => Self::NotSelected,
            EntryError::PendingVerify => Self::PendingVerify,
            EntryError::SequenceExhausted => Self::SequenceExhausted,
        }
    }
}

impl<E> From<ImageError<E>> for Error<E> {
    fn from(error: ImageError<E>) -> Self {
        Self::Image(error)
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "flash driver: {error:?}"),
            Self::UnsupportedFlash => f.write_str(
                "unsupported flash: the write size must be at most 4 bytes, the erase size at most \
                 4096, and otadata sector aligned",
            ),
            Self::NoSuchPartition(app) => write!(f, "the partition table has no {app}"),
            Self::NotAnOtaSlot(app) => {
                write!(f, "{app} cannot take an update: only ota_0 to ota_15 can")
            }
            Self::RunningSlot => f.write_str("the slot holds the running image"),
            Self::SlotInUse => f.write_str("a select entry points to the slot"),
            Self::PendingVerify => {
                f.write_str("the running image is on trial: confirm or reject it first")
            }
            Self::TooLarge { size, available } => {
                write!(f, "{size} bytes do not fit the slot of {available} bytes")
            }
            Self::NotAligned { offset } => {
                write!(f, "unaligned or unsupported write at offset {offset:#x} of the slot")
            }
            Self::NotAnImage { found } => {
                write!(f, "first byte is {found:#04x}, an application image starts with 0xe9")
            }
            Self::NothingWritten => f.write_str("nothing was written"),
            Self::Image(error) => write!(f, "image does not verify: {error}"),
            Self::Incomplete { length, written } => {
                write!(f, "the image has {length} bytes, but only {written} were written")
            }
            Self::SecureVersionTooLow { found, required } => {
                write!(f, "secure version {found} is below the required {required}")
            }
            Self::NoRollbackTarget => f.write_str("there is no image to roll back to"),
            Self::NotSelected => f.write_str("the running image is not the selected one"),
            Self::SequenceExhausted => f.write_str("the otadata sequence numbers are used up"),
            Self::EraseFailed { offset } => write!(f, "sector {offset:#x} does not erase"),
            Self::WriteFailed { offset } => {
                write!(f, "select entry at {offset:#x} does not read back as written")
            }
        }
    }
}

impl<E: fmt::Debug + 'static> core::error::Error for Error<E> {
    /// What is wrong with the image, for [`Error::Image`]. The error of a flash driver need not be a
    /// [`core::error::Error`]; the message holds it.
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Image(error) => Some(error),
            _ => None,
        }
    }
}
