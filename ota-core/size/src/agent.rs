//! The update agent on the measured flash.

use core::hint::black_box;
use core::mem::MaybeUninit;

use ota_core::Ota;
use ota_core::image::ChipId;
use update_agent::{Agent, FirmwareInfo};

use crate::harness::Flash;
use harness::{Host, TRACE};

/// Size of the packet buffer: that of `device-fw`.
const REQUEST_LEN: usize = 2048;

static mut AGENT: MaybeUninit<Agent<REQUEST_LEN>> = MaybeUninit::uninit();

/// A console and a board of which the optimiser knows nothing.
pub mod harness {
    use core::hint::black_box;

    use ota_core::Ota;
    use update_agent::{Board, ResetReason, Sink, Trace, Traced};

    use crate::harness::{Chip, Flash};

    pub struct Shared(pub Trace);

    // There is one thread.
    unsafe impl Sync for Shared {}

    pub static TRACE: Shared = Shared(Trace::new());

    pub fn flash() -> Flash {
        Traced::new(Chip, Console, &TRACE.0)
    }

    pub struct Console;

    impl Sink for Console {
        #[inline(never)]
        fn write(&mut self, line: &[u8]) {
            black_box(line);
        }

        #[inline(never)]
        fn flush(&mut self) {
            black_box(());
        }

        #[inline(never)]
        fn reset(&mut self) {
            black_box(());
        }
    }

    pub struct Host {
        pub ota: Ota<Flash>,
        pub trace: &'static Trace,
    }

    impl Board for Host {
        type Flash = Flash;

        fn ota(&mut self) -> &mut Ota<Flash> {
            &mut self.ota
        }

        #[inline(never)]
        fn send(&mut self, bytes: &[u8]) {
            black_box(bytes);
        }

        #[inline(never)]
        fn flush(&mut self) {
            black_box(());
        }

        #[inline(never)]
        fn reset(&mut self) {
            black_box(());
        }

        #[inline(never)]
        fn may_confirm(&self) -> bool {
            black_box(true)
        }

        #[inline(never)]
        fn reset_reason(&self) -> ResetReason {
            black_box(ResetReason { code: 1, name: "" })
        }

        fn trace(&self) -> &Trace {
            self.trace
        }
    }
}

/// Feeds the agent its console for ever.
#[inline(never)]
pub fn run(ota: Ota<Flash>) {
    let mut host = Host { ota, trace: &TRACE.0 };
    // Taken once: nothing else knows the static.
    let agent = unsafe { (*(&raw mut AGENT)).write(Agent::new(black_box(INFO))) };
    loop {
        agent.receive(black_box(&[]), &mut host);
    }
}

const INFO: FirmwareInfo = FirmwareInfo {
    name: "",
    version: "",
    build: "",
    node: "",
    machine: "",
    platform: "",
    chip: ChipId::ESP32C3,
    table_offset: 0x8000,
};
