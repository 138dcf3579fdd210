//! The OS group: echo, reset, and what the device is.
//!
//! Source: Zephyr "Default/OS Management Group".

use crate::agent::{After, Answer, Request};
use crate::board::FirmwareInfo;
use crate::cbor::{Fields, Writer};
use crate::error::{Os, Rc};
use crate::header::Op;
use crate::text::Line;
use core::fmt::Write;

/// Number of the group (`MGMT_GROUP_ID_OS`).
pub(crate) const GROUP: u16 = 0;

/// Name of the bootloader that the device starts with.
const BOOTLOADER: &str = "ESP-IDF";

/// Answers a request of this group. `buffer_len` is the size of the largest packet.
pub(crate) fn handle(
    request: &Request<'_>,
    info: &FirmwareInfo,
    buffer_len: usize,
    reply: &mut Writer<'_>,
) -> Answer {
    let fields = request.fields()?;
    match (request.op, request.command) {
        (_, 0) => echo(fields, reply),
        (Op::Write, 5) => reset(fields, reply),
        (Op::Read, 6) => {
            reply.begin_map()?;
            reply.field("buf_size", u32::try_from(buffer_len).unwrap_or(u32::MAX))?;
            reply.field("buf_count", 1u32)?;
            reply.end()?;
            Ok(After::Nothing)
        }
        (Op::Read, 7) => application(fields, info, reply),
        (Op::Read, 8) => bootloader(fields, reply),
        _ => Err(Rc::NotSupported.into()),
    }
}

fn echo(mut fields: Fields<'_>, reply: &mut Writer<'_>) -> Answer {
    let mut text = None;
    while let Some((key, value)) = fields.next()? {
        if key == "d" {
            text = Some(value.text()?);
        }
    }
    reply.begin_map()?;
    reply.field("r", text.ok_or(Rc::Invalid)?)?;
    reply.end()?;
    Ok(After::Nothing)
}

fn reset(mut fields: Fields<'_>, reply: &mut Writer<'_>) -> Answer {
    while let Some((key, value)) = fields.next()? {
        // There is only one way to boot.
        if key == "boot_mode" && value.uint()? != 0 {
            return Err(Rc::NotSupported.into());
        }
    }
    reply.begin_map()?;
    reply.end()?;
    Ok(After::Reset)
}

/// What `uname` would print: the asked-for fields in a fixed order.
fn application(mut fields: Fields<'_>, info: &FirmwareInfo, reply: &mut Writer<'_>) -> Answer {
    let mut format = "s";
    while let Some((key, value)) = fields.next()? {
        if key == "format" {
            format = value.text()?;
        }
    }
    let mut chip = Line::<16>::new();
    // Fits: the longest name has 12 bytes.
    let _ = write!(chip, "{}", info.chip);
    let parts = [
        ('s', info.name),
        ('n', info.node),
        ('r', info.version),
        ('v', info.version),
        ('b', info.build),
        ('m', info.machine),
        ('p', chip.as_str()),
        ('i', info.platform),
        ('o', "bare-metal"),
    ];
    let known = |c| c == 'a' || parts.iter().any(|&(letter, _)| letter == c);
    if !format.chars().all(known) {
        return Err(Os::InvalidFormat.into());
    }
    let mut output = Line::<256>::new();
    for (letter, part) in parts {
        if format.contains([letter, 'a']) {
            let gap = if output.as_str().is_empty() { "" } else { " " };
            write!(output, "{gap}{part}").map_err(|_| Rc::MessageSize)?;
        }
    }
    reply.begin_map()?;
    reply.field("output", output.as_str())?;
    reply.end()?;
    Ok(After::Nothing)
}

fn bootloader(mut fields: Fields<'_>, reply: &mut Writer<'_>) -> Answer {
    while let Some((key, _)) = fields.next()? {
        if key == "query" {
            return Err(Os::NoAnswer.into());
        }
    }
    reply.begin_map()?;
    reply.field("bootloader", BOOTLOADER)?;
    reply.end()?;
    Ok(After::Nothing)
}
