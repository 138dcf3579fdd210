use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// What the Python package `smp` 4.2 sends for an echo of `Hello` in version 2 with sequence 1.
const ECHO: &[u8] = b"\x06\x09ABMKAAAJAAABAKFhZGVIZWxsb3KC\n";
const ECHO_PACKET: &[u8] = b"\x0A\x00\x00\x09\x00\x00\x01\x00\xA1\x61d\x65Hello";

/// What it sends for the first packet of an upload: three lines.
const UPLOAD: &[u8] = b"\x06\x09ARwKAAESAAEEAaZjbGVuGQPoY29mZgBjc2hhWCAtcRZCtyawRAFifKn7rDL1yFMPsZA8xNsCJYcXkhpIgWRkYXRhWMgAAQIDBAUGBwgJCgsMDQ4PEBESExQV\n\
\x04\x14FhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5v\n\
\x04\x14cHFyc3R1dnd4eXp7fH1+f4CBgoOEhYaHiImKi4yNjo+QkZKTlJWWl5iZmpucnZ6foKGio6SlpqeoqaqrrK2ur7CxsrO0tba3uLm6u7y9vr/AwcLDxMXGx2Vp\n\
\x04\x14bWFnZQBndXBncmFkZfS4ig==\n";

fn received<const N: usize>(receiver: &mut Receiver<N>, bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.iter().filter_map(|&byte| receiver.push(byte).map(<[u8]>::to_vec)).collect()
}

fn sent(packet: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    send(packet, |line| {
        assert!(line.len() <= LINE && line.ends_with(b"\n"));
        lines.extend_from_slice(line);
    });
    lines
}

#[test]
fn frames_of_a_real_client_are_understood_and_made() {
    let mut receiver = Receiver::<512>::new();
    assert_eq!(received(&mut receiver, ECHO), [ECHO_PACKET]);
    assert_eq!(sent(ECHO_PACKET), ECHO);
    let upload = received(&mut receiver, UPLOAD);
    assert_eq!(upload[0].len(), 8 + 0x112);
    assert_eq!(received(&mut receiver, &sent(&upload[0])), upload);
}

#[test]
fn log_lines_may_stand_anywhere_between_lines() {
    let mut stream = b"boot: ready\n\x06\x04half a marker\n".to_vec();
    for line in UPLOAD.split_inclusive(|&byte| byte == b'\n') {
        stream.extend_from_slice(line);
        stream.extend_from_slice(b"I (12) wifi: up\r\n");
    }
    // A log line without its end before a frame.
    stream.extend_from_slice(b"I (13) unfinished");
    stream.extend_from_slice(ECHO);
    let packets = received(&mut Receiver::<512>::new(), &stream);
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[1], ECHO_PACKET);
}

#[test]
fn lines_may_end_in_return_and_newline() {
    let line = [&ECHO[..ECHO.len() - 1], b"\r\n"].concat();
    assert_eq!(received(&mut Receiver::<64>::new(), &line), [ECHO_PACKET]);
}

#[test]
fn a_packet_as_large_as_the_buffer_fits_and_a_larger_one_does_not() {
    let packet = [7; 200];
    assert_eq!(received(&mut Receiver::<200>::new(), &sent(&packet)), [packet.to_vec()]);
    assert!(received(&mut Receiver::<199>::new(), &sent(&packet)).is_empty());
}

#[test]
fn broken_frames_are_dropped_and_the_next_one_is_taken() {
    let line_too_long = [b"\x06\x09", &b"A".repeat(200)[..], b"\n"].concat();
    let no_start =
        UPLOAD.split_inclusive(|&byte| byte == b'\n').skip(1).collect::<Vec<_>>().concat();
    let lost_line: Vec<u8> = UPLOAD
        .split_inclusive(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(index, _)| *index != 1)
        .flat_map(|(_, line)| line.to_vec())
        .collect();
    let mut flipped = ECHO.to_vec();
    flipped[10] ^= 1;
    let cases = [
        &line_too_long[..],
        &no_start,
        &lost_line,
        &flipped,
        b"\x06\x09\n",
        b"\x06\x09AA==\n",
        b"\x06\x09AAA=\n",
        b"\x06\x09****\n",
        // Longer than announced.
        b"\x06\x09AAxBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n",
        &UPLOAD[..200],
    ];
    for case in cases {
        let stream = [case, ECHO].concat();
        assert_eq!(received(&mut Receiver::<512>::new(), &stream), [ECHO_PACKET], "{case:x?}");
    }
}

proptest! {
    #[test]
    fn packets_survive_a_round_trip(packet in prop::collection::vec(any::<u8>(), 8..600)) {
        let mut receiver = Receiver::<600>::new();
        prop_assert_eq!(received(&mut receiver, &sent(&packet)), [packet]);
    }

    #[test]
    fn any_single_flip_is_noticed(
        packet in prop::collection::vec(any::<u8>(), 8..300), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let mut lines = sent(&packet);
        let at = at.index(lines.len());
        lines[at] ^= 1u8 << bit;
        for found in received(&mut Receiver::<600>::new(), &lines) {
            // A flip in the padding bits of base64 changes nothing.
            prop_assert_eq!(&found, &packet);
        }
    }
}
