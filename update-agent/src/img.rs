//! The image group: what stands in the slots, and which of it boots.
//!
//! SMP's terms are those of MCUboot, where a device runs from slot 0. Here slots are those of the
//! partition table, and the device runs from any: `slot` N is `ota_N`, [`FACTORY`] is factory, [`TEST`]
//! the test application. `hash` is the SHA-256 that ends an image.
//!
//! Source: Zephyr "Application/software image management group", `img_mgmt_state.c`.

use crate::agent::{After, Answer, Request};
use crate::board::{Board, FirmwareInfo};
use crate::cbor::{Fields, Writer};
use crate::error::{Failure, Img, Rc};
use crate::header::Op;
use crate::upload::{self, Upload};
use cbor4ii::core::types::Bytes;
use embedded_storage::nor_flash::MultiwriteNorFlash;
use ota_core::image::ImageError;
use ota_core::otadata::State;
use ota_core::partition::{App, Slot};
use ota_core::{Error, Extent, Ota};

/// Number of the group (`MGMT_GROUP_ID_IMAGE`).
pub(crate) const GROUP: u16 = 1;

/// `slot` of the factory application.
const FACTORY: u8 = Slot::MAX as u8;
/// `slot` of the test application.
const TEST: u8 = FACTORY + 1;

/// Answers a request of this group.
pub(crate) fn handle<B: Board>(
    request: &Request<'_>,
    info: &FirmwareInfo,
    upload: &mut Option<Upload>,
    reply: &mut Writer<'_>,
    board: &mut B,
) -> Answer {
    let fields = request.fields()?;
    let ota = board.ota();
    match (request.op, request.command) {
        (Op::Read, 0) => list(ota, reply),
        (Op::Write, 0) => {
            set_state(fields, upload, ota)?;
            list(ota, reply)
        }
        (Op::Write, 1) => upload::handle(fields, info, upload, ota, reply),
        (Op::Write, 5) => erase(fields, upload, ota, reply),
        (Op::Read, 6) => slot_info(ota, reply),
        _ => Err(Rc::NotSupported.into()),
    }
}

/// All applications that the partition table has room for.
fn apps<F: MultiwriteNorFlash>(ota: &Ota<F>) -> impl Iterator<Item = App> + use<F> {
    let layout = *ota.layout();
    let slots = (0..layout.slot_count()).filter_map(Slot::new).map(App::Ota);
    slots.chain([App::Factory, App::Test]).filter(move |&app| layout.app(app).is_some())
}

fn number(app: App) -> u8 {
    match app {
        App::Ota(slot) => slot.index(),
        App::Factory => FACTORY,
        App::Test => TEST,
    }
}

/// The hash of the image in a partition; `None` without a valid image.
fn hash<F: MultiwriteNorFlash>(
    ota: &mut Ota<F>,
    app: App,
) -> Result<Option<[u8; 32]>, Error<F::Error>> {
    match ota.verify(app) {
        Ok(verified) => Ok(verified.info().digest),
        Err(Error::Image(error)) => match error.into_flash() {
            Some(error) => Err(Error::Flash(error)),
            None => Ok(None),
        },
        Err(error) => Err(error),
    }
}

/// What otadata says about the images.
struct Selection {
    running: App,
    boot: App,
    /// The image that the device stays with, or returns to, if nobody does anything.
    confirmed: Option<App>,
}

impl Selection {
    fn read<F: MultiwriteNorFlash>(ota: &mut Ota<F>) -> Result<Self, Error<F::Error>> {
        let (running, boot) = (ota.running(), ota.boot_app()?);
        let state = state(ota, running)?;
        let on_trial = matches!(state, Some(State::NEW | State::PENDING_VERIFY));
        let confirmed = if on_trial { ota.rollback_target()? } else { Some(running) };
        Ok(Self { running, boot, confirmed })
    }
}

fn state<F: MultiwriteNorFlash>(
    ota: &mut Ota<F>,
    app: App,
) -> Result<Option<State>, Error<F::Error>> {
    match app {
        App::Ota(slot) => ota.state(slot),
        App::Factory | App::Test => Ok(None),
    }
}

/// Lists the valid images. A flag that is not there is false.
fn list<F: MultiwriteNorFlash>(ota: &mut Ota<F>, reply: &mut Writer<'_>) -> Answer {
    let selection = Selection::read(ota)?;
    reply.begin_map()?;
    reply.begin_array("images")?;
    for app in apps(ota) {
        let Some(hash) = hash(ota, app)? else { continue };
        let version = ota.describe(app)?.version;
        let state = state(ota, app)?;
        let pending = app == selection.boot && app != selection.running;
        reply.begin_map()?;
        reply.field("slot", number(app))?;
        reply.field("version", version.as_str().unwrap_or("?"))?;
        reply.field("hash", Bytes(&hash[..]))?;
        for (key, flag) in [
            ("bootable", state.is_none_or(State::is_bootable)),
            ("pending", pending),
            ("confirmed", selection.confirmed == Some(app)),
            ("active", app == selection.running),
            ("permanent", pending && state != Some(State::NEW)),
        ] {
            if flag {
                reply.field(key, true)?;
            }
        }
        reply.end()?;
    }
    reply.end()?;
    reply.end()?;
    Ok(After::Nothing)
}

/// Selects an image for the next boot, or confirms the one that runs.
fn set_state<F: MultiwriteNorFlash>(
    mut fields: Fields<'_>,
    upload: &mut Option<Upload>,
    ota: &mut Ota<F>,
) -> Result<(), Failure> {
    let (mut wanted, mut confirm) = (None, false);
    while let Some((key, value)) = fields.next()? {
        match key {
            "hash" => wanted = Some(value.bytes()?),
            "confirm" => confirm = value.bool()?,
            _ => {}
        }
    }
    let running = ota.running();
    let Some(wanted) = wanted.filter(|hash| !hash.is_empty()) else {
        if !confirm {
            return Err(Img::InvalidHash.into());
        }
        ota.confirm()?;
        return Ok(());
    };
    // The running image may stand elsewhere as well: confirming means the one that runs, testing the
    // other; and of two others a slot, which an upload may have filled, rather than factory.
    let preferred = |app: App| (app == running) == confirm;
    let mut found = None;
    for app in apps(ota) {
        let better = found.is_none_or(|found| preferred(app) && !preferred(found));
        if better && hash(ota, app)?.is_some_and(|hash| hash == *wanted) {
            found = Some(app);
        }
    }
    match (found.ok_or(Img::HashNotFound)?, confirm) {
        (app, true) if app == running => ota.confirm().map(drop)?,
        (app, false) if app == running => return Err(Img::TestOfActiveDenied.into()),
        // An image that never ran must prove itself first.
        (_, true) => return Err(Img::ConfirmationDenied.into()),
        (app, false) => {
            // What is verified now is what is selected: between the two nothing can be written.
            let verified = ota.verify(app)?;
            if verified.info().digest.is_none_or(|hash| hash != *wanted) {
                return Err(Img::HashNotFound.into());
            }
            verified.select()?;
            *upload = None;
        }
    }
    Ok(())
}

/// Erases a slot, the one for the next update unless the request names another.
fn erase<F: MultiwriteNorFlash>(
    mut fields: Fields<'_>,
    upload: &mut Option<Upload>,
    ota: &mut Ota<F>,
    reply: &mut Writer<'_>,
) -> Answer {
    let mut slot = ota.next_update_slot();
    while let Some((key, value)) = fields.next()? {
        if key == "slot" {
            slot = u8::try_from(value.uint()?).ok().and_then(Slot::new);
        }
    }
    let slot = slot.ok_or(Img::InvalidSlot)?;
    ota.begin(slot, Extent::Unknown)?.abort();
    *upload = None;
    reply.begin_map()?;
    reply.end()?;
    Ok(After::Nothing)
}

fn slot_info<F: MultiwriteNorFlash>(ota: &Ota<F>, reply: &mut Writer<'_>) -> Answer {
    reply.begin_map()?;
    reply.begin_array("images")?;
    reply.begin_map()?;
    reply.field("image", 0u8)?;
    reply.begin_array("slots")?;
    for app in apps(ota) {
        let Some(region) = ota.layout().app(app) else { continue };
        reply.begin_map()?;
        reply.field("slot", number(app))?;
        reply.field("size", region.size)?;
        reply.end()?;
    }
    for _ in 0..4 {
        reply.end()?;
    }
    Ok(After::Nothing)
}

/// What a chip or a header does not allow, as `ota-core` would say it of the image on flash.
pub(crate) fn refused<E>(error: ImageError<E>) -> Failure {
    Error::Image(error).into()
}
