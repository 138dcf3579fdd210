//! A simulated device with the agent in it, and a client to talk to it.
//!
//! Framing and CBOR of the client share no code with the agent.
#![allow(dead_code, unreachable_pub)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use ota_core::image::{ChipId, Requirements};
use ota_core::partition::App;
use ota_core::{Config, Ota};
use sim::bootloader::{BootInput, Bootloader, FullCheck};
use sim::flash::{Chip, Part};
use sim::layout::Layout;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;
use update_agent::{Agent, Board, FirmwareInfo, ResetReason, Sink, Trace, Traced};

/// Size of the agent's packet buffer.
pub const BUFFER: usize = 2048;

/// Operations of a request.
pub const READ: u8 = 0;
pub const WRITE: u8 = 2;

/// Groups.
pub const OS: u16 = 0;
pub const IMAGE: u16 = 1;
pub const CUTPOINT: u16 = update_agent::GROUP;

pub const INFO: FirmwareInfo = FirmwareInfo {
    name: "cutpoint",
    version: "1.0.0",
    build: "",
    node: "02:00:00:00:00:01",
    machine: "riscv32imc",
    platform: "simulator",
    chip: ChipId::ESP32C3,
    table_offset: 0x8000,
};

/// Console and reset line, shared by board and flash trace.
#[derive(Clone, Default)]
pub struct Wires {
    pub output: Rc<RefCell<Vec<u8>>>,
    pub reset: Rc<Cell<bool>>,
}

impl Sink for Wires {
    fn write(&mut self, line: &[u8]) {
        self.output.borrow_mut().extend_from_slice(line);
    }

    fn flush(&mut self) {}

    fn reset(&mut self) {
        self.reset.set(true);
    }
}

pub struct Host {
    pub ota: Ota<Traced<'static, Chip, Wires>>,
    wires: Wires,
    trace: &'static Trace,
    pub may_confirm: bool,
}

impl Board for Host {
    type Flash = Traced<'static, Chip, Wires>;

    fn ota(&mut self) -> &mut Ota<Self::Flash> {
        &mut self.ota
    }

    fn send(&mut self, bytes: &[u8]) {
        self.wires.write(bytes);
    }

    fn flush(&mut self) {}

    fn reset(&mut self) {
        self.wires.reset.set(true);
    }

    fn may_confirm(&self) -> bool {
        self.may_confirm
    }

    fn reset_reason(&self) -> ResetReason {
        ResetReason { code: 1, name: "power-on" }
    }

    fn trace(&self) -> &Trace {
        self.trace
    }
}

/// A device that has booted.
pub struct Device {
    pub agent: Agent<BUFFER>,
    pub host: Host,
    pub wires: Wires,
    sequence: u8,
}

/// Two slots of 1700 KiB, no factory.
pub fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| {
        Layout::stock().into_iter().find(|layout| layout.name() == "2-slots").unwrap()
    })
}

/// A new device with an image in `ota_0`.
pub fn new_chip(image: &[u8]) -> Chip {
    let layout = layout();
    let part = Part::W25Q32JV;
    let mut memory = sim::flash::Memory::erased(part.capacity);
    memory.set(0x8000, layout.table());
    memory.set(layout.apps().slots().next().unwrap().offset, image);
    Chip::with_memory(part, memory)
}

impl Device {
    /// Runs the bootloader and starts the application that it picks; again if power is cut meanwhile.
    pub fn boot(mut chip: Chip) -> Self {
        loop {
            chip.power_on();
            match Self::try_boot(chip) {
                Ok(device) => return device,
                Err(without_power) => chip = *without_power,
            }
        }
    }

    /// The chip, if power was cut.
    fn try_boot(mut chip: Chip) -> Result<Self, Box<Chip>> {
        let requirements = Requirements::for_chip(INFO.chip);
        let bootloader = Bootloader { rollback: true, ..Bootloader::default() };
        let mut check = FullCheck { requirements };
        let boot = bootloader.run(&mut chip, &mut check, BootInput::default(), |_| {});
        if !chip.is_powered() {
            return Err(Box::new(chip));
        }
        let running = boot.unwrap().app().expect("the device boots");
        let trace: &'static Trace = Box::leak(Box::new(Trace::new()));
        let wires = Wires::default();
        let flash = Traced::new(chip, wires.clone(), trace);
        let config = Config { requirements, rollback: true, min_secure_version: 0 };
        let mut ota = Ota::new(flash, *layout().validated().unwrap(), running, config).unwrap();
        let recovered = ota.recover();
        if !ota.flash().inner_mut().is_powered() {
            return Err(Box::new(ota.release().release()));
        }
        recovered.unwrap();
        let host = Host { ota, wires: wires.clone(), trace, may_confirm: true };
        Ok(Self { agent: Agent::new(INFO), host, wires, sequence: 0 })
    }

    pub fn new(image: &[u8]) -> Self {
        Self::boot(new_chip(image))
    }

    /// Takes the chip out.
    pub fn into_chip(self) -> Chip {
        self.host.ota.release().release()
    }

    /// Cuts power between two operations, or resets.
    pub fn restart(self) -> Self {
        Self::boot(self.into_chip())
    }

    pub fn running(&self) -> App {
        self.host.ota.running()
    }

    pub fn chip(&mut self) -> &mut Chip {
        self.host.ota.flash().inner_mut()
    }

    /// Feeds console input and returns the output.
    pub fn console(&mut self, input: &[u8]) -> Vec<u8> {
        self.agent.receive(input, &mut self.host);
        self.wires.output.take()
    }

    /// Sends a packet and returns the packets that come back.
    pub fn packet(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let output = self.console(&framed(packet));
        unframed(&output)
    }

    /// Sends a request; returns the data of the response.
    pub fn request(&mut self, op: u8, group: u16, command: u8, data: &Value) -> Value {
        self.request_as(1, op, group, command, data)
    }

    pub fn request_as(
        &mut self,
        version: u8,
        op: u8,
        group: u16,
        command: u8,
        data: &Value,
    ) -> Value {
        self.sequence = self.sequence.wrapping_add(1);
        let packet = packet(version, op, group, self.sequence, command, data);
        let mut responses = self.packet(&packet);
        assert_eq!(responses.len(), 1, "one response");
        let response = responses.remove(0);
        assert_eq!(response[0], (version << 3) | (op + 1));
        assert_eq!(usize::from(response[2]) << 8 | usize::from(response[3]), response.len() - 8);
        assert_eq!(response[4..8], packet[4..8]);
        ciborium::from_reader(&response[8..]).unwrap()
    }

    /// Uploads from `off` to the end; returns all answers.
    pub fn upload(&mut self, image: &[u8], sha: Option<[u8; 32]>, chunk: usize) -> Vec<Value> {
        let mut answers = Vec::new();
        let mut off = 0;
        loop {
            let end = image.len().min(off + chunk);
            let answer = self.upload_at(image, off, end, sha);
            let next = get(&answer, "off").and_then(Value::as_integer);
            answers.push(answer);
            match next.map(|next| usize::try_from(next).unwrap()) {
                Some(next) if next < image.len() && answers.len() < 10_000 => off = next,
                _ => return answers,
            }
        }
    }

    /// Uploads the bytes from `off` to `end`, with the fields of the first packet at 0.
    pub fn upload_at(
        &mut self,
        image: &[u8],
        off: usize,
        end: usize,
        sha: Option<[u8; 32]>,
    ) -> Value {
        let mut fields = vec![
            (text("off"), Value::from(off as u64)),
            (text("data"), Value::Bytes(image[off..end].to_vec())),
        ];
        if off == 0 {
            fields.push((text("len"), Value::from(image.len() as u64)));
            if let Some(sha) = sha {
                fields.push((text("sha"), Value::Bytes(sha.to_vec())));
            }
        }
        self.request(WRITE, IMAGE, 1, &Value::Map(fields))
    }

    /// Asks for the next boot to select the image with this hash.
    pub fn test(&mut self, hash: &[u8]) -> Value {
        let fields = vec![
            (text("hash"), Value::Bytes(hash.to_vec())),
            (text("confirm"), Value::Bool(false)),
        ];
        self.request(WRITE, IMAGE, 0, &Value::Map(fields))
    }

    /// The bytes of otadata.
    pub fn otadata(&mut self) -> Vec<u8> {
        let region = layout().apps().otadata();
        self.chip().memory().to_vec(region.offset..region.offset + region.size)
    }
}

pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub fn empty() -> Value {
    Value::Map(Vec::new())
}

/// A field of a map.
pub fn get<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    value.as_map()?.iter().find(|(name, _)| name.as_text() == Some(key)).map(|(_, value)| value)
}

/// The error of a response: group and code.
pub fn error(value: &Value) -> Option<(i128, i128)> {
    let err = get(value, "err")?;
    let number = |key| get(err, key)?.as_integer().map(i128::from);
    Some((number("group")?, number("rc")?))
}

/// The names of the flags that are set for each image, by slot.
pub fn flags(list: &Value) -> Vec<(u64, String)> {
    let images = get(list, "images").expect("a list").as_array().unwrap();
    let image = |image: &Value| {
        let slot = get(image, "slot").unwrap().as_integer().unwrap();
        let set = image.as_map().unwrap().iter().filter(|(_, value)| *value == Value::Bool(true));
        let names: Vec<_> = set.map(|(name, _)| name.as_text().unwrap()).collect();
        (u64::try_from(slot).unwrap(), names.join(" "))
    };
    images.iter().map(image).collect()
}

pub fn packet(version: u8, op: u8, group: u16, sequence: u8, command: u8, data: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    ciborium::into_writer(data, &mut body).unwrap();
    let mut packet = vec![version << 3 | op, 0];
    packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
    packet.extend_from_slice(&group.to_be_bytes());
    packet.extend_from_slice(&[sequence, command]);
    packet.extend_from_slice(&body);
    packet
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

/// The lines that carry a packet.
pub fn framed(packet: &[u8]) -> Vec<u8> {
    let mut bytes = ((packet.len() + 2) as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(packet);
    bytes.extend_from_slice(&crc16(packet).to_be_bytes());
    let mut lines = Vec::new();
    let mut encoded = vec![0; bytes.len().div_ceil(3) * 4];
    STANDARD.encode_slice(bytes, &mut encoded).unwrap();
    for (index, chunk) in encoded.chunks(124).enumerate() {
        lines.extend_from_slice(if index == 0 { b"\x06\x09" } else { b"\x04\x14" });
        lines.extend_from_slice(chunk);
        lines.push(b'\n');
    }
    lines
}

/// The packets in console output.
pub fn unframed(output: &[u8]) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for line in output.split(|&byte| byte == b'\n') {
        let (text, first) = match line {
            [6, 9, text @ ..] => (text, true),
            [4, 20, text @ ..] => (text, false),
            _ => continue,
        };
        let mut bytes = vec![0; text.len()];
        let len = STANDARD.decode_slice(text, &mut bytes).unwrap();
        bytes.truncate(len);
        match packets.last_mut() {
            Some(packet) if !first => packet.extend(bytes),
            _ => packets.push(bytes),
        }
    }
    for packet in &mut packets {
        let len = usize::from(packet[0]) << 8 | usize::from(packet[1]);
        assert_eq!(len, packet.len() - 2);
        let crc = packet.split_off(len);
        packet.drain(..2);
        assert_eq!(crc, crc16(packet).to_be_bytes());
    }
    packets
}
