//! Real boards with their debug probes.

use hil_runner::bench::ProbeEntry;
use hil_runner::board::probe::{ProbeConfig, ProbeControl, connect};
use hil_runner::board::serial::{RealControl, SerialBoard};
use hil_runner::board::{Board, RigError};
use hil_runner::scenario::ChipName;

/// A board whose probe is attached at each start.
pub(super) fn board(
    control: RealControl,
    probe: &ProbeEntry,
    chip: ChipName,
) -> Result<Box<dyn Board>, RigError> {
    let selector = probe.selector.clone();
    let attach = Box::new(move || connect(&selector, chip));
    let config = ProbeConfig { chip, memory: probe.memory.clone() };
    Ok(Box::new(SerialBoard::new(ProbeControl::new(control, config, attach)?)))
}
