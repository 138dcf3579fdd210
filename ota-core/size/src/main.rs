//! A firmware that calls every operation of `ota-core` once and does nothing else; with the feature
//! `agent` it has `update-agent` on top.
//!
//! It is linked, never run: `just size` reads code size and stack depth from the ELF file. A new
//! operation of the crate gets a line in [`operation`]. Flash contents, arguments and results pass
//! through [`black_box`], so the optimiser can't drop or specialise anything.
//!
//! [`operation`] is measured: it holds what the optimiser moves out of the crate into its callers. The
//! rest, [`harness`] and the entry point, stands for a flash driver and a firmware, and is not.
#![no_std]
#![no_main]

use ota_core::partition::Slot;

#[cfg(feature = "agent")]
mod agent;

/// A flash driver of zero bytes, about which the optimiser knows nothing.
mod harness {
    use core::hint::black_box;

    use embedded_storage::nor_flash::{
        ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
    };

    /// What the operations work on.
    #[cfg(not(feature = "agent"))]
    pub type Flash = Chip;
    #[cfg(feature = "agent")]
    pub type Flash = update_agent::Traced<'static, Chip, crate::agent::harness::Console>;

    #[cfg(not(feature = "agent"))]
    pub fn flash() -> Flash {
        Chip
    }
    #[cfg(feature = "agent")]
    pub use crate::agent::harness::flash;

    pub struct Chip;

    #[inline(never)]
    fn access(offset: u32, bytes: *const u8) -> Result<(), NorFlashErrorKind> {
        black_box((offset, bytes));
        if black_box(true) { Ok(()) } else { Err(black_box(NorFlashErrorKind::Other)) }
    }

    impl ErrorType for Chip {
        type Error = NorFlashErrorKind;
    }

    impl ReadNorFlash for Chip {
        const READ_SIZE: usize = 4;

        #[inline(never)]
        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
            black_box(&mut *bytes);
            access(offset, bytes.as_ptr())
        }

        #[inline(never)]
        fn capacity(&self) -> usize {
            black_box(0x40_0000)
        }
    }

    impl NorFlash for Chip {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = 0x1000;

        #[inline(never)]
        fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
            black_box(to);
            access(from, core::ptr::null())
        }

        #[inline(never)]
        fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
            black_box(bytes);
            access(offset, bytes.as_ptr())
        }
    }

    impl MultiwriteNorFlash for Chip {}
}

/// One function per operation.
mod operation {
    use core::hint::black_box;

    use embedded_storage::nor_flash::ErrorType;
    use ota_core::image::{ChipId, Requirements};
    use ota_core::partition::{App, Slot};
    use ota_core::table::PartitionTable;
    use ota_core::{Config, Error, Extent, Ota, Session, Verified};

    use crate::harness::{Flash, flash};

    macro_rules! operations {
        ($($name:ident: |$ota:ident, $slot:ident| $call:expr;)*) => {
            $(
                #[inline(never)]
                fn $name($ota: &mut Ota<Flash>, $slot: Slot) {
                    black_box(&$call);
                }
            )*

            /// Each operation once.
            pub static ALL: &[fn(&mut Ota<Flash>, Slot)] = &[$($name),*];
        };
    }

    // `digest` is not among them: it is there for the agent, and counts there.
    operations! {
        select_entries: |ota, _slot| ota.select_entries();
        boot_app: |ota, _slot| ota.boot_app();
        next_update_slot: |ota, _slot| ota.next_update_slot();
        state: |ota, slot| ota.state(slot);
        last_invalid: |ota, _slot| ota.last_invalid();
        rollback_target: |ota, _slot| ota.rollback_target();
        describe: |ota, slot| ota.describe(App::Ota(slot));
        recover: |ota, _slot| ota.recover();
        confirm: |ota, _slot| ota.confirm();
        reject: |ota, _slot| ota.reject();
        erase_last_boot_app: |ota, _slot| ota.erase_last_boot_app();
        select: |ota, slot| ota.verify(App::Ota(slot)).and_then(Verified::select);
        begin: |ota, slot| ota.begin(slot, black_box(Extent::Unknown)).and_then(update);
        resume: |ota, slot| ota.resume(slot, black_box(0)).and_then(update);
    }

    #[inline(never)]
    fn update(mut session: Session<'_, Flash>) -> Result<(), Error<<Flash as ErrorType>::Error>> {
        session.write(black_box(&[]))?;
        session.write_at(black_box(0), black_box(&[]))?;
        session.end()?.select()
    }

    #[inline(never)]
    pub fn open() -> Option<Ota<Flash>> {
        let mut flash = flash();
        let table = PartitionTable::load(&mut flash, black_box(0x8000)).ok()?;
        let layout = table.validate(&mut flash).ok()?;
        let running = layout.app_at(black_box(0x1_0000))?;
        let config = Config {
            requirements: Requirements::for_chip(ChipId(black_box(ChipId::ESP32C3.0))),
            rollback: black_box(true),
            min_secure_version: black_box(0),
        };
        Ota::new(flash, layout, running, config).ok()
    }
}

/// Entry point of the program.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    if let Some(mut ota) = operation::open()
        && let Some(slot) = Slot::new(core::hint::black_box(1))
    {
        for call in core::hint::black_box(operation::ALL) {
            call(&mut ota, slot);
        }
        #[cfg(feature = "agent")]
        agent::run(ota);
    }
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
