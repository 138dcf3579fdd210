//! Every error, what causes it, and what ESP-IDF calls it.

use crate::device::{Device, Failure, IMAGE_SIZE, SLOT_SIZE, image, ota_app, slot};
use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use ota_core::image::ImageError;
use ota_core::otadata::{SelectEntry, State};
use ota_core::partition::App;
use ota_core::{Config, Error, Extent, Ota, esp_err};
use sim::flash::fault::{Fault, FaultInjector, Tear};
use sim::flash::{Chip, FlashError};
use std::error::Error as _;

#[track_caller]
fn check(result: Result<impl Sized, Failure>, expected: Failure, code: Option<i32>) {
    let error = result.err().expect("an error");
    assert_eq!(error, expected);
    assert_eq!(error.esp_err(), code);
    assert!(!error.to_string().is_empty());
    assert_eq!(error.source().is_some(), matches!(error, Error::Image(_)));
}

#[test]
fn partitions() {
    let mut device = Device::confirmed();
    let not_found = Some(esp_err::NOT_FOUND);
    check(device.try_ota(App::Test), Error::NoSuchPartition(App::Test), not_found);
    let mut ota = device.ota(ota_app(0));
    let missing = Error::NoSuchPartition(ota_app(2));
    check(ota.begin(slot(2), Extent::Unknown), missing, not_found);
    check(ota.verify(ota_app(2)), missing, not_found);
    check(ota.describe(ota_app(2)), missing, not_found);
    check(ota.begin(slot(0), Extent::Unknown), Error::RunningSlot, Some(0x1501));
    check(ota.resume(slot(0), 0), Error::RunningSlot, Some(0x1501));

    let mut device = Device::new(&["ota_0", "ota_1", "test"]);
    let mut ota = device.ota(ota_app(0));
    let refused = ota.verify(App::Test).unwrap().select();
    check(refused, Error::NotAnOtaSlot(App::Test), Some(esp_err::INVALID_ARG));
}

#[test]
fn data() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    let too_large =
        |size| (Error::TooLarge { size, available: SLOT_SIZE }, Some(esp_err::INVALID_SIZE));
    let (error, code) = too_large(SLOT_SIZE + 1);
    check(ota.begin(slot(1), Extent::Known(SLOT_SIZE + 1)), error, code);
    check(ota.resume(slot(1), SLOT_SIZE + 1), error, code);

    let mut session = ota.begin(slot(1), Extent::Known(0x1000)).unwrap();
    check(session.write(&[0xE8]), Error::NotAnImage { found: 0xE8 }, Some(0x1503));
    check(session.write_at(0, &[0; 4]), Error::NotAnImage { found: 0 }, Some(0x1503));
    for (offset, len) in [(2, 4), (4, 3), (0xFFC, 8)] {
        let result = session.write_at(offset, &[0; 8][..len]);
        check(result, Error::NotAligned { offset }, Some(esp_err::INVALID_ARG));
    }
    let (error, code) = too_large(u32::MAX);
    check(session.write_at(u32::MAX - 3, &[0; 8]), error, code);
    check(session.end(), Error::NothingWritten, Some(esp_err::INVALID_ARG));

    let mut session = ota.begin(slot(1), Extent::Sequential).unwrap();
    check(session.write_at(4, &[0; 4]), Error::NotAligned { offset: 4 }, Some(0x102));
}

#[test]
fn images() {
    let mut device = Device::confirmed();
    device.min_secure_version = 2;
    let mut ota = device.ota(ota_app(0));
    let mut spoiled = image(2);
    *spoiled.last_mut().unwrap() ^= 1;
    let mut session = ota.begin(slot(1), Extent::Sequential).unwrap();
    session.write(&spoiled).unwrap();
    let hash = 2 * SLOT_SIZE + IMAGE_SIZE - 32;
    let error = Error::Image(ImageError::Hash { offset: hash });
    check(session.end(), error, Some(esp_err::OTA_VALIDATE_FAILED));

    let mut session = ota.begin(slot(1), Extent::Sequential).unwrap();
    session.write(&image(2)).unwrap();
    let refused = session.end().unwrap().select();
    check(refused, Error::SecureVersionTooLow { found: 1, required: 2 }, Some(0x1504));

    // The last sector is that of an older download.
    let session = ota.resume(slot(1), IMAGE_SIZE).unwrap();
    let incomplete = Error::Incomplete { length: IMAGE_SIZE, written: 0x2000 };
    check(session.end(), incomplete, Some(0x1503));
    assert_eq!(device.boot(), Some((ota_app(0), image(0))));
}

#[test]
fn states() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    ota.verify(ota_app(1)).unwrap().select().unwrap();
    check(ota.confirm(), Error::NotSelected, Some(esp_err::FAIL));
    check(ota.reject(), Error::NotSelected, Some(-1));
    check(ota.erase_last_boot_app(), Error::NotSelected, Some(-1));

    let mut device = Device::confirmed();
    device.set_entries([
        SelectEntry::new(3, State::PENDING_VERIFY),
        SelectEntry::new(2, State::VALID),
    ]);
    let mut ota = device.ota(ota_app(0));
    let code = Some(esp_err::OTA_ROLLBACK_INVALID_STATE);
    check(ota.begin(slot(1), Extent::Unknown), Error::PendingVerify, code);
    check(ota.erase_last_boot_app(), Error::PendingVerify, code);
    let refused = ota.verify(ota_app(1)).unwrap().select();
    check(refused, Error::PendingVerify, Some(0x1506));

    let mut device = Device::new(&["ota_0", "ota_1"]);
    device.set_entries([SelectEntry::new(1, State::VALID), SelectEntry::BLANK]);
    let mut ota = device.ota(ota_app(0));
    check(ota.reject(), Error::NoRollbackTarget, Some(0x1505));
    check(ota.erase_last_boot_app(), Error::NoRollbackTarget, Some(0x1505));

    let mut device = Device::new(&["ota_0", "ota_1", "test"]);
    let mut ota = device.ota(App::Test);
    let refused = ota.verify(ota_app(0)).unwrap().select();
    check(refused, Error::NotSelected, Some(-1));
}

#[test]
fn sequence_numbers_run_out() {
    for seq in [u32::MAX - 2, u32::MAX - 4] {
        let mut device = Device::confirmed();
        // Odd numbers select slot 0.
        device.set_entries([SelectEntry::new(seq, State::VALID), SelectEntry::BLANK]);
        let mut ota = device.ota(ota_app(0));
        let refused = ota.verify(ota_app(1)).unwrap().select();
        check(refused, Error::SequenceExhausted, None);
        assert_eq!(device.boot(), Some((ota_app(0), image(0))));
    }
}

/// From now on every operation reports success and does nothing.
fn silent(mut device: Device) -> Device {
    let from = device.chip.operations();
    let faults = (from..from + 200).map(|number| (number, Fault::Silent(Tear::Untouched)));
    device.chip = device.chip.with_faults(FaultInjector::scheduled(1, faults));
    device
}

#[test]
fn flash() {
    let mut device = silent(Device::confirmed());
    let error = device.ota(ota_app(0)).begin(slot(1), Extent::Known(4)).err().unwrap();
    // The entry of slot 1 goes first, and that fails already.
    assert_eq!(error, Error::EraseFailed { offset: 0xE000 });
    assert_eq!(error.esp_err(), Some(esp_err::FLASH_OP_FAIL));
    assert_eq!(device.next_boot(), Some((ota_app(0), image(0))));

    let mut device = Device::confirmed();
    device.set_entries([SelectEntry::new(1, State::VALID), SelectEntry::BLANK]);
    let mut device = silent(device);
    let refused = device.ota(ota_app(0)).verify(ota_app(1)).unwrap().select();
    check(refused, Error::WriteFailed { offset: 0xE000 }, Some(esp_err::FLASH_OP_FAIL));
    assert_eq!(device.next_boot(), Some((ota_app(0), image(0))));

    let mut device = Device::confirmed();
    device.chip.power_off(&Tear::Untouched).unwrap();
    check(device.ota(ota_app(0)).boot_app(), Error::Flash(FlashError::PowerLost), Some(0x6001));
}

/// Encrypted flash is written 32 bytes at a time, too many for a CRC word.
struct Encrypted(Chip);

impl ErrorType for Encrypted {
    type Error = FlashError;
}

impl ReadNorFlash for Encrypted {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for Encrypted {
    const WRITE_SIZE: usize = 32;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.write(offset, bytes)
    }
}

impl MultiwriteNorFlash for Encrypted {}

#[test]
fn unsupported_flash() {
    let device = Device::confirmed();
    let config = Config {
        requirements: ota_core::image::Requirements::for_chip(ota_core::image::ChipId::ESP32C3),
        rollback: true,
        min_secure_version: 0,
    };
    let layout = *device.layout.validated().unwrap();
    let result = Ota::new(Encrypted(device.chip), layout, ota_app(0), config);
    check(result, Error::UnsupportedFlash, None);
}
