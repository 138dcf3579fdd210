//! The OS group: echo, reset, and what the device is.
//!
//! Source: Zephyr "Default/OS Management Group".

use crate::agent::{After, Answer, Request};
use crate::board::FirmwareInfo;
use crate::cbor::{Fields, Writer};
use crate::error::{Failure, Os, Rc};
use crate::header::Op;
use crate::text::Line;

/// Number of the group (`MGMT_GROUP_ID_OS`).
pub(crate) const GROUP: u16 = 0;

/// What a request for application information may ask for, besides `a` for all, in the order of the
/// answer.
const PARTS: &[u8] = b"snrvbmpio";

/// Name of the bootloader that the device starts with.
const BOOTLOADER: &[u8] = b"ESP-IDF";

/// Answers a request of this group. `buffer_len` is the size of the largest packet.
pub(crate) fn handle(
    request: &Request<'_>,
    info: &FirmwareInfo,
    buffer_len: usize,
    reply: &mut Writer<'_>,
) -> Answer {
    let fields = &request.fields;
    match (request.op, request.command) {
        (_, 0) => reply.text("r", fields.text("d")?.ok_or(Rc::Invalid)?),
        (Op::Write, 5) => return reset(fields),
        (Op::Read, 6) => {
            reply.uint("buf_size", u32::try_from(buffer_len).unwrap_or(u32::MAX));
            reply.uint("buf_count", 1);
        }
        (Op::Read, 7) => application(fields, info, reply)?,
        (Op::Read, 8) if fields.has("query") => return Err(Os::NoAnswer.into()),
        (Op::Read, 8) => reply.text("bootloader", BOOTLOADER),
        _ => return Err(Rc::NotSupported.into()),
    }
    Ok(After::Nothing)
}

fn reset(fields: &Fields<'_>) -> Answer {
    // There is only one way to boot.
    match fields.uint("boot_mode")? {
        None | Some(0) => Ok(After::Reset),
        Some(_) => Err(Rc::NotSupported.into()),
    }
}

/// What `uname` would print: the asked-for fields in a fixed order.
fn application(
    fields: &Fields<'_>,
    info: &FirmwareInfo,
    reply: &mut Writer<'_>,
) -> Result<(), Failure> {
    let format = fields.text("format")?.unwrap_or(b"s");
    let mut output = Line::<256>::new();
    for &letter in PARTS {
        if !format.iter().any(|&asked| asked == letter || asked == b'a') {
            continue;
        }
        if !output.as_bytes().is_empty() {
            output.text(" ");
        }
        output.text(match letter {
            b's' => info.name,
            b'n' => info.node,
            b'r' | b'v' => info.version,
            b'b' => info.build,
            b'm' => info.machine,
            b'p' => info.chip.name().unwrap_or("?"),
            b'i' => info.platform,
            _ => "bare-metal",
        });
    }
    if !format.iter().all(|asked| *asked == b'a' || PARTS.contains(asked)) {
        return Err(Os::InvalidFormat.into());
    }
    if output.is_cut() {
        return Err(Rc::MessageSize.into());
    }
    reply.text("output", output.as_bytes());
    Ok(())
}
