//! Writing an image: extents, chunks, offsets, resuming.

use crate::device::{Device, IMAGE_SIZE, SLOT_SIZE, image, ota_app, slot};
use ota_core::{Error, Extent};
use proptest::prelude::*;
use sim::flash::{CutPlan, fault::Tear};

fn slot_contents(device: &Device) -> Vec<u8> {
    let offset = device.offset(ota_app(1));
    device.chip.memory().to_vec(offset..offset + SLOT_SIZE)
}

#[test]
fn every_extent_leads_to_the_same_image() {
    for extent in [Extent::Known(IMAGE_SIZE), Extent::Unknown, Extent::Sequential] {
        let mut device = Device::confirmed();
        let mut ota = device.ota(ota_app(0));
        let mut session = ota.begin(slot(1), extent).unwrap();
        assert_eq!((session.slot(), session.position()), (slot(1), 0));
        session.write(&image(2)).unwrap();
        assert_eq!(session.position(), IMAGE_SIZE);
        let verified = session.end().unwrap();
        assert_eq!((verified.app(), verified.info().len), (ota_app(1), IMAGE_SIZE));
        verified.select().unwrap();
        assert_eq!(device.boot(), Some((ota_app(1), image(2))), "{extent:?}");
    }
}

#[test]
fn only_what_the_extent_says_is_erased() {
    for (extent, erased) in
        [(Extent::Known(0x1001), 2), (Extent::Unknown, 16), (Extent::Sequential, 0)]
    {
        let mut device = Device::confirmed();
        let region = device.layout.apps().slot(slot(1)).unwrap();
        device.install(ota_app(1), &vec![0; SLOT_SIZE as usize]);
        device.ota(ota_app(0)).begin(slot(1), extent).unwrap().abort();
        let blank = (0..16).filter(|sector| {
            let at = region.offset + sector * 0x1000;
            device.chip.memory().to_vec(at..at + 0x1000).iter().all(|&byte| byte == 0xFF)
        });
        assert_eq!(blank.collect::<Vec<_>>(), (0..erased).collect::<Vec<_>>(), "{extent:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_of_any_length_equal_one_write(
        lengths in prop::collection::vec(0usize..3000, 1..12), sequential: bool,
    ) {
        let extent = if sequential { Extent::Sequential } else { Extent::Known(IMAGE_SIZE) };
        let image = image(2);
        let mut device = Device::confirmed();
        let mut ota = device.ota(ota_app(0));
        let mut session = ota.begin(slot(1), extent).unwrap();
        let mut rest = image.as_slice();
        for length in lengths.into_iter().cycle().take(4000) {
            let (chunk, later) = rest.split_at(length.min(rest.len()));
            session.write(chunk).unwrap();
            rest = later;
            prop_assert_eq!(session.position() as usize, image.len() - rest.len());
        }
        session.write(rest).unwrap();
        prop_assert!(session.end().is_ok());
        prop_assert_eq!(&slot_contents(&device)[..image.len()], image.as_slice());
    }
}

#[test]
fn parts_may_come_in_any_order() {
    let image = image(2);
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    let mut session = ota.begin(slot(1), Extent::Known(IMAGE_SIZE)).unwrap();
    for (index, chunk) in image.chunks(0x404).enumerate().collect::<Vec<_>>().into_iter().rev() {
        session.write_at(index as u32 * 0x404, chunk).unwrap();
    }
    session.end().unwrap().select().unwrap();
    assert_eq!(device.boot(), Some((ota_app(1), image)));
}

#[test]
fn an_interrupted_download_goes_on_where_its_last_sector_starts() {
    let image = image(2);
    let device = Device::confirmed();
    let first = device.chip.operations();
    let mut sequential = device.clone();
    download(&mut sequential, &image, 0).unwrap();
    let last = sequential.chip.operations();
    for operation in first..last {
        for tear in [Tear::Untouched, Tear::Mixed { seed: operation }, Tear::Complete] {
            let mut device = device.clone();
            device.chip.plan_cut(CutPlan { operation, tear });
            let Err((written, Error::Flash(_))) = download(&mut device, &image, 0) else {
                panic!("operation {operation} was not cut")
            };
            assert_eq!(device.boot().unwrap().0, ota_app(0));
            download(&mut device, &image, written).unwrap();
            assert_eq!(slot_contents(&device)[..image.len()], image, "operation {operation}");
        }
    }
}

/// Downloads from where an earlier download stopped; how far it came when it failed.
fn download(
    device: &mut Device,
    image: &[u8],
    written: u32,
) -> Result<(), (u32, crate::device::Failure)> {
    let mut ota = device.ota(ota_app(0));
    let session = match written {
        0 => ota.begin(slot(1), Extent::Sequential),
        written => ota.resume(slot(1), written),
    };
    let mut session = session.map_err(|error| (written, error))?;
    let start = session.position();
    assert_eq!(start, written - written % 0x1000);
    for chunk in image[start as usize..].chunks(1022) {
        let written = session.position();
        session.write(chunk).map_err(|error| (written, error))?;
    }
    session.end().map(drop).map_err(|error| (image.len() as u32, error))
}

#[test]
fn an_abandoned_update_leaves_boot_selection_alone() {
    for abort in [false, true] {
        let mut device = Device::confirmed();
        let mut ota = device.ota(ota_app(0));
        let mut session = ota.begin(slot(1), Extent::Unknown).unwrap();
        session.write(&image(2)[..5000]).unwrap();
        if abort {
            session.abort();
        }
        assert_eq!(device.boot(), Some((ota_app(0), image(0))));
    }
}

#[test]
fn a_verified_image_that_is_not_selected_does_not_boot() {
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    let mut session = ota.begin(slot(1), Extent::Sequential).unwrap();
    session.write(&image(2)).unwrap();
    session.end().unwrap();
    assert_eq!(device.boot(), Some((ota_app(0), image(0))));
}

#[test]
fn a_session_fills_a_slot_to_the_last_byte() {
    let image = sim::synthetic::ImageBuilder::new(SLOT_SIZE).seed(5).secure_version(1).build();
    let mut device = Device::confirmed();
    let mut ota = device.ota(ota_app(0));
    let mut session = ota.begin(slot(1), Extent::Sequential).unwrap();
    session.write(&image).unwrap();
    assert_eq!(
        session.write(&[0]).unwrap_err(),
        Error::TooLarge { size: SLOT_SIZE + 1, available: SLOT_SIZE }
    );
    assert_eq!(session.end().unwrap().info().len, SLOT_SIZE);
}
