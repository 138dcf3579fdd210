//! A client of the update agent. It shares no code with it.
//!
//! Source: Zephyr, "SMP protocol specification", "SMP transport specification" (console), "Application/
//! software image management group".

use crate::subject::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::{Value, cbor};
use crc::{CRC_16_XMODEM, Crc};
use sha2::{Digest, Sha256};

const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);
/// Starts of the first and of every further line of a frame.
const MARKERS: [&[u8]; 2] = [&[6, 9], &[4, 20]];
/// Longest base64 text of a line.
const LINE: usize = 124;
const HEADER: usize = 8;
const WRITE: u8 = 2;
const IMAGE_GROUP: u8 = 1;

/// A request to the image group.
pub(super) enum Request<'a> {
    /// Keep the running image.
    Confirm,
    /// Boot the image with this hash once.
    Test(&'a [u8; 32]),
    /// Part of an image; `image` is the whole.
    Upload { offset: usize, data: &'a [u8], image: &'a [u8] },
}

impl Request<'_> {
    /// The client's number for the request, which the response repeats. It follows from the request, so
    /// that the client need not remember it.
    fn sequence(&self) -> u8 {
        match self {
            Self::Upload { offset, .. } => (offset >> 8) as u8,
            Self::Confirm | Self::Test(_) => 0,
        }
    }

    fn encode(&self) -> (u8, Value) {
        let (command, body) = match *self {
            Self::Confirm => (0, cbor!({ "confirm" => true })),
            Self::Test(hash) => {
                (0, cbor!({ "hash" => Value::Bytes(hash.to_vec()), "confirm" => false }))
            }
            Self::Upload { offset: 0, data, image } => {
                let sha = Sha256::digest(image).to_vec();
                let (data, sha) = (Value::Bytes(data.to_vec()), Value::Bytes(sha));
                (1, cbor!({ "off" => 0, "len" => image.len(), "data" => data, "sha" => sha }))
            }
            Self::Upload { offset, data, .. } => {
                (1, cbor!({ "off" => offset, "data" => Value::Bytes(data.to_vec()) }))
            }
        };
        (command, body.expect("plain values have a CBOR form"))
    }
}

/// What a client is connected to.
pub(super) trait Console {
    /// Sends bytes and returns what comes back.
    fn exchange(&mut self, frame: &[u8]) -> Vec<u8>;

    /// Whether it is known what follows when the client remembers no more than this.
    fn knows(&mut self, client: &str) -> bool;
}

/// A client on a console.
pub(super) struct Client<'a> {
    console: &'a mut dyn Console,
}

/// Where it passes a multiple of this offset, in bytes, an upload asks whether it is known how it goes on.
const QUIET: usize = 0x1000;

impl<'a> Client<'a> {
    /// A client on a console.
    pub(super) fn new(console: &'a mut dyn Console) -> Self {
        Self { console }
    }

    /// Sends a whole image, from where the device wants it. An upload that went on from an earlier one
    /// and does not come out right is sent once more.
    pub(super) fn upload(&mut self, image: &[u8], chunk: usize) -> Result<(), Failure> {
        for attempt in 0..2 {
            if self.upload_once(image, chunk, attempt)? {
                return Ok(());
            }
        }
        Err("the hash of the upload differs".into())
    }

    /// Whether the device got what was sent.
    fn upload_once(&mut self, image: &[u8], chunk: usize, attempt: u8) -> Result<bool, Failure> {
        let mut offset = 0;
        loop {
            // Packets end at multiples of their length wherever the upload goes on: what the client
            // remembers is the offset and nothing else.
            let end = image.len().min((offset / chunk + 1) * chunk);
            let data = &image[offset..end];
            let response = self.request(Request::Upload { offset, data, image })?;
            let next = field(&response, "off").and_then(Value::as_integer);
            let next = next.and_then(|next| usize::try_from(next).ok()).ok_or("no offset")?;
            if next <= offset {
                return Err("the upload makes no progress".into());
            }
            let matches = field(&response, "match") != Some(&Value::Bool(false));
            let complete = next >= image.len();
            let quiet = complete || offset / QUIET != next / QUIET;
            if quiet && self.console.knows(&format!("{attempt} {next} {matches}")) {
                return Err("the rest is known".into());
            }
            if complete {
                return Ok(matches);
            }
            offset = next;
        }
    }

    /// Sends a request; the response, unless it reports an error.
    pub(super) fn request(&mut self, request: Request<'_>) -> Result<Value, Failure> {
        let (command, body) = request.encode();
        let mut packet = vec![WRITE | 1 << 3, 0, 0, 0, 0, IMAGE_GROUP, request.sequence(), command];
        ciborium::into_writer(&body, &mut packet).map_err(|error| error.to_string())?;
        let length = (packet.len() - HEADER) as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        let output = self.console.exchange(&frame(&packet));
        let packet = unframe(&output).ok_or("no response")?;
        let body = packet.get(HEADER..).ok_or("a response without a header")?;
        let body: Value = ciborium::from_reader(body).map_err(|error| error.to_string())?;
        let no_error = |code: &Value| code.as_integer() == Some(0.into());
        match (field(&body, "err"), field(&body, "rc")) {
            (Some(error), _) => Err(format!("SMP error {error:?}")),
            (_, Some(code)) if !no_error(code) => Err(format!("SMP error {code:?}")),
            _ => Ok(body),
        }
    }
}

fn field<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    let found = map.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name));
    found.map(|(_, value)| value)
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let mut raw = ((packet.len() + 2) as u16).to_be_bytes().to_vec();
    raw.extend_from_slice(packet);
    raw.extend_from_slice(&CRC16.checksum(packet).to_be_bytes());
    let text = STANDARD.encode(raw);
    let mut lines = Vec::new();
    for (index, line) in text.as_bytes().chunks(LINE).enumerate() {
        lines.extend_from_slice(MARKERS[index.min(1)]);
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    lines
}

/// The packet of the one frame among other output.
fn unframe(output: &[u8]) -> Option<Vec<u8>> {
    let lines = output.split(|&byte| byte == b'\n');
    let parts = lines.filter_map(|line| MARKERS.iter().find_map(|&it| line.strip_prefix(it)));
    let text: Vec<u8> = parts.flatten().copied().collect();
    let raw = STANDARD.decode(text).ok()?;
    let (length, rest) = raw.split_first_chunk()?;
    let (packet, crc) = rest.split_last_chunk()?;
    let whole = usize::from(u16::from_be_bytes(*length)) == rest.len();
    (whole && CRC16.checksum(packet) == u16::from_be_bytes(*crc)).then(|| packet.to_vec())
}
