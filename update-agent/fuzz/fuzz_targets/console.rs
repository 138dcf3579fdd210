//! Arbitrary bytes on the console.
#![no_main]

use libfuzzer_sys::fuzz_target;
use update_agent_fuzz::Watched;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says in which pieces the others arrive, and where the device starts.
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let mut device = Watched::new(!size);
    for piece in bytes.chunks(usize::from(size) + 1) {
        (device, _) = device.console(piece);
    }
    device.restart();
});
