//! The project's own group: what stands in flash, and aids for benches.
//!
//! Documented in `docs/smp-group.md`.

use crate::agent::{After, Answer, Request};
use crate::board::{Board, FirmwareInfo};
use crate::cbor::{Fields, Writer};
use crate::error::{Failure, Rc};
use crate::header::Op;
use crate::trace::Trace;
use embedded_storage::nor_flash::MultiwriteNorFlash;
use ota_core::Ota;
use ota_core::otadata::{self, SelectEntry};
use ota_core::table::PartitionTable;

/// Number of the group, and of the error space in which codes are values of `esp_err_t`.
pub const GROUP: u16 = 67;

/// Version of the group, in the answer to its command 0. Fields may be added within a version.
pub const GROUP_VERSION: u8 = 1;

/// Room in a response that an entry of the partition table needs, and the end of the response.
const PARTITION_ROOM: usize = 128;

/// Answers a request of this group.
pub(crate) fn handle<B: Board>(
    request: &Request<'_>,
    info: &FirmwareInfo,
    reply: &mut Writer<'_>,
    board: &mut B,
) -> Answer {
    let fields = &request.fields;
    match (request.op, request.command) {
        (Op::Read, 0) => status(reply, board)?,
        (Op::Read, 1) => select_entries(board.ota(), reply)?,
        (Op::Read, 2) => partitions(fields, info, board.ota(), reply)?,
        (Op::Write, 3) => {
            board.trace().set_on(fields.bool("on")?.ok_or(Rc::Invalid)?);
            reply.uint("ops", board.trace().operations());
        }
        (Op::Write, 4) => reset_at(fields, reply, board.trace())?,
        _ => return Err(Rc::NotSupported.into()),
    }
    Ok(After::Nothing)
}

fn status<B: Board>(reply: &mut Writer<'_>, board: &mut B) -> Result<(), Failure> {
    let (running, boot) = (board.ota().running(), board.ota().boot_app()?);
    let reason = board.reset_reason();
    reply.uint("version", GROUP_VERSION.into());
    reply.text("running", running.name().as_bytes());
    reply.text("boot", boot.name().as_bytes());
    reply.uint("reset", reason.code.into());
    reply.text("reset_name", reason.name.as_bytes());
    let trace = board.trace();
    reply.bool("trace", trace.is_on());
    reply.uint("ops", trace.operations());
    if let Some(seq) = trace.reset_at() {
        reply.uint("reset_at", seq);
    }
    Ok(())
}

fn select_entries<F: MultiwriteNorFlash>(
    ota: &mut Ota<F>,
    reply: &mut Writer<'_>,
) -> Result<(), Failure> {
    let entries = ota.select_entries()?;
    let slots = u32::from(ota.layout().slot_count());
    reply.begin_array_at("entries");
    for entry in &entries {
        reply.begin_map();
        reply.uint("seq", entry.seq);
        reply.uint("state", entry.state.0);
        if let Some(name) = entry.state.name() {
            reply.text("state_name", name.as_bytes());
        }
        reply.uint("crc", entry.crc);
        reply.bool("crc_ok", entry.crc_ok());
        reply.bool("valid", entry.is_valid());
        if entry.seq != SelectEntry::SEQ_BLANK
            && let Some(slot) = entry.slot_index(slots)
        {
            reply.uint("slot", slot);
        }
        reply.end();
    }
    reply.end();
    if let Some(active) = otadata::active(&entries) {
        reply.uint("active", active as u32);
    }
    Ok(())
}

/// As many entries as fit, from the one that the request names.
fn partitions<F: MultiwriteNorFlash>(
    fields: &Fields<'_>,
    info: &FirmwareInfo,
    ota: &mut Ota<F>,
    reply: &mut Writer<'_>,
) -> Result<(), Failure> {
    let from = usize::try_from(fields.uint("from")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let table = PartitionTable::load(ota.flash(), info.table_offset)?;
    reply.uint("offset", table.offset());
    reply.uint("count", table.count().into());
    reply.begin_array_at("partitions");
    for entry in table.entries(ota.flash()).skip(from) {
        if reply.room() < PARTITION_ROOM {
            break;
        }
        let entry = entry?;
        reply.begin_map();
        reply.ascii("label", entry.label.as_bytes());
        reply.uint("type", entry.ty.0.into());
        reply.uint("subtype", entry.subtype.0.into());
        reply.uint("offset", entry.offset);
        reply.uint("size", entry.size);
        reply.uint("flags", entry.flags.0);
        reply.end();
    }
    reply.end();
    Ok(())
}

/// Arms or disarms the reset in place of the N-th flash operation from now.
fn reset_at(fields: &Fields<'_>, reply: &mut Writer<'_>, trace: &Trace) -> Result<(), Failure> {
    let operation = fields.uint("operation")?.and_then(|number| u32::try_from(number).ok());
    let seq = match operation.ok_or(Rc::Invalid)? {
        0 => None,
        operation => Some(trace.operations().wrapping_add(operation - 1)),
    };
    trace.set_reset_at(seq);
    reply.text("fault", b"reset");
    if let Some(seq) = seq {
        reply.uint("seq", seq);
    }
    Ok(())
}
