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
use crate::hashes::Hashes;
use crate::header::Op;
use crate::upload::{self, Upload};
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

/// What is remembered of the slots from one request to the next.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Slots {
    upload: Option<Upload>,
    hashes: Hashes,
}

impl Slots {
    pub(crate) const fn new() -> Self {
        Self { upload: None, hashes: Hashes::new() }
    }
}

/// Answers a request of this group.
pub(crate) fn handle<B: Board>(
    request: &Request<'_>,
    info: &FirmwareInfo,
    slots: &mut Slots,
    reply: &mut Writer<'_>,
    board: &mut B,
) -> Answer {
    let fields = &request.fields;
    let may_confirm = board.may_confirm();
    let ota = board.ota();
    match (request.op, request.command) {
        (op, 0) => {
            if op == Op::Write {
                set_state(fields, may_confirm, slots, ota)?;
            }
            list(&mut slots.hashes, ota, reply)?;
        }
        (Op::Write, 1) => {
            slots.hashes.forget();
            upload::handle(fields, info, &mut slots.upload, ota, reply)?;
        }
        (Op::Write, 5) => erase(fields, slots, ota)?,
        (Op::Read, 6) => slot_info(ota, reply),
        _ => return Err(Rc::NotSupported.into()),
    }
    Ok(After::Nothing)
}

/// The application with this `slot`, if the partition table has room for it.
#[inline(never)]
fn app<F: MultiwriteNorFlash>(ota: &Ota<F>, number: u8) -> Option<App> {
    let app = match number {
        FACTORY => App::Factory,
        TEST => App::Test,
        number => App::Ota(Slot::new(number)?),
    };
    ota.layout().app(app).map(|_| app)
}

/// What otadata says about the images.
struct Selection {
    running: App,
    boot: App,
    /// The image that the device stays with, or returns to, if nobody does anything.
    confirmed: Option<App>,
}

impl Selection {
    fn read<F: MultiwriteNorFlash>(ota: &mut Ota<F>) -> Result<Self, Failure> {
        let (running, boot) = (ota.running(), ota.boot_app()?);
        let state = state(ota, running)?;
        let on_trial = matches!(state, Some(State::NEW | State::PENDING_VERIFY));
        let confirmed = if on_trial { ota.rollback_target()? } else { Some(running) };
        Ok(Self { running, boot, confirmed })
    }
}

#[inline(never)]
fn state<F: MultiwriteNorFlash>(ota: &mut Ota<F>, app: App) -> Result<Option<State>, Failure> {
    match app {
        App::Ota(slot) => Ok(ota.state(slot)?),
        App::Factory | App::Test => Ok(None),
    }
}

/// Lists the valid images. A flag that is not there is false.
#[inline(never)]
fn list<F: MultiwriteNorFlash>(
    hashes: &mut Hashes,
    ota: &mut Ota<F>,
    reply: &mut Writer<'_>,
) -> Result<(), Failure> {
    let selection = Selection::read(ota)?;
    reply.begin_array_at("images");
    for number in 0..=TEST {
        let Some(app) = app(ota, number) else { continue };
        let Some(hash) = hashes.of(ota, app)? else { continue };
        let version = ota.describe(app)?.version;
        let state = state(ota, app)?;
        let pending = app == selection.boot && app != selection.running;
        reply.begin_map();
        reply.uint("slot", number.into());
        reply.ascii("version", version.as_bytes());
        reply.bytes("hash", &hash);
        reply.flag("bootable", state.is_none_or(State::is_bootable));
        reply.flag("pending", pending);
        reply.flag("confirmed", selection.confirmed == Some(app));
        reply.flag("active", app == selection.running);
        reply.flag("permanent", pending && state != Some(State::NEW));
        reply.end();
    }
    reply.end();
    Ok(())
}

/// Selects an image for the next boot, or confirms the one that runs.
fn set_state<F: MultiwriteNorFlash>(
    fields: &Fields<'_>,
    may_confirm: bool,
    slots: &mut Slots,
    ota: &mut Ota<F>,
) -> Result<(), Failure> {
    let (wanted, confirm) = (fields.bytes("hash")?, fields.bool("confirm")?.unwrap_or(false));
    let running = ota.running();
    let Some(wanted) = wanted.filter(|hash| !hash.is_empty()) else {
        if !confirm {
            return Err(Img::InvalidHash.into());
        }
        return confirm_running(may_confirm, ota);
    };
    // The running image may stand elsewhere as well: confirming means the one that runs, testing the
    // other; and of two others a slot, which an upload may have filled, rather than factory.
    let preferred = |app: App| (app == running) == confirm;
    let mut found = None;
    for number in 0..=TEST {
        let Some(app) = app(ota, number) else { continue };
        let better = found.is_none_or(|found| preferred(app) && !preferred(found));
        if better && slots.hashes.of(ota, app)?.is_some_and(|hash| hash == *wanted) {
            found = Some(app);
        }
    }
    match (found.ok_or(Img::HashNotFound)?, confirm) {
        (app, true) if app == running => return confirm_running(may_confirm, ota),
        (app, false) if app == running => return Err(Img::TestOfActiveDenied.into()),
        // An image that never ran must prove itself first.
        (_, true) => return Err(Img::ConfirmationDenied.into()),
        (app, false) => {
            // What is verified now is what is selected: between the two nothing can be written. Should
            // it not verify, then what is remembered of it is wrong.
            let verified = ota.verify(app).inspect_err(|_| slots.hashes.forget())?;
            if verified.info().digest.is_none_or(|hash| hash != *wanted) {
                slots.hashes.forget();
                return Err(Img::HashNotFound.into());
            }
            verified.select()?;
            slots.upload = None;
        }
    }
    Ok(())
}

#[inline(never)]
fn confirm_running<F: MultiwriteNorFlash>(
    may_confirm: bool,
    ota: &mut Ota<F>,
) -> Result<(), Failure> {
    if !may_confirm {
        return Err(Img::ConfirmationDenied.into());
    }
    ota.confirm()?;
    Ok(())
}

/// Erases a slot, the one for the next update unless the request names another.
fn erase<F: MultiwriteNorFlash>(
    fields: &Fields<'_>,
    slots: &mut Slots,
    ota: &mut Ota<F>,
) -> Result<(), Failure> {
    let slot = match fields.uint("slot")? {
        Some(number) => u8::try_from(number).ok().and_then(Slot::new),
        None => ota.next_update_slot(),
    };
    slots.hashes.forget();
    ota.begin(slot.ok_or(Img::InvalidSlot)?, Extent::Unknown)?.abort();
    slots.upload = None;
    Ok(())
}

fn slot_info<F: MultiwriteNorFlash>(ota: &Ota<F>, reply: &mut Writer<'_>) {
    reply.begin_array_at("images");
    reply.begin_map();
    reply.uint("image", 0);
    reply.begin_array_at("slots");
    for number in 0..=TEST {
        let Some(app) = app(ota, number) else { continue };
        let Some(region) = ota.layout().app(app) else { continue };
        reply.begin_map();
        reply.uint("slot", number.into());
        reply.uint("size", region.size);
        reply.end();
    }
    for _ in 0..3 {
        reply.end();
    }
}

/// What a chip or a header does not allow, as `ota-core` would say it of the image on flash.
pub(crate) fn refused<E>(error: ImageError<E>) -> Failure {
    Error::Image(error).into()
}
