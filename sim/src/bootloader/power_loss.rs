//! Telling a power cut from an error that the bootloader ignores.

use crate::flash::FlashError;

/// A flash error that knows whether it means that power is gone.
///
/// The bootloader logs an error of an erase or a write and goes on. When the power is gone, nothing
/// goes on.
pub trait PowerLoss {
    /// Whether power was lost during the operation, or had been lost before it.
    fn is_power_loss(&self) -> bool;
}

impl PowerLoss for FlashError {
    fn is_power_loss(&self) -> bool {
        matches!(self, Self::PowerLost)
    }
}
