//! Snapshots of a board.

use super::{Board, Strap};
use crate::bus::Clock;
use crate::cpu::State;
use crate::cut::Cut;
use crate::devices::Devices;
use crate::memory::RamSnapshot;
use crate::time::Ticks;
use crate::watch::Watch;
use crate::window::Window;

/// A whole board at one moment, in little memory: it shares what did not change with other snapshots.
#[derive(Clone, Debug)]
pub struct Snapshot {
    cpu: State,
    sram: RamSnapshot,
    rtc_ram: RamSnapshot,
    window: Window,
    devices: Devices,
    clock: Clock,
    strap: Strap,
    powered: bool,
    boots: u64,
    delay: u64,
    cut: Option<Cut>,
    cut_watch: Option<Watch>,
    watch: Option<Watch>,
    alarm: Option<Ticks>,
    console: Vec<u8>,
}

impl Board {
    /// The board as it is now.
    pub fn snapshot(&mut self) -> Snapshot {
        Snapshot {
            cpu: self.cpu.state().clone(),
            sram: self.bus.sram.snapshot(),
            rtc_ram: self.bus.rtc_ram.snapshot(),
            window: self.bus.window.clone(),
            devices: self.bus.devices.clone(),
            clock: self.bus.clock,
            strap: self.strap,
            powered: self.powered,
            boots: self.boots,
            delay: self.delay,
            cut: self.cut.clone(),
            cut_watch: self.cut_watch.clone(),
            watch: self.watch.clone(),
            alarm: self.alarm,
            console: self.console.clone(),
        }
    }

    /// Goes back to a snapshot of this board or of one that it was cloned from. Breakpoints and the
    /// counts of unimplemented registers stay.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.cpu.set_state(&snapshot.cpu);
        self.bus.sram.restore(&snapshot.sram);
        self.bus.rtc_ram.restore(&snapshot.rtc_ram);
        self.bus.window.restore(&snapshot.window);
        self.bus.devices.clone_from(&snapshot.devices);
        self.bus.clock = snapshot.clock;
        self.strap = snapshot.strap;
        self.powered = snapshot.powered;
        self.boots = snapshot.boots;
        self.delay = snapshot.delay;
        self.cut.clone_from(&snapshot.cut);
        self.cut_watch.clone_from(&snapshot.cut_watch);
        self.watch.clone_from(&snapshot.watch);
        self.alarm = snapshot.alarm;
        self.console.clone_from(&snapshot.console);
        self.arrange_stops();
    }
}
