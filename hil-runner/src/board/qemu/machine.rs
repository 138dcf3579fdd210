//! A machine in QEMU that stops at its flash operations.
//!
//! QEMU's watchpoints do not see device registers, so the machine stops where software asks the mask ROM
//! for an operation: ESP-IDF's bootloader does, and firmware with `esp-storage`. Software that drives the
//! flash controller itself, as ESP-IDF's applications do, is not seen.

use super::gdb::Registers;
use super::process::Process;
use crate::board::{Operation, OperationKind, RigError};
use std::path::Path;

/// Entries of the mask ROM's table of functions (ESP-IDF, `esp_rom/esp32c3/ld/esp32c3.rom.ld`): all revisions
/// of the chip have the same.
const ERASE_BLOCK: u32 = 0x4000_0124;
const ERASE_SECTOR: u32 = 0x4000_0128;
const WRITE: u32 = 0x4000_012C;
/// Where the CPU starts.
const RESET: u32 = 0x4000_0000;

/// What the functions count in, in bytes.
const SECTOR: u32 = 4096;
const BLOCK: u32 = 64 * 1024;
/// How often to ask whether a reset is done, which QEMU does soon after it was told to.
const LOOKS: u32 = 10_000;

/// A machine with power.
pub(super) struct Machine {
    pub(super) process: Process,
    /// It does not stand still.
    runs: bool,
    /// The operation under way and where it returns to, if it is to stop there.
    returns: Option<(Operation, u32)>,
}

/// Why a machine has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It starts.
    Start,
    /// It is about to do this.
    Begins(Operation),
    /// It has done this.
    Ends(Operation),
    /// Somebody stopped it.
    Elsewhere,
}

impl Machine {
    /// Gives power to a machine with this flash file. It does not run yet.
    pub(super) fn start(program: &Path, flash: &Path) -> Result<Self, RigError> {
        let mut process = Process::start(program, flash)?;
        for address in [RESET, ERASE_BLOCK, ERASE_SECTOR, WRITE] {
            if let Err(error) = process.gdb.set_breakpoint(address) {
                return Err(process.why(&error));
            }
        }
        Ok(Self { process, runs: false, returns: None })
    }

    /// Whether it does not stand still.
    pub(super) fn runs(&self) -> bool {
        self.runs
    }

    /// Lets it run.
    pub(super) fn go_on(&mut self) -> Result<(), RigError> {
        let gdb = &mut self.process.gdb;
        // Otherwise it stops where it is. A step elsewhere may not end: the CPU may wait for an interrupt.
        if [RESET, ERASE_BLOCK, ERASE_SECTOR, WRITE].contains(&gdb.registers()?.next) {
            gdb.step()?;
        }
        gdb.go_on()?;
        self.runs = true;
        Ok(())
    }

    /// Why it has stopped, if it has; looks into the connection if it is `readable`.
    pub(super) fn halted(&mut self, readable: bool) -> Result<Option<Halt>, RigError> {
        let stopped = self.process.gdb.has_stopped(readable)?;
        if !stopped || !self.runs {
            return Ok(None);
        }
        self.halt_here().map(Some)
    }

    /// Lets it stop, wherever it is. All that it has written to flash is in the file then.
    pub(super) fn halt(&mut self) -> Result<(), RigError> {
        if self.runs {
            self.process.gdb.interrupt()?;
            self.process.gdb.stopped()?;
            self.halt_here()?;
        }
        Ok(())
    }

    fn halt_here(&mut self) -> Result<Halt, RigError> {
        self.runs = false;
        let gdb = &mut self.process.gdb;
        let Registers { next: address, arguments, .. } = gdb.registers()?;
        if address == RESET {
            self.stop_at_return(None)?;
            return Ok(Halt::Start);
        }
        if let Some((operation, _)) = self.returns.filter(|(_, place)| *place == address) {
            self.stop_at_return(None)?;
            return Ok(Halt::Ends(operation));
        }
        Ok(called(address, arguments).map_or(Halt::Elsewhere, Halt::Begins))
    }

    /// Lets it stop when the operation that it is about to do is done; with `None`, no longer.
    pub(super) fn stop_at_return(&mut self, operation: Option<Operation>) -> Result<(), RigError> {
        let gdb = &mut self.process.gdb;
        if let Some((_, place)) = self.returns.take() {
            gdb.clear_breakpoint(place)?;
        }
        if let Some(operation) = operation {
            let place = gdb.registers()?.returns;
            gdb.set_breakpoint(place)?;
            self.returns = Some((operation, place));
        }
        Ok(())
    }

    /// Resets it; it stands still where it starts.
    pub(super) fn reset(&mut self) -> Result<(), RigError> {
        self.halt()?;
        self.stop_at_return(None)?;
        self.process.gdb.monitor("system_reset")?;
        for _ in 0..LOOKS {
            if self.process.gdb.registers()?.next == RESET {
                return Ok(());
            }
        }
        Err(RigError::new("QEMU does not reset its machine"))
    }

    /// Takes power away. What it has written to flash so far is in the file.
    pub(super) fn cut(mut self) -> Result<(), RigError> {
        let halted = self.halt();
        match halted {
            Ok(()) => {
                self.process.kill();
                Ok(())
            }
            Err(error) => Err(self.process.why(&error)),
        }
    }
}

/// The operation that the function of the ROM at this address does when it is called with these arguments,
/// its first and third; `None` if there is none.
fn called(function: u32, [first, third]: [u32; 2]) -> Option<Operation> {
    let (kind, address, length) = match function {
        ERASE_BLOCK => (OperationKind::Erase, first.wrapping_mul(BLOCK), BLOCK),
        ERASE_SECTOR => (OperationKind::Erase, first.wrapping_mul(SECTOR), SECTOR),
        WRITE => (OperationKind::Write, first, third),
        _ => return None,
    };
    Some(Operation { kind, address, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_rom_are_numbers_of_sectors_or_bytes() {
        for (function, first, third, expected) in [
            (ERASE_SECTOR, 0x110, 7, "erase of 4096 bytes at 0x110000"),
            (ERASE_BLOCK, 0x11, 7, "erase of 65536 bytes at 0x110000"),
            (WRITE, 0xD000, 28, "write of 28 bytes at 0xd000"),
            // Nonsense from a firmware is no reason to fail.
            (ERASE_SECTOR, u32::MAX, 0, "erase of 4096 bytes at 0xfffff000"),
        ] {
            let operation = called(function, [first, third]).unwrap();
            assert_eq!(operation.to_string(), expected);
        }
        assert_eq!(called(RESET, [0, 0]), None);
    }
}
