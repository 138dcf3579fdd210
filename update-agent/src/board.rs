//! What the agent needs of the device it runs on.

use crate::trace::Trace;
use embedded_storage::nor_flash::MultiwriteNorFlash;
use ota_core::Ota;
use ota_core::image::ChipId;

/// The device, as the agent sees it.
pub trait Board {
    /// The flash driver that [`ota`](Self::ota) works on; a [`Traced`](crate::Traced) one for tracing
    /// and fault aids to have an effect.
    type Flash: MultiwriteNorFlash;

    /// Boot selection and slots.
    fn ota(&mut self) -> &mut Ota<Self::Flash>;

    /// Sends bytes to the console; returns once they are taken over. Each call is one whole line.
    fn send(&mut self, bytes: &[u8]);

    /// Returns once everything sent has left the device.
    fn flush(&mut self);

    /// Restarts the device. The response to the request has been flushed. May return on hosts.
    fn reset(&mut self);

    /// Whether a client may confirm the running image; no when the application knows that it is unfit.
    /// The confirmation is then refused, and the image stays on trial until the next restart.
    fn may_confirm(&self) -> bool {
        true
    }

    /// Why the device started.
    fn reset_reason(&self) -> ResetReason;

    /// The switches of the flash trace.
    fn trace(&self) -> &Trace;
}

/// Why a device started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetReason {
    /// The chip's own number for it.
    pub code: u8,
    /// A name for it.
    pub name: &'static str,
}

/// What the running firmware says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirmwareInfo {
    /// Name of the application.
    pub name: &'static str,
    /// Version of the application, the one in its application descriptor.
    pub version: &'static str,
    /// Date and time of the build; empty for reproducible builds.
    pub build: &'static str,
    /// Name of this very device, for instance its MAC address.
    pub node: &'static str,
    /// Instruction set, for instance `riscv32imc`.
    pub machine: &'static str,
    /// Name of the board.
    pub platform: &'static str,
    /// Chip that images must be for.
    pub chip: ChipId,
    /// Flash offset of the partition table, in bytes.
    pub table_offset: u32,
}
