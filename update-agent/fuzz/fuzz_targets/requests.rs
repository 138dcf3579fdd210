//! Sequences of requests, some of them damaged on the way, with power cuts between and within them.
#![no_main]

use ciborium::Value;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use sim::flash::CutPlan;
use sim::flash::fault::Tear;
use update_agent_fuzz::common::{
    CUTPOINT, IMAGE, OS, READ, WRITE, framed, get, packet, text, unframed,
};
use update_agent_fuzz::{Watched, images};

/// Most steps of a sequence.
const STEPS: usize = 40;
/// Most requests of an upload.
const REQUESTS: usize = 100;

#[derive(Debug, Arbitrary)]
enum Step {
    /// A part of an image, from where the device wants it or from anywhere.
    Upload { image: u8, at: Option<u16>, len: u16, sha: Option<bool> },
    /// All parts of an image.
    UploadAll { image: u8, len: u16, sha: bool },
    /// Selects or confirms an image by its hash.
    SetState { image: u8, confirm: bool },
    /// Confirms what runs.
    Confirm,
    /// Erases a slot.
    Erase { slot: Option<u8> },
    /// Any request at all.
    Any { version: u8, write: bool, group: u8, command: u8, fields: Vec<(u8, Field)> },
    /// Bytes that are no frame.
    Raw { bytes: Vec<u8> },
    /// Flips a bit of the next frame.
    Flip { byte: u16, bit: u8 },
    /// Cuts power in an operation from now.
    Cut { after: u8, tear: Option<bool>, seed: u64 },
    /// Turns power off and on.
    Restart,
    /// Whether the application lets itself be confirmed.
    MayConfirm { may: bool },
}

#[derive(Debug, Arbitrary)]
enum Field {
    Uint(u64),
    Small(u8),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    Null,
    Nested(Vec<u8>),
}

const KEYS: [&str; 16] = [
    "off",
    "data",
    "len",
    "sha",
    "image",
    "upgrade",
    "hash",
    "confirm",
    "slot",
    "d",
    "format",
    "query",
    "on",
    "operation",
    "from",
    "boot_mode",
];

impl Field {
    fn value(&self) -> Value {
        match self {
            Self::Uint(value) => Value::from(*value),
            Self::Small(value) => Value::from(*value),
            Self::Bool(value) => Value::Bool(*value),
            Self::Text(value) => text(value),
            Self::Bytes(value) => Value::Bytes(value.clone()),
            Self::Null => Value::Null,
            Self::Nested(values) => {
                values.iter().fold(Value::Null, |inner, &value| match value % 3 {
                    0 => Value::Array(vec![inner]),
                    1 => Value::Map(vec![(text("x"), inner)]),
                    _ => Value::Tag(value.into(), Box::new(inner)),
                })
            }
        }
    }
}

struct Client {
    device: Option<Watched>,
    /// Where the device wants the upload to go on.
    offset: usize,
    flip: Option<(u16, u8)>,
}

fn contents(index: u8) -> &'static [u8] {
    let images = images();
    &images[usize::from(index) % images.len()]
}

impl Client {
    fn send(&mut self, mut frame: Vec<u8>) -> Option<Value> {
        if let Some((byte, bit)) = self.flip.take() {
            let byte = usize::from(byte) % frame.len();
            frame[byte] ^= 1 << (bit % 8);
        }
        let (device, output) = self.device.take()?.console(&frame);
        self.device = Some(device);
        let response = unframed(&output).pop()?;
        ciborium::from_reader(response.get(8..)?).ok()
    }

    fn request(
        &mut self,
        version: u8,
        op: u8,
        group: u16,
        command: u8,
        fields: Value,
    ) -> Option<Value> {
        let packet = packet(version & 3, op, group, 0, command, &fields);
        self.send(framed(&packet))
    }

    fn upload(&mut self, image: u8, at: usize, len: usize, sha: Option<bool>) {
        let image = contents(image);
        let at = at.min(image.len());
        let end = image.len().min(at + len);
        let mut fields = vec![
            (text("off"), Value::from(at as u64)),
            (text("data"), Value::Bytes(image[at..end].to_vec())),
        ];
        if at == 0 {
            fields.push((text("len"), Value::from(image.len() as u64)));
            if let Some(right) = sha {
                let mut sha = Sha256::digest(image).to_vec();
                sha[0] ^= u8::from(!right);
                fields.push((text("sha"), Value::Bytes(sha)));
            }
        }
        let answer = self.request(1, WRITE, IMAGE, 1, Value::Map(fields));
        let offset = answer.as_ref().and_then(|answer| get(answer, "off"));
        let offset = offset.and_then(|offset| u64::try_from(offset.as_integer()?).ok());
        self.offset = offset.unwrap_or(0) as usize;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Upload { image, at, len, sha } => {
                let at = at.map_or(self.offset, usize::from);
                self.upload(*image, at, usize::from(len % 2000), *sha);
            }
            Step::UploadAll { image, len, sha } => {
                self.offset = 0;
                for _ in 0..REQUESTS {
                    self.upload(*image, self.offset, usize::from(len % 2000) + 1, Some(*sha));
                    if self.offset == 0 || self.offset >= contents(*image).len() {
                        break;
                    }
                }
            }
            Step::SetState { image, confirm } => {
                let image = contents(*image);
                let hash = Value::Bytes(image[image.len() - 32..].to_vec());
                let fields = vec![(text("hash"), hash), (text("confirm"), Value::Bool(*confirm))];
                self.request(1, WRITE, IMAGE, 0, Value::Map(fields));
            }
            Step::Confirm => {
                let fields = vec![(text("confirm"), Value::Bool(true))];
                self.request(1, WRITE, IMAGE, 0, Value::Map(fields));
            }
            Step::Erase { slot } => {
                let slot = slot.map(|slot| (text("slot"), Value::from(slot % 3)));
                self.request(1, WRITE, IMAGE, 5, Value::Map(slot.into_iter().collect()));
            }
            Step::Any { version, write, group, command, fields } => {
                let group = [OS, IMAGE, CUTPOINT, u16::from(*group)][usize::from(group % 4)];
                let fields = fields.iter().map(|(key, field)| {
                    (text(KEYS[usize::from(*key) % KEYS.len()]), field.value())
                });
                let fields = Value::Map(fields.collect());
                let op = if *write { WRITE } else { READ };
                self.request(*version, op, group, command % 10, fields);
            }
            Step::Raw { bytes } => {
                self.send(bytes.iter().copied().chain([b'\n']).collect());
            }
            Step::Flip { byte, bit } => self.flip = Some((*byte, *bit)),
            Step::Cut { after, tear, seed } => {
                let tear = match tear {
                    None => Tear::Mixed { seed: *seed },
                    Some(true) => Tear::Complete,
                    Some(false) => Tear::Untouched,
                };
                if let Some(device) = &mut self.device {
                    let chip = device.device().chip();
                    let operation = chip.operations() + u64::from(*after);
                    chip.plan_cut(CutPlan { operation, tear });
                }
            }
            Step::Restart => self.device = self.device.take().map(Watched::restart),
            Step::MayConfirm { may } => {
                if let Some(device) = &mut self.device {
                    device.device().host.may_confirm = *may;
                }
            }
        }
    }
}

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (start, steps) = input;
    let mut client = Client { device: Some(Watched::new(start)), offset: 0, flip: None };
    for step in steps.iter().take(STEPS) {
        client.step(step);
    }
    client.step(&Step::Restart);
});
