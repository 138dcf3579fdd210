//! A model of Espressif's second-stage bootloader: which application it starts, and what it writes
//! on the way.
//!
//! The model covers boot selection with and without rollback and anti-rollback, the fallback from an
//! image that does not load, the factory-reset and test pins, and the flash operations of all that,
//! in the order in which the real bootloader does them, so that each can be cut. It leaves out
//! secure boot, and the options that skip image verification
//! (`CONFIG_BOOTLOADER_SKIP_VALIDATE_*`). The bootloaders of eight releases are modelled, from v2.1 on;
//! what one does differently from another has a name in `generations.rs`.
//!
//! Source: ESP-IDF `bootloader_start.c`, `bootloader_utility.c`, `bootloader_common.c` at the tags of
//! these releases. The tests replay recorded decisions of real bootloaders of v4.4 and v6.1.

mod anti_rollback;
mod event;
mod factory_reset;
mod generations;
mod image_check;
mod load;
mod power_loss;
mod run;
mod select;
#[cfg(test)]
mod tests;

pub use anti_rollback::AntiRollback;
pub use event::{Choice, Event, NoBoot, Rewrite, Why};
pub use factory_reset::FactoryReset;
pub use generations::OptionError;
pub use image_check::{FullCheck, ImageCheck};
pub use power_loss::PowerLoss;
pub use run::{Boot, Started};

use embedded_storage::nor_flash::NorFlash;
use ota_core::table::{BootTable, BootTableError, DEFAULT_OFFSET};
use ota_core::{Generation, ReadError};
use run::Run;

/// How a bootloader was built, as far as it matters to the boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootloader {
    /// Release that it comes from.
    pub generation: Generation,
    /// Flash size in the bootloader's own image header: the high nibble of byte 3. The bootloader
    /// believes it, whatever the chip holds.
    pub spi_size: u8,
    /// Offset of the partition table in flash, in bytes (`CONFIG_PARTITION_TABLE_OFFSET`).
    pub table_offset: u32,
    /// New images get one trial (`CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`).
    pub rollback: bool,
    /// Images that are too old are refused (`CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK`). Espressif allows
    /// it only together with `rollback`.
    pub anti_rollback: Option<AntiRollback>,
    /// A pin erases data (`CONFIG_BOOTLOADER_FACTORY_RESET`).
    pub factory_reset: Option<FactoryReset>,
    /// A pin starts the test application (`CONFIG_BOOTLOADER_APP_TEST`). Espressif does not allow it
    /// together with `anti_rollback`.
    pub test_pin: bool,
}

impl Default for Bootloader {
    /// The stock build for 4 MB of flash: no option set.
    fn default() -> Self {
        Self {
            generation: Generation::V6_1,
            spi_size: 2,
            table_offset: DEFAULT_OFFSET,
            rollback: false,
            anti_rollback: None,
            factory_reset: None,
            test_pin: false,
        }
    }
}

/// What started the bootloader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reset {
    /// Power-on, a reset by software or watchdog, a brown-out: all the same to the bootloader.
    #[default]
    Normal,
    /// A wake from deep sleep, which ignores the pins.
    DeepSleepWake,
}

/// What the bootloader finds besides flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BootInput {
    /// What started it.
    pub reset: Reset,
    /// The factory-reset pin is held until the bootloader believes it.
    pub hold_factory_reset: bool,
    /// The test pin is held until the bootloader believes it.
    pub hold_test: bool,
    /// Security version in eFuse.
    pub secure_version: u32,
}

impl Bootloader {
    /// Reads the partition table and boots.
    ///
    /// `on_event` gets every step as it happens, before its flash operations; pass `|_| {}` if only
    /// the result matters.
    ///
    /// # Errors
    ///
    /// A flash error that [is a power loss](PowerLoss). The bootloader ignores others.
    pub fn run<F>(
        &self,
        flash: &mut F,
        images: &mut impl ImageCheck<F>,
        input: BootInput,
        mut on_event: impl FnMut(Event),
    ) -> Result<Boot, F::Error>
    where
        F: NorFlash<Error: PowerLoss>,
    {
        let chip_size = self.generation.chip_size(self.spi_size);
        match BootTable::load(flash, self.table_offset, chip_size, self.generation) {
            Ok(table) => self.run_with_table(&table, flash, images, input, on_event),
            Err(BootTableError::Read(ReadError::Flash { source, .. }))
                if source.is_power_loss() =>
            {
                Err(source)
            }
            Err(_) => {
                on_event(Event::Reset(NoBoot::PartitionTable));
                Ok(Boot {
                    outcome: Err(NoBoot::PartitionTable),
                    selected: None,
                    secure_version: input.secure_version,
                })
            }
        }
    }

    /// Boots with a partition table that was read before.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with_table<F>(
        &self,
        table: &BootTable,
        flash: &mut F,
        images: &mut impl ImageCheck<F>,
        input: BootInput,
        on_event: impl FnMut(Event),
    ) -> Result<Boot, F::Error>
    where
        F: NorFlash<Error: PowerLoss>,
    {
        Run {
            config: self,
            table,
            flash,
            images,
            on_event,
            secure_version: input.secure_version,
            initial_contents: false,
        }
        .run(input)
    }
}
