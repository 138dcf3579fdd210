//! QEMU: Espressif's fork of it, which emulates the ESP32-C3 as a machine of its own.
//!
//! The process is the device: power goes when it is killed, and what is left is its flash file. The machine
//! stops where software asks the mask ROM for a flash operation, so a cut falls exactly before or behind one,
//! never into one; docs/bench.md, "QEMU", says what else differs from silicon.

pub(super) mod cutter;
mod flash_file;
mod gdb;
mod machine;
mod process;
mod worker;

pub use process::check;

use super::serial::{CONSOLE_BAUD, Clock, Console, RealTime, TextWatch, Watcher};
use super::{Board, Contents, CutPlan, CutPoint, CutReport, Operation, Port, RigError};
use crate::bench::ports::open;
use crate::scenario::{BoardKind, Capability, ChipName, ResetKind};
use flash_file::FlashFile;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use worker::Served;

/// Which QEMU.
#[derive(Clone, Debug)]
pub struct QemuConfig {
    /// The board's name in reports.
    pub name: String,
    /// Espressif's `qemu-system-riscv32`: a path, or a name to be looked for in `PATH`.
    pub program: PathBuf,
    /// Size of its flash in bytes: 2, 4, 8 or 16 MiB.
    pub capacity: u32,
    /// Whether a bootloader that was built with rollback can be had for it.
    pub rollback_bootloader: bool,
}

/// An ESP32-C3 in QEMU.
pub struct QemuBoard {
    config: QemuConfig,
    flash: FlashFile,
    served: Served,
    /// Reads until it is dropped.
    console: Option<Console>,
    clock: Arc<RealTime>,
    /// With the flash file.
    _folder: TempDir,
}

impl QemuBoard {
    /// A board with an erased flash and without power.
    ///
    /// # Errors
    /// QEMU has no flash of that size, or there is no pseudo-terminal to be had. Whether the program can be
    /// used at all, [`check`] says.
    pub fn qemu(config: QemuConfig) -> Result<Self, RigError> {
        let folder = tempfile::Builder::new().prefix("qemu-").tempdir()?;
        let flash = FlashFile::create(folder.path().join("flash.bin"), config.capacity)?;
        let served = Served::start()?;
        let clock = Arc::new(RealTime(Instant::now()));
        Ok(Self { config, flash, served, console: None, clock, _folder: folder })
    }

    /// Takes power away, so that the flash file is nobody else's.
    fn off(&mut self) -> Result<(), RigError> {
        // The console ends first: it is nobody's matter how the device goes.
        self.console = None;
        self.served.with(|worker| worker.power_off())?
    }
}

impl Board for QemuBoard {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> BoardKind {
        BoardKind::Qemu
    }

    fn lacks(&self, capability: Capability) -> Option<String> {
        match capability {
            Capability::RollbackBootloader if !self.config.rollback_bootloader => {
                Some("there is no bootloader for it that was built with rollback".into())
            }
            Capability::Chip(chip) if chip != ChipName::Esp32c3 => {
                Some(format!("it is an {}", ChipName::Esp32c3.id()))
            }
            Capability::CutInsideOperation => {
                Some("QEMU does a flash operation at once: there is no inside".into())
            }
            other if self.kind().offers(other) => None,
            _ => Some("nothing can do that to a machine in QEMU".into()),
        }
    }

    fn provision(&mut self, contents: &Contents) -> Result<(), RigError> {
        self.off()?;
        self.flash.provision(contents)
    }

    fn read_flash(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        self.off()?;
        self.flash.read(range)
    }

    fn write_flash(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RigError> {
        self.off()?;
        self.flash.write(offset, bytes)
    }

    fn start(&mut self, _: Duration) -> Result<Box<dyn Port>, RigError> {
        // Without power nothing is left that time could change: there is no process.
        self.console = None;
        let program = self.config.program.clone();
        let flash = self.flash.path().to_owned();
        self.served.with(move |worker| worker.power_on(&program, &flash))??;
        let path = self.served.port().to_owned();
        let serial = open(&path, CONSOLE_BAUD)?;
        let watcher = Box::new(Over(self.served.over()));
        let clock = Arc::<RealTime>::clone(&self.clock) as Arc<dyn Clock>;
        let (console, port) = Console::open(&serial, path, watcher, clock)?;
        self.console = Some(console);
        self.served.with(|worker| worker.go_on())??;
        Ok(port)
    }

    fn stop(&mut self) -> Result<(), RigError> {
        self.off()
    }

    fn reset(&mut self, kind: ResetKind) -> Result<Box<dyn Port>, RigError> {
        if kind != ResetKind::EnReset {
            return Err(RigError::new("nothing can reset a machine in QEMU in that way"));
        }
        if self.console.is_none() {
            return Err(RigError::new("only a device that runs can be reset"));
        }
        self.served.with(|worker| worker.reset())??;
        self.start(Duration::ZERO)
    }

    fn plan_cut(&mut self, plan: Option<CutPlan>) -> Result<(), RigError> {
        if let Some(CutPlan { kind, point }) = &plan {
            let inside =
                matches!(point, CutPoint::Operation { into, .. } if *into > 0.0 && *into < 1.0);
            let needs = [Capability::Cut(*kind)]
                .into_iter()
                .chain(inside.then_some(Capability::CutInsideOperation));
            if let Some(reason) = needs.into_iter().find_map(|needed| self.lacks(needed)) {
                return Err(RigError::new(format!("{}: {reason}", self.config.name)));
            }
        }
        let plan = TextWatch::of_plan(plan)?;
        self.served.with(move |worker| worker.cutter.plan(plan))
    }

    fn take_cut(&mut self) -> Option<CutReport> {
        self.served.with(|worker| worker.cutter.take_report()).ok()?
    }

    fn take_operations(&mut self) -> Vec<Operation> {
        self.served.with(|worker| worker.cutter.take_operations()).unwrap_or_default()
    }
}

/// Tells when a cut has ended a start.
struct Over<F>(F);

impl<F: Fn() -> bool + Send> Watcher for Over<F> {
    fn saw(&mut self, _: &[u8], _: Instant) {}

    fn is_over(&mut self, _: u64, idle: bool) -> bool {
        // What the device has sent before may still be on its way.
        (self.0)() && idle
    }
}
