//! What the CPU sees of the rest of the chip.

/// Size of a data access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
}

/// An address where nothing answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

/// What the CPU has to know of a store that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Nothing.
    Plain,
    /// Decoded code, an interrupt, the clock or the power may have changed: the run ends behind this
    /// instruction.
    Attention,
}

/// Memory and registers.
///
/// `clock` is the number of instructions executed since the CPU was made; it tells devices the time.
/// Addresses need not be aligned.
pub(crate) trait Bus {
    /// Reads, zero-extended.
    ///
    /// # Errors
    /// When nothing answers there.
    fn load(&mut self, address: u32, width: Width, clock: u64) -> Result<u32, Fault>;

    /// Writes the low bits of `value`.
    ///
    /// # Errors
    /// When nothing answers there.
    fn store(
        &mut self,
        address: u32,
        width: Width,
        value: u32,
        clock: u64,
    ) -> Result<Stored, Fault>;

    /// The 16 bits of code at an even address. Called when code is decoded, not when it runs.
    ///
    /// # Errors
    /// When there is no memory to execute.
    fn fetch(&mut self, address: u32) -> Result<u16, Fault>;

    /// Changes whenever code within the same 1 KiB as `address` may have changed since the last
    /// [`fetch`](Self::fetch) from it. Code decoded under another value is stale.
    ///
    /// While the processor runs, it changes only by a store that reports [`Stored::Attention`]. A value
    /// never comes back for other code, not even when an earlier state of the memory is restored.
    fn code_version(&mut self, address: u32) -> u32;
}
