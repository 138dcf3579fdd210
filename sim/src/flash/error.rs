//! What can go wrong with a flash access.

use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};

use super::fault::TearMismatch;

/// Why a flash access failed. Addresses are byte offsets from the start of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlashError {
    /// Offset or length is not a multiple of what the driver can read, write or erase.
    #[error("flash access not aligned to the driver's read, write or erase size")]
    NotAligned,
    /// The access reaches past the end of the chip.
    #[error("flash access out of bounds")]
    OutOfBounds,
    /// Power is off: nothing executes until the next power-on.
    #[error("flash has no power")]
    PowerLost,
    /// A command reached the chip while it was still programming or erasing.
    #[error("flash is busy")]
    Busy,
    /// Program or erase without a preceding write enable; real chips ignore the command.
    #[error("write enable latch is not set")]
    WriteDisabled,
    /// The access touches a unit whose program or erase is suspended, or a command that is not
    /// allowed during a suspend.
    #[error("flash access at {address:#010x} while an operation is suspended")]
    Suspended {
        /// Address of the refused access.
        address: u32,
    },
    /// There is nothing to suspend or to resume.
    #[error("no flash operation to suspend or resume")]
    NothingToSuspend,
    /// Strict mode: the program needs bits to go from 0 to 1 and would lose data.
    #[error("program at {address:#010x} needs an erase first")]
    NeedsErase {
        /// Address of the first byte that cannot take its value.
        address: u32,
    },
    /// The chip reported that a cell block no longer erases or programs (fault F10).
    #[error("flash is worn out at {address:#010x}")]
    WornOut {
        /// Address of the failing operation.
        address: u32,
    },
    /// A read failed on the bus (fault F11); the cells are not affected.
    #[error("flash read at {address:#010x} failed")]
    ReadFault {
        /// Address of the failing read.
        address: u32,
    },
    /// The area is write protected.
    #[error("flash is write protected at {address:#010x}")]
    Protected {
        /// Address of the refused operation.
        address: u32,
    },
    /// A planned cut names a torn outcome that its operation cannot have.
    #[error(transparent)]
    TearMismatch(#[from] TearMismatch),
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        match kind {
            NorFlashErrorKind::NotAligned => Self::NotAligned,
            _ => Self::OutOfBounds,
        }
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}
