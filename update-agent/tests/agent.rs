//! The agent in a simulated device, as a client sees it.

mod common;

use ciborium::{Value, cbor};
use common::*;
use ota_core::esp_err;
use ota_core::partition::{App, Slot};
use sha2::{Digest, Sha256};
use sim::flash::CutPlan;
use sim::flash::fault::Tear;
use sim::synthetic::{Fault, ImageBuilder};

const SIZE: u32 = 0x9000;

fn builder(version: &str, seed: u64) -> ImageBuilder {
    ImageBuilder::new(SIZE).seed(seed).version(version)
}

fn v1() -> Vec<u8> {
    builder("1.0.0", 1).build()
}

fn v2() -> Vec<u8> {
    builder("2.0.0", 2).build()
}

fn sha(image: &[u8]) -> Option<[u8; 32]> {
    Some(Sha256::digest(image).into())
}

/// The hash that ends an image, by which clients name it.
fn hash(image: &[u8]) -> &[u8] {
    &image[image.len() - 32..]
}

fn slot(index: u8) -> App {
    App::Ota(Slot::new(index).unwrap())
}

fn esp(code: i32) -> Option<(i128, i128)> {
    Some((CUTPOINT.into(), code.into()))
}

fn img(code: i128) -> Option<(i128, i128)> {
    Some((1, code))
}

fn off(answer: &Value) -> Option<i128> {
    get(answer, "off")?.as_integer().map(i128::from)
}

fn list(device: &mut Device) -> Vec<(u64, String)> {
    flags(&device.request(READ, IMAGE, 0, &empty()))
}

fn pairs(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|&(slot, flags)| (slot, flags.into())).collect()
}

#[test]
fn an_update_runs_on_trial_and_is_confirmed() {
    let mut device = Device::new(&v1());
    assert_eq!(list(&mut device), pairs(&[(0, "bootable confirmed active")]));
    let answers = device.upload(&v2(), sha(&v2()), 1024);
    assert_eq!(answers.last(), Some(&cbor!({"off" => SIZE, "match" => true}).unwrap()));
    assert_eq!(
        list(&mut device),
        pairs(&[(0, "bootable confirmed active"), (1, "bootable")]),
        "an upload selects nothing"
    );
    let selected = device.test(hash(&v2()));
    assert_eq!(
        flags(&selected),
        pairs(&[(0, "bootable confirmed active"), (1, "bootable pending")])
    );
    assert_eq!(device.request(WRITE, OS, 5, &empty()), empty());
    assert!(device.wires.reset.get());

    let mut device = device.restart();
    assert_eq!(device.running(), slot(1));
    assert_eq!(list(&mut device), pairs(&[(0, "bootable confirmed"), (1, "bootable active")]));
    // On trial there is no room for another update.
    assert_eq!(
        error(&device.upload(&v1(), None, 512)[0]),
        esp(esp_err::OTA_ROLLBACK_INVALID_STATE)
    );
    let confirmed = device.request(WRITE, IMAGE, 0, &cbor!({"confirm" => true}).unwrap());
    assert_eq!(flags(&confirmed), pairs(&[(0, "bootable"), (1, "bootable confirmed active")]));
    let mut device = device.restart();
    assert_eq!(list(&mut device), pairs(&[(0, "bootable"), (1, "bootable confirmed active")]));
}

#[test]
fn an_update_that_is_not_confirmed_is_rolled_back() {
    let mut device = Device::new(&v1());
    device.upload(&v2(), sha(&v2()), 1900);
    device.test(hash(&v2()));
    let mut device = device.restart().restart();
    assert_eq!(device.running(), slot(0));
    assert_eq!(list(&mut device), pairs(&[(0, "bootable confirmed active"), (1, "")]));
    // It can be tried again.
    device.test(hash(&v2()));
    assert_eq!(device.restart().running(), slot(1));
}

#[test]
fn the_list_names_version_and_hash() {
    let mut device = Device::new(&v1());
    let list = device.request(READ, IMAGE, 0, &empty());
    let image = &get(&list, "images").unwrap().as_array().unwrap()[0];
    assert_eq!(get(image, "version"), Some(&text("1.0.0")));
    assert_eq!(get(image, "hash"), Some(&Value::Bytes(hash(&v1()).to_vec())));
}

#[test]
fn images_are_read_once_until_a_slot_is_written() {
    let mut device = Device::new(&v1());
    device.upload(&v2(), sha(&v2()), 1024);
    let read_by = |device: &mut Device, request: fn(&mut Device)| {
        let before = device.chip().counters().read_bytes;
        request(device);
        device.chip().counters().read_bytes - before
    };
    let size = u64::from(SIZE);
    let show = |device: &mut Device| drop(list(device));
    let first = read_by(&mut device, show);
    assert!(first > 2 * size, "{first}");
    let again = read_by(&mut device, show);
    assert!(again < size / 8, "{again}");
    let select = read_by(&mut device, |device| drop(device.test(hash(&v2()))));
    assert!((size..2 * size).contains(&select), "what is selected is verified: {select}");
    let after = read_by(&mut device, show);
    assert!(after < size / 8, "{after}");

    let other = builder("3.0.0", 3).build();
    device.upload(&other, sha(&other), 1024);
    let images = device.request(READ, IMAGE, 0, &empty());
    let image = &get(&images, "images").unwrap().as_array().unwrap()[1];
    assert_eq!(get(image, "hash"), Some(&Value::Bytes(hash(&other).to_vec())));
    device.request(WRITE, IMAGE, 5, &empty());
    assert_eq!(list(&mut device).len(), 1);
}

#[test]
fn an_image_that_decays_after_it_was_listed_is_not_selected() {
    let mut device = Device::new(&v1());
    device.upload(&v2(), sha(&v2()), 1024);
    assert_eq!(list(&mut device).len(), 2);
    let start = layout().apps().slots().nth(1).unwrap().offset;
    let chip = device.chip();
    chip.write_enable().unwrap();
    chip.program_page(start + SIZE / 2, &[0; 16]).unwrap();
    chip.wait_ready();
    assert_eq!(error(&device.test(hash(&v2()))), esp(esp_err::OTA_VALIDATE_FAILED));
    assert_eq!(list(&mut device), pairs(&[(0, "bootable confirmed active")]));
    assert_eq!(error(&device.test(hash(&v2()))), img(8));
}

#[test]
fn what_the_first_packet_shows_to_be_wrong_is_refused_before_anything_is_written() {
    let mut device = Device::new(&v1());
    let operations = device.chip().operations();
    let other_chip = builder("2.0.0", 2).fault(Fault::Chip).build();
    assert_eq!(error(&device.upload(&other_chip, None, 512)[0]), esp(esp_err::OTA_VALIDATE_FAILED));
    let no_image = builder("2.0.0", 2).fault(Fault::Magic).build();
    assert_eq!(error(&device.upload(&no_image, None, 512)[0]), esp(esp_err::OTA_VALIDATE_FAILED));
    let large = vec![0xE9; 1700 * 1024 + 1];
    assert_eq!(error(&device.upload(&large, None, 512)[0]), esp(esp_err::INVALID_SIZE));
    assert_eq!(error(&device.upload(&v2(), None, 23)[0]), img(22));
    let data = Value::Bytes(v2()[..512].to_vec());
    for (fields, code) in [
        (cbor!({"off" => 0, "data" => data}), 21),
        (cbor!({"off" => 0, "len" => 511, "data" => data}), 31),
        (cbor!({"off" => 0, "len" => SIZE, "data" => data, "image" => 1}), 14),
        (cbor!({"off" => 0, "len" => SIZE, "data" => data, "sha" => Value::Bytes(vec![1])}), 24),
        (cbor!({"len" => SIZE, "data" => data}), 20),
    ] {
        let fields = fields.unwrap();
        assert_eq!(error(&device.request(WRITE, IMAGE, 1, &fields)), img(code), "{fields:?}");
    }
    let huge = cbor!({"off" => 0, "len" => u64::MAX, "data" => data}).unwrap();
    assert_eq!(error(&device.request(WRITE, IMAGE, 1, &huge)), esp(esp_err::INVALID_SIZE));
    assert_eq!(device.chip().operations(), operations);
}

#[test]
fn upgrades_are_upgrades() {
    let mut device = Device::new(&v1());
    for (version, chunk, refused) in
        [("1.0.0", 512, true), ("0.9.9", 24, true), ("1.0.1", 512, false), ("2.0.0", 24, false)]
    {
        let image = builder(version, 3).build();
        let data = Value::Bytes(image[..chunk].to_vec());
        let first = cbor!({"off" => 0, "len" => SIZE, "data" => data, "upgrade" => true}).unwrap();
        let mut answer = device.request(WRITE, IMAGE, 1, &first);
        // A small first packet does not show the version; the last one tells then.
        while let Some(at) = off(&answer).filter(|&at| at < SIZE.into()) {
            let end = image.len().min(at as usize + 1800);
            answer = device.upload_at(&image, at as usize, end, None);
        }
        assert_eq!(error(&answer), if refused { img(27) } else { None }, "{version} {chunk}");
        assert_eq!(list(&mut device).len(), if refused { 1 } else { 2 }, "{version} {chunk}");
    }
}

#[test]
fn a_wrong_image_is_never_selectable() {
    for fault in [Fault::Hash, Fault::Checksum, Fault::HeaderBit, Fault::SegmentCount] {
        let mut device = Device::new(&v1());
        let image = builder("2.0.0", 2).fault(fault).build();
        let answers = device.upload(&image, sha(&image), 1500);
        assert_eq!(error(answers.last().unwrap()), esp(esp_err::OTA_VALIDATE_FAILED), "{fault:?}");
        assert_eq!(error(&device.test(hash(&image))), img(8), "{fault:?}");
        assert_eq!(device.restart().running(), slot(0));
    }
}

#[test]
fn a_wrong_sha_is_reported_and_leaves_no_image() {
    let mut device = Device::new(&v1());
    let answers = device.upload(&v2(), Some([7; 32]), 1024);
    assert_eq!(answers.last(), Some(&cbor!({"off" => SIZE, "match" => false}).unwrap()));
    assert_eq!(list(&mut device).len(), 1);
    assert_eq!(error(&device.test(hash(&v2()))), img(8));
    // The next attempt starts at 0.
    let answers = device.upload(&v2(), sha(&v2()), 1024);
    assert_eq!(off(&answers[0]), Some(1024));
    assert_eq!(get(answers.last().unwrap(), "match"), Some(&Value::Bool(true)));
}

#[test]
fn an_upload_resumes_at_the_sector_that_flash_proves() {
    let mut device = Device::new(&v1());
    let image = v2();
    for at in (0..0x5300).step_by(1024) {
        device.upload_at(&image, at, at + 1024, sha(&image));
    }
    let mut device = device.restart();
    // The first packet of the same file, then what is left.
    let answer = device.upload_at(&image, 0, 300, sha(&image));
    assert_eq!(off(&answer), Some(0x5000));
    let answers = device.upload(&image, sha(&image), 1000);
    assert_eq!(off(&answers[0]), Some(0x5000), "asking again changes nothing");
    assert_eq!(get(answers.last().unwrap(), "match"), Some(&Value::Bool(true)));
    device.test(hash(&image));
    assert_eq!(device.restart().running(), slot(1));
}

#[test]
fn without_a_sha_or_with_another_file_an_upload_starts_over() {
    let image = v2();
    let other = builder("2.0.0", 9).build();
    for (next, sha) in [(&image, None), (&other, sha(&other))] {
        let mut device = Device::new(&v1());
        for at in (0..0x5000).step_by(1024) {
            device.upload_at(&image, at, at + 1024, Some([1; 32]));
        }
        let mut device = device.restart();
        assert_eq!(off(&device.upload_at(next, 0, 512, sha)), Some(512));
    }
}

#[test]
fn a_resumed_upload_of_another_file_that_starts_alike_ends_without_an_image() {
    let (image, mut other) = (v2(), v2());
    other[0x4000] ^= 1;
    let mut device = Device::new(&v1());
    for at in (0..0x6000).step_by(1024) {
        device.upload_at(&other, at, at + 1024, sha(&other));
    }
    let mut device = device.restart();
    let answers = device.upload(&image, sha(&image), 1024);
    assert!(off(&answers[0]) > Some(0x4000), "the agent cannot know yet");
    assert_eq!(get(answers.last().unwrap(), "match"), Some(&Value::Bool(false)));
    assert_eq!(error(&device.test(hash(&image))), img(8));
    let answers = device.upload(&image, sha(&image), 1024);
    assert_eq!(off(&answers[0]), Some(1024));
    assert_eq!(get(answers.last().unwrap(), "match"), Some(&Value::Bool(true)));
}

/// Cuts power in every flash operation of upload and selection; the client starts over each time.
#[test]
fn a_cut_in_any_operation_leaves_a_device_that_takes_the_update() {
    let image = v2();
    let start = new_chip(&v1());
    let mut whole = Device::boot(start.clone());
    let first = whole.chip().operations();
    whole.upload(&image, sha(&image), 1800);
    whole.test(hash(&image));
    let last = whole.chip().operations();
    let mut resumed = 0;
    for operation in first..last {
        for tear in [Tear::Untouched, Tear::Complete, Tear::Mixed { seed: operation }] {
            let mut device = Device::boot(start.clone());
            device.chip().plan_cut(CutPlan { operation, tear });
            // The agent answers with flash errors from the cut on.
            device.upload(&image, sha(&image), 1800);
            device.test(hash(&image));
            let mut device = device.restart();
            if device.running() == slot(1) {
                continue;
            }
            let answers = device.upload(&image, sha(&image), 1800);
            resumed += u32::from(off(&answers[0]) > Some(1800));
            assert_eq!(get(answers.last().unwrap(), "match"), Some(&Value::Bool(true)));
            device.test(hash(&image));
            assert_eq!(device.restart().running(), slot(1), "cut in operation {operation}");
        }
    }
    assert!(resumed > 100, "resumed {resumed} times of {}", 3 * (last - first));
}

#[test]
fn packets_out_of_order_are_answered_with_the_expected_offset() {
    let mut device = Device::new(&v1());
    let image = v2();
    assert_eq!(off(&device.upload_at(&image, 512, 1024, None)), Some(0), "no upload");
    device.upload_at(&image, 0, 512, None);
    for at in [1024, 256, 513] {
        assert_eq!(off(&device.upload_at(&image, at, at + 100, None)), Some(512));
    }
    assert_eq!(off(&device.upload_at(&image, 512, 600, None)), Some(600));
    let too_much = vec![0; image.len()];
    let fields = cbor!({"off" => 600, "data" => Value::Bytes(too_much[..1900].to_vec())}).unwrap();
    device.request(WRITE, IMAGE, 1, &fields);
    for at in (2500..35_500).step_by(1000) {
        device.upload_at(&image, at, at + 1000, None);
    }
    let end = image.len() - 4;
    assert_eq!(off(&device.upload_at(&image, end, end + 4, None)), Some(35_500));
    let fields =
        cbor!({"off" => 35_500, "data" => Value::Bytes(too_much[..1900].to_vec())}).unwrap();
    assert_eq!(error(&device.request(WRITE, IMAGE, 1, &fields)), img(31), "beyond the end");
    assert_eq!(off(&device.upload_at(&image, 0x8000, 0x8100, None)), Some(35_500));
}

#[test]
fn a_second_client_takes_over_and_neither_mixture_verifies() {
    let mut device = Device::new(&v1());
    let (image, other) = (v2(), builder("3.0.0", 3).build());
    device.upload_at(&image, 0, 1024, sha(&image));
    assert_eq!(off(&device.upload_at(&other, 0, 512, sha(&other))), Some(512));
    // The first client follows the offset that it is told.
    assert_eq!(off(&device.upload_at(&image, 1024, 2048, None)), Some(512));
    let mut answer = device.upload_at(&image, 512, 1512, None);
    while let Some(at) = off(&answer).filter(|&at| at < SIZE.into()) {
        let from = if at % 2000 < 1000 { &image } else { &other };
        let end = SIZE.min(at as u32 + 1000) as usize;
        answer = device.upload_at(from, at as usize, end, None);
    }
    assert_eq!(get(&answer, "match"), Some(&Value::Bool(false)));
    assert_eq!(list(&mut device).len(), 1);
}

#[test]
fn states_that_cannot_be_set_are_refused() {
    let mut device = Device::new(&v1());
    device.upload(&v2(), sha(&v2()), 1024);
    let before = device.otadata();
    let set = |hash: &[u8], confirm: bool| {
        cbor!({"hash" => Value::Bytes(hash.to_vec()), "confirm" => confirm}).unwrap()
    };
    for (fields, code) in [
        (set(&[9; 32], false), 8),
        (set(&hash(&v2())[..31], false), 8),
        (set(hash(&v1()), false), 33),
        (set(hash(&v2()), true), 32),
        (cbor!({"confirm" => false}).unwrap(), 24),
    ] {
        assert_eq!(error(&device.request(WRITE, IMAGE, 0, &fields)), img(code), "{fields:?}");
    }
    // Confirming what is confirmed is no error.
    assert!(error(&device.request(WRITE, IMAGE, 0, &set(hash(&v1()), true))).is_none());
    assert_eq!(device.otadata(), before);
}

#[test]
fn an_unfit_image_is_not_confirmed() {
    let mut device = Device::new(&v1());
    device.upload(&v2(), sha(&v2()), 1024);
    device.test(hash(&v2()));
    let mut device = device.restart();
    device.host.may_confirm = false;
    let before = device.chip().operations();
    let by_hash = cbor!({"hash" => Value::Bytes(hash(&v2()).to_vec()), "confirm" => true});
    for fields in [cbor!({"confirm" => true}), by_hash] {
        let fields = fields.unwrap();
        assert_eq!(error(&device.request(WRITE, IMAGE, 0, &fields)), img(32), "{fields:?}");
    }
    assert_eq!(device.chip().operations(), before);
    assert_eq!(device.restart().running(), slot(0), "it was on trial");
}

#[test]
fn a_slot_is_erased_and_the_running_one_is_not() {
    let mut device = Device::new(&v1());
    device.upload(&v2(), sha(&v2()), 1024);
    device.test(hash(&v2()));
    let refused = device.request(WRITE, IMAGE, 5, &cbor!({"slot" => 0}).unwrap());
    assert_eq!(error(&refused), esp(esp_err::OTA_PARTITION_CONFLICT));
    let missing = device.request(WRITE, IMAGE, 5, &cbor!({"slot" => 2}).unwrap());
    assert_eq!(error(&missing), esp(esp_err::NOT_FOUND));
    let none = device.request(WRITE, IMAGE, 5, &cbor!({"slot" => 300}).unwrap());
    assert_eq!(error(&none), img(14));
    assert_eq!(device.request(WRITE, IMAGE, 5, &empty()), empty());
    assert_eq!(list(&mut device), pairs(&[(0, "bootable confirmed active")]));
    let region = layout().apps().slots().nth(1).unwrap();
    let contents = device.chip().memory().to_vec(region.offset..region.offset + region.size);
    assert!(contents.iter().all(|&byte| byte == 0xFF));
    assert_eq!(device.restart().running(), slot(0), "its entry was retired first");
}

#[test]
fn the_os_group_answers() {
    let mut device = Device::new(&v1());
    for op in [READ, WRITE] {
        let echo = device.request(op, OS, 0, &cbor!({"d" => "Grüße"}).unwrap());
        assert_eq!(echo, cbor!({"r" => "Grüße"}).unwrap());
    }
    let params = device.request(READ, OS, 6, &empty());
    assert_eq!(params, cbor!({"buf_size" => BUFFER, "buf_count" => 1}).unwrap());
    let info = device.request(READ, OS, 7, &cbor!({"format" => "psr"}).unwrap());
    assert_eq!(info, cbor!({"output" => "cutpoint 1.0.0 ESP32-C3"}).unwrap());
    let info = device.request(READ, OS, 7, &empty());
    assert_eq!(info, cbor!({"output" => "cutpoint"}).unwrap());
    let bad = device.request(READ, OS, 7, &cbor!({"format" => "sq"}).unwrap());
    assert_eq!(error(&bad), Some((0, 2)));
    let loader = device.request(READ, OS, 8, &empty());
    assert_eq!(loader, cbor!({"bootloader" => "ESP-IDF"}).unwrap());
    for (group, command) in [(OS, 4), (OS, 99), (IMAGE, 9), (CUTPOINT, 77), (500, 0)] {
        let answer = device.request(READ, group, command, &empty());
        assert_eq!(answer, cbor!({"rc" => 8}).unwrap());
    }
}

#[test]
fn version_1_gets_errors_of_version_1() {
    let mut device = Device::new(&v1());
    let fields = cbor!({"slot" => 0}).unwrap();
    let answer = device.request_as(0, WRITE, IMAGE, 5, &fields);
    assert_eq!(answer, cbor!({"rc" => 6, "rsn" => "esp_err_t 0x1501"}).unwrap());
    let answer = device.request_as(2, READ, OS, 6, &empty());
    assert_eq!(answer, cbor!({"rc" => 13}).unwrap());
}

#[test]
fn the_own_group_shows_what_stands_on_flash() {
    let mut device = Device::new(&v1());
    let status = device.request(READ, CUTPOINT, 0, &empty());
    assert_eq!(get(&status, "version"), Some(&Value::from(update_agent::GROUP_VERSION)));
    assert_eq!(get(&status, "running"), Some(&text("ota_0")));
    assert_eq!(get(&status, "reset_name"), Some(&text("power-on")));
    let otadata = device.request(READ, CUTPOINT, 1, &empty());
    assert_eq!(get(&otadata, "active"), Some(&Value::from(0)));
    let entries = get(&otadata, "entries").unwrap().as_array().unwrap();
    assert_eq!(get(&entries[0], "seq"), Some(&Value::from(1)));
    assert_eq!(get(&entries[0], "slot"), Some(&Value::from(0)));
    assert_eq!(get(&entries[1], "valid"), Some(&Value::Bool(false)));
    let mut labels = Vec::new();
    while let table = device.request(READ, CUTPOINT, 2, &cbor!({"from" => labels.len()}).unwrap())
        && let Some(Value::Array(partitions)) = get(&table, "partitions")
        && !partitions.is_empty()
    {
        labels.extend(partitions.iter().map(|p| get(p, "label").unwrap().clone()));
    }
    assert_eq!(labels, ["nvs", "otadata", "phy_init", "ota_0", "ota_1"].map(text));
}

#[test]
fn traced_operations_stand_between_the_frames() {
    let mut device = Device::new(&v1());
    device.request(WRITE, CUTPOINT, 3, &cbor!({"on" => true}).unwrap());
    let fields = cbor!({"off" => 0, "len" => SIZE, "data" => Value::Bytes(v2()[..512].to_vec())});
    let output = device.console(&framed(&packet(1, WRITE, IMAGE, 1, 1, &fields.unwrap())));
    let text = String::from_utf8_lossy(&output);
    let erased = (0x1d_0000..0x1d_0000 + SIZE).step_by(4096);
    for addr in erased {
        assert!(text.contains(&format!(" kind=erase addr={addr:#x} len=4096\n")), "{text}");
    }
    assert!(text.contains(" kind=write addr=0x1d0000 len=512\n"), "{text}");
    assert_eq!(text.matches("ota-op: begin").count(), text.matches("ota-op: end").count());
    assert_eq!(unframed(&output).len(), 1);
    device.request(WRITE, CUTPOINT, 3, &cbor!({"on" => false}).unwrap());
    let output = device.console(&framed(&packet(1, WRITE, IMAGE, 2, 5, &empty())));
    assert!(!String::from_utf8_lossy(&output).contains("ota-op"));
}

#[test]
fn a_reset_on_request_is_called_a_reset() {
    let mut device = Device::new(&v1());
    let armed = device.request(WRITE, CUTPOINT, 4, &cbor!({"operation" => 2}).unwrap());
    assert_eq!(get(&armed, "fault"), Some(&text("reset")));
    let fields = cbor!({"off" => 0, "len" => SIZE, "data" => Value::Bytes(v2()[..512].to_vec())});
    let output = device.console(&framed(&packet(1, WRITE, IMAGE, 1, 1, &fields.unwrap())));
    assert!(output.starts_with(b"ota-op: reset seq="));
    assert!(device.wires.reset.get());
    assert_eq!(device.restart().running(), slot(0));
}

#[test]
fn a_response_that_does_not_fit_is_an_error() {
    let mut device = Device::new(&v1());
    let long = "x".repeat(1100);
    let answer = device.request(READ, OS, 0, &cbor!({"d" => long}).unwrap());
    assert_eq!(answer, cbor!({"rc" => 7}).unwrap());
}

#[test]
fn malformed_requests_are_answered_and_change_nothing() {
    let mut device = Device::new(&v1());
    let before = device.otadata();
    let operations = device.chip().operations();
    for (body, rc) in [
        (&b"\xA1"[..], 3),
        (b"\x80", 3),
        (b"\xA1\x01\x01", 3),
        (b"\xBF\x63off", 3),
        (b"\xA1\x64data\x5B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 3),
        (b"\xBB\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x63off\x00", 3),
    ] {
        let mut packet = vec![0x0A, 0, 0, body.len() as u8, 0, 1, 9, 1];
        packet.extend_from_slice(body);
        let responses = device.packet(&packet);
        let answer: Value = ciborium::from_reader(&responses[0][8..]).unwrap();
        assert_eq!(answer, cbor!({"rc" => rc}).unwrap(), "{body:x?}");
    }
    // The header promises more than there is.
    let responses = device.packet(&[0x0A, 0, 0, 9, 0, 1, 9, 1, 0xA0]);
    let answer: Value = ciborium::from_reader(&responses[0][8..]).unwrap();
    assert_eq!(answer, cbor!({"rc" => 9}).unwrap());
    // Responses are not answered.
    assert!(device.packet(&[0x0B, 0, 0, 1, 0, 1, 9, 1, 0xA0]).is_empty());
    assert_eq!((device.otadata(), device.chip().operations()), (before, operations));
}
