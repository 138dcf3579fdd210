//! Bytes of image per second that the agent takes, and how much of a serial line at 921,600 baud it can
//! use.
//!
//! The flash is plain memory, so what is measured is the agent and `ota-core`: framing, CBOR, copying,
//! and at the end the verification of the image. A chip needs time for erasing and programming besides.

#[path = "../tests/common/mod.rs"]
mod common;

use ciborium::Value;
use common::{BUFFER, IMAGE, INFO, WRITE, framed, layout, packet, text};
use divan::Bencher;
use divan::counter::BytesCount;
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};
use ota_core::image::Requirements;
use ota_core::partition::{App, Slot};
use ota_core::{Config, Ota};
use sha2::{Digest, Sha256};
use sim::synthetic::ImageBuilder;
use update_agent::{Agent, Board, ResetReason, Trace};

/// Length of the image in bytes.
const IMAGE_LEN: usize = 128 * 1024;
/// Lengths of the requests in bytes, SMP header included.
const PACKETS: [usize; 3] = [128, 512, 2048];
/// Bytes per second at 921,600 baud, 8N1.
const LINE_RATE: usize = 921_600 / 10;

/// Flash without the time that it takes.
struct Ram(Vec<u8>);

impl ErrorType for Ram {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Ram {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Ram {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

impl MultiwriteNorFlash for Ram {}

struct Host {
    ota: Ota<Ram>,
    trace: Trace,
    output: Vec<u8>,
}

impl Board for Host {
    type Flash = Ram;

    fn ota(&mut self) -> &mut Ota<Ram> {
        &mut self.ota
    }

    fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn flush(&mut self) {}

    fn reset(&mut self) {}

    fn reset_reason(&self) -> ResetReason {
        ResetReason { code: 1, name: "power-on" }
    }

    fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A device with nothing but its partition table in flash.
fn device() -> (Agent<BUFFER>, Host) {
    let layout = layout();
    let mut flash = vec![0xFF; 4 * 1024 * 1024];
    flash[INFO.table_offset as usize..][..layout.table().len()].copy_from_slice(layout.table());
    let requirements = Requirements::for_chip(INFO.chip);
    let config = Config { requirements, rollback: true, min_secure_version: 0 };
    let running = App::Ota(Slot::new(0).unwrap());
    let ota = Ota::new(Ram(flash), *layout.validated().unwrap(), running, config).unwrap();
    (Agent::new(INFO), Host { ota, trace: Trace::new(), output: Vec::new() })
}

/// The frames of an upload in requests of at most `packet_len` bytes.
fn frames(packet_len: usize) -> Vec<Vec<u8>> {
    let image = ImageBuilder::new(IMAGE_LEN as u32).build();
    let mut frames = Vec::new();
    let mut offset = 0;
    while offset < IMAGE_LEN {
        let request = |len: usize| {
            let mut fields = vec![
                (text("off"), Value::from(offset as u64)),
                (text("data"), Value::Bytes(image[offset..offset + len].to_vec())),
            ];
            if offset == 0 {
                fields.push((text("len"), Value::from(IMAGE_LEN as u64)));
                fields.push((text("sha"), Value::Bytes(Sha256::digest(&image).to_vec())));
            }
            packet(1, WRITE, IMAGE, frames.len() as u8, 1, &Value::Map(fields))
        };
        let left = packet_len.min(IMAGE_LEN - offset);
        let len = (1..=left).rev().find(|&len| request(len).len() <= packet_len).unwrap();
        frames.push(framed(&request(len)));
        offset += len;
    }
    frames
}

/// Does the whole upload; returns how many bytes came back.
fn upload((agent, host): &mut (Agent<BUFFER>, Host), frames: &[Vec<u8>]) -> usize {
    let mut received = 0;
    for frame in frames {
        received += host.output.len();
        host.output.clear();
        agent.receive(frame, host);
    }
    received + host.output.len()
}

/// Bytes of image per second over the line.
fn rate(line_bytes: usize) -> usize {
    IMAGE_LEN * LINE_RATE / line_bytes
}

fn main() {
    println!("at 921,600 baud, bytes of image per second:");
    println!("packet  framing allows  with responses, in turn  share");
    for packet_len in PACKETS {
        let frames = frames(packet_len);
        let sent = frames.iter().map(Vec::len).sum();
        let mut device = device();
        let received = upload(&mut device, &frames);
        let last = common::unframed(&device.1.output).pop().expect("an answer");
        let last: Value = ciborium::from_reader(&last[8..]).expect("CBOR");
        assert_eq!(common::get(&last, "match"), Some(&Value::Bool(true)), "the upload succeeds");
        println!(
            "{packet_len:>6}  {:>14}  {:>23}  {:>4.1}%",
            rate(sent),
            rate(sent + received),
            100.0 * sent as f64 / (sent + received) as f64
        );
    }
    divan::main();
}

#[divan::bench(args = PACKETS)]
fn agent(bencher: Bencher<'_, '_>, packet_len: usize) {
    let frames = frames(packet_len);
    bencher
        .counter(BytesCount::new(IMAGE_LEN))
        .with_inputs(device)
        .bench_local_values(|mut device| (upload(&mut device, &frames), device));
}
