//! How a board runs, and where it stops.

use super::{Board, INTERRUPT_DELAY, Stop};
use crate::cpu::Exit;
use crate::cut::{Cut, CutPoint};
use crate::time::Ticks;

impl Board {
    /// Tells CPU and UART at what they have to stop.
    pub(super) fn arrange_stops(&mut self) {
        let mut stops = self.breakpoints.clone();
        if let Some(Cut { point: CutPoint::Instruction(address), .. }) = self.cut {
            stops.insert(address);
        }
        self.cpu.set_breakpoints(&stops);
        self.bus.devices.announce_output(self.watch.is_some() || self.cut_watch.is_some());
    }

    /// Runs until `limit`, or until something stops the board. The time is then `limit` or a little later:
    /// an instruction is not divided, nor is the wait of software that polls a busy flash chip. However a
    /// run is divided by limits, the board does the same.
    pub fn run(&mut self, limit: Ticks) -> Stop {
        loop {
            if !self.powered {
                return Stop::PowerOff;
            }
            let now = self.now();
            if let Some(Cut { point: CutPoint::Time(time), outcome }) = &self.cut
                && now >= *time
            {
                let outcome = outcome.clone();
                self.cut = None;
                self.lose_power(&outcome);
                return Stop::PowerOff;
            }
            if self.alarm.take_if(|time| now >= *time).is_some() || now >= limit {
                return Stop::Limit;
            }
            if let Some(stop) = self.run_to_event(now, limit) {
                return stop;
            }
        }
    }

    /// Lets time pass as if the CPU had been busy with something of no effect: until `until`, the next
    /// event of a device, or a cut that is due then. For software that does nothing but look whether
    /// something has come: it finds that time has jumped.
    pub fn skip(&mut self, until: Ticks) {
        if !self.powered {
            return;
        }
        let mut then = until;
        if let Some(event) = self.bus.devices.next_event() {
            then = then.min(event);
        }
        if let Some(time) = self.appointment() {
            then = then.min(time);
        }
        self.bus.clock.skip_to(self.cpu.clock(), then);
    }

    /// The time that the board must not pass without a look at it.
    fn appointment(&self) -> Option<Ticks> {
        let cut = match self.cut {
            Some(Cut { point: CutPoint::Time(time), .. }) => Some(time),
            _ => None,
        };
        cut.into_iter().chain(self.alarm).min()
    }

    /// Executes one instruction, or takes an interrupt.
    pub fn step(&mut self) -> Stop {
        let limit = self.now() + 1;
        self.run(limit)
    }

    /// Lets the CPU run until the next event at most.
    fn run_to_event(&mut self, now: Ticks, limit: Ticks) -> Option<Stop> {
        self.bus.devices.advance(now);
        self.bus.refresh_window();
        if let Some(cause) = self.bus.devices.take_reset() {
            self.reset(cause);
            return None;
        }
        let line = self.bus.devices.pending_interrupt().filter(|_| self.cpu.interrupts_enabled());
        let mut horizon = limit;
        if let Some(event) = self.bus.devices.next_event() {
            horizon = horizon.min(event);
        }
        if let Some(time) = self.appointment() {
            horizon = horizon.min(time);
        }
        let mut budget = self.bus.clock.instructions_until(now, horizon).max(1);
        match line {
            Some(_) if self.delay > 0 => budget = budget.min(self.delay),
            Some(line) => self.cpu.take_interrupt(line),
            None => {}
        }
        let before = self.cpu.clock();
        let exit = self.cpu.run(&mut self.bus, budget);
        self.delay = self.delay.saturating_sub(self.cpu.clock() - before);
        match exit {
            Exit::Attention => return self.attend(),
            Exit::Waiting => {
                let interrupted = self.bus.devices.pending_interrupt().is_some();
                if !(interrupted && self.cpu.interrupts_enabled()) {
                    // Nothing happens before the next event: the loop goes round until then.
                    let left = self.bus.clock.instructions_until(self.now(), horizon);
                    self.cpu.idle(left);
                }
            }
            Exit::Breakpoint => return self.at_breakpoint(),
            Exit::Budget | Exit::InterruptsEnabled => {}
        }
        None
    }

    /// Looks at what a store has changed outside the CPU.
    fn attend(&mut self) -> Option<Stop> {
        self.delay = INTERRUPT_DELAY;
        let devices = &mut self.bus.devices;
        if devices.flash().power_loss().is_some() {
            self.powered = false;
            return Some(Stop::PowerOff);
        }
        if devices.saw_operation() {
            devices.watch_operation(None);
            return Some(Stop::FlashOperation);
        }
        if let Some(ready) = devices.polled_until() {
            // Let time pass until the flash chip is ready or something else happens. The limit of this run
            // does not count, lest the run depend on it.
            let mut then = devices.next_event().map_or(ready, |event| event.min(ready));
            if let Some(time) = self.appointment() {
                then = then.min(time);
            }
            self.bus.clock.skip_to(self.cpu.clock(), then);
        }
        self.look_at_output()
    }

    /// Takes what UART0 has sent, if somebody waits for a text in it.
    fn look_at_output(&mut self) -> Option<Stop> {
        if self.watch.is_none() && self.cut_watch.is_none() {
            return None;
        }
        let output = self.bus.devices.uart0().take_output();
        self.console.extend_from_slice(&output);
        if self.cut_watch.as_mut().is_some_and(|watch| watch.sees(&output)) {
            self.cut_watch = None;
            let cut = self.cut.take()?;
            self.arrange_stops();
            self.lose_power(&cut.outcome);
            return Some(Stop::PowerOff);
        }
        if self.watch.as_mut().is_some_and(|watch| watch.sees(&output)) {
            self.watch = None;
            self.arrange_stops();
            return Some(Stop::ConsoleText);
        }
        None
    }

    fn at_breakpoint(&mut self) -> Option<Stop> {
        let pc = self.cpu.state().pc;
        match self.cut.take_if(|cut| cut.point == CutPoint::Instruction(pc)) {
            Some(cut) => {
                self.arrange_stops();
                self.lose_power(&cut.outcome);
                Some(Stop::PowerOff)
            }
            None => Some(Stop::Breakpoint),
        }
    }
}
