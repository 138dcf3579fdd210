//! Image upload: packets with an offset, in order, into the slot for the next update.
//!
//! # Going on after a power cut
//! A client that starts over sends its first packet again, and the agent answers with the offset that
//! flash proves. Nothing is remembered but what stands in the slot:
//! - A new upload erases as many sectors as the image takes, from the front, and only then writes. So
//!   while the slot starts with the bytes of the client's first packet, each sector behind that is not
//!   blank was written by an upload of an image that starts alike.
//! - The last such sector may be incomplete. The upload continues at its start.
//! - That proves the start of the image, not all of it. The client's SHA-256 over the whole file and the
//!   SHA-256 at the end of the image prove the rest, once it is complete. If one of them is wrong, the
//!   first sector is erased, so that the next attempt starts at 0.
//!
//! Without the client's SHA-256 every upload starts at 0.
//!
//! An upload selects nothing. What it leaves can be selected by its hash, if it verifies then.

use crate::board::FirmwareInfo;
use crate::cbor::{Fields, Writer};
use crate::error::{Failure, Img};
use crate::img::refused;
use crate::version;
use embedded_storage::nor_flash::MultiwriteNorFlash;
use ota_core::image::{
    AppDescriptor, DESCRIPTOR_LEN, DESCRIPTOR_OFFSET, HEADER_LEN, Header, ImageError,
};
use ota_core::otadata::SECTOR_SIZE;
use ota_core::partition::{App, Region};
use ota_core::{Error, Extent, Ota, Paused};

/// An upload between two packets.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Upload {
    paused: Paused,
    /// Offset of the next byte.
    position: u32,
    /// Length of the file.
    len: u32,
    /// The client's SHA-256 over the file.
    sha: Option<[u8; 32]>,
    /// Only a newer version than the running one is wanted.
    upgrade: bool,
}

/// The fields of a request.
struct Packet<'a> {
    off: u64,
    data: &'a [u8],
    len: Option<u64>,
    sha: Option<&'a [u8]>,
    image: u64,
    upgrade: bool,
}

impl<'a> Packet<'a> {
    fn read(fields: &Fields<'a>) -> Result<Self, Failure> {
        Ok(Self {
            off: fields.uint("off")?.ok_or(Img::InvalidOffset)?,
            data: fields.bytes("data")?.unwrap_or_default(),
            len: fields.uint("len")?,
            sha: fields.bytes("sha")?,
            image: fields.uint("image")?.unwrap_or(0),
            upgrade: fields.bool("upgrade")?.unwrap_or(false),
        })
    }
}

/// Answers an upload request.
pub(crate) fn handle<F: MultiwriteNorFlash>(
    fields: &Fields<'_>,
    info: &FirmwareInfo,
    upload: &mut Option<Upload>,
    ota: &mut Ota<F>,
    reply: &mut Writer<'_>,
) -> Result<(), Failure> {
    let packet = Packet::read(fields)?;
    let (off, matches) = match packet.off {
        0 => start(&packet, info, upload, ota)?,
        off => match upload {
            // The device was reset in between: the client has to start over.
            None => (0, None),
            Some(upload) if u64::from(upload.position) != off || packet.data.is_empty() => {
                (upload.position, None)
            }
            Some(_) => append(packet.data, upload, ota, info)?,
        },
    };
    reply.uint("off", off);
    if let Some(matches) = matches {
        reply.bool("match", matches);
    }
    Ok(())
}

/// Where the upload stands, and with the last packet whether the client's SHA-256 is right.
type Progress = (u32, Option<bool>);

/// Takes the first packet.
fn start<F: MultiwriteNorFlash>(
    packet: &Packet<'_>,
    info: &FirmwareInfo,
    upload: &mut Option<Upload>,
    ota: &mut Ota<F>,
) -> Result<Progress, Failure> {
    let sha = match packet.sha {
        None | Some([]) => None,
        Some(sha) => Some(<[u8; 32]>::try_from(sha).map_err(|_| Img::InvalidHash)?),
    };
    let len = packet.len.ok_or(Img::InvalidLength)?;
    if packet.image != 0 {
        return Err(Img::InvalidSlot.into());
    }
    let slot = ota.next_update_slot().ok_or(Img::NoFreeSlot)?;
    let region = ota.layout().slot(slot).ok_or(Img::NoFreeSlot)?;
    let len = fits::<F::Error>(len, region)?;
    check_start::<F::Error>(packet, len, region, info)?;
    if let Some(upload) = upload.as_ref().filter(|upload| {
        // The client asks again, or it is a new one with the same file.
        sha.is_some() && upload.sha == sha && upload.len == len && upload.position > 0
    }) {
        return Ok((upload.position, None));
    }
    *upload = None;
    let proven = match sha {
        Some(_) => proven(ota, region, packet.data, len).map_err(Error::Flash)?,
        None => 0,
    };
    let session = match proven {
        0 => ota.begin(slot, Extent::Known(len))?,
        proven => ota.resume(slot, proven)?,
    };
    let position = session.position();
    let paused = session.pause();
    *upload = Some(Upload { paused, position, len, sha, upgrade: packet.upgrade });
    if position > 0 { Ok((position, None)) } else { append(packet.data, upload, ota, info) }
}

/// Refuses a file that the slot has no room for.
fn fits<E>(len: u64, region: Region) -> Result<u32, Failure> {
    let size = u32::try_from(len).unwrap_or(u32::MAX);
    if size > region.size {
        return Err(Error::<E>::TooLarge { size, available: region.size }.into());
    }
    Ok(size)
}

/// Refuses what the first bytes show to be wrong, before anything is erased.
fn check_start<E>(
    packet: &Packet<'_>,
    len: u32,
    region: Region,
    info: &FirmwareInfo,
) -> Result<(), Failure> {
    let data = packet.data;
    if data.len() > len as usize {
        return Err(Img::DataOverrun.into());
    }
    let header: &[u8; HEADER_LEN] = data.first_chunk().ok_or(Img::InvalidImageHeader)?;
    let [found, ..] = *header;
    let header = Header::parse(header).ok_or(Error::<E>::NotAnImage { found })?;
    if header.chip != info.chip {
        let (found, expected) = (header.chip, info.chip);
        return Err(refused(ImageError::<E>::WrongChip { offset: region.offset, found, expected }));
    }
    let descriptor = data.get(DESCRIPTOR_OFFSET as usize..).and_then(<[u8]>::first_chunk);
    match descriptor.and_then(AppDescriptor::parse) {
        Some(descriptor) if packet.upgrade => check_newer(&descriptor, info),
        _ => Ok(()),
    }
}

/// Refuses a version that is not above the running one.
fn check_newer(descriptor: &AppDescriptor, info: &FirmwareInfo) -> Result<(), Failure> {
    let running = version::parse(info.version.as_bytes()).ok_or(Img::VersionGetFailed)?;
    match version::parse(descriptor.version.as_bytes()) {
        Some(offered) if offered > running => Ok(()),
        _ => Err(Img::CurrentVersionIsNewer.into()),
    }
}

/// Takes the data of the packet that is next.
fn append<F: MultiwriteNorFlash>(
    data: &[u8],
    state: &mut Option<Upload>,
    ota: &mut Ota<F>,
    info: &FirmwareInfo,
) -> Result<Progress, Failure> {
    let Some(upload) = state else { return Ok((0, None)) };
    let left = upload.len - upload.position;
    if data.len() > left as usize {
        return Err(Img::DataOverrun.into());
    }
    // From here on an error ends the upload: a session is worth nothing after one.
    let Upload { paused, len, sha, upgrade, .. } = *upload;
    *state = None;
    let mut session = ota.unpause(paused)?;
    session.write(data)?;
    let position = session.position();
    if position < len {
        let paused = session.pause();
        *state = Some(Upload { paused, position, len, sha, upgrade });
        return Ok((position, None));
    }
    let slot = session.slot();
    let verdict = session.end().map(drop);
    let matches = match sha {
        Some(sha) => Some(ota.digest(App::Ota(slot), len)? == sha),
        None => None,
    };
    let verdict = match (matches, verdict) {
        (Some(false), _) => Ok(()),
        (_, Ok(())) if upgrade => {
            let descriptor = ota.describe(App::Ota(slot))?;
            check_newer(&descriptor, info)
        }
        (_, verdict) => verdict.map_err(Failure::from),
    };
    if matches == Some(false) || verdict.is_err() {
        // The next attempt starts at 0, and until then the slot holds no image.
        ota.begin(slot, Extent::Known(1))?.abort();
    }
    verdict.map(|()| (position, matches))
}

/// Bytes read at once.
const WINDOW: usize = 256;

/// How much of the file stands in the slot already, in whole sectors: those before the last one that
/// is not blank. 0 when the slot does not start like the file.
fn proven<F: MultiwriteNorFlash>(
    ota: &mut Ota<F>,
    region: Region,
    start: &[u8],
    len: u32,
) -> Result<u32, F::Error> {
    let mut window = [0; WINDOW];
    for (offset, expected) in (region.offset..).step_by(WINDOW).zip(start.chunks(WINDOW)) {
        ota.flash().read(offset, &mut window)?;
        if !window.starts_with(expected) {
            return Ok(0);
        }
    }
    let mut at = len.next_multiple_of(SECTOR_SIZE).min(region.size);
    while let Some(before) = at.checked_sub(WINDOW as u32) {
        ota.flash().read(region.offset + before, &mut window)?;
        if window.iter().any(|&byte| byte != 0xFF) {
            return Ok(before - before % SECTOR_SIZE);
        }
        at = before;
    }
    Ok(0)
}

const _: () =
    assert!(DESCRIPTOR_LEN >= HEADER_LEN && (SECTOR_SIZE as usize).is_multiple_of(WINDOW));
