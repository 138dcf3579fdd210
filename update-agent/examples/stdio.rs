//! A simulated device whose console is standard input and output, for real clients behind a
//! pseudo-terminal.
//!
//! `stdio <image>` starts with the image in `ota_0`. A requested reset restarts the device with what
//! its flash holds; `--cut N` cuts power once, in the N-th flash operation from the start.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Device;
use sim::flash::CutPlan;
use sim::flash::fault::Tear;
use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let image = std::fs::read(&arguments[0])?;
    let mut device = Device::new(&image);
    if let [_, flag, number] = arguments.as_slice()
        && flag == "--cut"
    {
        let operation = device.chip().operations() + number.parse::<u64>().expect("a number");
        device.chip().plan_cut(CutPlan { operation, tear: Tear::Mixed { seed: operation } });
    }
    let mut input = [0; 4096];
    loop {
        let len = std::io::stdin().read(&mut input)?;
        if len == 0 {
            return Ok(());
        }
        let output = device.console(&input[..len]);
        if !device.chip().is_powered() {
            // The device is silent from the cut on; what it would have answered is lost.
            device = device.restart();
            std::io::stdout().write_all(b"boot: power cut\n")?;
        } else {
            std::io::stdout().write_all(&output)?;
            if device.wires.reset.get() {
                device = device.restart();
                std::io::stdout().write_all(b"boot: reset\n")?;
            }
        }
        std::io::stdout().flush()?;
    }
}
