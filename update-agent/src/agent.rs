//! The agent: takes packets apart, has them answered, and sends the answers.

use crate::board::{Board, FirmwareInfo};
use crate::cbor::{Fields, Writer};
use crate::error::{Failure, Rc};
use crate::frame::{self, Receiver};
use crate::header::{HEADER_LEN, Header, Op, Version};
use crate::img::Slots;
use crate::{cutpoint, img, os};

/// Most bytes of a response, header included. A list of seven images fits.
pub const RESPONSE_LEN: usize = 1024;

/// The device side of SMP.
///
/// `N` is the size of the largest request in bytes, header included; what clients learn as `buf_size`.
/// The agent holds `N` and [`RESPONSE_LEN`] bytes and little else, and needs no memory besides.
///
/// It keeps the state of one upload. Another client that starts its own takes over; the first one is
/// then told an offset that does not fit, and its image cannot verify.
#[derive(Clone, Debug, Hash)]
pub struct Agent<const N: usize> {
    info: FirmwareInfo,
    receiver: Receiver<N>,
    response: [u8; RESPONSE_LEN],
    slots: Slots,
}

/// A request that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) op: Op,
    pub(crate) command: u8,
    pub(crate) fields: Fields<'a>,
}

/// What follows once the response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    Reset,
}

/// How a request ended; the data of the response is written if it succeeded.
pub(crate) type Answer = Result<After, Failure>;

impl<const N: usize> Agent<N> {
    /// An agent in a device that runs this firmware.
    pub const fn new(info: FirmwareInfo) -> Self {
        Self { info, receiver: Receiver::new(), response: [0; RESPONSE_LEN], slots: Slots::new() }
    }

    /// Takes console input, in pieces of any size. Requests in it are answered before this returns;
    /// everything else is ignored.
    pub fn receive<B: Board>(&mut self, bytes: &[u8], board: &mut B) {
        let Self { info, receiver, response, slots } = self;
        for &byte in bytes {
            let Some(packet) = receiver.push(byte) else { continue };
            let Some((&header, data)) = packet.split_first_chunk() else { continue };
            let Some(header) = Header::parse(header) else { continue };
            let answer = |reply: &mut Writer<'_>, board: &mut B| -> Answer {
                if matches!(header.version, Version::Unknown(_)) {
                    return Err(Rc::VersionTooNew.into());
                }
                if data.len() != usize::from(header.len) {
                    return Err(Rc::Corrupt.into());
                }
                let fields = Fields::open(data)?;
                let request = Request { op: header.op, command: header.command, fields };
                match header.group {
                    os::GROUP => os::handle(&request, info, N, reply),
                    img::GROUP => img::handle(&request, info, slots, reply, board),
                    cutpoint::GROUP => cutpoint::handle(&request, info, reply, board),
                    _ => Err(Rc::NotSupported.into()),
                }
            };
            if respond(&header, response, board, answer) == Some(After::Reset) {
                board.flush();
                board.reset();
            }
        }
    }
}

/// Puts a response together and sends it.
fn respond<B: Board>(
    header: &Header,
    buffer: &mut [u8; RESPONSE_LEN],
    board: &mut B,
    answer: impl FnOnce(&mut Writer<'_>, &mut B) -> Answer,
) -> Option<After> {
    let (head, data) = buffer.split_first_chunk_mut::<HEADER_LEN>()?;
    let mut reply = Writer::new(data);
    let answered = answer(&mut reply, board);
    let (after, len) = match answered.and_then(|after| Ok((after, reply.finish()?))) {
        Ok(answered) => answered,
        Err(failure) => {
            let mut reply = Writer::new(data);
            failure.write(header.version, &mut reply);
            (After::Nothing, reply.finish().ok()?)
        }
    };
    *head = header.response(u16::try_from(len).ok()?);
    frame::send(buffer.get(..HEADER_LEN + len)?, |line| board.send(line));
    Some(after)
}
