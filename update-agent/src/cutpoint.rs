//! The project's own group: what stands in flash, and aids for benches.
//!
//! Documented in `docs/smp-group.md`.

use crate::agent::{After, Answer, Request};
use crate::board::{Board, FirmwareInfo};
use crate::cbor::{Fields, Writer};
use crate::error::Rc;
use crate::header::Op;
use crate::text::Line;
use core::fmt::{Display, Write};
use embedded_storage::nor_flash::MultiwriteNorFlash;
use ota_core::Ota;
use ota_core::otadata::{self, SelectEntry};
use ota_core::table::PartitionTable;

/// Number of the group, and of the error space in which codes are values of `esp_err_t`.
pub const GROUP: u16 = 67;

/// Version of the group, in the answer to its command 0. Fields may be added within a version.
pub const GROUP_VERSION: u8 = 1;

/// Room in a response that an entry of the partition table needs, and the end of the response.
const PARTITION_ROOM: usize = 160;

/// Answers a request of this group.
pub(crate) fn handle<B: Board>(
    request: &Request<'_>,
    info: &FirmwareInfo,
    reply: &mut Writer<'_>,
    board: &mut B,
) -> Answer {
    let fields = request.fields()?;
    match (request.op, request.command) {
        (Op::Read, 0) => status(reply, board),
        (Op::Read, 1) => select_entries(board.ota(), reply),
        (Op::Read, 2) => partitions(fields, info, board.ota(), reply),
        (Op::Write, 3) => trace(fields, reply, board),
        (Op::Write, 4) => reset_at(fields, reply, board),
        _ => Err(Rc::NotSupported.into()),
    }
}

fn text(value: impl Display) -> Line<40> {
    let mut text = Line::new();
    // What does not fit is left out; names of partitions have at most 16 characters.
    let _ = write!(text, "{value}");
    text
}

fn status<B: Board>(reply: &mut Writer<'_>, board: &mut B) -> Answer {
    let (running, boot) = (board.ota().running(), board.ota().boot_app()?);
    let reason = board.reset_reason();
    reply.begin_map()?;
    reply.field("version", GROUP_VERSION)?;
    reply.field("running", text(running).as_str())?;
    reply.field("boot", text(boot).as_str())?;
    reply.field("reset", reason.code)?;
    reply.field("reset_name", reason.name)?;
    let trace = board.trace();
    reply.field("trace", trace.is_on())?;
    reply.field("ops", trace.operations())?;
    if let Some(seq) = trace.reset_at() {
        reply.field("reset_at", seq)?;
    }
    reply.end()?;
    Ok(After::Nothing)
}

fn select_entries<F: MultiwriteNorFlash>(ota: &mut Ota<F>, reply: &mut Writer<'_>) -> Answer {
    let entries = ota.select_entries()?;
    let slots = u32::from(ota.layout().slot_count());
    reply.begin_map()?;
    reply.begin_array("entries")?;
    for entry in &entries {
        reply.begin_map()?;
        reply.field("seq", entry.seq)?;
        reply.field("state", entry.state.0)?;
        reply.field("state_name", text(entry.state).as_str())?;
        reply.field("crc", entry.crc)?;
        reply.field("crc_ok", entry.crc_ok())?;
        reply.field("valid", entry.is_valid())?;
        if entry.seq != SelectEntry::SEQ_BLANK
            && let Some(slot) = entry.slot_index(slots)
        {
            reply.field("slot", slot)?;
        }
        reply.end()?;
    }
    reply.end()?;
    if let Some(active) = otadata::active(&entries) {
        reply.field("active", u32::try_from(active).unwrap_or(u32::MAX))?;
    }
    reply.end()?;
    Ok(After::Nothing)
}

/// As many entries as fit, from the one that the request names.
fn partitions<F: MultiwriteNorFlash>(
    mut fields: Fields<'_>,
    info: &FirmwareInfo,
    ota: &mut Ota<F>,
    reply: &mut Writer<'_>,
) -> Answer {
    let mut from = 0;
    while let Some((key, value)) = fields.next()? {
        if key == "from" {
            from = value.uint()?;
        }
    }
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let table = PartitionTable::load(ota.flash(), info.table_offset)?;
    reply.begin_map()?;
    reply.field("offset", table.offset())?;
    reply.field("count", table.count())?;
    reply.begin_array("partitions")?;
    for entry in table.entries(ota.flash()).skip(from) {
        if reply.room() < PARTITION_ROOM {
            break;
        }
        let entry = entry?;
        reply.begin_map()?;
        reply.field("label", text(entry.label).as_str())?;
        reply.field("type", entry.ty.0)?;
        reply.field("subtype", entry.subtype.0)?;
        reply.field("kind", text(entry.kind()).as_str())?;
        reply.field("offset", entry.offset)?;
        reply.field("size", entry.size)?;
        reply.field("flags", entry.flags.0)?;
        reply.end()?;
    }
    reply.end()?;
    reply.end()?;
    Ok(After::Nothing)
}

fn trace<B: Board>(mut fields: Fields<'_>, reply: &mut Writer<'_>, board: &mut B) -> Answer {
    let mut on = None;
    while let Some((key, value)) = fields.next()? {
        if key == "on" {
            on = Some(value.bool()?);
        }
    }
    board.trace().set_on(on.ok_or(Rc::Invalid)?);
    reply.begin_map()?;
    reply.field("ops", board.trace().operations())?;
    reply.end()?;
    Ok(After::Nothing)
}

/// Arms or disarms the reset in place of the N-th flash operation from now.
fn reset_at<B: Board>(mut fields: Fields<'_>, reply: &mut Writer<'_>, board: &mut B) -> Answer {
    let mut operation = None;
    while let Some((key, value)) = fields.next()? {
        if key == "operation" {
            operation = Some(u32::try_from(value.uint()?).map_err(|_| Rc::Invalid)?);
        }
    }
    let trace = board.trace();
    let seq = match operation.ok_or(Rc::Invalid)? {
        0 => None,
        operation => Some(trace.operations().wrapping_add(operation - 1)),
    };
    trace.set_reset_at(seq);
    reply.begin_map()?;
    reply.field("fault", "reset")?;
    if let Some(seq) = seq {
        reply.field("seq", seq)?;
    }
    reply.end()?;
    Ok(After::Nothing)
}
