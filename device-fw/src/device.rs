//! The device, as the update agent sees it.

use ota_core::Ota;
use update_agent::{Board, ResetReason, Sink, Trace, Traced};

use crate::console::Console;
use crate::flash::Flash;

/// The flash with the trace of its operations around it.
pub type TracedFlash<'a> = Traced<'a, Flash<'a>, Console<'a>>;

/// What the agent works on.
pub struct Device<'a> {
    /// Boot selection and slots.
    pub ota: Ota<TracedFlash<'a>>,
    /// Where the client is.
    pub console: Console<'a>,
    /// The switches of the flash trace.
    pub trace: &'a Trace,
    /// Whether this firmware may be confirmed.
    pub may_confirm: bool,
    /// Why the chip was reset.
    pub reset_reason: ResetReason,
}

impl<'a> Board for Device<'a> {
    type Flash = TracedFlash<'a>;

    fn ota(&mut self) -> &mut Ota<Self::Flash> {
        &mut self.ota
    }

    fn send(&mut self, bytes: &[u8]) {
        self.console.write(bytes);
    }

    fn flush(&mut self) {
        self.console.flush();
    }

    fn reset(&mut self) {
        self.console.reset();
    }

    fn may_confirm(&self) -> bool {
        self.may_confirm
    }

    fn reset_reason(&self) -> ResetReason {
        self.reset_reason
    }

    fn trace(&self) -> &Trace {
        self.trace
    }
}
