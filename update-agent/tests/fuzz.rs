//! Any input at all: no panic, and boot selection stays what it is.

mod common;

use ciborium::cbor;
use common::*;
use proptest::prelude::*;
use sim::synthetic::ImageBuilder;

fn device() -> Device {
    Device::new(&ImageBuilder::new(0x1000).build())
}

/// Raw console input, and the same bytes as packets that reach the CBOR decoder of every command.
fn feed(device: &mut Device, bytes: &[u8]) {
    device.console(bytes);
    for chunk in bytes.chunks(64) {
        if let [kind, group, command, body @ ..] = chunk {
            let group = [OS, IMAGE, IMAGE, CUTPOINT][usize::from(group % 4)];
            let mut packet = vec![kind & 0x1F, 0, 0, body.len() as u8];
            packet.extend_from_slice(&group.to_be_bytes());
            packet.extend_from_slice(&[0, command % 10]);
            packet.extend_from_slice(body);
            device.packet(&packet);
        }
    }
}

fn selects_the_same(device: &mut Device, before: &[u8]) -> bool {
    device.host.ota.boot_app().unwrap() == device.running() && device.otadata() == before
}

fn value() -> impl Strategy<Value = ciborium::Value> {
    use ciborium::Value;
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        (0u64..0x3000).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        "[a-z]{0,9}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 32).prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn console_input(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let mut device = device();
        let before = device.otadata();
        feed(&mut device, &bytes);
        prop_assert!(selects_the_same(&mut device, &before));
    }

    #[test]
    fn well_formed_nonsense_changes_no_selection(
        requests in prop::collection::vec((
            0u8..3, prop::sample::select(vec![READ, WRITE]),
            prop::sample::select(vec![OS, IMAGE, CUTPOINT]), 0u8..9,
            prop::collection::vec((prop::sample::select(vec![
                "off", "data", "len", "sha", "image", "upgrade", "hash", "confirm", "slot", "d",
                "format", "query", "on", "operation", "from", "x",
            ]), value()), 0..6),
        ), 1..30),
    ) {
        let mut device = device();
        let before = device.otadata();
        for (version, op, group, command, fields) in requests {
            let fields = fields.into_iter().map(|(key, value)| (text(key), value)).collect();
            device.wires.reset.set(false);
            device.request_as(version, op, group, command, &ciborium::Value::Map(fields));
        }
        prop_assert!(selects_the_same(&mut device, &before));
    }

    #[test]
    fn any_bytes_in_any_pieces(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(b"\x06\x09\x04\x14\nAB=".to_vec()),
        ], 0..2000),
        pieces in 1usize..100,
    ) {
        let mut device = device();
        let before = device.otadata();
        for piece in bytes.chunks(pieces) {
            device.console(piece);
        }
        // And a good request still gets its answer.
        device.console(b"\n");
        let echo = device.request(READ, OS, 0, &cbor!({"d" => "x"}).unwrap());
        prop_assert_eq!(get(&echo, "r"), Some(&text("x")));
        prop_assert!(selects_the_same(&mut device, &before));
    }
}
