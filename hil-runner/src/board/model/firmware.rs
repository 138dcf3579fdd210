//! The firmware of the family, acted out: the same start, the same agent, the same words.

use super::device::Cause;
use super::flash::Counted;
use embedded_storage::nor_flash::ReadNorFlash;
use ota_core::image::{AppDescriptor, ChipId, DESCRIPTOR_LEN, DESCRIPTOR_OFFSET, Requirements};
use ota_core::partition::App;
use ota_core::table::{AppLayout, DEFAULT_OFFSET, PartitionTable};
use ota_core::{Config, Ota, Recovery};
use sim::bootloader::Started;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use update_agent::{Agent, Board, FirmwareInfo, ResetReason, Sink, Trace, Traced};

/// Largest request, in bytes: that of the firmware.
const REQUEST_LEN: usize = 2048;

/// What the device does when the firmware has done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It waits for the console.
    Listens,
    /// It restarts.
    Restarts(Cause),
}

/// The firmware that runs.
#[derive(Clone, Debug)]
pub(super) struct Firmware {
    agent: Agent<REQUEST_LEN>,
    trace: Trace,
    layout: AppLayout,
    running: App,
    cause: Cause,
    may_confirm: bool,
}

impl Cause {
    fn reset_reason(self) -> ResetReason {
        match self {
            Self::PowerOn => ResetReason { code: 1, name: "POWERON" },
            Self::Software => ResetReason { code: 3, name: "SOFTWARE" },
            Self::Watchdog => ResetReason { code: 9, name: "RTC_WATCHDOG" },
            Self::BrownOut => ResetReason { code: 15, name: "BROWNOUT" },
        }
    }
}

impl Firmware {
    /// Starts what the bootloader has chosen. No firmware when it ends before it listens.
    pub(super) fn start(
        started: &Started,
        cause: Cause,
        flash: &mut Counted<'_>,
        output: &mut VecDeque<u8>,
    ) -> (Option<Self>, Next) {
        let crash = (None, Next::Restarts(Cause::Software));
        let version = version(started, flash);
        let layout = PartitionTable::load(flash, DEFAULT_OFFSET);
        let Ok(Ok(layout)) = layout.map(|table| table.validate(flash)) else {
            let _ = writeln!(output, "panic: partition table that allows updates");
            return crash;
        };
        let mut firmware = Self {
            agent: Agent::new(INFO),
            trace: Trace::new(),
            layout,
            running: started.app,
            cause,
            may_confirm: false,
        };
        let lines = firmware.with(flash, output, |_, host| host.start_up(&version));
        let Some(passed) = lines else {
            return crash;
        };
        firmware.may_confirm = passed && !version.ends_with("-never");
        if version.ends_with("-crashing") {
            let _ = writeln!(output, "panic: built to crash before it is confirmed");
            return crash;
        }
        if version.ends_with("-hanging") {
            return (None, Next::Restarts(Cause::Watchdog));
        }
        (Some(firmware), Next::Listens)
    }

    /// Gives bytes to the agent.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        mut flash: Counted<'_>,
        output: &mut VecDeque<u8>,
    ) -> Next {
        let restarts = self.with(&mut flash, output, |agent, host| {
            agent.receive(bytes, host);
            Some(host.restarts)
        });
        match restarts {
            Some(true) => Next::Restarts(Cause::Software),
            _ => Next::Listens,
        }
    }

    /// Puts the parts together for a moment: the agent, and the device that it works on. `None` when the
    /// flash does not allow updates, or the act says so.
    fn with<T>(
        &mut self,
        flash: &mut Counted<'_>,
        output: &mut VecDeque<u8>,
        act: impl FnOnce(&mut Agent<REQUEST_LEN>, &mut Host<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        let config = Config {
            requirements: Requirements::for_chip(ChipId::ESP32C3),
            // As in the firmware, whatever the bootloader does.
            rollback: true,
            min_secure_version: 0,
        };
        let output = RefCell::new(output);
        let console = Console(&output);
        let flash = Counted { chip: flash.chip, counter: flash.counter };
        let Self { agent, trace, layout, running, cause, may_confirm } = self;
        let (cause, may_confirm) = (*cause, *may_confirm);
        let traced = Traced::new(flash, console, trace);
        let ota = Ota::new(traced, *layout, *running, config).ok()?;
        act(agent, &mut Host { ota, console, trace, cause, may_confirm, restarts: false })
    }
}

/// The version in the description of an image.
fn version(started: &Started, flash: &mut Counted<'_>) -> String {
    let mut bytes = [0; DESCRIPTOR_LEN];
    let at = started.image.region.offset + DESCRIPTOR_OFFSET;
    let read = flash.read(at, &mut bytes).ok();
    let descriptor = read.and_then(|()| AppDescriptor::parse(&bytes));
    descriptor.map_or_else(|| "?".into(), |descriptor| descriptor.version.to_string())
}

/// The console, shared by the agent and the trace of its flash.
#[derive(Clone, Copy)]
struct Console<'a>(&'a RefCell<&'a mut VecDeque<u8>>);

impl Sink for Console<'_> {
    fn write(&mut self, line: &[u8]) {
        self.0.borrow_mut().extend(line);
    }

    fn flush(&mut self) {}

    /// The fault aid is for real devices; here the board resets.
    fn reset(&mut self) {}
}

/// The device as the agent sees it.
struct Host<'d, 'f> {
    ota: Ota<Traced<'d, Counted<'f>, Console<'d>>>,
    console: Console<'d>,
    trace: &'d Trace,
    cause: Cause,
    may_confirm: bool,
    restarts: bool,
}

impl Host<'_, '_> {
    /// What the firmware does before it listens, in its words; whether the self-test passed.
    fn start_up(&mut self, version: &str) -> Option<bool> {
        let running = self.ota.running();
        let selected = self.ota.boot_app().ok()?;
        let [first, second] = self.ota.select_entries().ok()?;
        let reset = self.cause.reset_reason().name;
        self.line(&format!(
            "boot: fw={version} chip=esp32c3 mac=model running={running} selected={selected} \
             otadata=[{first}|{second}] reset={reset}"
        ));
        match self.ota.recover() {
            Ok(Recovery { repaired: 0, .. }) => {}
            Ok(Recovery { repaired, .. }) => self.line(&format!("recover: repaired {repaired}")),
            Err(error) => self.line(&format!("recover: failed: {error}")),
        }
        let failed = self.ota.verify(running).err().map(|error| error.to_string());
        match &failed {
            None => self.line("self-test: passed"),
            Some(error) => self.line(&format!("self-test: failed: {error}")),
        }
        Some(failed.is_none())
    }

    fn line(&mut self, text: &str) {
        self.console.write(format!("{text}\n").as_bytes());
    }
}

impl<'d, 'f> Board for Host<'d, 'f> {
    type Flash = Traced<'d, Counted<'f>, Console<'d>>;

    fn ota(&mut self) -> &mut Ota<Self::Flash> {
        &mut self.ota
    }

    fn send(&mut self, bytes: &[u8]) {
        self.console.write(bytes);
    }

    fn flush(&mut self) {}

    fn reset(&mut self) {
        self.restarts = true;
    }

    fn may_confirm(&self) -> bool {
        self.may_confirm
    }

    fn reset_reason(&self) -> ResetReason {
        self.cause.reset_reason()
    }

    fn trace(&self) -> &Trace {
        self.trace
    }
}

const INFO: FirmwareInfo = FirmwareInfo {
    name: "cutpoint",
    version: "model",
    build: "",
    node: "",
    machine: "",
    platform: "model",
    chip: ChipId::ESP32C3,
    table_offset: DEFAULT_OFFSET,
};
