//! The subject that devices talk to: the update agent, with a client that speaks SMP to it.

mod client;

use self::client::{Client, Console, Request};
use super::{Failure, Observer, OtaCore, Subject};
use crate::flash::{Chip, Digest, FlashError};
use crate::layout::Layout;
use ::ota_core::image::ChipId;
use ::ota_core::{Config, Error, Ota};
use update_agent::{Agent, Board, FirmwareInfo, ResetReason, Trace};

/// Largest packet, in bytes: that of the firmware.
const PACKET: usize = 2048;

/// Most bytes of the image in one packet. Not a divisor of the sector, so that packets straddle sectors.
const CHUNK: usize = 1500;

/// `update-agent` on its console, driven by a client that goes by the protocol: it uploads an image,
/// selects it by its hash, and confirms what runs.
///
/// After a cut the client offers the image again, or another one, and goes on where the agent says.
#[derive(Clone, Copy, Debug)]
pub struct UpdateAgent;

/// The firmware without hardware.
struct Host<'a> {
    ota: Ota<&'a mut Chip>,
    output: Vec<u8>,
    trace: Trace,
}

impl<'a> Board for Host<'a> {
    type Flash = &'a mut Chip;

    fn ota(&mut self) -> &mut Ota<Self::Flash> {
        &mut self.ota
    }

    fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn flush(&mut self) {}

    /// The exploration ends the power cycle itself.
    fn reset(&mut self) {}

    fn reset_reason(&self) -> ResetReason {
        ResetReason { code: 1, name: "power-on" }
    }

    fn trace(&self) -> &Trace {
        &self.trace
    }
}

fn info(chip: ChipId) -> FirmwareInfo {
    FirmwareInfo {
        name: "cutpoint",
        version: "0",
        build: "",
        node: "",
        machine: "",
        platform: "simulator",
        chip,
        table_offset: crate::layout::TABLE_OFFSET,
    }
}

/// Starts the agent on a device and lets a client talk to it.
fn talk(
    device: super::Device<'_>,
    requests: impl FnOnce(&mut Client<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failure = |error: Error<FlashError>| error.to_string();
    let config = Config {
        requirements: *device.requirements,
        rollback: device.rollback,
        min_secure_version: *device.secure_version,
    };
    let chip = device.requirements.chip;
    let apps = *device.layout.validated().map_err(|error| error.to_string())?;
    let ota = Ota::new(device.chip, apps, device.running, config);
    let host = Host { ota: ota.map_err(failure)?, output: Vec::new(), trace: Trace::new() };
    let agent = Agent::<PACKET>::new(info(chip));
    requests(&mut Client::new(&mut Device { agent, host, observer: device.observer }))
}

/// A device that is switched on.
struct Device<'a> {
    agent: Agent<PACKET>,
    host: Host<'a>,
    observer: &'a mut dyn Observer,
}

impl Console for Device<'_> {
    fn exchange(&mut self, frame: &[u8]) -> Vec<u8> {
        self.agent.receive(frame, &mut self.host);
        std::mem::take(&mut self.host.output)
    }

    fn knows(&mut self, client: &str) -> bool {
        // Besides this, the device remembers nothing: `Ota` has nothing but flash and configuration, and
        // tracing is off.
        let remembered = Digest::of_value(&(client, &self.agent));
        self.observer.knows(self.host.ota.flash(), remembered)
    }
}

impl Subject for UpdateAgent {
    fn name(&self) -> &'static str {
        "update-agent"
    }

    fn refusal(&self, layout: &Layout) -> Option<Failure> {
        OtaCore::default().refusal(layout)
    }

    fn resumes(&self) -> bool {
        true
    }

    /// Its uploads go through `ota-core`, and it looks for blank sectors to go on with.
    fn plain_only(&self) -> Option<&'static str> {
        OtaCore::default().plain_only()
    }

    /// The firmware recovers before it listens.
    fn startup(&self, device: super::Device<'_>) -> Result<(), Failure> {
        OtaCore::default().startup(device)
    }

    fn confirm(&self, device: super::Device<'_>) -> Result<(), Failure> {
        talk(device, |client| client.request(Request::Confirm).map(drop))
    }

    /// SMP has no request for it; the application does it.
    fn reject(&self, device: super::Device<'_>) -> Result<(), Failure> {
        OtaCore::default().reject(device)
    }

    fn update(&self, device: super::Device<'_>, image: &[u8]) -> Result<(), Failure> {
        talk(device, |client| {
            client.upload(image, CHUNK)?;
            // An image ends with its hash.
            let hash = image.last_chunk::<32>().ok_or("the image is shorter than a hash")?;
            client.request(Request::Test(hash)).map(drop)
        })
    }

    /// SMP has no request for it; the application does it.
    fn select_factory(&self, device: super::Device<'_>) -> Result<(), Failure> {
        OtaCore::default().select_factory(device)
    }
}
